"""Lists photographs by name, in the order in which they are prepared."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

from aibench_fast.errors import ConfigError

MAX_FILE_BYTES = 128 << 20
"""Larger files are refused unread: they are not photographs, or an archive bomb."""


@dataclass(frozen=True)
class Photograph:
    """A file that should be a photograph, not read yet. Another process may receive and read it."""

    name: str
    """Path in the folder or archive, with forward slashes."""
    read: Callable[[], bytes]
    """Returns its bytes, in any thread; ConfigError with the reason, without a name, on failure."""


class Entry(NamedTuple):
    """The content of a folder."""

    name: str
    is_folder: bool


class Folder(Protocol):
    """A folder anywhere; names in it are paths with forward slashes."""

    def entries(self, inside: str) -> Iterable[Entry]:
        """List this folder, or one in it, whose name ends with a slash."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes, as `Photograph.read`."""


def walk(folder: Folder, inside: str = "") -> Iterator[Photograph]:
    """Yield the files of a folder and those in it, sorted by path, without hidden ones.

    Only the names of the folders on the current path are in memory.
    """
    seen = (entry for entry in folder.entries(inside) if not is_hidden(entry.name))
    # The slash sorts a folder among its neighbours as the paths in it.
    for entry in sorted(seen, key=lambda entry: entry.name + "/" * entry.is_folder):
        name = inside + entry.name
        if entry.is_folder:
            yield from walk(folder, f"{name}/")
        else:
            yield Photograph(name, partial(folder.read, name))


def is_hidden(name: str) -> bool:
    """Return whether a file is left out: hidden, or metadata of a macOS archive."""
    parts = PurePosixPath(name).parts
    return parts[:1] == ("__MACOSX",) or any(part.startswith(".") for part in parts)


def check_size(size_bytes: int) -> None:
    """Raise ConfigError if a file is too large to be read."""
    if size_bytes > MAX_FILE_BYTES:
        raise ConfigError(
            f"is {size_bytes:,} bytes, more than the {MAX_FILE_BYTES:,} that are allowed"
        )
