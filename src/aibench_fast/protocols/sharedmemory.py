"""Regions of POSIX shared memory, which a server on this machine maps by name.

A region's name says which process owns it. A process that is killed leaves its regions behind, here
and in servers that have mapped them: the next run finds them by their names.
"""

import itertools
import mmap
import os
import re
from contextlib import suppress
from pathlib import Path

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.serverprocess import stat_fields
from aibench_fast.units import described_size

_FOLDER = Path("/dev/shm")
_PREFIX = "aibench-fast"
_NAME = re.compile(rf"{_PREFIX}-(?P<namespace>\d+)-(?P<pid>\d{{1,9}})-(?P<started>\d+)-\d+")
"""The namespace of the owner's process id, that id, when the process started, and a number. An id
alone is not enough: a later process may have the same."""
_STATE, _START = 0, 19
"""Places behind the name in /proc/PID/stat: see proc_pid_stat(5)."""
_numbers = itertools.count(1)


class Region:
    """A region that this process owns."""

    def __init__(self, size_bytes: int) -> None:
        """Reserve its memory; ConfigError if there is not so much."""
        self.size_bytes = size_bytes
        pid = os.getpid()
        started = stat_fields(pid)[_START]
        # All of a process's names are of one length, so that requests that have them are too.
        self.name = f"{_PREFIX}-{_namespace()}-{pid}-{started}-{next(_numbers):06}"
        self._path = _FOLDER / self.name
        self._file = -1
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            os.posix_fallocate(self._file, 0, size_bytes)
        except BaseException as error:
            self.close()
            if not isinstance(error, OSError):
                raise
            raise ConfigError(
                f"`shared_memory`: no region of {described_size(size_bytes)} in {_FOLDER}, which "
                f"has {_room()}: {error.strerror}; make it larger (a container's: --shm-size), or "
                "send fewer tensors with `max_queries`"
            ) from error

    @property
    def key(self) -> str:
        """Return the name by which shm_open(3) finds it."""
        return f"/{self.name}"

    def write(self, offset: int, data: bytes) -> None:
        """Store bytes from an offset on."""
        left = memoryview(data)
        while left:
            written = os.pwrite(self._file, left, offset)
            offset, left = offset + written, left[written:]

    def memory(self) -> memoryview:
        """Return its bytes, to be read; they stay after it is closed, as long as this is kept."""
        return memoryview(mmap.mmap(self._file, self.size_bytes, prot=mmap.PROT_READ))

    def unlink(self) -> None:
        """Take its name away; servers that have mapped it keep it."""
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Take its name away, and free it unless a server has mapped it; may be called again."""
        self.unlink()
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)


def remove_abandoned() -> None:
    """Remove the regions of processes that have ended."""
    for path in _FOLDER.glob(f"{_PREFIX}-*"):
        if is_abandoned(path.name):
            with suppress(OSError):  # somebody else's
                path.unlink()


def is_abandoned(name: str) -> bool:
    """Return whether a region is this program's, and its process, in this namespace, has ended."""
    found = _NAME.fullmatch(name)
    if found is None or found["namespace"] != str(_namespace()):
        return False
    pid = int(found["pid"])
    if fields := stat_fields(pid):
        return fields[_START] != found["started"] or fields[_STATE] == "Z"
    return not _exists(pid)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _room() -> str:
    try:
        found = os.statvfs(_FOLDER)
    except OSError as error:
        return str(error.strerror)
    return f"room for {described_size(found.f_bavail * found.f_frsize)}"
