"""Clients that fill a model's least batch only together."""

import pytest
from dask.distributed import Client
from redisclient import connect, load_into

from aibench_fast import ConfigError, Result, RunConfig
from aibench_fast.clients.runner import run
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.server import EmbeddedServer


def asked(server: EmbeddedServer, dask: Client, workers: int, max_queries: int = 0) -> Result:
    config = RunConfig(
        file=None, shape=(16,), model="least", address=server.address, workers=workers,
        max_queries=max_queries, duration_s=0 if max_queries else 1.0,
    )  # fmt: skip
    return run(config, client=dask)


def test_clients_fill_a_least_batch_together(server: EmbeddedServer, dask: Client) -> None:
    spec = ModelSpec(name="least", backend=Backend.NULL, batch_size=8, min_batch_size=4)
    load_into(server.address, spec)
    result = asked(server, dask, 4)
    assert result.failures == {}
    assert result.setup.metadata_autobatching == 8
    assert [client.workers for client in result.clients] == [2, 1, 1]
    assert result.successes >= 4
    assert result.successes + result.counts.abandoned == result.counts.all_requests.sent
    assert result.counts.abandoned <= 3
    with pytest.raises(ConfigError, match="3 x `batch_size` 1 is too few; use at least 4 `work"):
        asked(server, dask, 3)
    with pytest.raises(ConfigError, match="the last client to send its share may be too few"):
        asked(server, dask, 4, max_queries=300)
    connect(server.address).delete("least")
