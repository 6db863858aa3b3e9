"""What the processes of a server on this machine use, by the kernel's count.

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

from aibench_fast.protocols.statistics import ServerReading

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Behind the name, which may hold anything, in parentheses: see proc_pid_stat(5).
_USER, _SYS, _ENDED_USER, _ENDED_SYS, _RSS_PAGES = 11, 12, 13, 14, 21


class ProcessReader:
    """Reads what a server's processes used so far."""

    def __init__(self, pid: int) -> None:
        """Of the process and those below it."""
        self._pid = pid

    def read(self) -> ServerReading:
        """Read all of them; one that ends meanwhile is left out."""
        now_s = time.monotonic()
        user = system = pages = 0
        found = False
        for pid in family(self._pid):
            try:
                told = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found = True
            user += int(told[_USER]) + int(told[_ENDED_USER])
            system += int(told[_SYS]) + int(told[_ENDED_SYS])
            pages += int(told[_RSS_PAGES])
        if not found:
            return ServerReading(now_s, notes=(f"no reading: there is no process {self._pid}",))
        cpu = {
            "process_cpu_user_s": user / _TICKS_PER_S,
            "process_cpu_sys_s": system / _TICKS_PER_S,
        }
        return ServerReading(now_s, cpu, {"process_rss_bytes": pages * _PAGE_BYTES})

    def close(self) -> None:
        """Nothing is open."""


def family(pid: int) -> Iterator[int]:
    """The process and all below it, as far as they are there."""
    yield pid
    for task in (_PROC / str(pid) / "task").glob("*"):  # any thread may have started one
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))
