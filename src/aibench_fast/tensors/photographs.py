"""Where photographs come from: a folder, a zip archive, or the sample set.

Sample set: the colour photographs of scikit-image's wheel that its notes place in the public
domain or under CC0.
"""

import importlib.util
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aibench_fast.errors import ConfigError

SAMPLE = "sample"

SAMPLE_LICENCES = {
    "astronaut.png": "public domain (NASA)",
    "chelsea.png": "CC0 (Stefan van der Walt)",
    "coffee.png": "CC0 (Rachel Michetti)",
    "hubble_deep_field.jpg": "public domain (NASA)",
    "retina.jpg": "CC0 (Mikael Häggström)",
    "rocket.jpg": "public domain (SpaceX)",
}

MAX_FILE_BYTES = 128 << 20
"""A larger file is refused unread: it is no photograph, or an archive's bomb."""


@dataclass(frozen=True)
class Photograph:
    """A file that ought to be a photograph; nothing of it has been read yet."""

    name: str
    """Path inside the folder or the archive, with forward slashes."""
    read: Callable[[], bytes]
    """Its bytes; ConfigError with the reason, and no name, where it cannot be read. Any thread may
    call it."""


@contextmanager
def open_input(where: str) -> Iterator[list[Photograph]]:
    """List the photographs of a folder, a zip archive or `sample`, sorted by name.

    Folders inside are looked into; hidden files and those of macOS archives (`__MACOSX`) are left
    out. The photographs can be read until the block ends. Raises ConfigError where there is
    nothing to list.
    """
    path = Path(where)
    if where == SAMPLE:
        folder = sample_folder()
        yield [_of_file(folder / name, name) for name in sorted(SAMPLE_LICENCES)]
    elif path.is_dir():
        yield _some(where, _list_folder(path))
    elif path.is_file():
        try:
            archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"--input {where}: is neither a folder nor a zip archive that can be read ({error})"
            ) from error
        with archive:
            yield _some(where, _list_archive(archive))
    else:
        raise ConfigError(
            f"--input {where}: there is no such folder or zip archive; `--input {SAMPLE}` takes "
            "the sample photographs"
        )


def sample_folder() -> Path:
    """The folder of scikit-image's sample pictures; ConfigError where it is not installed."""
    # Found, not imported: importing scikit-image takes a second and is not needed.
    package = importlib.util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise ConfigError(
            f"--input {SAMPLE}: the sample photographs come with scikit-image, which is not "
            "installed; run: pip install 'aibench-fast[server]'"
        )
    return Path(package.submodule_search_locations[0]) / "data"


def _some(where: str, photographs: list[Photograph]) -> list[Photograph]:
    if not photographs:
        raise ConfigError(f"--input {where}: there is no file in it; it should hold photographs")
    return sorted(photographs, key=lambda photograph: photograph.name)


def _is_hidden(name: PurePosixPath) -> bool:
    return name.parts[:1] == ("__MACOSX",) or any(part.startswith(".") for part in name.parts)


def _list_folder(root: Path) -> list[Photograph]:
    found = []
    for folder, _, files in os.walk(root, onerror=_unreadable_folder):
        for file in files:
            path = Path(folder, file)
            name = PurePosixPath(path.relative_to(root))
            if path.is_file() and not _is_hidden(name):
                found.append(_of_file(path, str(name)))
    return found


def _unreadable_folder(error: OSError) -> None:
    raise ConfigError(f"--input: cannot list {error.filename}: {error.strerror}") from error


def _list_archive(archive: zipfile.ZipFile) -> list[Photograph]:
    return [
        _of_member(archive, member)
        for member in archive.infolist()
        if not member.is_dir() and not _is_hidden(PurePosixPath(member.filename))
    ]


def _of_file(path: Path, name: str) -> Photograph:
    def read() -> bytes:
        try:
            _check_size(path.stat().st_size)
            return path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror}") from error

    return Photograph(name, read)


def _of_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Photograph:
    def read() -> bytes:
        # The stated size binds: zipfile never gives more, and fails on a checksum where there is.
        _check_size(member.file_size)
        try:
            return archive.read(member)
        except Exception as error:  # each way of packing has errors of its own
            raise ConfigError(f"cannot be unpacked: {error}") from error

    return Photograph(member.filename, read)


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_FILE_BYTES:
        raise ConfigError(
            f"is {size_bytes:,} bytes, more than the {MAX_FILE_BYTES:,} that are allowed"
        )
