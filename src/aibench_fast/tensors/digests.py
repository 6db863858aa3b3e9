"""The SHA-256 of files, kept in the user's cache folder: a second of reading a gigabyte.

A kept digest counts only while the files' device, inode, size and times are what they were. One is
kept only of files that were left alone for a while: a change in the moment after it could leave the
same times. A program that writes through a memory map may change a file and not its times.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from aibench_fast.errors import ConfigError
from aibench_fast.files import replacing

PIECE_BYTES = 1 << 20
LEAST_BYTES = 64 << 20
"""Smaller files are read again by each process: it takes no longer than to look them up."""
MOST_ENTRIES = 200
SETTLED_NS = 2 * 10**9
"""The coarsest times of a file system, FAT's."""
Progress = Callable[[int, int], None]
"""Called with the bytes read so far, and of how many."""


class _Status(NamedTuple):
    """What a change to a file changes too."""

    path: str
    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


_Key = tuple[_Status, ...]
_known: dict[_Key, str] = {}
"""This process's, of files of any size."""


def digest_of(files: Sequence[Path], progress: Progress) -> str:
    """Return the SHA-256 of files joined, in hexadecimal; OSError where one cannot be read."""
    start_ns = time.time_ns()
    key = _key(files)
    digest = _known.get(key) or _read_entry(key)
    if digest is None:
        digest = _hash(files, key, progress)
        settled_ns = start_ns - SETTLED_NS
        if _key(files) != key or any(_changed_ns(one) >= settled_ns for one in key):
            return digest
        _write_entry(key, digest)
    _known[key] = digest
    return digest


def _key(files: Sequence[Path]) -> _Key:
    return tuple(map(_status, files))


def _status(file: Path) -> _Status:
    found = file.stat()
    return _Status(
        str(file.resolve()),
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def _changed_ns(status: _Status) -> int:
    """Return when the file last changed; the second of the times cannot be set by a program."""
    return max(status.modified_ns, status.changed_ns)


def _total_bytes(key: _Key) -> int:
    return sum(one.size_bytes for one in key)


def _hash(files: Sequence[Path], key: _Key, progress: Progress) -> str:
    digest, done_bytes, total_bytes = hashlib.sha256(), 0, _total_bytes(key)
    for file, status in zip(files, key, strict=True):
        for piece in _pieces(file, status.size_bytes, _fills_memory(total_bytes)):
            digest.update(piece)
            done_bytes += len(piece)
            progress(done_bytes, total_bytes)
    return digest.hexdigest()


def _fills_memory(size_bytes: int) -> bool:
    """Whether a run reads the files' pages one by one; smaller files it keeps in memory."""
    return size_bytes > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _pieces(file: Path, size_bytes: int, drop: bool) -> Iterator[memoryview]:
    """Read a file up to its size at first; `drop`: and leave the page cache to others."""
    buffer = memoryview(bytearray(PIECE_BYTES))
    done_bytes = 0
    with file.open("rb", buffering=0) as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while count := stream.readinto(buffer[: size_bytes - done_bytes]):
            yield buffer[:count]
            if drop:
                os.posix_fadvise(stream.fileno(), done_bytes, count, os.POSIX_FADV_DONTNEED)
            done_bytes += count


def _folder() -> Path:
    """Return the folder of entries; RuntimeError where the user has no home."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    cache = given if given.is_absolute() else Path.home() / ".cache"
    return cache / "aibench-fast" / "digests"


def _entry(key: _Key) -> Path:
    """Return the entry's file, the same for all states of the same files."""
    paths = "\0".join(one.path for one in key)
    return _folder() / hashlib.sha256(os.fsencode(paths)).hexdigest()


def _content(key: _Key, digest: str) -> bytes:
    """Return an entry's bytes: they end with a sum of their own, which shows damage."""
    told = json.dumps([digest, *key])
    return f"{told}\n{hashlib.sha256(told.encode()).hexdigest()}\n".encode()


def _read_entry(key: _Key) -> str | None:
    """Return what is kept of files in this state; None where there is nothing, or it is damaged."""
    if _total_bytes(key) < LEAST_BYTES:
        return None
    try:
        kept = _entry(key).read_bytes()
    except (OSError, RuntimeError):
        return None
    found = re.match(rb'\["([0-9a-f]{64})"', kept)
    digest = found[1].decode() if found else ""
    return digest if kept == _content(key, digest) else None


def _write_entry(key: _Key, digest: str) -> None:
    """Keep a digest, whole or not at all, and drop the oldest ones; nothing where that fails."""
    if _total_bytes(key) < LEAST_BYTES:
        return
    with suppress(OSError, RuntimeError, ConfigError):
        with replacing(_entry(key)) as file:
            file.write(_content(key, digest))
        newest_last = sorted(_folder().iterdir(), key=lambda one: one.stat().st_mtime_ns)
        for old in newest_last[:-MOST_ENTRIES]:
            old.unlink(missing_ok=True)
