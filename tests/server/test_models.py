"""Storing models, reading them back, and what is refused."""

from typing import Any

import numpy as np
import pytest
import redis
from onnx import helper
from small_models import constant, onnx_model

from aibench_fast.models import ModelFormat, built_in_model

INPUT = "input"
OUTPUT = "MobilenetV1/Predictions/Reshape_1"
NAMES = ["INPUTS", INPUT, "OUTPUTS", OUTPUT]


def as_dict(pairs: list[Any]) -> dict[bytes, Any]:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def test_the_three_formats_give_the_same_output(client: redis.Redis) -> None:
    image = np.random.default_rng(1).random((1, 224, 224, 3), np.float32)
    client.execute_command("AI.TENSORSET", "image", "FLOAT", *image.shape, "BLOB", image.tobytes())
    outputs = []
    for backend, model_format, names in [
        ("TF", ModelFormat.PB, NAMES),
        ("TFLITE", ModelFormat.TFLITE, []),
        ("ONNX", ModelFormat.ONNX, []),
    ]:
        blob = built_in_model(model_format)
        client.execute_command("AI.MODELSET", "m", backend, "CPU", *names, "BLOB", blob)
        client.execute_command("AI.MODELRUN", "m", "INPUTS", "image", "OUTPUTS", "out")
        outputs.append(
            np.frombuffer(client.execute_command("AI.TENSORGET", "out", "BLOB"), np.float32)
        )
    assert outputs[0].size == 1001
    assert outputs[0].sum() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-4)
    np.testing.assert_allclose(outputs[2], outputs[0], atol=1e-4)


@pytest.mark.parametrize("command", ["AI.MODELSET", "AI.MODELSTORE"])
def test_meta_gives_back_what_was_stored(client: redis.Redis, doubler: bytes, command: str) -> None:
    client.execute_command(
        command, "m", "ONNX", "cpu", "TAG", "v 1", "BATCHSIZE", 8, "MINBATCHSIZE", 2,
        "MINBATCHTIMEOUT", 50, "BLOB", doubler,
    )  # fmt: skip
    assert as_dict(client.execute_command("AI.MODELGET", "m", "META")) == {
        b"backend": b"ONNX",
        b"device": b"cpu",
        b"tag": b"v 1",
        b"batchsize": 8,
        b"minbatchsize": 2,
        b"minbatchtimeout": 50,
        b"inputs": [b"x"],
        b"outputs": [b"y"],
    }


def test_the_blob_comes_back_whole_or_in_chunks(client: redis.Redis, doubler: bytes) -> None:
    client.execute_command("AI.MODELSTORE", "m", "ONNX", "CPU", "BLOB", doubler)
    assert client.execute_command("AI.MODELGET", "m", "BLOB") == doubler
    assert as_dict(client.execute_command("AI.MODELGET", "m"))[b"blob"] == doubler
    client.execute_command("AI.CONFIG", "MODEL_CHUNK_SIZE", 50)
    chunks = client.execute_command("AI.MODELGET", "m", "BLOB")
    assert [len(chunk) for chunk in chunks[:-1]] == [50] * (len(doubler) // 50)
    assert b"".join(chunks) == doubler


def test_a_blob_in_chunks_is_joined(client: redis.Redis, doubler: bytes) -> None:
    third = len(doubler) // 3
    chunks = [doubler[:third], doubler[third : 2 * third], doubler[2 * third :]]
    client.execute_command("AI.MODELSTORE", "m", "ONNX", "CPU", "BLOB", *chunks)
    assert client.execute_command("AI.MODELGET", "m", "BLOB") == doubler


def test_the_scan_lists_models_and_their_tags(client: redis.Redis) -> None:
    client.execute_command("AI.MODELSET", "a", "NULL", "CPU", "TAG", "v1")
    client.execute_command("AI.MODELSET", "b", "NULL", "CPU")
    client.execute_command("AI.TENSORSET", "t", "FLOAT", 1)
    assert sorted(client.execute_command("AI._MODELSCAN")) == [[b"a", b"v1"], [b"b", b""]]
    client.execute_command("AI.MODELDEL", "a")
    client.execute_command("AI.MODELSET", "b", "NULL", "CPU", "TAG", "v2")
    assert client.execute_command("AI._MODELSCAN") == [[b"b", b"v2"]]
    client.flushall()
    assert client.execute_command("AI._MODELSCAN") == []


def test_a_deleted_model_is_gone(client: redis.Redis) -> None:
    client.execute_command("AI.MODELSET", "m", "NULL", "CPU")
    assert client.execute_command("AI.MODELDEL", "m") == b"OK"
    for command in ("AI.MODELGET", "AI.MODELDEL", "AI.INFO"):
        with pytest.raises(redis.ResponseError):
            client.execute_command(command, "m")


@pytest.mark.parametrize("command", ["AI.MODELSET", "AI.MODELSTORE"])
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["TORCH", "CPU", "BLOB", "x"], "no TORCH"),
        (["CAFFE", "CPU", "BLOB", "x"], "unsupported backend"),
        (["ONNX", "TPU", "BLOB", "x"], "(?i)device"),
        (["ONNX", "CPU:x", "BLOB", "x"], "(?i)device"),
        (["ONNX", "GPU", "BLOB", "x"], "GPU requested but"),
        (["ONNX", "GPU:0", "BLOB", "x"], "GPU requested but"),
        (["ONNX", "CPU", "BATCHSIZE", "-1", "BLOB", "x"], "Invalid argument for BATCHSIZE"),
        (["ONNX", "CPU", "BATCHSIZE", "1", "MINBATCHSIZE", "x", "BLOB", "x"], "MINBATCHSIZE"),
        (["ONNX", "CPU", "MINBATCHSIZE", "2", "BLOB", "x"], "without BATCHSIZE"),
        (["ONNX", "CPU", "MINBATCHTIMEOUT", "2", "BLOB", "x"], "without MINBATCHSIZE"),
        (["TFLITE", "CPU", "BATCHSIZE", "2", "BLOB", "x"], "Auto-batching not supported"),
        (["TF", "CPU", "BLOB", "x"], "INPUTS"),
        (["ONNX", "CPU", "TAG", "t"], "BLOB"),
        (["ONNX", "CPU", "TAG", "t", "BLOB"], "missing model BLOB"),
        (["ONNX", "CPU", "BLOB", ""], "Failed to load model"),
        (["ONNX", "CPU", "BLOB", "no model"], "Failed to load model"),
        (["TFLITE", "CPU", "BLOB", "no model"], "Failed to load model"),
    ],
)
def test_a_bad_model_is_refused_and_nothing_is_stored(
    client: redis.Redis, command: str, arguments: list[str], reason: str
) -> None:
    with pytest.raises(redis.ResponseError, match=reason):
        client.execute_command(command, "bad", *arguments)
    assert client.exists("bad") == 0


