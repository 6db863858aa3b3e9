"""Photographs at an address such as s3://bucket/folder, through fsspec (an extra)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from aibench_fast.errors import ConfigError, shown_url
from aibench_fast.tensors.archives import Opener
from aibench_fast.tensors.listing import MAX_FILE_BYTES, Entry, check_size


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of an fsspec file system."""

    where: str
    """The address, without parts that may be secret."""
    filesystem: Any
    path: str

    def entries(self, inside: str) -> Iterator[Entry]:
        """As `listing.Folder`."""
        folder = f"{self.path}/{inside}".rstrip("/")
        try:
            found = self.filesystem.ls(folder, detail=True)
        except Exception as error:  # each file system raises its own errors
            raise ConfigError(f"--input {self.where}: cannot list {folder}: {error}") from error
        for one in found:
            name = one["name"].rstrip("/")
            if name.strip("/") != folder.strip("/"):  # object stores list a folder's own marker
                yield Entry(name.rpartition("/")[2], one["type"] == "directory")

    def read(self, name: str) -> bytes:
        """As `listing.Folder`."""
        try:
            data: bytes = self.filesystem.cat_file(f"{self.path}/{name}", end=MAX_FILE_BYTES + 1)
        except Exception as error:
            raise ConfigError(f"cannot be read: {error}") from error
        check_size(len(data))
        return data


def is_address(where: str) -> bool:
    """Return whether it is an fsspec address rather than a path on this machine."""
    return "://" in where


def find(where: str) -> RemoteFolder | Opener:
    """Return the folder at an address, or an opener of its archive; ConfigError for neither."""
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
