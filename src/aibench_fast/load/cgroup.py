"""CPU quotas of the control groups that this process is in, of version 1 and 2.

A quota may be set on any group from the process's own up to the root, or up to what a container
sees as the root. Each of them may throttle the process.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

_SELF = Path("/proc/self")
US_PER_S = 1_000_000
NS_PER_S = 1_000_000_000


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
        throttled, negative_cpus, folder = max(
            (
                max(0, one.throttled_periods - before.get(one.folder, 0)) * one.period_s / seconds,
                -one.cpus,
                one.folder,
            )
            for one in self.groups
        )
        cpus = min(one.cpus for one in self.groups)
        return QuotaUse(cpus, min(1.0, throttled), -negative_cpus, folder)


class CpuGroups:
    """The control groups of a process, from its own to the outermost that can be seen."""

    def __init__(self, process: Path = _SELF) -> None:
        """Find those of the process whose folder in /proc this is."""
        self.folders = [*_folders(process)]

    @property
    def pressure_file(self) -> Path | None:
        """Return the file of the innermost group's CPU pressure, which version 2 has."""
        return self.folders[0] / "cpu.pressure" if self.folders else None

    def read(self) -> QuotaReading:
        """Read each group's quota; a group without one, or that cannot be read, is left out."""
        return QuotaReading([one for folder in self.folders for one in _readings(folder)])


def _folders(process: Path) -> Iterator[Path]:
    found = _place(process)
    if found is None:
        return
    mount, path = found
    folder = mount.joinpath(*path.parts[1:])
    # A path that is not below the mount belongs to a group that cannot be seen from here.
    is_seen = ".." not in path.parts and folder.is_dir()
    folders = [folder, *folder.parents] if is_seen else [mount]
    yield from folders[: folders.index(mount) + 1]


def _place(process: Path) -> tuple[Path, Path] | None:
    """Return the mount point of the CPU controller's hierarchy, and the process's group in it."""
    try:
        groups = (process / "cgroup").read_text().splitlines()
        mounts = (process / "mountinfo").read_text().splitlines()
    except (OSError, ValueError):
        return None
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
        return mount, inside
    return None


def _unescaped(name: str) -> str:
    """Return a name as mountinfo writes it, where a blank is an octal number."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), name)


def _readings(folder: Path) -> Iterator[GroupReading]:
    try:
        limit = _limit_us(folder)
        stat = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
        throttled = int(stat["nr_throttled"])
    except (OSError, ValueError, KeyError):
        return
    if limit is not None:
        quota_us, period_us = limit
        yield GroupReading(folder, quota_us / period_us, period_us / US_PER_S, throttled)


def _limit_us(folder: Path) -> tuple[int, int] | None:
    """Return the quota and its period; None where the group has none."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except OSError:
        quota = (folder / "cpu.cfs_quota_us").read_text().strip()
        period = (folder / "cpu.cfs_period_us").read_text()
    if quota in ("max", "-1") or int(quota) <= 0 or int(period) <= 0:
        return None
    return int(quota), int(period)
