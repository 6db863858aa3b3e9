"""Sources of photographs: a folder, a zip archive, an address, or the sample set."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from aibench_fast.errors import ConfigError
from aibench_fast.tensors import remote
from aibench_fast.tensors.archives import Opener, open_archive
from aibench_fast.tensors.listing import Entry, Photograph, check_size, walk

SAMPLE = "sample"

SAMPLE_FOLDER = Path(__file__).parent / "samples"
"""Six photographs in the public domain or under CC0; see its LICENCES.md."""


class Photographs(Iterable[Photograph]):
    """All photographs of a source, sorted by name; each iteration lists them again."""

    def __init__(self, listed: Callable[[], Iterator[Photograph]]) -> None:
        """Iterate over what `listed` yields."""
        self._listed = listed

    def __iter__(self) -> Iterator[Photograph]:
        """Start at the first one."""
        return self._listed()


@contextmanager
def open_input(where: str) -> Iterator[Photographs]:
    """Find the photographs of a folder, a zip archive, an address such as s3://..., or `sample`.

    Folders in it are searched too; hidden files and those of macOS archives (`__MACOSX`) are left
    out. The photographs can be read until the block ends. Raises ConfigError if there are none.
    """
    with ExitStack() as opened:
        found = Photographs(_find(where, opened))
        if next(iter(found), None) is None:
            raise ConfigError(
                f"--input {where}: there is no file in it; it should hold photographs"
            )
        yield found


def absolute_input(where: str) -> str:
    """Return the same input for a process in another folder."""
    path = local_input(where)
    return where if path is None else str(path.absolute())


def local_input(where: str) -> Path | None:
    """Return the file or folder of an input; None for an address or the sample set."""
    return None if where == SAMPLE or remote.is_address(where) else Path(where)


def check_input(where: str) -> None:
    """Raise ConfigError if this process cannot reach the input; list nothing."""
    if where != SAMPLE:
        _place(where)


def _find(where: str, opened: ExitStack) -> Callable[[], Iterator[Photograph]]:
    """Return a function that lists them; `opened` closes an archive."""
    if where == SAMPLE:
        return _list_sample
    place = _place(where)
    if callable(place):
        return opened.enter_context(open_archive(where, place)).photographs
    return partial(walk, place)


def _place(where: str) -> "LocalFolder | remote.RemoteFolder | Opener":
    if remote.is_address(where):
        return remote.find(where)
    path = Path(where).absolute()
    if path.is_dir():
        return LocalFolder(path)
    if path.is_file():
        return partial(_open, path)
    raise ConfigError(
        f"--input {where}: there is no such folder or zip archive; `--input {SAMPLE}` takes the "
        "sample photographs"
    )


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def _list_sample() -> Iterator[Photograph]:
    folder = LocalFolder(SAMPLE_FOLDER)
    for path in sorted(SAMPLE_FOLDER.iterdir()):
        if path.suffix in (".jpg", ".png"):
            yield Photograph(path.name, partial(folder.read, path.name))


@dataclass(frozen=True)
class LocalFolder:
    """A folder of a mounted file system."""

    root: Path

    def entries(self, inside: str) -> Iterator[Entry]:
        """As `listing.Folder`; links to folders are not followed."""
        try:
            with os.scandir(self.root / inside) as found:
                for one in found:
                    if one.is_dir(follow_symlinks=False) or one.is_file():
                        yield Entry(one.name, one.is_dir(follow_symlinks=False))
        except OSError as error:
            raise ConfigError(f"--input: cannot list {error.filename}: {error.strerror}") from error

    def read(self, name: str) -> bytes:
        """As `listing.Folder`."""
        path = self.root / name
        try:
            check_size(path.stat().st_size)
            return path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}") from error
