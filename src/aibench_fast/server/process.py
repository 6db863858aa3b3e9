"""Waits for and ends the processes of embedded servers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from aibench_fast.errors import ServerError

START_TIMEOUT_S = 60.0  # a saved database with models takes a while to load
STOP_TIMEOUT_S = 15.0
HURRY_S = 0.5
"""The time that a server has to end after Ctrl-C or another signal."""
POLL_S = 0.02
LOG_LINES = 5
_OF_A_TABLE = ("|", "+")


def wait_until_ready(
    process: subprocess.Popen[bytes], name: str, is_ready: Callable[[], bool], log: Path
) -> None:
    """Return once `is_ready`; ServerError, with the last lines of its log, if it never is."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None:
        if is_ready():
            return
        if time.monotonic() > deadline_s:
            raise ServerError(
                f"{name} is not ready after {START_TIMEOUT_S:.0f} s; its log ends with: "
                f"{log_end(log)}"
            )
        time.sleep(POLL_S)
    raise ServerError(f"{name} did not start; its log ends with: {log_end(log)}")


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Terminate the process, then kill what is left of its session.

    A Triton that ends during its start leaves the processes of its models.
    """
    is_hurried = isinstance(sys.exc_info()[1], KeyboardInterrupt)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(HURRY_S if is_hurried else STOP_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def log_end(log: Path, count: int = LOG_LINES) -> str:
    """Return the last lines of a server's log as one line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    messages = [line for line in lines if line and not line.startswith(_OF_A_TABLE)]
    return " | ".join(messages[-count:]) or "nothing"
