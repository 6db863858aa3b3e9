"""Servers that others wrote, each in an environment of its own, while a test needs them.

`make servers` makes the environments; without one its tests are skipped or, in CI, fail.
"""

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ci import missing

from aibench_fast.server.base import end_process, wait_until_ready

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / "build" / "servers"


def program(server: str, name: str) -> Path:
    """A program of a server's environment."""
    found = ENVIRONMENTS / server / "bin" / name
    if not found.is_file():
        missing(f"no {found.relative_to(ROOT)}: make servers")
    return found


@contextmanager
def serving(
    command: list[str], folder: Path, is_ready: Callable[[], bool], **variables: str
) -> Iterator[None]:
    """Run a server in a folder, with further environment variables, while the block lasts."""
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, "PYTHONPATH": str(HERE), **variables},
        )  # fmt: skip
    try:
        wait_until_ready(process, command[0], is_ready, log)
        yield
    finally:
        end_process(process)


def answers(url: str) -> bool:
    """Whether a GET is answered with a success."""
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False
