"""How near to each other many clients on one machine start."""

from collections.abc import Iterator

import dask
from distributed import Client, LocalCluster

from aibench_fast import RunConfig, run
from benchmarks.perf.bench import MODEL, Bench
from benchmarks.perf.row import Row

CLIENTS = 50
MOST_MS = 5.0
MS_PER_S = 1000


def start(bench: Bench) -> Iterator[Row]:
    """Each in a process of its own, by when its first thread began."""
    config = RunConfig(
        file=None, shape=(16,), address=bench.null_server, model=MODEL, workers=CLIENTS,
        duration_s=bench.effort.run_s,
    )  # fmt: skip
    spreads_ms = []
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        LocalCluster(
            n_workers=CLIENTS, threads_per_worker=1, processes=True, memory_limit=None,
            dashboard_address=None,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        for _ in range(bench.effort.rounds):
            lags_s = [one.start_lag_s for one in run(config, client=client).clients]
            spreads_ms.append((max(lags_s) - min(lags_s)) * MS_PER_S)
    yield Row(
        name=f"start of {CLIENTS} clients on one machine",
        figure="milliseconds from the first client's start to the last one's",
        rounds=tuple(spreads_ms),
        at_most=MOST_MS,
        unit="ms",
        note="one worker each, 16 floats, a closed loop to the NULL backend",
    )
