"""Read result files, many at once in several processes."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from aibench_fast.errors import ConfigError
from aibench_fast.results.files import (
    RunRecord,
    SearchOfResults,
    SummaryOfResults,
    read_record,
)
from aibench_fast.results.search import Search

SHARE = 1000
"""Files for one process, about a second's work; fewer are not worth starting one."""


@dataclass(frozen=True)
class ReadFile:
    """A file that was read: a result, or the reason why it is not one."""

    record: RunRecord | None = None
    reason: str = ""
    is_summary: bool = False
    """Whether it summarises several results."""
    search: Search | None = None
    """The search, if it is one."""


def read_file(path: Path) -> ReadFile:
    """Read one file."""
    try:
        return ReadFile(read_record(path))
    except SearchOfResults as error:
        return ReadFile(None, str(error), is_summary=True, search=error.search)
    except SummaryOfResults as error:
        return ReadFile(None, str(error), is_summary=True)
    except ConfigError as error:
        return ReadFile(None, str(error))


def read_files(
    paths: Sequence[Path], done: Callable[[int], None] = lambda files: None
) -> list[ReadFile]:
    """Read files in order; call `done` with how many more were read."""
    found: list[ReadFile] = []
    for share in _read_shares(paths):
        found += share
        done(len(share))
    return found


def _read_shares(paths: Sequence[Path]) -> Iterator[list[ReadFile]]:
    shares = [paths[first : first + SHARE] for first in range(0, len(paths), SHARE)]
    processes = min(len(shares), len(os.sched_getaffinity(0)))
    if processes < 2:
        yield from ([read_file(path)] for path in paths)
        return
    with ThreadPoolExecutor(processes) as pool:
        yield from pool.map(_read_elsewhere, shares)


def _read_elsewhere(paths: Sequence[Path]) -> list[ReadFile]:
    """Read files in a new process, which shares no threads or locks with this one."""
    program = f"from {__name__} import read_for_parent; read_for_parent()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=pickle.dumps(paths), stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    found: list[ReadFile] = pickle.loads(done.stdout)
    return found


def read_for_parent() -> None:
    """Run in that process: read the paths from stdin, write what was read to stdout."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    paths = pickle.load(sys.stdin.buffer)
    pickle.dump([read_file(path) for path in paths], sys.stdout.buffer)
