"""The built-in model in the embedded server: loaded by either dialect, run by every command."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
import pytest
import redis
from redisclient import connect

from aibench_fast.cli import main
from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.protocols.redisai.commands import TENSOR_BLOB, Command, Dialect
from aibench_fast.protocols.redisai.request import Request
from aibench_fast.protocols.session import AskedInput
from aibench_fast.server import EmbeddedServer

BATCH = 2
SHAPE = (BATCH, 224, 224, 3)
INPUTS = [AskedInput("FLOAT", SHAPE)]
MIB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(password=None) as running:
        yield running


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[redis.Redis]:
    with connect(server.address) as connection:
        yield connection
        connection.flushall()


@pytest.fixture(scope="module")
def images() -> bytes:
    return np.random.default_rng(7).random(SHAPE, np.float32).tobytes()


@pytest.fixture(scope="module")
def expected(images: bytes, tmp_path_factory: pytest.TempPathFactory) -> npt.NDArray[np.float32]:
    """The engine's own output for the images."""
    file: Path = tmp_path_factory.mktemp("model") / "model.pb"
    file.write_bytes(built_in_model(ModelFormat.PB))
    model = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    output: npt.NDArray[np.float32] = model(np.frombuffer(images, "<f4").reshape(SHAPE))[0]
    return output


def load(server: EmbeddedServer, *options: str) -> int:
    address = ["--host", server.host, "--port", str(server.port)]
    return main(["model", "load", *address, "--model", "m", *options])


def send(client: redis.Redis, command: Command, tensor: bytes = b"") -> Any:
    words = [tensor if argument is TENSOR_BLOB else argument for argument in command]
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


def close(reply: bytes, expected: npt.NDArray[np.float32]) -> bool:
    output = np.frombuffer(reply, "<f4").reshape(BATCH, -1)
    return output.shape == expected.shape and bool(np.abs(output - expected).max() < 1e-4)


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize("backend", ["TF", "TFLITE", "ONNX"])
def test_each_backend_computes_the_same(
    server: EmbeddedServer,
    client: redis.Redis,
    images: bytes,
    expected: npt.NDArray[np.float32],
    backend: str,
    dialect: Dialect,
) -> None:
    assert load(server, "--backend", backend, "--dialect", dialect) == 0
    request = Request(dialect=dialect, model="m", inputs=INPUTS)
    stored, ran, output = (send(client, command, images) for command in request.commands(0))
    assert (stored, ran) == (b"OK", b"OK")
    assert close(output, expected)


@pytest.mark.parametrize("persist", [False, True])
@pytest.mark.parametrize("dialect", Dialect)
def test_a_dag_answers_as_the_three_commands_do(
    server: EmbeddedServer,
    client: redis.Redis,
    images: bytes,
    expected: npt.NDArray[np.float32],
    dialect: Dialect,
    persist: bool,
) -> None:
    assert load(server) == 0
    request = Request(
        dialect=dialect, model="m", inputs=INPUTS, use_dag=True, persist=persist, timeout_ms=60_000
    )
    for command in request.setup(0):
        assert send(client, command) == b"OK"
    before = set(client.keys())
    (command,) = request.commands(0)
    stored, ran, output = send(client, command, images)
    assert (stored, ran) == (b"OK", b"OK")
    assert close(output, expected)
    output_keys = {key.encode() for key in request.fetched_keys(0)}
    assert set(client.keys()) - before == (output_keys if persist else set())


@pytest.mark.parametrize("dialect", Dialect)
def test_the_server_holds_what_was_asked_for(
    server: EmbeddedServer, client: redis.Redis, dialect: Dialect
) -> None:
    batching = ["--batchsize", "8", "--minbatchsize", "2", "--minbatchtimeout", "50"]
    assert load(server, *batching, "--tag", "v1", "--dialect", dialect) == 0
    reply = send(client, ["AI.MODELGET", "m", "META"])
    held = dict(zip(reply[::2], reply[1::2], strict=True))
    assert held == {
        b"backend": b"TF",
        b"device": b"CPU",
        b"tag": b"v1",
        b"batchsize": 8,
        b"minbatchsize": 2,
        b"minbatchtimeout": 50,
        b"inputs": [b"input"],
        b"outputs": [b"MobilenetV1/Predictions/Reshape_1"],
    }


def test_a_null_model_needs_no_file(server: EmbeddedServer, client: redis.Redis) -> None:
    assert load(server, "--backend", "NULL") == 0
    assert send(client, ["AI.MODELGET", "m", "META"])[:2] == [b"backend", b"NULL"]


def test_a_model_above_the_bulk_limit(
    server: EmbeddedServer,
    client: redis.Redis,
    images: bytes,
    expected: npt.NDArray[np.float32],
) -> None:
    client.config_set("proto-max-bulk-len", MIB)
    try:
        assert load(server) == 0
    finally:
        client.config_set("proto-max-bulk-len", 512 * MIB)
    request = Request(dialect=Dialect.MODELRUN, model="m", inputs=INPUTS)
    *_, output = [send(client, command, images) for command in request.commands(0)]
    assert close(output, expected)


def test_a_file_that_is_no_model(
    server: EmbeddedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.pb"
    file.write_bytes(b"no model")
    assert load(server, "--model-file", str(file)) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"aibench-fast: {server.address} refused AI.MODELSTORE: ")
    assert error.count("\n") == 1
