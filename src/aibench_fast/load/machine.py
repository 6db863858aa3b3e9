"""How busy this machine's cores are, as Linux counts it."""

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

_STAT = Path("/proc/stat")
PRESSURE = Path("/proc/pressure/cpu")
US_PER_S = 1_000_000
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class CpuShares(NamedTuple):
    """Of the cores' time between two readings, 0 to 1."""

    busy: float
    """Not idle, whoever ran; what was stolen among it."""
    steal: float
    """A hypervisor gave to others though there was something to run here."""


class CpuTimes(NamedTuple):
    """Of one core or several, in the kernel's ticks since it booted."""

    total: int
    idle: int
    steal: int

    @classmethod
    def read(cls, cores: Collection[int] | None = None) -> "CpuTimes | None":
        """Read the counters of these cores, or of all; None if the system has none."""
        try:
            lines = _STAT.read_text().splitlines()
            times = [
                [int(word) for word in words[1:9]]
                for words in map(str.split, lines)
                if words and _is_of(words[0], cores)
            ]
        except (OSError, ValueError):
            return None
        if not times or any(len(fields) < 8 for fields in times):
            return None
        fields = [sum(column) for column in zip(*times, strict=True)]
        idle, waiting, steal = fields[3], fields[4], fields[7]
        return cls(sum(fields), idle + waiting, steal)

    def since(self, earlier: "CpuTimes") -> CpuShares | None:
        """Return the shares of the time from `earlier` on; None where no tick went by."""
        total = self.total - earlier.total
        if total <= 0:
            return None
        idle, steal = self.idle - earlier.idle, self.steal - earlier.steal
        return CpuShares(busy=1 - idle / total, steal=steal / total)

    @property
    def total_s(self) -> float:
        """CPU seconds that there were."""
        return self.total / _TICKS_PER_S

    @property
    def used_s(self) -> float:
        """CPU seconds that programs of this machine used."""
        return (self.total - self.idle - self.steal) / _TICKS_PER_S


def _is_of(name: str, cores: Collection[int] | None) -> bool:
    if cores is None:
        return name == "cpu"
    return name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in cores


def waited_for_cpu_s(files: Iterable[Path]) -> float | None:
    """For how long some program had to wait for a CPU, in all: by the first of these files with the
    kernel's pressure stall information that can be read; None where none can."""
    for file in files:
        try:
            lines = file.read_text().splitlines()
            some = next(line for line in lines if line.startswith("some "))
            return int(some.rpartition("total=")[2]) / US_PER_S
        except (OSError, ValueError, StopIteration):
            continue
    return None