@pytest.mark.parametrize("backend", ["TF", "TFLITE", "ONNX"])
@pytest.mark.parametrize("model_format", list(ModelFormat))
def test_a_model_of_another_format_is_refused(
    client: redis.Redis, backend: str, model_format: ModelFormat
) -> None:
    own = {"TF": ModelFormat.PB, "TFLITE": ModelFormat.TFLITE, "ONNX": ModelFormat.ONNX}[backend]
    names = NAMES if backend == "TF" else []
    store = ["AI.MODELSET", "m", backend, "CPU", *names, "BLOB", built_in_model(model_format)]
    if model_format is own:
        assert client.execute_command(*store) == b"OK"
    else:
        with pytest.raises(redis.ResponseError, match=r"not a complete \.\w+ file"):
            client.execute_command(*store)


def test_a_refused_model_leaves_the_stored_one(client: redis.Redis, doubler: bytes) -> None:
    client.execute_command("AI.MODELSET", "m", "ONNX", "CPU", "BLOB", doubler)
    with pytest.raises(redis.ResponseError):
        client.execute_command("AI.MODELSET", "m", "ONNX", "CPU", "BLOB", doubler[:-20])
    assert client.execute_command("AI.MODELGET", "m", "BLOB") == doubler


def test_a_model_is_not_put_over_another_type(client: redis.Redis) -> None:
    client.set("text", "x")
    with pytest.raises(redis.ResponseError, match="wrong kind of value"):
        client.execute_command("AI.MODELSET", "text", "NULL", "CPU")
    assert client.get("text") == b"x"


def test_a_model_that_cannot_be_compiled_is_refused_when_it_is_stored(client: redis.Redis) -> None:
    # The shapes fit no matrix product, which shows only when they are put together.
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    blob = onnx_model(
        [node], ["N", 3], ["A", "B"], [constant("shape", np.array([7, 11], np.int64))]
    )
    with pytest.raises(redis.ResponseError):
        client.execute_command("AI.MODELSET", "m", "ONNX", "CPU", "BLOB", blob)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["ONNX", "CPU"], "missing model BLOB"),
        (["ONNX", "CPU", "TAG"], "missing model TAG"),
        (["ONNX", "CPU", "BLOB"], "missing model BLOB"),
    ],
)
def test_too_few_words_for_a_model(client: redis.Redis, words: list[str], reason: str) -> None:
    with pytest.raises(redis.ResponseError, match=reason):
        client.execute_command("AI.MODELSET", "m", *words)
    with pytest.raises(redis.ResponseError, match="wrong number of arguments"):
        client.execute_command("AI.MODELSTORE", "m", *words)


@pytest.mark.parametrize(
    "command",
    [
        "AI.SCRIPTSET s CPU SOURCE code",
        "AI.SCRIPTSTORE s CPU ENTRY_POINTS 1 f SOURCE code",
        "AI.SCRIPTRUN s f INPUTS x OUTPUTS y",
        "AI.SCRIPTEXECUTE s f INPUTS 1 x OUTPUTS 1 y",
        "AI.SCRIPTGET s",
    ],
)
def test_scripts_are_refused_with_the_reason(client: redis.Redis, command: str) -> None:
    with pytest.raises(redis.ResponseError, match="no scripts"):
        client.execute_command(*command.split())


def test_config(client: redis.Redis) -> None:
    assert client.execute_command("AI.CONFIG", "LOADBACKEND", "TF", "any.so") == b"OK"
    with pytest.raises(redis.ResponseError, match="unsupported backend"):
        client.execute_command("AI.CONFIG", "LOADBACKEND", "CAFFE", "any.so")
    assert client.execute_command("AI.CONFIG", "BACKENDSPATH", "/backends") == b"OK"
    assert client.execute_command("AI.CONFIG", "GET", "BACKENDSPATH") == b"/backends"
    assert client.execute_command("AI.CONFIG", "MODEL_CHUNK_SIZE", 1000) == b"OK"
    assert client.execute_command("AI.CONFIG", "GET", "MODEL_CHUNK_SIZE") == 1000
    for bad in (0, -1, "x"):
        with pytest.raises(redis.ResponseError, match="MODEL_CHUNK_SIZE"):
            client.execute_command("AI.CONFIG", "MODEL_CHUNK_SIZE", bad)
