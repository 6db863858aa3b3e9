"""Signals that end a program, held back while a result is saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def answered() -> list[signal.Signals]:
    """Return the ending signals that are not ignored, as nohup ignores SIGHUP."""
    is_without_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [one for one in ENDING_SIGNALS if one != signal.SIGHUP or not is_without_terminal]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay signals to the end of the block, which saves what was measured.

    Only the main thread can do that. Other threads receive no signals anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    found = {number: signal.getsignal(number) for number in answered()}
    # A handler that Python did not install cannot be restored.
    before = {number: handler for number, handler in found.items() if handler is not None}
    for number in before:
        signal.signal(number, lambda which, _: came.append(which))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
