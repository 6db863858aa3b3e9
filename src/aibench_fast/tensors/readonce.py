"""Files that several steps before a run look into, and that are read once."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

KEPT_FILES = 8
"""Of each form: a mix may have several."""
read_once = lru_cache(KEPT_FILES)
"""Keep what a function of files and their state has read; errors are found again."""


def state_of(files: Sequence[Path]) -> object:
    """Return what changes when one of the files does; whoever reads them reports what is wrong."""
    try:
        found = [file.stat() for file in files]
    except OSError:
        return object()
    return tuple(
        (one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found
    )
