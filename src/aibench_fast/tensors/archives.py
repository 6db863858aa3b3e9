"""Photographs in a zip archive, which is read from several processes and its directory by one."""

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO

from aibench_fast.errors import ConfigError
from aibench_fast.tensors.listing import Photograph, check_size, is_hidden

Opener = Callable[[], BinaryIO]
"""Opens the archive's file, in any process."""

_EMPTY = b"PK\x05\x06" + bytes(18)


class Archive:
    """An open archive. Sent to another process it is opened there, without reading its directory.

    That would take memory by the number of its members, and who reads one was sent its entry.
    """

    def __init__(self, opener: Opener, archive: zipfile.ZipFile) -> None:
        """Read from `archive`, which `opener` can open again."""
        self._opener = opener
        self._archive = archive

    def __reduce__(self) -> tuple[Callable[[Opener], "Archive"], tuple[Opener]]:
        """How it is opened in another process."""
        return _without_directory, (self._opener,)

    def photographs(self) -> Iterator[Photograph]:
        """Its files, sorted by name."""
        for member in sorted(self._archive.infolist(), key=lambda member: member.filename):
            if not member.is_dir() and not is_hidden(member.filename):
                yield Photograph(member.filename, partial(self.read, member))

    def read(self, member: zipfile.ZipInfo) -> bytes:
        """A member's bytes; ConfigError with the reason where it cannot be read."""
        # The stated size binds: zipfile never gives more, and fails on a checksum where there is.
        check_size(member.file_size)
        try:
            return self._archive.read(member)
        except Exception as error:  # each way of packing has errors of its own
            raise ConfigError(f"cannot be unpacked: {error}") from error


def _without_directory(opener: Opener) -> Archive:
    archive = zipfile.ZipFile(io.BytesIO(_EMPTY))
    archive.fp = opener()
    return Archive(opener, archive)


@contextmanager
def open_archive(where: str, opener: Opener) -> Iterator[Archive]:
    """Open an archive until the block ends; ConfigError with `where` if it is none."""
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
