"""How busy this machine's cores are, as Linux counts it."""

from pathlib import Path
from typing import NamedTuple

_STAT = Path("/proc/stat")


class CpuShares(NamedTuple):
    """Of all cores' time between two readings, 0 to 1."""

    busy: float
    """Not idle, whoever ran; what was stolen among it."""
    steal: float
    """A hypervisor gave to others though there was something to run here."""


class CpuTimes(NamedTuple):
    """Of all cores, in the kernel's ticks since it booted."""

    total: int
    idle: int
    steal: int

    @classmethod
    def read(cls) -> "CpuTimes | None":
        """What the counters say now; None where the system has none."""
        try:
            fields = [int(word) for word in _STAT.read_text().split("\n", 1)[0].split()[1:9]]
        except (OSError, ValueError):
            return None
        if len(fields) < 8:
            return None
        idle, waiting, steal = fields[3], fields[4], fields[7]
        return cls(sum(fields), idle + waiting, steal)

    def since(self, earlier: "CpuTimes") -> CpuShares | None:
        """The shares of the time from `earlier` on; None where no tick went by."""
        total = self.total - earlier.total
        if total <= 0:
            return None
        idle, steal = self.idle - earlier.idle, self.steal - earlier.steal
        return CpuShares(busy=1 - idle / total, steal=steal / total)
