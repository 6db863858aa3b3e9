"""Real runs of a few client processes against a few embedded servers, all on this machine."""

import json
import os
import subprocess
import sys
from collections.abc import Container, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.server import EmbeddedServer
from benchmarks.scale.simulation import Batching

INSTANT, QUEUED = "instant", "queued"
"""Models: one that answers at once, and one whose requests wait for others."""
KERNEL_THREADS_PARENT = 2
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Asked:
    """A run of one client."""

    host: str
    port: int
    model: str
    values: int
    """Floats of a tensor."""
    workers: int
    rate: float
    seed: int
    burn_in_s: float
    seconds: float


@dataclass(frozen=True)
class Client:
    """The outcome of one client's run."""

    per_s: float
    cpu_s: float
    """The client's CPU time of a request."""
    mean_s: float
    requests: int
    """Burn-in included."""


@dataclass(frozen=True)
class Real:
    """The outcome of the runs of several clients at a time."""

    clients: Sequence[Client]
    server_cpu_s: float
    """The servers' CPU time of a request."""
    others: float
    """The share of the machine that other programs had meanwhile."""

    @property
    def per_s(self) -> float:
        """Requests a second of all clients."""
        return sum(client.per_s for client in self.clients)

    @property
    def client_cpu_s(self) -> float:
        """The clients' CPU time of a request."""
        return sum(one.cpu_s * one.requests for one in self.clients) / self._requests

    @property
    def mean_s(self) -> float:
        """The mean latency."""
        return sum(one.mean_s * one.requests for one in self.clients) / self._requests

    @property
    def _requests(self) -> int:
        return sum(client.requests for client in self.clients)


class Bench:
    """Servers and client processes; use it as a context manager, at whose end they end."""

    def __init__(self, clients: int, servers: int, batching: Batching) -> None:
        """Start nothing yet."""
        self._counts = clients, servers
        self._batching = batching
        self._ends = ExitStack()
        self._servers: list[EmbeddedServer] = []
        self._clients: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        """Start them."""
        clients, servers = self._counts
        for _ in range(servers):
            server = self._ends.enter_context(EmbeddedServer(password=None))
            with Connection(server.address) as connection:
                load_model(connection, ModelSpec(name=INSTANT, backend=Backend.NULL))
                queued = ModelSpec(
                    name=QUEUED, backend=Backend.NULL, batch_size=self._batching.size,
                    min_batch_size=self._batching.least,
                    min_batch_timeout_ms=round(self._batching.wait_s * 1000),
                )  # fmt: skip
                load_model(connection, queued)
            self._servers.append(server)
        for _ in range(clients):
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.scale.client"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            self._ends.enter_context(process)  # which waits, and before that closes its input
            self._clients.append(process)
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        self._ends.close()

    def run(
        self, *, clients: int, servers: int, workers: int, model: str, values: int,
        seconds: float, rate: float = 0.0, burn_in_s: float = 0.3,
    ) -> Real:  # fmt: skip
        """Let so many clients run at a time, each against one of so many servers."""
        used = self._servers[:servers]
        ours = {os.getpid(), *(one.pid for one in (*self._servers, *self._clients))}
        before, others_before = [_cpu_s(server.pid) for server in used], _others_s(ours)
        running = self._clients[:clients]
        for number, process in enumerate(running):
            address = used[number % servers].address
            asked = Asked(
                address.host, address.port, model, values, workers, rate, number, burn_in_s, seconds
            )
            assert process.stdin
            process.stdin.write(json.dumps(asdict(asked)) + "\n")
            process.stdin.flush()
        made = [_answer(process) for process in running]
        servers_s = sum(_cpu_s(one.pid) - old for one, old in zip(used, before, strict=True))
        others_s, whole_s = (
            now - old for now, old in zip(_others_s(ours), others_before, strict=True)
        )
        requests = sum(one.requests for one in made)
        return Real(made, servers_s / requests, max(0.0, others_s) / whole_s)


def _answer(process: subprocess.Popen[str]) -> Client:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("a client ended; what it printed says why")
    return Client(**json.loads(line))


def _cpu_s(pid: int) -> float:
    """A process's CPU time."""
    return _parent_and_cpu_s(pid)[1]


def _parent_and_cpu_s(pid: int) -> tuple[int, float]:
    """Which process started this one, and its CPU time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _others_s(ours: Container[int]) -> tuple[float, float]:
    """The time that others, the hypervisor among them, had of the cores, and the cores' whole time.

    The kernel's own threads are not counted: what they do meanwhile is the work of our loopback.
    """
    first = Path("/proc/stat").read_text().splitlines()[0]
    whole = [int(ticks) / _TICKS_PER_S for ticks in first.split()[1:9]]
    steal_s = whole[-1]
    others_s = 0.0
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        with suppress(OSError):  # it may have ended
            parent, cpu_s = _parent_and_cpu_s(pid)
            if pid not in ours and parent != KERNEL_THREADS_PARENT:
                others_s += cpu_s
    return others_s + steal_s, sum(whole)
