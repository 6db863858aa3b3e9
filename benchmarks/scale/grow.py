"""The simulation taken to many clients and servers, and to many workers."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.scale.check import LARGE, VALUE_BYTES, Costs
from benchmarks.scale.simulation import Batching, Setting, bounds_per_s, simulate

CLIENTS_A_SERVER = 10
REPLY_BYTES = 1001 * VALUE_BYTES
GBIT_S = 1e9
ROUND_TRIP_S = 100e-6
"""Of a data centre's network."""
ENGINE = Batching(size=16, least=1, batch_s=0.004, row_s=0.00075)
"""A server that does a thousand inferences a second by full batches, as of an accelerator."""
SPAN_CYCLES = 4
"""How long is simulated, in times of a request at the bound; the first half is not used."""


@dataclass(frozen=True)
class Point:
    """One simulated size."""

    setting: Setting
    per_s: float
    bound_per_s: float
    bound: str
    """Which part bounds it."""
    p50_s: float
    p99_s: float
    took_s: float
    """To simulate."""


def setting_of(costs: Costs, clients: int, servers: int, workers: int, cores: int) -> Setting:
    """Machines of the measured cost of a request, on links of 25 Gbit/s."""
    return Setting(
        clients=clients, servers=servers, workers=workers,
        client_cpu_s=costs.client_cpu_s, server_cpu_s=costs.server_cpu_s, client_cores=cores,
        client_bit_s=25 * GBIT_S, server_bit_s=25 * GBIT_S,
        request_bytes=LARGE * VALUE_BYTES, reply_bytes=REPLY_BYTES, round_trip_s=ROUND_TRIP_S,
        batching=ENGINE,
    )  # fmt: skip


def point(setting: Setting) -> Point:
    """Simulate one size, for as long as its requests take."""
    bounds = bounds_per_s(setting)
    bound = min(bounds, key=lambda name: bounds[name])
    cycle_s = setting.clients * setting.workers / bounds[bound]
    start = time.monotonic()
    made = simulate(setting, SPAN_CYCLES / 2 * cycle_s, SPAN_CYCLES / 2 * cycle_s)
    took_s = time.monotonic() - start
    return Point(
        setting, made.per_s, bounds[bound], bound, made.quantile_s(0.5), made.quantile_s(0.99),
        took_s,
    )  # fmt: skip


def by_size(costs: Costs, clients: Sequence[int], workers: int, cores: int) -> Iterator[Point]:
    """More clients, and with them more servers."""
    for count in clients:
        servers = max(1, count // CLIENTS_A_SERVER)
        yield point(setting_of(costs, count, servers, workers, cores))


def by_workers(
    costs: Costs, clients: int, servers: int, workers: Sequence[int], cores: int
) -> Iterator[Point]:
    """More workers of each client: from idle servers to full ones."""
    base = setting_of(costs, clients, servers, 1, cores)
    for count in workers:
        yield point(replace(base, workers=count))
