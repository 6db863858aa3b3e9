"""Sources of photographs: a folder, a zip archive, both at an address too, or the sample set.

Addresses are those of fsspec (an extra), such as s3://bucket/folder. Each source lists its
photographs by name, the order in which they are prepared.
"""

import io
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from aibench_fast.errors import ConfigError, shown_url
from aibench_fast.files import reading

SAMPLE = "sample"
SAMPLE_FOLDER = Path(__file__).parent / "samples"
"""Six photographs in the public domain or under CC0; see its LICENCES.md."""
MAX_FILE_BYTES = 128 << 20
"""Larger files are refused unread: they are not photographs, or an archive bomb."""
Opener = Callable[[], IO[Any]]
"""Opens an archive's file; any process can call it."""
_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


@dataclass(frozen=True)
class Photograph:
    """A file that should be a photograph, not read yet. Another process may receive and read it."""

    name: str
    """Path in the folder or archive, with forward slashes."""
    read: Callable[[], bytes]
    """Returns its bytes, in any thread; ConfigError with the reason, without a name, on failure."""


Photographs = Iterable[Photograph]
"""All photographs of a source, sorted by name; each iteration lists them again."""


@contextmanager
def open_input(where: str) -> Iterator[Photographs]:
    """Find the photographs of a folder, a zip archive, an address such as s3://..., or `sample`.

    Folders in it are searched too; hidden files and those of macOS archives (`__MACOSX`) are left
    out. The photographs can be read until the block ends. Raises ConfigError if there are none.
    """
    place = find(where)
    with nullcontext(place) if isinstance(place, Folder) else _open(where, place) as found:
        if next(iter(found), None) is None:
            raise ConfigError(
                f"--input {where}: there is no file in it; it should hold photographs"
            )
        yield found


def local_input(where: str) -> Path | None:
    """Return the file or folder of an input; None for an address or the sample set."""
    return None if where == SAMPLE or "://" in where else Path(where)


def find(where: str) -> "Folder | Opener":
    """Return the folder of an input, or an opener of its archive; list nothing.

    ConfigError if this process cannot reach it.
    """
    path = local_input(where)
    if path is None:
        return _SAMPLES if where == SAMPLE else _find_remote(where)
    path = path.absolute()
    if path.is_dir():
        return LocalFolder(path)
    if path.is_file():
        return partial(path.open, "rb")
    raise ConfigError(
        f"--input {where}: there is no such folder or zip archive; `--input {SAMPLE}` takes the "
        "sample photographs"
    )


def _find_remote(where: str) -> "Folder | Opener":
    shown = shown_url(where)
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ConfigError(
            f"--input {shown}: an address needs fsspec; run: pip install 'aibench-fast[fsspec]'"
        ) from error
    try:
        filesystem, path = url_to_fs(where)
        if filesystem.isdir(path):
            return RemoteFolder(shown, filesystem, path.rstrip("/"))
        is_there = filesystem.exists(path)
    except Exception as error:  # a driver that is missing, no access, no such host, ...
        words = str(error).replace(where, shown)
        raise ConfigError(f"--input {shown}: cannot be listed: {words}") from error
    if not is_there:
        raise ConfigError(f"--input {shown}: there is no such folder or zip archive")
    return partial(filesystem.open, path, "rb")


class Folder(ABC):
    """A folder anywhere; names in it are paths with forward slashes."""

    @abstractmethod
    def _entries(self, inside: str) -> Iterable[str]:
        """Return the names in this folder, or in one in it; those of folders end with a slash."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return a file's bytes, as `Photograph.read`."""

    def __iter__(self) -> Iterator[Photograph]:
        """Yield its files and those of the folders in it, sorted by path, without hidden ones.

        Only the names of the folders on the current path are in memory.
        """
        return self._walk("")

    def _walk(self, inside: str) -> Iterator[Photograph]:
        # The slash sorts a folder among its neighbours as the paths in it.
        for entry in sorted(self._entries(inside)):
            name = inside + entry
            if is_hidden(entry):
                continue
            if entry.endswith("/"):
                yield from self._walk(name)
            else:
                yield Photograph(name, partial(self.read, name))


