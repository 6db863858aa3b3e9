"""CPU time and memory of a server's processes on this machine, by the kernel's count.

Names, beside those of `protocols.statistics`, of the server's process and all below it:

    process_cpu_user_s, ..._sys_s   CPU time; of a process that ended it is in its parent's
    process_rss_bytes               resident memory, in which a page that several of them share
                                    counts in each. The proportional set size, which would count it
                                    once, depends on who else runs on the machine
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from aibench_fast.protocols.statistics import Reader, ServerReading

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Behind the name, which may hold anything, in parentheses: see proc_pid_stat(5).
_USER, _SYS, _ENDED_USER, _ENDED_SYS, _RSS_PAGES = 11, 12, 13, 14, 21
_NOT_THERE = (FileNotFoundError, ProcessLookupError, PermissionError)
"""A process has ended, or is hidden because it is someone else's."""


class FamilyUse(NamedTuple):
    """CPU time and memory that a process and all below it used so far."""

    user_s: float
    system_s: float
    rss_bytes: int


class ProcessReader(Reader):
    """Reads what a server's processes used so far."""

    def __init__(self, pid: int) -> None:
        """Of the process and those below it."""
        self._pid = pid

    def read(self) -> ServerReading:
        """Read all of them; one that ends meanwhile is left out."""
        now_s = time.monotonic()
        try:
            use = family_use(self._pid)
        except OSError as error:
            note = f"no reading: process {self._pid} cannot be read: {error.strerror}"
            return ServerReading(now_s, notes=(note,))
        if use is None:
            return ServerReading(now_s, notes=(f"no reading: there is no process {self._pid}",))
        cpu = {"process_cpu_user_s": use.user_s, "process_cpu_sys_s": use.system_s}
        return ServerReading(now_s, cpu, {"process_rss_bytes": use.rss_bytes})


def family_use(pid: int) -> FamilyUse | None:
    """Return what the process and all below it used; None where there is no such process.

    OSError where it cannot be read, for instance because no more files can be opened.
    """
    stats = [fields for one in family(pid) if (fields := stat_fields(one))]
    if not stats:
        return None
    user = sum(int(one[_USER]) + int(one[_ENDED_USER]) for one in stats)
    system = sum(int(one[_SYS]) + int(one[_ENDED_SYS]) for one in stats)
    pages = sum(int(one[_RSS_PAGES]) for one in stats)
    return FamilyUse(user / _TICKS_PER_S, system / _TICKS_PER_S, pages * _PAGE_BYTES)


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat behind the name; none if it has ended or is hidden."""
    return read_process(pid, "stat").rpartition(")")[2].split()


def family(pid: int) -> Iterator[int]:
    """The process and all below it, as far as they are there; OSError as `family_use`."""
    yield pid
    for tid in threads(pid):  # any of them may have started one
        for child in read_process(pid, f"task/{tid}/children").split():
            yield from family(int(child))


def threads(pid: int) -> list[int]:
    """Return the threads of a process, none where it has ended; OSError as `family_use`."""
    try:
        return [int(task.name) for task in (_PROC / str(pid) / "task").iterdir()]
    except _NOT_THERE:
        return []


def read_process(pid: int, name: str) -> str:
    """Read a file of a process or thread in /proc; empty if it ended. OSError as `family_use`."""
    try:
        return (_PROC / str(pid) / name).read_text()
    except _NOT_THERE:
        return ""
