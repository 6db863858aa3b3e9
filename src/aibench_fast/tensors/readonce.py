"""Files that several steps before a run look into, and that are read once."""

from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar, cast

KEPT_FILES = 8
"""Of each form: a mix may have several."""
Reader = TypeVar("Reader", bound=Callable[..., Any])


def read_once(
    files_of: Callable[[Path], Sequence[Path]] = lambda file: [file],
) -> Callable[[Reader], Reader]:
    """Keep what a function has read of a path, until one of the files there changes.

    Errors are found again.
    """

    def keeping(read: Reader) -> Reader:
        kept = lru_cache(KEPT_FILES)(lambda state, *given: read(*given))

        @wraps(read)
        def read_or_known(path: Path, *more: Any) -> Any:
            return kept(_state_of(files_of(path)), path, *more)

        return cast(Reader, read_or_known)

    return keeping


def _state_of(files: Sequence[Path]) -> object:
    """Return what changes when one of the files does; whoever reads them reports what is wrong."""
    try:
        found = [file.stat() for file in files]
    except OSError:
        return object()
    return tuple(
        (one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found
    )
