"""Bodies of requests: a file, the files of a folder, or lines of JSON."""

import stat
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from aibench_fast.errors import ConfigError
from aibench_fast.files import reading
from aibench_fast.tensors.strings import JSONL_SUFFIX, read_whole


def are_lines(path: Path) -> bool:
    """Return whether each line of a file is a body, and not the whole file."""
    return path.suffix == JSONL_SUFFIX


def files_of(path: Path) -> list[Path]:
    """Return the files that bodies come from: of a folder those in it, by name, none hidden.

    ConfigError if a folder has none, or cannot be read.
    """
    with reading(f"cannot read {path}"):
        if not stat.S_ISDIR(path.stat().st_mode):
            return [path]
        names = sorted(path.iterdir())
        found = [one for one in names if not one.is_dir() and not one.name.startswith(".")]
    if not found:
        raise ConfigError(f"{path} has no files; give a folder that has")
    return found


def count(path: Path) -> int:
    """Return the number of bodies; ConfigError if there are none, or a file cannot be read."""
    files = files_of(path)
    if not are_lines(path):
        return len(files)
    with reading(f"cannot read {path}"), path.open("rb") as file:
        lines = sum(1 for line in file if line.strip())
    if lines == 0:
        raise _no_line(path)
    return lines


def line_of(path: Path, place: int) -> int:
    """Return the number of the line, from 1 on, that has the body of this index."""
    with path.open("rb") as file:
        numbers = (number for number, line in enumerate(file, 1) if line.strip())
        return next(islice(numbers, place, None))


def _no_line(path: Path) -> ConfigError:
    """Return the error for a file that has no body."""
    return ConfigError(f"{path} has no lines; each line is a request")


def numbered(path: Path) -> Sequence[tuple[int, bytes]]:
    """Return the bodies with the number of each one's line, or file, from 1 on.

    ConfigError if a file cannot be read, if all are larger than allowed, or if there is none.
    """
    with reading(f"cannot read {path}"):
        bodies = read_whole(files_of(path), str(path), "all that are read have")
    if not are_lines(path):
        return [*enumerate(bodies, 1)]
    lines = enumerate((line.strip() for line in bodies[0].split(b"\n")), 1)
    if not (found := [line for line in lines if line[1]]):
        raise _no_line(path)
    return found
