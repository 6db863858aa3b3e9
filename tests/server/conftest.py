"""Real embedded servers, and small models that run in no time."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import redis
from onnx import helper
from redisclient import connect
from sanitized import use_sanitized_module
from small_models import constant, onnx_model

from aibench_fast.server import EmbeddedServer

use_sanitized_module()


@pytest.fixture(scope="session")
def running_server() -> Iterator[EmbeddedServer]:
    """One server for all tests that leave nothing behind but keys."""
    with EmbeddedServer(engine_threads=1, password=None) as server:
        yield server


@pytest.fixture
def server(running_server: EmbeddedServer) -> EmbeddedServer:
    """The shared server, empty and as configured at its start."""
    with connect(running_server.address) as client:
        client.flushall()
        client.config_resetstat()
        client.execute_command("AI.CONFIG", "MODEL_CHUNK_SIZE", 511 << 20)
    return running_server


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[redis.Redis]:
    """A connection to the shared server."""
    with connect(server.address) as connection:
        yield connection


@pytest.fixture
def new_client(server: EmbeddedServer) -> Iterator[Callable[[], redis.Redis]]:
    """Opens further connections to the shared server."""
    opened: list[redis.Redis] = []

    def new() -> redis.Redis:
        opened.append(connect(server.address))
        return opened[-1]

    yield new
    for connection in opened:
        connection.close()


@pytest.fixture(scope="session")
def doubler() -> bytes:
    """An ONNX model: y = 2 x, for float x of shape [any, 3]."""
    return onnx_model([helper.make_node("Add", ["x", "x"], ["y"])], ["N", 3], ["N", 3])


@pytest.fixture(scope="session")
def slow_model() -> bytes:
    """An ONNX model that multiplies large matrices for some hundred milliseconds; x of [any, 1]."""
    size, steps = 1024, 24
    nodes = [helper.make_node("MatMul", ["x", "row"], ["m0"])]
    weights = [constant("row", np.ones((1, size), np.float32))]
    # The square of a matrix of the batch's size, over and over.
    nodes.append(helper.make_node("Tile", ["m0", "tall"], ["s0"]))
    weights.append(constant("tall", np.array([size, 1], np.int64)))
    weights.append(constant("scale", np.full((size, size), 1 / size, np.float32)))
    for step in range(steps):
        nodes.append(helper.make_node("MatMul", [f"s{step}", "scale"], [f"t{step}"]))
        nodes.append(helper.make_node("Tanh", [f"t{step}"], [f"s{step + 1}"]))
    nodes.append(helper.make_node("ReduceSum", [f"s{steps}", "axes"], ["y"], keepdims=1))
    weights.append(constant("axes", np.array([1], np.int64)))
    return onnx_model(nodes, ["N", 1], ["M", 1], weights)
