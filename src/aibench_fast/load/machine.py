"""This machine: how busy its cores are, CPU quotas, and the facts that figures depend on."""

import os
import re
import socket
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

_STAT = Path("/proc/stat")
PRESSURE = Path("/proc/pressure/cpu")
_SELF = Path("/proc/self")
_CPU_INFO = Path("/proc/cpuinfo")
_GOVERNORS = Path("/sys/devices/system/cpu")
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
        names = {"cpu"} if cores is None else {f"cpu{core}" for core in cores}
        try:
            lines = map(str.split, _STAT.read_text().splitlines())
            times = [[*map(int, words[1:9])] for words in lines if words and words[0] in names]
            fields = [sum(column) for column in zip(*times, strict=True)]
            idle, waiting, steal = fields[3], fields[4], fields[7]
        except (OSError, ValueError, IndexError):
            return None
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


def waited_for_cpu_s(files: Iterable[Path]) -> float | None:
    """For how long some program had to wait for a CPU, in all: by the first of these files with the
    kernel's pressure stall information that can be read; None where none can."""
    for file in files:
        with suppress(OSError, ValueError):
            if found := re.search(r"^some .*total=(\d+)$", file.read_text(), re.MULTILINE):
                return int(found[1]) / US_PER_S
    return None


class QuotaUse(NamedTuple):
    """The quotas between two readings."""

    cpus: float
    """The tightest quota."""
    throttled: float
    """The share of the periods in which the quota was used up and its group stood still, 0 to 1; of
    several quotas that of the one that was used up most."""
    throttled_cpus: float
    """That quota."""
    folder: Path
    """The group that has it."""


class GroupReading(NamedTuple):
    """One group that has a quota."""

    folder: Path
    cpus: float
    period_s: float
    throttled_periods: int
    """Since the group was made."""


class QuotaReading(NamedTuple):
    """The groups with a quota, innermost first, at one time."""

    groups: Sequence[GroupReading]

    @property
    def cpus(self) -> float | None:
        """Return the tightest quota; None where there is none."""
        return min((one.cpus for one in self.groups), default=None)

    def since(self, earlier: "QuotaReading", seconds: float) -> QuotaUse | None:
        """Return what was used in the `seconds` between them; None where there is no quota."""
        if not self.groups or seconds <= 0:
            return None
        before = {one.folder: one.throttled_periods for one in earlier.groups}

        def throttled(one: GroupReading) -> float:
            periods = max(0, one.throttled_periods - before.get(one.folder, 0))
            return periods * one.period_s / seconds

        most = max(self.groups, key=lambda one: (throttled(one), -one.cpus))
        tightest = min(one.cpus for one in self.groups)
        return QuotaUse(tightest, min(1.0, throttled(most)), most.cpus, most.folder)


class CpuGroups:
    """The control groups of a process, from its own to the outermost that can be seen."""

    def __init__(self, process: Path = _SELF) -> None:
        """Find those of the process whose folder in /proc this is."""
        self.folders = _folders(process)

    def read(self) -> QuotaReading:
        """Read each group's quota; a group without one, or that cannot be read, is left out."""
        return QuotaReading([one for folder in self.folders for one in _readings(folder)])


def _folders(process: Path) -> list[Path]:
    """Return the process's group in the hierarchy of the CPU controller, and those above it."""
    try:
        groups = (process / "cgroup").read_text().splitlines()
        mounts = (process / "mountinfo").read_text().splitlines()
    except (OSError, ValueError):
        return []
    parted = [line.split(":", 2) for line in groups]
    paths = {controllers: path for _, controllers, path in (one for one in parted if len(one) == 3)}
    first = next((path for names, path in paths.items() if "cpu" in names.split(",")), None)
    for line in mounts:
        own, _, rest = line.partition(" - ")
        fields, kind = own.split(), rest.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup" and first is not None and "cpu" in kind[2].split(","):
            path = first
        elif kind[0] == "cgroup2" and first is None and "" in paths:
            path = paths[""]
        else:
            continue
        root, mount = (Path(_unescaped(one)) for one in fields[3:5])
        inside = Path(path)
        # Of a container only a part of the hierarchy may be mounted, and the path be of all of it.
        if inside.is_relative_to(root):
            inside = Path("/") / inside.relative_to(root)
        folder = mount.joinpath(*inside.parts[1:])
        # A path that is not below the mount belongs to a group that cannot be seen from here.
        if ".." in inside.parts or not folder.is_dir():
            return [mount]
        folders = [folder, *folder.parents]
        return folders[: folders.index(mount) + 1]
    return []


def _unescaped(name: str) -> str:
    """Return a name as mountinfo writes it, where a blank is an octal number."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)


def _readings(folder: Path) -> Iterator[GroupReading]:
    with suppress(OSError, ValueError, KeyError):
        stat = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
        throttled = int(stat["nr_throttled"])
        is_of_2 = (folder / "cpu.max").exists()
        names = ["cpu.max"] if is_of_2 else ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        quota, period = " ".join((folder / name).read_text() for name in names).split()
        if quota != "max" and (quota_us := int(quota)) > 0 and (period_us := int(period)) > 0:
            yield GroupReading(folder, quota_us / period_us, period_us / US_PER_S, throttled)


def host_facts() -> dict[str, Any]:
    """Return facts of this machine and its software; None for what cannot be read."""
    system = os.uname()
    implementation = sys.implementation.name
    return {
        "Host": socket.gethostname(),
        "CpuModel": _cpu_model(),
        "Cores": len(os.sched_getaffinity(0)),
        "Governor": _governor(),
        "Kernel": f"{system.sysname} {system.release}",
        "Python": f"{implementation} {'.'.join(map(str, sys.version_info[:3]))}",
        "Package": version("aibench-fast"),
    }


def _cpu_model() -> str | None:
    try:
        found = re.search(r"^model name\s*:(.*)$", _CPU_INFO.read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1].strip() if found else os.uname().machine  # ARM names none


def _governor() -> str | None:
    """Return the frequency governor of the cores; several are joined by commas."""
    try:
        files = _GOVERNORS.glob("cpu[0-9]*/cpufreq/scaling_governor")
        return ",".join(sorted({file.read_text().strip() for file in files})) or None
    except OSError:
        return None
