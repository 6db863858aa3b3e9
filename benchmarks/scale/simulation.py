"""N clients, M servers with batching queues and a network between them, event by event (SimPy).

A request of a worker goes through the client's cores, the client's link and the server's link (cut
through: the second begins with the first byte of the first), the server's main thread, the queue
that joins requests into batches, an engine, and back over both links. Each is first come, first
served. A worker of a closed loop then sends its next; with `arrivals_per_s` requests come by
themselves, as a Poisson process of each client.
"""

import heapq
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

BITS = 8
ROUNDING_S = 1e-9
"""A time that was added up may fall short of the one that was meant."""
Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Batching:
    """How a server joins requests, as RedisAI's BATCHSIZE, MINBATCHSIZE and MINBATCHTIMEOUT say."""

    size: int = 1
    least: int = 1
    wait_s: float = 0.0
    """How long the first of a batch waits for the least; 0: for ever."""
    engines: int = 1
    """Batches that run at a time."""
    batch_s: float = 0.0
    """The time that a batch takes, however many are in it."""
    row_s: float = 0.0
    """And for each request in it."""

    @property
    def most_per_s(self) -> float:
        """Requests a second when all batches are full."""
        full_s = self.batch_s + self.size * self.row_s
        return self.engines * self.size / full_s if full_s else float("inf")


@dataclass(frozen=True)
class Setting:
    """The setting that is simulated."""

    clients: int
    servers: int
    workers: int
    """Of each client."""
    client_cpu_s: float
    """Of a request."""
    server_cpu_s: float
    """Of a request, on the server's one main thread."""
    client_cores: int = 1
    shared_cores: int = 0
    """Where clients and servers are all on one machine: its cores, instead of each client's."""
    client_bit_s: float = float("inf")
    """Each way, as of a server."""
    server_bit_s: float = float("inf")
    request_bytes: int = 0
    reply_bytes: int = 0
    round_trip_s: float = 0.0
    """Of the network alone."""
    batching: Batching = field(default_factory=Batching)
    arrivals_per_s: float = 0.0
    """Of each client; 0: a closed loop."""
    spread: bool = True
    """Whether a client's requests go to all servers in turn; else it has one server alone."""
    seed: int = 1


@dataclass(frozen=True)
class Simulated:
    """The outcome."""

    per_s: float
    """Requests that ended in a second, of all clients."""
    latencies_s: NDArray[np.float64]

    def quantile_s(self, quantile: float) -> float:
        """A latency by its quantile."""
        return float(np.quantile(self.latencies_s, quantile))

    @property
    def mean_s(self) -> float:
        """The mean latency."""
        return float(self.latencies_s.mean())


class Places:
    """Equal places that each serve one at a time, first come, first served, without an event.

    What comes has to come in the order of time: then its end is known at once.
    """

    def __init__(self, places: int = 1) -> None:
        self._free_at = [0.0] * places

    def book(self, now: float, seconds: float) -> tuple[float, float]:
        """Take the place that is free first; when it begins and when it ends."""
        start = max(now, self._free_at[0])
        heapq.heapreplace(self._free_at, start + seconds)
        return start, start + seconds


class Server:
    """Its links, its main thread, and its queue."""

    def __init__(self, env: simpy.Environment, setting: Setting, cores: Places | None) -> None:
        self.link_in, self.link_out = Places(), Places()
        self._env = env
        self._setting = setting
        self._thread = simpy.Resource(env) if cores else Places()
        self._cores = cores
        self._batching = setting.batching
        self._waiting: deque[tuple[float, simpy.Event]] = deque()
        self._idle = self._batching.engines
        self._wakes_at = -1.0

    def answer(self) -> Steps:
        """The whole of a request between its last byte in and its first byte out."""
        cpu_s = self._setting.server_cpu_s
        if isinstance(self._thread, Places):
            yield self._env.timeout(self._thread.book(self._env.now, cpu_s)[1] - self._env.now)
        else:
            assert self._cores
            with self._thread.request() as taken:
                yield taken
                yield self._env.timeout(self._cores.book(self._env.now, cpu_s)[1] - self._env.now)
        if self._batching != Batching():
            done = self._env.event()
            self._waiting.append((self._env.now, done))
            self._start()
            yield done

    def _start(self) -> None:
        """Start the batches that can be, or wake when the first that waits has done so."""
        batching, now = self._batching, self._env.now
        while self._idle and self._waiting:
            ends = self._waiting[0][0] + (batching.wait_s or float("inf"))
            if len(self._waiting) < batching.least and now < ends - ROUNDING_S:
                if ends != self._wakes_at and ends < float("inf"):
                    self._wakes_at = ends
                    self._env.timeout(ends - now).callbacks.append(lambda _: self._start())
                return
            self._idle -= 1
            rows = min(batching.size, len(self._waiting))
            batch = [self._waiting.popleft()[1] for _ in range(rows)]
            self._env.process(self._run(batch))

    def _run(self, batch: list[simpy.Event]) -> Steps:
        yield self._env.timeout(self._batching.batch_s + len(batch) * self._batching.row_s)
        for done in batch:
            done.succeed()
        self._idle += 1
        self._start()


