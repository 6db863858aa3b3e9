"""How near to each other many clients on one machine start."""

import asyncio
import logging
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import dask
from distributed import Client, LocalCluster, Worker

from aibench_fast import RunConfig, run
from benchmarks.perf.bench import MODEL, Bench
from benchmarks.perf.row import Row

CLIENTS = 50
MOST_MS = 5.0
MS_PER_S = 1000
BARE_LEAD_S = 2.0
RUN_S = 1.0
"""Longer than the start takes: what is done at an end is not to be in its way."""


def start(bench: Bench) -> Iterator[Row]:
    """Each in a process of its own, by when its first thread began."""
    config = RunConfig(
        file=None, shape=(16,), address=bench.null_server, model=MODEL, workers=CLIENTS,
        duration_s=RUN_S,
    )  # fmt: skip
    spreads_ms = []
    # Before there are threads here, which a fork would be in the way of.
    bare_ms = [_bare_spread_ms() for _ in range(bench.effort.rounds)]
    with _cluster() as client:
        run(config, client=client)  # the first has what processes do at their own start beside it
        for _ in range(bench.effort.rounds):
            lags_s = [one.start_lag_s for one in run(config, client=client).clients]
            spreads_ms.append((max(lags_s) - min(lags_s)) * MS_PER_S)
    yield Row(
        name=f"start of {CLIENTS} clients on one machine",
        figure="milliseconds from the first client's start to the last one's",
        rounds=tuple(spreads_ms),
        at_most=MOST_MS,
        beside={"of processes that only sleep": median(bare_ms)},
        unit="ms",
        note="one worker each in a closed loop, with 16 floats to the NULL backend",
    )


def _bare_spread_ms() -> float:
    """The same of processes that do nothing but sleep until an agreed moment."""
    forking = multiprocessing.get_context("fork")
    at_s = time.monotonic() + BARE_LEAD_S
    began_s = forking.Array("d", CLIENTS)
    sleepers = [
        forking.Process(target=_sleep_until, args=(at_s, began_s, number))
        for number in range(CLIENTS)
    ]
    for sleeper in sleepers:
        sleeper.start()
    for sleeper in sleepers:
        sleeper.join()
    return (max(began_s) - min(began_s)) * MS_PER_S


def _sleep_until(at_s: float, began_s: Any, number: int) -> None:
    time.sleep(max(0.0, at_s - time.monotonic()))
    began_s[number] = time.monotonic()
    time.sleep(RUN_S)


@contextmanager
def _cluster() -> Iterator[Client]:
    """Dask workers that are forked, for starting fifty Pythons takes minutes."""
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(["distributed", "aibench_fast.clients.drive"])
    with (
        LocalCluster(n_workers=0, processes=True, dashboard_address="127.0.0.1:0") as cluster,
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
    dask.config.set({"distributed.worker.profile.enabled": False})  # as docs/clients.md has it
    asyncio.run(_worker(scheduler))


async def _worker(scheduler: str) -> None:
    async with Worker(scheduler, nthreads=1, memory_limit=0) as worker:
        await worker.finished()
