"""Photographs in a zip archive: one process reads its directory, several read its members."""

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

from aibench_fast.errors import ConfigError
from aibench_fast.tensors.listing import Photograph, check_size, is_hidden

Opener = Callable[[], BinaryIO]
"""Opens the archive's file; any process can call it."""

_EMPTY = b"PK\x05\x06" + bytes(18)


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

    def photographs(self) -> Iterator[Photograph]:
        """Return its files, sorted by name."""
        for member in sorted(self._archive.infolist(), key=lambda member: member.filename):
            if not member.is_dir() and not is_hidden(member.filename):
                yield Photograph(member.filename, partial(self.read, member))

    def read(self, member: zipfile.ZipInfo) -> bytes:
        """Return a member's bytes; ConfigError with the reason if it cannot be read."""
        # The stated size is a limit: zipfile never returns more, and checks the checksum.
        check_size(member.file_size)
        try:
            return self._archive.read(member)
        except Exception as error:  # each compression raises its own errors
            raise ConfigError(f"cannot be unpacked: {error}") from error


def _without_directory(opener: Opener) -> Archive:
    archive = zipfile.ZipFile(io.BytesIO(_EMPTY))
    archive.fp = opener()
    return Archive(opener, archive)


@contextmanager
def open_archive(where: str, opener: Opener) -> Iterator[Archive]:
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
