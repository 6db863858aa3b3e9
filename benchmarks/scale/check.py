"""The simulation beside real runs at small numbers, on this machine."""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.scale.real import INSTANT, QUEUED, Bench
from benchmarks.scale.simulation import Batching, Setting, simulate

LARGE, SMALL = 224 * 224 * 3, 16
VALUE_BYTES = 4
WITHIN = 0.10
MOST_OTHERS = 0.08
"""The share of the machine that others may have in a round that counts."""
BATCHING = Batching(size=8, least=8, wait_s=0.02)
NUMBERS = ((1, 1), (2, 1), (4, 1), (2, 2), (4, 2))
"""Clients and servers."""
WORKERS = 4
RATE = 150.0
"""Of a client, in requests/s, where requests come by themselves."""
FIT_S, FIT_STEPS = 1.0, 10
"""How long is simulated to find what passes beside CPU time, and how often that is halved."""
OPEN_WORKERS = 64
SLEEPS = 20


@dataclass(frozen=True)
class Costs:
    """The costs of a request of a tensor of some size on this machine."""

    client_cpu_s: float
    server_cpu_s: float
    round_trip_s: float
    """The rest of its time when nothing waits: the loopback, and waking up."""


@dataclass(frozen=True)
class Row:
    """One line of the check: a figure as simulated and as measured."""

    name: str
    simulated: float
    measured: float
    unit: str
    ratio: float
    """Simulated over measured: the median of the rounds."""
    spread: tuple[float, float]
    """The least and the greatest ratio of a round."""
    others: float
    """The share of the machine that other programs had, in the round that they had the most."""
    is_promised: bool
    """Whether it is to hold, or is only shown beside the others."""

    @property
    def is_disturbed(self) -> bool:
        """Whether other programs took so much that it says nothing."""
        return self.others > MOST_OTHERS

    @property
    def holds(self) -> bool:
        """Whether they are within what is promised."""
        return not self.is_disturbed and abs(self.ratio - 1) <= WITHIN


@dataclass(frozen=True)
class Round:
    """A figure as simulated and as measured, once."""

    simulated: float
    measured: float
    others: float


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
    """Measure and simulate every row, `rounds` times; what a request costs, in each round anew."""
    most_clients, most_servers = (max(counts) for counts in zip(*NUMBERS, strict=True))
    kinds = (
        ("queue, open loop", "ms mean", _open, True),
        ("queue, closed loop", "requests/s", _waiting, True),
        ("shared cores, closed loop", "requests/s", _closed, False),
    )
    with Bench(most_clients, most_servers, BATCHING) as bench:
        for name, unit, once, is_promised in kinds:
            for clients, servers in NUMBERS:
                made = [once(bench, clients, servers, seconds) for _ in range(rounds)]
                yield _row(f"{name}, {_told(clients, servers)}", unit, made, is_promised)


def _told(clients: int, servers: int) -> str:
    return f"{clients} client{'s' * (clients > 1)}, {servers} server{'s' * (servers > 1)}"


def _row(name: str, unit: str, made: Sequence[Round], is_promised: bool) -> Row:
    """The medians of the rounds in which others left the machine alone, if there are any."""
    counted = [one for one in made if one.others <= MOST_OTHERS] or made
    ratios = [one.simulated / one.measured for one in counted]
    return Row(
        name,
        statistics.median(one.simulated for one in counted),
        statistics.median(one.measured for one in counted),
        unit,
        statistics.median(ratios),
        (min(ratios), max(ratios)),
        max(one.others for one in counted),
        is_promised,
    )


def _closed(bench: Bench, clients: int, servers: int, seconds: float) -> Round:
    """Large tensors, a model that answers at once: the machine's cores are the limit.

    What passes beside CPU time, such as waking up, is what makes the smallest as fast as it is.
    """
    asked = {"workers": WORKERS, "model": INSTANT, "values": LARGE, "seconds": seconds}
    alone = bench.run(clients=1, servers=1, **asked)  # type: ignore[arg-type]
    made = bench.run(clients=clients, servers=servers, **asked)  # type: ignore[arg-type]
    smallest = Setting(
        clients=1, servers=1, workers=WORKERS, spread=False,
        client_cpu_s=alone.client_cpu_s, server_cpu_s=alone.server_cpu_s,
        shared_cores=len(os.sched_getaffinity(0)),
    )  # fmt: skip
    fitted = replace(smallest, round_trip_s=_beside_s(smallest, alone.per_s))
    simulated = simulate(replace(fitted, clients=clients, servers=servers), 2 * seconds, 0.2)
    return Round(simulated.per_s, made.per_s, max(alone.others, made.others))


def _beside_s(setting: Setting, per_s: float) -> float:
    """The time of a request beside its CPU time, at this many requests a second."""
    least_s, most_s = 0.0, setting.workers / per_s
    for _ in range(FIT_STEPS):
        middle_s = (least_s + most_s) / 2
        if simulate(replace(setting, round_trip_s=middle_s), FIT_S, 0.2).per_s > per_s:
            least_s = middle_s
        else:
            most_s = middle_s
    return least_s


def _open(bench: Bench, clients: int, servers: int, seconds: float) -> Round:
    """Small tensors by a Poisson process, and a queue that waits for others: its wait counts."""
    queued = _queued(bench, clients, servers, seconds)
    made = bench.run(
        clients=clients, servers=servers, workers=OPEN_WORKERS, model=QUEUED, values=SMALL,
        seconds=seconds, rate=RATE,
    )  # fmt: skip
    simulated = simulate(replace(queued, arrivals_per_s=RATE), 20.0, 0.5)
    return Round(simulated.mean_s * 1000, made.mean_s * 1000, made.others)


def _waiting(bench: Bench, clients: int, servers: int, seconds: float) -> Round:
    """The same in a closed loop of one worker a client, so few that each batch has to wait."""
    queued = _queued(bench, clients, servers, seconds)
    made = bench.run(
        clients=clients, servers=servers, workers=1, model=QUEUED, values=SMALL, seconds=seconds
    )
    simulated = simulate(replace(queued, workers=1), 20.0, 0.5)
    return Round(simulated.per_s, made.per_s, made.others)


def _queued(bench: Bench, clients: int, servers: int, seconds: float) -> Setting:
    """With what a small request costs now, and a queue whose timer is as late as others here."""
    costs = measure_costs(bench, SMALL, seconds)
    wait_s = BATCHING.wait_s + _timer_late_s()
    return Setting(
        clients=clients, servers=servers, workers=0, spread=False,
        client_cpu_s=costs.client_cpu_s, server_cpu_s=costs.server_cpu_s,
        round_trip_s=costs.round_trip_s, shared_cores=len(os.sched_getaffinity(0)),
        batching=replace(BATCHING, wait_s=wait_s),
    )  # fmt: skip


def _timer_late_s() -> float:
    """How much longer a process sleeps than it meant to, on average."""
    slept_s = []
    for _ in range(SLEEPS):
        began = time.monotonic()
        time.sleep(BATCHING.wait_s)
        slept_s.append(time.monotonic() - began)
    return statistics.fmean(slept_s) - BATCHING.wait_s
