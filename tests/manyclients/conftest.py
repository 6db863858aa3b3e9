"""A Dask cluster of processes here, and a server that answers at once."""

import os
from collections.abc import Callable, Iterator

import pytest
from dask.distributed import Client, LocalCluster
from manyclients.there import restore
from redisclient import load_into

from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.server import EmbeddedServer

MODEL = "null"
WORKERS = 3


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(password=None) as running:
        load_into(running.address, ModelSpec(name=MODEL, backend=Backend.NULL))
        yield running


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """For a module alone: Dask's processes use a tenth of a core while they wait."""
    with LocalCluster(
        n_workers=WORKERS, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
    ) as running:
        yield running


@pytest.fixture(scope="module")
def dask(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def worker_pids(dask: Client) -> dict[str, int]:
    """By the workers' addresses."""
    pids: dict[str, int] = dask.run(os.getpid)
    return pids


@pytest.fixture
def changed(dask: Client) -> Iterator[Callable[..., object]]:
    """Runs functions of `there` in workers, which are as they were after the test."""
    yield dask.run
    dask.run(restore)
