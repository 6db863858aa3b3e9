"""SHA-256 digests of files, kept in the user's cache folder: reading takes a second per gigabyte.

A kept digest is used only if the files' device, inode, size and times are unchanged. Digests of
files that changed moments ago are not kept: a further change could leave the same times. A program
that writes through a memory map may change a file without changing its times.
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
"""Each process reads smaller files again: that takes as little time as a look-up."""
MOST_ENTRIES = 200
SETTLED_NS = 2 * 10**9
"""The coarsest time stamps of a file system, FAT's."""
Progress = Callable[[int, int], None]
"""Called with the bytes read so far and the total."""


class _Status(NamedTuple):
    """Properties of a file that change with its content."""

    path: str
    device: int
    inode: int
    size_bytes: int
    modified_ns: int
    changed_ns: int


_Key = tuple[_Status, ...]
_known: dict[_Key, str] = {}
"""Digests that this process computed, of files of any size."""


def digest_of(files: Sequence[Path], progress: Progress) -> str:
    """Return the SHA-256 of the joined files in hexadecimal; OSError if one is unreadable."""
    start_ns = time.time_ns()
    key = _key(files)
    total_bytes = sum(one.size_bytes for one in key)
    is_kept = total_bytes >= LEAST_BYTES
    digest = _known.get(key) or (_read_entry(key) if is_kept else None)
    if digest is None:
        digest = _hash(files, key, total_bytes, progress)
        settled_ns = start_ns - SETTLED_NS
        # Programs cannot set the second of these times.
        newest_ns = max(max(one.modified_ns, one.changed_ns) for one in key)
        if _key(files) != key or newest_ns >= settled_ns:
            return digest
        if is_kept:
            _write_entry(key, digest)
    _known[key] = digest
    return digest


def _key(files: Sequence[Path]) -> _Key:
    found = [(str(file.resolve()), file.stat()) for file in files]
    return tuple(
        _Status(path, one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns)
        for path, one in found
    )


def _hash(files: Sequence[Path], key: _Key, total_bytes: int, progress: Progress) -> str:
    digest, done_bytes = hashlib.sha256(), 0
    for file, status in zip(files, key, strict=True):
        for piece in _pieces(file, status.size_bytes, _fills_memory(total_bytes)):
            digest.update(piece)
            done_bytes += len(piece)
            progress(done_bytes, total_bytes)
    return digest.hexdigest()


def _fills_memory(size_bytes: int) -> bool:
    """Return whether a run reads the files page by page; it keeps smaller files in memory."""
    return size_bytes > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _pieces(file: Path, size_bytes: int, drop: bool) -> Iterator[memoryview]:
    """Read a file up to its initial size; with `drop`, remove its pages from the page cache."""
    buffer = memoryview(bytearray(PIECE_BYTES))
    done_bytes = 0
    with file.open("rb", buffering=0) as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while count := stream.readinto(buffer[: size_bytes - done_bytes]):
            yield buffer[:count]
            done_bytes += count
            if drop:
                # From the start: a folio that reaches beyond a range is kept until one holds it.
                os.posix_fadvise(stream.fileno(), 0, done_bytes, os.POSIX_FADV_DONTNEED)


def _folder() -> Path:
    """Return the folder of entries; RuntimeError if the user has no home."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    cache = given if given.is_absolute() else Path.home() / ".cache"
    return cache / "aibench-fast" / "digests"


def _entry(key: _Key) -> Path:
    """Return the path of an entry, which depends only on the paths of the files."""
    paths = "\0".join(one.path for one in key)
    return _folder() / hashlib.sha256(os.fsencode(paths)).hexdigest()


def _content(key: _Key, digest: str) -> bytes:
    """Return an entry's bytes, which end with a checksum."""
    entry = json.dumps([digest, *key])
    return f"{entry}\n{hashlib.sha256(entry.encode()).hexdigest()}\n".encode()


def _read_entry(key: _Key) -> str | None:
    """Return the kept digest of files in this state; None if it is missing or damaged."""
    try:
        kept = _entry(key).read_bytes()
    except (OSError, RuntimeError):
        return None
    found = re.match(rb'\["([0-9a-f]{64})"', kept)
    digest = found[1].decode() if found else ""
    return digest if kept == _content(key, digest) else None


def _write_entry(key: _Key, digest: str) -> None:
    """Write an entry atomically and delete the oldest ones; do nothing if that fails."""
    with suppress(OSError, RuntimeError, ConfigError):
        with replacing(_entry(key)) as file:
            file.write(_content(key, digest))
        newest_last = sorted(_folder().iterdir(), key=lambda one: one.stat().st_mtime_ns)
        for old in newest_last[:-MOST_ENTRIES]:
            old.unlink(missing_ok=True)
