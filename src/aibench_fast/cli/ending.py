"""How a command that measures ends: its exit codes, and the signals that end it."""

import inspect
import signal
import threading
from types import FrameType

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_FAILURES = 1
EXIT_INTERRUPTED = 130
AGAIN_S = 0.001


def end_in_order() -> None:
    """Have a run that is told to end keep what it measured, whoever tells it, and however often."""
    for number in ENDING_SIGNALS:
        signal.signal(number, _interrupt_once)


def _interrupt_once(number: int, frame: FrameType | None) -> None:
    """End the run and keep what it measured, whoever asks; what follows is short, and is let be."""
    if frame is not None and frame.f_code.co_flags & inspect.CO_GENERATOR:
        # A generator that is just thrown away would print the exception and forget it.
        main_thread = threading.main_thread().ident
        threading.Timer(AGAIN_S, signal.pthread_kill, (main_thread, number)).start()
        return
    for ending in ENDING_SIGNALS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt
