"""How a command that measures ends: its exit codes, and the signals that end it."""

import inspect
import signal
from types import FrameType

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_FAILURES = 1
EXIT_INTERRUPTED = 130
AGAIN_S = 0.001


def end_in_order() -> None:
    """Have a run that is told to end keep what it measured, whoever tells it, and however often."""
    for number in (*ENDING_SIGNALS, signal.SIGALRM):
        signal.signal(number, _interrupt_once)


def _interrupt_once(_number: int, frame: FrameType | None) -> None:
    """End the run and keep what it measured, whoever asks; what follows is short, and is let be."""
    if _is_under_way(frame):
        return
    if frame is not None and frame.f_code.co_flags & inspect.CO_GENERATOR:
        # One that is just thrown away would print the exception and forget it: so again, and again.
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)
        return
    signal.setitimer(signal.ITIMER_REAL, 0)
    for ending in (*ENDING_SIGNALS, signal.SIGALRM):
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def _is_under_way(frame: FrameType | None) -> bool:
    """Whether a signal came before the handler of the last one has returned."""
    while frame is not None:
        if frame.f_code is _interrupt_once.__code__:
            return True
        frame = frame.f_back
    return False
