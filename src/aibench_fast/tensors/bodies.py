"""Bodies of requests, each sent as it lies: a file, the files of a folder, or lines of JSON."""

from collections.abc import Sequence
from pathlib import Path

from aibench_fast.errors import ConfigError
from aibench_fast.tensors.strings import JSONL_SUFFIX, MAX_FILE_BYTES, Strings


def files_of(path: Path) -> list[Path]:
    """Return the files that bodies come from: of a folder those in it, by name, none hidden.

    ConfigError if a folder has none, or cannot be read.
    """
    if not path.is_dir():
        return [path]
    try:
        names = sorted(path.iterdir())
    except OSError as error:
        raise ConfigError(f"bodies {path}: cannot be read: {error.strerror}") from error
    found = [one for one in names if one.is_file() and not one.name.startswith(".")]
    if not found:
        raise ConfigError(f"bodies {path}: the folder has no files; give one that has")
    return found


def count(path: Path) -> int:
    """Return the number of bodies; ConfigError as `read`."""
    return len(_read(path)) if path.suffix == JSONL_SUFFIX else len(files_of(path))


def read(path: Path) -> Strings:
    """Read the bodies: each line of a .jsonl file, or each file whole.

    ConfigError if a file cannot be read, if all are larger than allowed, or if there is none.
    """
    return Strings([one] for one in _read(path))


def _read(path: Path) -> Sequence[bytes]:
    return [one for _, one in numbered(path)]


def numbered(path: Path) -> Sequence[tuple[int, bytes]]:
    """Return the bodies with the number of each one's line, or file; ConfigError as `read`."""
    files = files_of(path)
    try:
        size_bytes = sum(file.stat().st_size for file in files)
        if size_bytes > MAX_FILE_BYTES:
            raise ConfigError(
                f"bodies {path}: {size_bytes:,} bytes, where all bodies together have at most "
                f"{MAX_FILE_BYTES:,}; leave some of them out"
            )
        bodies = [file.read_bytes() for file in files]
    except OSError as error:
        raise ConfigError(f"bodies {path}: cannot be read: {error.strerror}") from error
    if path.suffix != JSONL_SUFFIX:
        return [*enumerate(bodies, 1)]
    lines = enumerate((line.strip() for line in bodies[0].split(b"\n")), 1)
    if not (found := [line for line in lines if line[1]]):
        raise ConfigError(f"bodies {path}: has no line; each line is a body")
    return found
