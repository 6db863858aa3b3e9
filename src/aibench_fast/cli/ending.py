"""How a command ends: its exit codes, and the signals that end it."""

import signal
import sys
from types import CodeType, FrameType

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_FAILURES = 1
EXIT_INTERRUPTED = 130
AGAIN_S = 0.001


def end_in_order() -> None:
    """Have signals end this process by one KeyboardInterrupt, whichever come, and however often.

    A run keeps what it measured then.
    """
    sys.unraisablehook = _ask_again
    _answer_signals()


def _answer_signals() -> None:
    for number in (*ENDING_SIGNALS, signal.SIGALRM):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue  # as nohup wants it
        signal.signal(number, _interrupt_once)


def _interrupt_once(_number: int, frame: FrameType | None) -> None:
    """Interrupt what is being done. What follows is short, and is not interrupted again."""
    if _is_called_by(_ask_again.__code__, frame):
        return  # its timer comes again, when an exception is heard
    signal.setitimer(signal.ITIMER_REAL, 0)
    for ending in (*ENDING_SIGNALS, signal.SIGALRM):
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def _ask_again(forgotten: "sys.UnraisableHookArgs") -> None:
    """Interrupt once more where Python would print the exception and go on.

    So it does where one comes just while a generator or another object is thrown away.
    """
    if not issubclass(forgotten.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(forgotten)
        return
    _answer_signals()
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)


def _is_called_by(code: CodeType, frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False
