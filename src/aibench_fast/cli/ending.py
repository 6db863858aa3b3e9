"""How a command that measures ends: its exit codes, and the signals that end it."""

import signal
from types import FrameType
from typing import NoReturn

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_FAILURES = 1
EXIT_INTERRUPTED = 130


def end_in_order() -> None:
    """Have a run that is told to end keep what it measured, whoever tells it, and however often."""
    for number in ENDING_SIGNALS:
        signal.signal(number, _interrupt_once)


def _interrupt_once(number: int, frame: FrameType | None) -> NoReturn:
    """End the run and keep what it measured, whoever asks; what follows is short, and is let be."""
    for ending in ENDING_SIGNALS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt
