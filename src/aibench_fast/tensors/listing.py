"""Photographs by their names, in the order in which they are prepared, wherever they lie."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol

from aibench_fast.errors import ConfigError

MAX_FILE_BYTES = 128 << 20
"""A larger file is refused unread: it is no photograph, or an archive's bomb."""


@dataclass(frozen=True)
class Photograph:
    """A file that ought to be a photograph; nothing of it has been read yet.

    It may be sent to another process, and be read there.
    """

    name: str
    """Path inside the folder or the archive, with forward slashes."""
    read: Callable[[], bytes]
    """Its bytes; ConfigError with the reason, and no name, where it cannot be read. Any thread may
    call it."""


class Entry(NamedTuple):
    """What a folder has in it."""

    name: str
    is_folder: bool


class Folder(Protocol):
    """A folder somewhere; names in it are paths with forward slashes."""

    def entries(self, inside: str) -> Iterable[Entry]:
        """What is in a folder inside, whose name ends with a slash, or in this one itself."""

    def read(self, name: str) -> bytes:
        """A file's bytes, as `Photograph.read`."""


def walk(folder: Folder, inside: str = "") -> Iterator[Photograph]:
    """Go through a folder and those inside, sorted by the whole name; hidden files are left out.

    No more names are in memory at one time than lie beside each other.
    """
    seen = (entry for entry in folder.entries(inside) if not is_hidden(entry.name))
    # With its slash a folder stands among its neighbours where the names in it would.
    for entry in sorted(seen, key=lambda entry: entry.name + "/" * entry.is_folder):
        name = inside + entry.name
        if entry.is_folder:
            yield from walk(folder, f"{name}/")
        else:
            yield Photograph(name, partial(folder.read, name))


def is_hidden(name: str) -> bool:
    """Whether a file is left out: a hidden one, or one of a macOS archive's own."""
    parts = PurePosixPath(name).parts
    return parts[:1] == ("__MACOSX",) or any(part.startswith(".") for part in parts)


def check_size(size_bytes: int) -> None:
    """ConfigError where a file is too large to be read."""
    if size_bytes > MAX_FILE_BYTES:
        raise ConfigError(
            f"is {size_bytes:,} bytes, more than the {MAX_FILE_BYTES:,} that are allowed"
        )
