"""The simulation beside real runs at small numbers, on this machine."""

import os
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.scale.real import INSTANT, QUEUED, Bench, Real
from benchmarks.scale.simulation import Batching, Setting, simulate

LARGE, SMALL = 224 * 224 * 3, 16
VALUE_BYTES = 4
WITHIN = 0.10
MOST_OTHERS = 0.08
"""The share of the machine that others may have in a round: of one with more nothing is learnt."""
BATCHING = Batching(size=8, least=8, wait_s=0.02)
NUMBERS = ((1, 1), (2, 1), (4, 1), (2, 2), (4, 2))
"""Clients and servers."""
WORKERS = 4
RATE = 150.0
"""Of a client, in requests/s, where requests come by themselves."""
OPEN_WORKERS = 64
TRIES = 5


@dataclass(frozen=True)
class Costs:
    """What a request of a tensor of some size costs on this machine."""

    client_cpu_s: float
    server_cpu_s: float
    round_trip_s: float
    """What else passes when nothing waits: the loopback, and waking up."""


@dataclass(frozen=True)
class Row:
    """One line of the check: a figure as simulated and as measured."""

    name: str
    simulated: float
    measured: float
    unit: str
    spread: tuple[float, float]
    """The least and the greatest ratio of a round."""

    @property
    def ratio(self) -> float:
        """Simulated over measured."""
        return self.simulated / self.measured

    @property
    def holds(self) -> bool:
        """Whether they are within what is promised."""
        return abs(self.ratio - 1) <= WITHIN


def measure_costs(bench: Bench, values: int, seconds: float, workers: int = 1) -> Costs:
    """Of one client and one server; where several workers wait for each other, without a loopback.

    With one worker nothing waits, and what its latency is beside CPU time is the loopback's.
    """
    made = bench.run(
        clients=1, servers=1, workers=workers, model=INSTANT, values=values, seconds=seconds
    )
    beside_s = made.mean_s - made.client_cpu_s - made.server_cpu_s
    return Costs(made.client_cpu_s, made.server_cpu_s, max(0.0, beside_s) if workers == 1 else 0.0)


def check(rounds: int, seconds: float) -> Iterator[Row]:
    """Measure and simulate every row, `rounds` times in turn; costs are measured in each round."""
    most_clients, most_servers = (max(counts) for counts in zip(*NUMBERS, strict=True))
    with Bench(most_clients, most_servers, BATCHING) as bench:
        for clients, servers in NUMBERS:
            pairs = [_closed(bench, clients, servers, seconds) for _ in range(rounds)]
            yield _row(f"closed loop, {_told(clients, servers)}", "requests/s", pairs)
        for clients, servers in NUMBERS:
            pairs = [_open(bench, clients, servers, seconds) for _ in range(rounds)]
            yield _row(f"batching queue, {_told(clients, servers)}", "ms mean", pairs)


def _told(clients: int, servers: int) -> str:
    return f"{clients} client{'s' * (clients > 1)}, {servers} server{'s' * (servers > 1)}"


def _row(name: str, unit: str, pairs: list[tuple[float, float]]) -> Row:
    ratios = [simulated / measured for simulated, measured in pairs]
    simulated, measured = (statistics.median(values) for values in zip(*pairs, strict=True))
    return Row(name, simulated, measured, unit, (min(ratios), max(ratios)))


def _undisturbed(bench: Bench, **asked: object) -> Real:
    """A run while others leave the machine alone, waited for."""
    for _ in range(TRIES):
        made = bench.run(**asked)  # type: ignore[arg-type]
        if made.others <= MOST_OTHERS:
            return made
    print(f"others had {made.others:.0%} of the machine all along", file=sys.stderr)
    return made


def _closed(bench: Bench, clients: int, servers: int, seconds: float) -> tuple[float, float]:
    """Large tensors, a model that answers at once: the machine's cores are the limit."""
    asked = {"workers": WORKERS, "model": INSTANT, "values": LARGE, "seconds": seconds}
    alone = _undisturbed(bench, clients=1, servers=1, **asked)
    made = _undisturbed(bench, clients=clients, servers=servers, **asked)
    setting = Setting(
        clients=clients, servers=servers, workers=WORKERS, spread=False,
        client_cpu_s=alone.client_cpu_s, server_cpu_s=alone.server_cpu_s,
        shared_cores=len(os.sched_getaffinity(0)),
    )  # fmt: skip
    return simulate(setting, 2 * seconds, 0.2).per_s, made.per_s


def _open(bench: Bench, clients: int, servers: int, seconds: float) -> tuple[float, float]:
    """Small tensors by a Poisson process, and a queue that waits for others: its wait counts."""
    costs = measure_costs(bench, SMALL, seconds / 4)
    made = bench.run(
        clients=clients, servers=servers, workers=OPEN_WORKERS, model=QUEUED, values=SMALL,
        seconds=seconds, rate=RATE,
    )  # fmt: skip
    setting = Setting(
        clients=clients, servers=servers, workers=0, spread=False,
        client_cpu_s=costs.client_cpu_s, server_cpu_s=costs.server_cpu_s,
        round_trip_s=costs.round_trip_s, shared_cores=len(os.sched_getaffinity(0)),
        batching=replace(BATCHING), arrivals_per_s=RATE,
    )  # fmt: skip
    return simulate(setting, 20.0, 0.5).mean_s * 1000, made.mean_s * 1000
