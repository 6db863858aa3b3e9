"""The machine around the client: who used its CPUs, and who had to wait for one."""

import os
import time
from collections.abc import Set
from typing import NamedTuple

from aibench_fast.load.machine import (
    PRESSURE,
    CpuGroups,
    CpuShares,
    CpuTimes,
    QuotaReading,
    QuotaUse,
    waited_for_cpu_s,
)
from aibench_fast.load.serverprocesses import ServerProcesses, ServerUse

LOOK_EVERY_S = 0.5


class Shares(NamedTuple):
    """Shares of the time between two readings; None if the system does not report one."""

    machine: CpuShares | None = None
    """Of all cores."""
    client_cores: CpuShares | None = None
    """Of the cores that the client may use."""
    quota: QuotaUse | None = None
    """None without a quota."""
    quota_is_shared: bool = False
    """Whether a server here is in the group with that quota."""
    pressure: float | None = None
    """The share of the time in which some program had to wait for a CPU."""
    others: float | None = None
    """Of the client's cores, used by programs other than the client and the servers, 0 to 1."""
    server_others: float | None = None
    """The same of the cores that the servers on this machine may use; None without any."""
    server_cpu_wait: float | None = None
    """For how long threads of these servers were ready to run and waited for a CPU, a second, added
    up."""


class Reading(NamedTuple):
    """All counters at one time."""

    at_s: float
    machine: CpuTimes | None
    client_cores: CpuTimes | None
    server_cores: CpuTimes | None
    quota: QuotaReading
    pressure_s: float | None
    client_cpu_s: float
    servers: ServerUse | None
    """None where one runs here and was not found."""


class Surroundings:
    """Reads the counters of a run's surroundings."""

    def __init__(self, servers: ServerProcesses | None, *, is_only_client: bool = True) -> None:
        """With the servers that run here; None if one does and was not found.

        Of several clients none knows which programs on its machine are other clients of the run.
        """
        self._is_only_client = is_only_client
        self._next_look_s = 0.0
        self._groups = CpuGroups()
        self._pressure = [one for one in (self._groups.pressure_file, PRESSURE) if one]
        self._servers = servers
        self._client_cores: Set[int] = os.sched_getaffinity(0)
        self._server_cores: Set[int] = servers.cores() if servers else set()
        self._server_groups = servers.cpu_groups() if servers else set()
        self.same_cores = servers is None or bool(self._client_cores & self._server_cores)
        """Whether a server may run on a core of the client: of one that was not found it is taken
        for granted."""

    def look(self) -> None:
        """Note how long the servers' threads have waited by now, for some end before the run does.

        It may be called as often as wanted: it costs a hundredth of the time at most.
        """
        now_s = time.monotonic()
        if self._servers and now_s >= self._next_look_s:
            self._servers.read()
            took_s = time.monotonic() - now_s
            self._next_look_s = now_s + max(LOOK_EVERY_S, 100 * took_s)

    def read(self) -> Reading:
        """Read them."""
        return Reading(
            at_s=time.monotonic(),
            machine=CpuTimes.read(),
            client_cores=CpuTimes.read(self._client_cores),
            server_cores=CpuTimes.read(self._server_cores) if self._server_cores else None,
            quota=self._groups.read(),
            pressure_s=waited_for_cpu_s(self._pressure),
            client_cpu_s=time.process_time(),
            servers=None if self._servers is None else self._servers.read(),
        )

    def between(self, earlier: Reading, later: Reading) -> Shares:
        """Return what happened from one reading to another."""
        seconds = later.at_s - earlier.at_s
        if seconds <= 0:
            return Shares()
        quota = later.quota.since(earlier.quota, seconds)
        pressure = others = server_others = waited = None
        if earlier.pressure_s is not None and later.pressure_s is not None:
            pressure = min(1.0, (later.pressure_s - earlier.pressure_s) / seconds)
        if earlier.servers is not None and later.servers is not None:
            if later.servers.waited_s is not None:
                waited = (later.servers.waited_s - (earlier.servers.waited_s or 0.0)) / seconds
            client_s = later.client_cpu_s - earlier.client_cpu_s
            server_s = later.servers.cpu_s - earlier.servers.cpu_s
            if self.same_cores:
                client_s = server_s = client_s + server_s
            if self._is_only_client:
                others = _others(earlier.client_cores, later.client_cores, client_s)
                server_others = _others(earlier.server_cores, later.server_cores, server_s)
        return Shares(
            machine=_shares(earlier.machine, later.machine),
            client_cores=_shares(earlier.client_cores, later.client_cores),
            quota=quota,
            quota_is_shared=quota is not None and quota.folder in self._server_groups,
            pressure=pressure,
            others=others,
            server_others=server_others,
            server_cpu_wait=waited,
        )


def _shares(earlier: CpuTimes | None, later: CpuTimes | None) -> CpuShares | None:
    return later.since(earlier) if earlier is not None and later is not None else None


def _others(earlier: CpuTimes | None, later: CpuTimes | None, ours_s: float) -> float | None:
    """Return the share of these cores that others used, beside `ours_s`.

    It is a lower bound: not all of ours need be on these cores.
    """
    if earlier is None or later is None or later.total_s <= earlier.total_s:
        return None
    used_s = later.used_s - earlier.used_s
    return max(0.0, used_s - ours_s) / (later.total_s - earlier.total_s)
