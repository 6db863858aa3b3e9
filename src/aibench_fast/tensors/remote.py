"""Photographs at an address, such as s3://bucket/folder, by fsspec: the extra of that name."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from aibench_fast.errors import ConfigError, shown_url
from aibench_fast.tensors.archives import Opener
from aibench_fast.tensors.listing import MAX_FILE_BYTES, Entry, check_size


@dataclass(frozen=True)
class RemoteFolder:
    """A folder of one of fsspec's file systems."""

    where: str
    """As it was asked for, without what may be secret."""
    filesystem: Any
    path: str

    def entries(self, inside: str) -> Iterator[Entry]:
        """As `listing.Folder`."""
        folder = f"{self.path}/{inside}".rstrip("/")
        try:
            found = self.filesystem.ls(folder, detail=True)
        except Exception as error:  # each file system has errors of its own
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
    """Whether it is an address of fsspec's, and no path here."""
    return "://" in where


def find(where: str) -> RemoteFolder | Opener:
    """The folder at an address, or what opens the archive there; ConfigError where is neither."""
    told = shown_url(where)
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise ConfigError(
            f"--input {told}: an address takes fsspec; run: pip install 'aibench-fast[fsspec]'"
        ) from error
    try:
        filesystem, path = url_to_fs(where)
        if filesystem.isdir(path):
            return RemoteFolder(told, filesystem, path.rstrip("/"))
        is_there = filesystem.exists(path)
    except Exception as error:  # a driver that is missing, no access, no such host, ...
        words = str(error).replace(where, told)
        raise ConfigError(f"--input {told}: cannot be looked into: {words}") from error
    if not is_there:
        raise ConfigError(f"--input {told}: there is no such folder or zip archive")
    return partial(filesystem.open, path, "rb")
