"""Recorded arrivals: a file with the offset of each request in seconds, one a line."""

import math
from array import array
from pathlib import Path

from aibench_fast.errors import ConfigError
from aibench_fast.files import TEXT_ENCODING

NS_PER_S = 1_000_000_000


def read_arrivals(file: Path) -> "array[int]":
    """Read the offsets, in nanoseconds.

    Empty lines and those that begin with # are skipped. ConfigError names the line that is not a
    number, or is before the one above it, or the file that has none.
    """
    offsets_ns = array("q")
    try:
        with file.open(encoding=TEXT_ENCODING) as lines:
            for number, line in enumerate(lines, start=1):
                if words := line.partition("#")[0].strip():
                    offsets_ns.append(_offset_ns(file, number, words))
                    if len(offsets_ns) > 1 and offsets_ns[-1] < offsets_ns[-2]:
                        raise ConfigError(
                            f"`arrivals_file` {file}, line {number}: {words} s is before the line "
                            "above it; offsets go up"
                        )
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"`arrivals_file` {file}: cannot be read: {error}") from error
    if not offsets_ns:
        raise ConfigError(f"`arrivals_file` {file}: it has no offset; write one a line, in seconds")
    return offsets_ns


def _offset_ns(file: Path, number: int, words: str) -> int:
    try:
        offset_s = float(words)
    except ValueError:
        offset_s = math.nan
    if not 0 <= offset_s < 1e9:
        raise ConfigError(
            f"`arrivals_file` {file}, line {number}: {words!r} is not an offset in seconds "
            "from 0 on"
        )
    return round(offset_s * NS_PER_S)