class Client:
    """Its cores and its links."""

    def __init__(self, setting: Setting, cores: Places | None) -> None:
        self.cores = cores or Places(setting.client_cores)
        self.link_out, self.link_in = Places(), Places()


class _Simulation:
    def __init__(self, setting: Setting, measured_from_s: float) -> None:
        self.env = simpy.Environment()
        self._setting = setting
        self._from_s = measured_from_s
        self.latencies: list[float] = []
        cores = Places(setting.shared_cores) if setting.shared_cores else None
        self._servers = [Server(self.env, setting, cores) for _ in range(setting.servers)]
        self._rng = np.random.default_rng(setting.seed)
        for number in range(setting.clients):
            client = Client(setting, cores)
            if setting.arrivals_per_s:
                self.env.process(self._arrive(client, number))
            else:
                for worker in range(setting.workers):
                    self.env.process(self._work(client, self._server(number, worker)))

    def _server(self, client: int, request: int) -> Server:
        """Whose a client's request is, or a worker's."""
        setting = self._setting
        place = client * setting.workers + request if setting.spread else client
        return self._servers[place % setting.servers]

    def _work(self, client: Client, server: Server) -> Steps:
        # Not all at once: what begins in step may stay so.
        yield self.env.timeout(self._rng.uniform(0, self._from_s / 2))
        while True:
            yield from self._request(client, server)

    def _arrive(self, client: Client, number: int) -> Steps:
        for request in count():
            yield self.env.timeout(self._rng.exponential(1 / self._setting.arrivals_per_s))
            self.env.process(self._request(client, self._server(number, request)))

    def _request(self, client: Client, server: Server) -> Steps:
        env, setting = self.env, self._setting
        began = env.now
        yield env.timeout(client.cores.book(began, setting.client_cpu_s)[1] - began)
        yield from self._send(
            client.link_out, server.link_in, setting.request_bytes,
            setting.client_bit_s, setting.server_bit_s,
        )  # fmt: skip
        yield from server.answer()
        yield from self._send(
            server.link_out, client.link_in, setting.reply_bytes,
            setting.server_bit_s, setting.client_bit_s,
        )  # fmt: skip
        if env.now >= self._from_s:
            self.latencies.append(env.now - began)

    def _send(
        self, near: Places, far: Places, size_bytes: int, near_bit_s: float, far_bit_s: float
    ) -> Steps:
        env, bits, way_s = self.env, size_bytes * BITS, self._setting.round_trip_s / 2
        start, end = near.book(env.now, bits / near_bit_s)
        yield env.timeout(start + way_s - env.now)  # the first byte is there
        _, received = far.book(env.now, bits / far_bit_s)
        yield env.timeout(max(received, end + way_s) - env.now)


def simulate(setting: Setting, seconds: float, warm_up_s: float) -> Simulated:
    """Simulate `seconds` after a time that counts in no figure."""
    simulation = _Simulation(setting, warm_up_s)
    simulation.env.run(until=warm_up_s + seconds)
    latencies = np.array(simulation.latencies)
    return Simulated(len(latencies) / seconds, latencies)


def bounds_per_s(setting: Setting) -> dict[str, float]:
    """The most requests a second that each part would allow alone: operational bounds.

    Denning and Buzen, "The operational analysis of queueing network models", 1978. The rate of a
    closed loop is at most the least of these, and near to it where one is far below the others.
    """
    request_bits, reply_bits = setting.request_bytes * BITS, setting.reply_bytes * BITS
    most_bits = max(request_bits, reply_bits) or 1
    alone_s = (
        setting.client_cpu_s + setting.server_cpu_s + setting.round_trip_s
        + (request_bits + reply_bits) / min(setting.client_bit_s, setting.server_bit_s)
        + setting.batching.batch_s + setting.batching.row_s
    )  # fmt: skip
    cores = setting.client_cores * setting.clients
    bounds = {
        "workers": setting.clients * setting.workers / alone_s,
        "clients' cores": cores / setting.client_cpu_s,
        "clients' links": setting.clients * setting.client_bit_s / most_bits,
        "servers' links": setting.servers * setting.server_bit_s / most_bits,
        "servers' threads": setting.servers / setting.server_cpu_s,
        "engines": setting.servers * setting.batching.most_per_s,
    }
    if setting.shared_cores:
        del bounds["clients' cores"]
        cpu_s = setting.client_cpu_s + setting.server_cpu_s
        bounds["the machine's cores"] = setting.shared_cores / cpu_s
    return bounds
