"""How a command ends: exit codes and signals.

During start-up a signal ends the process at once, because an exception in the middle of imports can
be lost, and there is nothing to save yet. Later a signal is one KeyboardInterrupt.
"""

import atexit
import os
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from types import CodeType, FrameType
from typing import NoReturn

from aibench_fast.studies.signals import answered

EXIT_FAILURES = 1
EXIT_INTERRUPTED = 130
AGAIN_S = 0.001
PATIENCE_S = 2.0
"""After this time another signal interrupts the ending too."""


def end_at_once() -> None:
    """Let signals end this process at once, while there is nothing to save."""
    for number in answered():
        signal.signal(number, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    with suppress(OSError):
        os.write(2, b"aibench-fast: interrupted\n")
    os._exit(EXIT_INTERRUPTED)


def end_in_order() -> None:
    """Turn signals into one KeyboardInterrupt, whichever come and however often.

    A run then saves what it measured.
    """
    sys.unraisablehook = _ask_again
    for number in (*answered(), signal.SIGALRM):
        signal.signal(number, _interrupt_once)


def leave(code: int) -> NoReturn:
    """Exit the process with this code.

    After an interrupt threads are not waited for. Python does not handle the exit, because it would
    end by SIGINT if the exception came from code compiled from a string.
    """
    for number in answered():
        signal.signal(number, signal.SIG_IGN)
    if code != EXIT_INTERRUPTED:
        sys.exit(code)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _interrupt_once(_number: int, frame: FrameType | None) -> None:
    """Interrupt the program once. What follows is short, and is not interrupted for a while."""
    if _is_called_by(_ask_again.__code__, frame):
        return  # its timer comes again when an exception can be raised
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    again = partial(_interrupt_after, time.monotonic() + PATIENCE_S)
    for ending in answered():
        signal.signal(ending, again)
    raise KeyboardInterrupt


def _interrupt_after(patient_until_s: float, _number: int, _frame: FrameType | None) -> None:
    """Interrupt again if the ending takes too long, or the first exception was lost."""
    if time.monotonic() >= patient_until_s:
        raise KeyboardInterrupt


def _ask_again(forgotten: "sys.UnraisableHookArgs") -> None:
    """Interrupt again where Python would only print the exception and continue.

    That happens while a generator or another object is destroyed.
    """
    if not issubclass(forgotten.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(forgotten)
        return
    end_in_order()
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)


def _is_called_by(code: CodeType, frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None