@dataclass(frozen=True)
class LocalFolder(Folder):
    """A folder of a mounted file system."""

    root: Path
    suffixes: tuple[str, ...] = ("",)
    """Of what is listed."""

    def _entries(self, inside: str) -> Iterator[str]:
        try:
            with os.scandir(self.root / inside) as found:  # links to folders are not followed
                for one in found:
                    is_folder = one.is_dir(follow_symlinks=False)
                    if (is_folder or one.is_file()) and one.name.endswith(self.suffixes):
                        yield one.name + "/" * is_folder
        except OSError as error:
            raise ConfigError(f"--input: cannot list {error.filename}: {error.strerror}") from error

    def read(self, name: str) -> bytes:
        """As `Folder`."""
        path = self.root / name
        with reading("cannot be read"):
            _check_size(path.stat().st_size)
            return path.read_bytes()


_SAMPLES = LocalFolder(SAMPLE_FOLDER, (".jpg", ".png"))


@dataclass(frozen=True)
class RemoteFolder(Folder):
    """A folder of an fsspec file system."""

    where: str
    """The address, without parts that may be secret."""
    filesystem: Any
    path: str

    def _entries(self, inside: str) -> Iterator[str]:
        folder = f"{self.path}/{inside}".rstrip("/")
        try:
            found = self.filesystem.ls(folder, detail=True)
        except Exception as error:  # each file system raises its own errors
            raise ConfigError(f"--input {self.where}: cannot list {folder}: {error}") from error
        for one in found:
            name = one["name"].rstrip("/")
            if name.strip("/") != folder.strip("/"):  # object stores list a folder's own marker
                yield name.rpartition("/")[2] + "/" * (one["type"] == "directory")

    def read(self, name: str) -> bytes:
        """As `Folder`."""
        try:
            data: bytes = self.filesystem.cat_file(f"{self.path}/{name}", end=MAX_FILE_BYTES + 1)
        except Exception as error:
            raise ConfigError(f"cannot be read: {error}") from error
        _check_size(len(data))
        return data


class Archive:
    """An open archive. Another process that receives it opens it without reading its directory.

    The directory takes memory for each member, and a reader of one receives that one's entry.
    """

    def __init__(self, opener: Opener, archive: zipfile.ZipFile) -> None:
        """Read from `archive`; `opener` opens it again."""
        self._opener = opener
        self._archive = archive

    def __reduce__(self) -> tuple[Callable[[Opener], "Archive"], tuple[Opener]]:
        """Open the archive anew in another process."""
        return _without_directory, (self._opener,)

    def __iter__(self) -> Iterator[Photograph]:
        """Yield its files, sorted by name."""
        for member in sorted(self._archive.infolist(), key=lambda member: member.filename):
            if not member.is_dir() and not is_hidden(member.filename):
                yield Photograph(member.filename, partial(self.read, member))

    def read(self, member: zipfile.ZipInfo) -> bytes:
        """Return a member's bytes; ConfigError with the reason if it cannot be read."""
        # The stated size is a limit: zipfile never returns more, and checks the checksum.
        _check_size(member.file_size)
        try:
            return self._archive.read(member)
        except Exception as error:  # each compression raises its own errors
            raise ConfigError(f"cannot be unpacked: {error}") from error


def _without_directory(opener: Opener) -> Archive:
    archive = zipfile.ZipFile(io.BytesIO(_EMPTY_ZIP))
    archive.fp = opener()
    return Archive(opener, archive)


@contextmanager
def _open(where: str, opener: Opener) -> Iterator[Archive]:
    """Open an archive until the block ends; ConfigError with `where` if it is not one."""
    try:
        file = opener()
    except OSError as error:
        raise ConfigError(f"--input {where}: cannot be read ({error})") from error
    with file:
        try:
            archive = zipfile.ZipFile(file)
        except (OSError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"--input {where}: is neither a folder nor a zip archive that can be read ({error})"
            ) from error
        with archive:
            yield Archive(opener, archive)


def is_hidden(name: str) -> bool:
    """Return whether a file is left out: hidden, or metadata of a macOS archive."""
    parts = PurePosixPath(name).parts
    return parts[:1] == ("__MACOSX",) or any(part.startswith(".") for part in parts)


def _check_size(size_bytes: int) -> None:
    """Raise ConfigError if a file is too large to be read."""
    if size_bytes > MAX_FILE_BYTES:
        raise ConfigError(
            f"is {size_bytes:,} bytes, more than the {MAX_FILE_BYTES:,} that are allowed"
        )
