"""A server with a model that answers at once, so that runs are short."""

from collections.abc import Iterator

import pytest
import redis
from redisclient import connect, load_into

from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.server import EmbeddedServer

MODEL = "null"


@pytest.fixture(scope="session")
def running_server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(password=None) as server:
        yield server


@pytest.fixture
def client(running_server: EmbeddedServer) -> Iterator[redis.Redis]:
    with connect(running_server.address) as connection:
        yield connection


@pytest.fixture
def server(running_server: EmbeddedServer, client: redis.Redis) -> EmbeddedServer:
    """The shared server with the model alone, its counters at 0."""
    client.flushall()
    load_into(running_server.address, ModelSpec(name=MODEL, backend=Backend.NULL))
    client.config_resetstat()
    return running_server


@pytest.fixture(scope="session")
def onnx_blob() -> bytes:
    return built_in_model(ModelFormat.ONNX)
