"""A model of several inputs on a real server: each gets its own tensor, however it is asked."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from commandline import Cli
from onnx import TensorProto, helper
from redisclient import load_into

from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.server import EmbeddedServer

COUNT = 30
VALUES = 3


def subtracting() -> bytes:
    """An ONNX model: z = x - ids, of which the latter are whole numbers."""
    shape = ["N", VALUES]
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["ids"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["x", "floats"], ["z"]),
        ],
        "sub",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("ids", TensorProto.INT64, shape),
        ],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, shape)],
    )
    opsets = [helper.make_opsetid("", 13)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


@pytest.fixture(scope="module")
def port() -> int:
    with EmbeddedServer(password=None) as server:
        model = ModelSpec(name="sub", backend=Backend.ONNX, blob=subtracting())
        load_into(server.address, model)
        yield server.address.port


@pytest.fixture
def references(tmp_path: Path) -> "npt.NDArray[np.float32]":
    """The model's answers to the tensors of the files x and ids, which are in the file z."""
    random = np.random.default_rng(4)
    x = random.integers(-1000, 1000, (COUNT, VALUES)).astype(np.float32)
    ids = random.integers(-1000, 1000, (COUNT, VALUES))
    x.tofile(tmp_path / "x")
    ids.tofile(tmp_path / "ids")
    (x - ids).astype(np.float32).tofile(tmp_path / "z")
    return (x - ids).astype(np.float32)


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize(
    "words",
    [[], ["--use-dag"], ["--dialect", "modelexecute"], ["--dialect", "modelexecute", "--use-dag"]],
    ids=" ".join,
)
def test_each_input_gets_its_own_tensor(
    cli: Cli, tmp_path: Path, port: int, references: "npt.NDArray[np.float32]",
    words: list[str], batch_size: int,
) -> None:  # fmt: skip
    arguments = (
        "run", "--port", port, "--model", "sub", "--input", "x:FP32:3=x",
        "--input", "ids:INT64:3=ids", "--batch-size", batch_size, "--max-queries", 10 * COUNT,
        "--workers", 3, "--verify", "z", "--tolerance", 0, "--quiet", "--json-out-file", "r.json",
        *words,
    )  # fmt: skip
    done = cli(*arguments, code=0)
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["Inferences"] >= 10 * COUNT
    assert (told["Shape"], told["Dtype"]) == ([VALUES], "FLOAT")
    inputs = f"{batch_size} x 3 FLOAT and {batch_size} x 3 INT64"
    assert told["Facts"]["Inputs"] == inputs
    assert f"Inputs: {inputs}\n" in done.stdout
    references[7, 1] += 1
    references.tofile(tmp_path / "z")
    cli(*arguments, code=1)
    kinds = json.loads((tmp_path / "r.json").read_text())["Failures"]
    assert list(kinds) == ["wrong_output"]
    assert kinds["wrong_output"]["FirstMessage"].startswith("tensor 7, value 1: ")
