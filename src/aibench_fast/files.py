"""Output files that are either complete or absent."""

import fcntl
import glob
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from aibench_fast.errors import ConfigError, misread

TEXT_ENCODING = "utf-8-sig"
"""UTF-8; reading removes a byte order mark."""


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that gets the name `path` only when the block ends without an error.

    Missing folders are made. Until the end the bytes are in a temporary file in the same folder; an
    error or an interrupt removes it, and a file that `path` had before stays. The next process that
    writes to `path` removes temporary files of killed processes.
    Raises ConfigError if the folder or the file cannot be written, or the disk is full.
    """
    target = _prepared(path)
    # With the machine's name: several machines may write to one folder.
    temporary = target.with_name(f".{target.name}.{os.uname().nodename}.{os.getpid()}.part")
    _remove_stale(target)
    with _named_later(path, target, temporary) as file:
        with suppress(OSError):  # file systems without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file


@contextmanager
def growing(path: Path) -> Iterator[BinaryIO]:
    """Open a file whose content must survive if the process is killed.

    It is `path.partial` until the block ends without an error and it gets the name `path`. The
    partial file stays if anything was written to it. ConfigError as `replacing`.
    """
    target = _prepared(path)
    with _named_later(path, target, partial_of(target), is_kept=True) as file:
        yield file


@contextmanager
def _named_later(
    path: Path, target: Path, temporary: Path, *, is_kept: bool = False
) -> Iterator[BinaryIO]:
    """Open a temporary file, which is renamed to `target` at the end; an error removes it."""
    try:
        # Opened inside `try`, so that an interrupt at any moment leaves no file.
        with temporary.open("wb") as file:
            try:
                yield file
            except BaseException:
                with suppress(OSError):  # of what is buffered yet; the block's error is raised
                    file.close()
                raise
        temporary.replace(target)
    except BaseException as error:
        with suppress(OSError):  # a read-only file system, without such a file
            if not is_kept or temporary.stat().st_size == 0:
                temporary.unlink()
        # Only errors of this file: other OSErrors of the block are not about `path`.
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise unwritable(path, error) from error
        raise


def partial_of(path: Path) -> Path:
    """Return the name of a `growing` file until it is complete."""
    return path.with_name(f"{path.name}.partial")


def remove_written(path: Path) -> None:
    """Remove a file if it exists, and temporary files of killed processes that wrote it.

    They stay if the folder cannot be written any more.
    """
    target = path.resolve()
    with suppress(OSError):
        target.unlink(missing_ok=True)
    _remove_stale(target)


def _prepared(path: Path) -> Path:
    """Return the file to write for `path`, and make its folder."""
    target = path.resolve()  # a symbolic link itself stays
    if target.exists() and not target.is_file():
        raise ConfigError(f"cannot write {path}: it exists and is not a regular file; name another")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return target


def _remove_stale(target: Path) -> None:
    """Remove temporary files of killed processes; living ones hold a lock."""
    for part in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


@contextmanager
def reading(what: str, kind: type[Exception] = OSError) -> Iterator[None]:
    """Raise ConfigError for an error of this kind in the block: `what`, and what is wrong."""
    try:
        yield
    except kind as error:
        raise ConfigError(f"{what}: {misread(error)}") from error


def read_text(path: Path) -> str:
    """Read a UTF-8 text file without the byte order mark of Windows editors.

    Raises OSError and UnicodeDecodeError, a ValueError, as Path.read_text.
    """
    return path.read_text(TEXT_ENCODING)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file that is either complete or absent; ConfigError as `replacing`.

    Bytes of a file name that are not UTF-8 are escaped, as on standard output.
    """
    with replacing(path) as file:
        file.write(text.encode(errors="backslashreplace"))


def check_writable(path: Path) -> None:
    """Raise ConfigError if `path` cannot be written later; leave no file."""
    check_folder(_prepared(path).parent, path)


def check_folder(folder: Path, path: Path | None = None) -> None:
    """Raise ConfigError, about `path` if given, if files cannot be written into a folder later."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(path or folder, error) from error


Named = tuple[str, Path | None]
"""The name of a file in messages, such as its option, and the file or None."""


def check_outputs(writes: Iterable[Named], reads: Iterable[Named] = ()) -> None:
    """Raise ConfigError if a file cannot be written later, as `check_writable`.

    An output must not be another output or one of `reads` too, by any name: through a link, or as a
    file in a folder that is read.
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
        with reading(name, ConfigError):
            check_writable(path)
        identities = _identities(path)
        other = next((whose[one] for one in identities if one in whose), None)
        if other is None and path.exists():
            resolved = path.resolve()
            other = next((of for folder, of in folders if folder in resolved.parents), None)
        if other:
            raise ConfigError(f"{name} {path} is that of {other} too: name another file")
        whose |= dict.fromkeys(identities, name)


def _identities(path: Path) -> list[object]:
    """Return what all names of a file have in common."""
    try:
        found = path.stat()
    except OSError:
        return [path.resolve()]
    return [path.resolve(), (found.st_dev, found.st_ino)]


def unwritable(path: Path, error: OSError) -> ConfigError:
    """Return the error for a file that the system refuses to write, with its reason."""
    return ConfigError(
        f"cannot write {path}: {error.strerror or error}; choose a folder with room that you may "
        "write to"
    )
