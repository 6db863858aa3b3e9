"""The machine around the client: which servers run on it, who used its CPUs, who had to wait.

A server is found by the socket that it listens on: the process number that it reports may be that
inside a container, which here belongs to another program.
"""

import ipaddress
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from aibench_fast.coretypes import Endpoint
from aibench_fast.load.listening import listening
from aibench_fast.load.machine import (
    PRESSURE,
    CpuGroups,
    CpuShares,
    CpuTimes,
    QuotaReading,
    QuotaUse,
    waited_for_cpu_s,
)
from aibench_fast.protocols.serverprocess import family, family_use, read_process, threads
from aibench_fast.protocols.session import ServerRecord

LOOK_EVERY_S = 0.5
_PROC = Path("/proc")
_FORWARDERS = frozenset(
    ["docker-proxy", "envoy", "gvproxy", "haproxy", "kubectl", "nginx", "pasta", "rootlessport",
     "slirp4netns", "socat", "ssh", "sshd", "traefik"]
)  # fmt: skip
"""Programs, as the kernel names them, that pass on what servers elsewhere answer."""
NS_PER_S = 1_000_000_000


class ServerUse(NamedTuple):
    """Use of the CPUs by servers, since some time before the first reading."""

    cpu_s: float
    """CPU time."""
    waited_s: float | None
    """How long their threads were ready to run and waited for a CPU, added up; None where the
    kernel does not report it."""


class ServerProcesses:
    """The processes of all servers that run here."""

    def __init__(self, pids: Sequence[int]) -> None:
        """Of these processes and all below them."""
        self.pids = pids
        self._waited_ns: dict[int, int] = {}
        """By thread, those that have ended among them: of some servers one does with each
        connection."""

    def __bool__(self) -> bool:
        """Return whether any server runs here."""
        return bool(self.pids)

    def cores(self) -> set[int]:
        """Return the cores that some thread of theirs may run on."""
        found: set[int] = set()
        with suppress(OSError):  # what cannot be read is left out
            for tid in self._threads():
                with suppress(OSError):  # it has ended
                    found |= os.sched_getaffinity(tid)
        return found

    def cpu_groups(self) -> set[Path]:
        """Return the control groups that one of them is in."""
        return {folder for pid in self.pids for folder in CpuGroups(_PROC / str(pid)).folders}

    def read(self) -> ServerUse | None:
        """Return what they used until now; None where that cannot be read at the moment."""
        try:
            uses = [use for pid in self.pids if (use := family_use(pid))]
            for tid in self._threads():
                words = read_process(tid, "schedstat").split()
                if len(words) > 1:  # otherwise it has ended, or the kernel does not count
                    self._waited_ns[tid] = int(words[1])
        except OSError:
            return None
        waited_s = sum(self._waited_ns.values()) / NS_PER_S if self._waited_ns else None
        return ServerUse(sum(use.user_s + use.system_s for use in uses), waited_s)

    def _threads(self) -> Iterator[int]:
        for pid in {one for started in self.pids for one in family(started)}:
            yield from threads(pid)


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
        # The innermost group's file, which version 2 has, and the machine's.
        self._pressure = [one / "cpu.pressure" for one in self._groups.folders[:1]] + [PRESSURE]
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
    """Return the share of these cores that others used, at least: not all of ours need be here."""
    if earlier is None or later is None or later.total_s <= earlier.total_s:
        return None
    used_s = later.used_s - earlier.used_s
    return max(0.0, used_s - ours_s) / (later.total_s - earlier.total_s)


def find_servers(
    endpoints: Sequence[Endpoint], records: Sequence[ServerRecord], started_pid: int | None
) -> ServerProcesses | None:
    """Return the servers that run here, maybe none; None if one runs here and was not found.

    `started_pid` is the process that this program started, if it did.
    """
    if started_pid is not None:
        return ServerProcesses([started_pid])
    found: set[int] = set()
    with suppress(OSError):
        for endpoint, record in zip(endpoints, records, strict=True):
            if not on_same_machine(endpoint.host):
                continue
            sockets = {f"socket:[{inode}]" for inode in listening(endpoint)}
            reported = [] if record.pid is None else [record.pid]
            every = (int(one.name) for one in _PROC.iterdir() if one.name.isdecimal())
            pids = [*_holders(sockets, reported)] or [*_holders(sockets, every)]
            if not pids or _passes_on(pids, record.pid):
                return None
            found.update(pids)
        below = {one for pid in found for one in family(pid) if one != pid}
        return ServerProcesses(sorted(found - below))
    return None


def _holders(sockets: set[str], pids: Iterable[int]) -> Iterator[int]:
    """Those of the processes that have one of the sockets open."""
    for pid in pids if sockets else ():
        # It may have ended, or be someone else's.
        with suppress(OSError), os.scandir(_PROC / str(pid) / "fd") as files:
            if any(_target(file.path) in sockets for file in files):
                yield pid


def _passes_on(pids: Sequence[int], reported_pid: int | None) -> bool:
    """Return whether these listen for a server elsewhere, which may have reported a number."""
    if any(read_process(pid, "comm").strip() in _FORWARDERS for pid in pids):
        return True
    return reported_pid is not None and reported_pid not in map(_own_number, pids)


def _own_number(pid: int) -> int:
    """Return the number that a process has for itself: in the innermost of its namespaces."""
    found = re.search(r"^NSpid:.*\s(\d+)$", read_process(pid, "status"), re.MULTILINE)
    return int(found[1]) if found else pid


def _target(file: str) -> str:
    try:
        return os.readlink(file)  # noqa: PTH115 - of thousands; a Path takes as long again
    except OSError:  # closed meanwhile
        return ""


def on_same_machine(peer: str) -> bool:
    """Return whether a server is here, by its numeric address, which is empty for a unix socket."""
    if not peer:
        return True
    address = ipaddress.ip_address(peer)
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as asking, suppress(OSError):
        asking.connect((peer, 9))  # nothing is sent: this finds the way there
        return str(asking.getsockname()[0]) == peer
    return False
