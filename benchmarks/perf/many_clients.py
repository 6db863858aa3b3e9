"""How near to each other many clients on one machine start."""

import asyncio
import logging
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, LocalCluster, Worker

from aibench_fast import RunConfig, run
from benchmarks.perf.bench import MODEL, Bench
from benchmarks.perf.row import Row

CLIENTS = 50
REQUESTS_A_CLIENT = 20
MOST_MS = 5.0
MS_PER_S = 1000


def start(bench: Bench) -> Iterator[Row]:
    """Each in a process of its own, by when its first thread began."""
    config = RunConfig(
        file=None, shape=(16,), address=bench.null_server, model=MODEL, workers=CLIENTS,
        max_queries=REQUESTS_A_CLIENT * CLIENTS,
    )  # fmt: skip
    spreads_ms = []
    with _cluster() as client:
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


@contextmanager
def _cluster() -> Iterator[Client]:
    """Dask workers that are forked, for starting fifty Pythons takes minutes."""
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(["distributed", "aibench_fast.clients.drive"])
    with (
        LocalCluster(n_workers=0, processes=True, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        address = cluster.scheduler_address
        workers = [forking.Process(target=_work, args=(address,)) for _ in range(CLIENTS)]
        for worker in workers:
            worker.start()
        try:
            client.wait_for_workers(CLIENTS)
            yield client
        finally:
            for worker in workers:
                worker.terminate()
                worker.join()


def _work(scheduler: str) -> None:
    logging.getLogger("distributed").setLevel(logging.WARNING)
    asyncio.run(_worker(scheduler))


async def _worker(scheduler: str) -> None:
    async with Worker(scheduler, nthreads=1, memory_limit=0) as worker:
        await worker.finished()
