"""Output files that are either whole or not there."""

import fcntl
import glob
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from aibench_fast.errors import ConfigError

TEXT_ENCODING = "utf-8-sig"
"""UTF-8 whose byte order mark, if any, is no part of the text when it is read."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes `path`'s name only when the block ends well.

    The folder is made where it is missing. Until the end the bytes are in a temporary file in the
    same folder; an error or an interrupt removes it and leaves what was under `path` before. One
    that a killed process left is removed by the next that writes to `path`.
    Raises ConfigError where the folder or the file cannot be written, or the disk is full.
    """
    target = _prepared(path)
    # With the machine's name, for several may write to one folder.
    temporary = target.with_name(f".{target.name}.{os.uname().nodename}.{os.getpid()}.part")
    _remove_stale(target)
    try:
        # Opened in here, so that an interrupt leaves no file even before it has a name in Python.
        with temporary.open("wb") as file:
            with suppress(OSError):  # of a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):  # of a file system that cannot be written, where there is none
            temporary.unlink(missing_ok=True)
        # Only our own file's trouble: an OSError of the block's other work is not about `path`.
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise unwritable(path, error) from error
        raise


@contextmanager
def growing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for what is to be read even if the process is killed meanwhile.

    Until the block ends well and it takes `path`'s name it is there as `path.partial`, which stays
    where anything was written to it. ConfigError as `replacing`.
    """
    target = _prepared(path)
    partial = partial_of(target)
    try:
        file = partial.open("wb")
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield file
        file.close()
        partial.replace(target)
    except BaseException as error:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            if partial.stat().st_size == 0:
                partial.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(partial)):
            raise unwritable(path, error) from error
        raise


def partial_of(path: Path) -> Path:
    """Where a `growing` file is until it is whole."""
    return path.with_name(f"{path.name}.partial")


def remove_written(path: Path) -> None:
    """Remove a file if it is there, and what killed processes left that were writing it.

    Where the folder cannot be written any more they stay.
    """
    target = path.resolve()
    with suppress(OSError):
        target.unlink(missing_ok=True)
    _remove_stale(target)


def _prepared(path: Path) -> Path:
    """The file to write for `path`, in a folder that is there."""
    target = path.resolve()  # through a symbolic link, so that the link itself stays
    if target.exists() and not target.is_file():
        raise ConfigError(f"cannot write {path}: it exists and is no regular file; name another")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return target


def _remove_stale(target: Path) -> None:
    """Remove temporary files of killed processes: a living one holds its locked."""
    for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def read_text(path: Path) -> str:
    """Read a UTF-8 text file, without the byte order mark that editors of Windows begin one with.

    OSError and UnicodeDecodeError, a ValueError, as Path.read_text.
    """
    return path.read_text(TEXT_ENCODING)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file that is either whole or not there; ConfigError as `replacing`.

    What is no character, of a file's name, is written as an escape, as standard output does.
    """
    with replacing(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def check_writable(path: Path) -> None:
    """Find out now whether `path` can be written later, leaving nothing; ConfigError where not."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"cannot write {path}: it exists and is no regular file; name another")
    try:
        _try_folder(path.resolve().parent)
    except OSError as error:
        raise unwritable(path, error) from error


def check_folder(folder: Path) -> None:
    """Find out now whether files can be written into a folder later; ConfigError where not."""
    try:
        _try_folder(folder)
    except OSError as error:
        raise unwritable(folder, error) from error


def _try_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


Named = tuple[str, Path | None]
"""A file, None where there is none, and how it is called, as by its option."""


def check_outputs(writes: Iterable[Named], reads: Iterable[Named] = ()) -> None:
    """Find out now whether all can be written later, as `check_writable`; ConfigError names it.

    Nor may one be another's too, or one of `reads`, by whatever name: through a link, or as a file
    in a folder that is read.
    """
    whose: dict[object, str] = {}
    folders: list[tuple[Path, str]] = []
    for name, path in reads:
        if path is not None:
            whose |= dict.fromkeys(_identities(path), name)
            if path.is_dir():
                folders.append((path.resolve(), name))
    for name, path in writes:
        if path is None:
            continue
        try:
            check_writable(path)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error
        identities = _identities(path)
        other = next((whose[one] for one in identities if one in whose), None)
        if other is None and path.exists():
            resolved = path.resolve()
            other = next((of for folder, of in folders if folder in resolved.parents), None)
        if other:
            raise ConfigError(f"{name} {path} is that of {other} too: name another file")
        whose |= dict.fromkeys(identities, name)


def _identities(path: Path) -> list[object]:
    """What two names of one file have in common."""
    try:
        found = path.stat()
    except OSError:
        return [path.resolve()]
    return [path.resolve(), (found.st_dev, found.st_ino)]


def unwritable(path: Path, error: OSError) -> ConfigError:
    """The error for an output that the system refuses to write, with the system's reason."""
    return ConfigError(
        f"cannot write {path}: {error.strerror or error}; choose a folder with room that you may "
        "write to"
    )
