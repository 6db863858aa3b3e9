"""A mix of requests: read from TOML, sent by weight, figures for each kind and overall."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from commandline import Cli
from fake_redisai import OK, FakeRedisAI
from onnx import TensorProto, helper
from redisclient import load_into
from smallruns import against

from aibench_fast import ConfigError, RunConfig, run
from aibench_fast._core import Tensors
from aibench_fast.load.kinds import InputTensor, RequestKind, read_mix
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.server import EmbeddedServer

MIX = """
[[request]]
model = "heavy"
shape = [4, 4]
weight = 3

[[request]]
model = "light"
batch-size = 5
inputs = [
    {name = "ids", shape = [8], dtype = "INT64"},
    {name = "mask", shape = [8], dtype = "BOOL"},
]
"""


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    path = tmp_path / "mix.toml"
    path.write_text(MIX)
    return path


def test_a_mix_is_read_as_it_stands(mix: Path) -> None:
    heavy, light = read_mix(mix)
    assert heavy == RequestKind("heavy", (InputTensor(None, (4, 4), "FLOAT"),), weight=3.0)
    assert light == RequestKind(
        "light",
        (InputTensor(None, (8,), "INT64", "ids"), InputTensor(None, (8,), "BOOL", "mask")),
        batch_size=5,
    )
    assert light.tensors == "5 x 8 INT64 and 5 x 8 BOOL"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has to have [[request]] tables alone; it has nothing"),
        ("[[requests]]\nmodel = 'm'", "it has requests"),
        ("[[request]]\nmodel = 'm'\nbatch_size = 2", "there is no key batch_size; there are model"),
        ("[[request]]\nshape = [1]", "request 1: model is missing"),
        ("[[request]]\nmodel = 'm'", "which tensors?"),
        ("[[request]]\nmodel = 'm'\nshape = [0]", "shape 0: it has to be numbers from 1 on"),
        ("[[request]]\nmodel = 'm'\nshape = ['a']", "it has to be whole numbers"),
        ("[[request]]\nmodel = 'm'\nshape = [1]\ndtype = 'FP8'", "dtype FP8"),
        ("[[request]]\nmodel = 'm'\nshape = [1]\nweight = 0", "weight 0: it has to be above 0"),
        ("[[request]]\nmodel = 'm'\nshape = [1]\nweight = '1'", "weight is '1'"),
        ("[[request]]\nmodel = 'm'\nshape = [1]\ninputs = [{shape = [1]}]", "shape beside inputs"),
        ("[[request]]\nmodel = 'm'\ninputs = [{shapes = [1]}]", "inputs: there is no key shapes"),
        ("[[request]]\nmodel = 'm'\ninputs = []", "0 inputs; there are from 1 to 14"),
        ("[[request]]\nmodel = 'm'\nshape = [1]\nweight = true", "weight is true, which is"),
        ("[[request]]\nmodel = 'm'\nshape = [true, 2]", "shape [true, 2]: it has to be whole"),
        ('request = ["a\\tb"]', "request 1: 'a b' is not a table"),
        ("[[request]]\nmodel = {a = false}", "model is {a = false}, which is of another type"),
        ("[[request]", "cannot read --mix"),
        (
            "[[request]]\nmodel = 'm'\nshape = [1]\nweight = 1e12\n"
            "[[request]]\nmodel = 'rare'\nshape = [1]\nweight = 1e-8",
            "the weights 1e-08 (rare) and 1e+12 (m) are too far apart",
        ),
    ],
)
def test_a_bad_mix_is_one_line(cli: Cli, tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "mix.toml").write_text(text)
    done = cli("run", "--mix", "mix.toml", "--duration", "1s", code=2, errors=1)
    assert told in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--shape", "4"], ["--model", "m"], ["--file", "tensors.out"], ["--batch-size", "2"],
        ["--verify", "outputs.bin"], ["--dtype", "INT64", "--max-queries", "9"], [],
    ],
)  # fmt: skip
def test_what_a_mix_says_itself_is_refused(cli: Cli, mix: Path, words: list[str]) -> None:
    done = cli("run", "--mix", mix, *words)  # and without a length it has no end
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "--mix" in done.stderr


def test_inputs_of_one_request_are_as_many(tmp_path: Path) -> None:
    for name, count in (("a", 3), ("b", 4)):
        (tmp_path / name).write_bytes(bytes(4 * count))
    inputs = tuple(InputTensor(tmp_path / name, (1,), "FLOAT") for name in ("a", "b"))
    with pytest.raises(ConfigError, match=r"belong together, but .*a has 3, .*b has 4 tensors"):
        RunConfig(file=None, mix=(RequestKind("m", inputs),), duration_s=1).count_tensors()


@pytest.mark.parametrize("use_dag", [False, True])
def test_each_kind_is_sent_by_weight_and_has_figures_of_its_own(mix: Path, use_dag: bool) -> None:
    asked: Counter[bytes] = Counter()

    def note(words: Sequence[bytes], _number: int) -> bytes:
        asked[words[1]] += 1
        return OK

    with FakeRedisAI(AI_MODELRUN=note) as server:
        result = against(
            server, mix=read_mix(mix), workers=3, max_queries=1000, seed=5, use_dag=use_dag,
            burn_in=100,
        )  # fmt: skip
    if use_dag:  # a DAG of two inputs answers an array of four, which this server does not
        _, light = result.kinds
        assert light.failures["wrong_reply"].count == light.requests
        return
    heavy, light = result.kinds
    assert heavy.successes + light.successes == result.successes == 900
    assert heavy.inferences == heavy.successes
    assert light.inferences == 5 * light.successes
    assert result.inferences == heavy.inferences + light.inferences
    assert heavy.latencies.count == heavy.successes
    assert abs(asked[b"heavy"] / 1000 - 0.75) < 0.05
    assert (result.setup.model, result.setup.batch_size, result.setup.shape) == (
        "mix of heavy, light",
        0,
        (),
    )
    told = result.to_json()
    assert [kind["Model"] for kind in told["Kinds"]] == ["heavy", "light"]
    assert told["Kinds"][1]["Tensors"] == "5 x 8 INT64 and 5 x 8 BOOL"


def test_a_seed_draws_the_same_requests_again(mix: Path) -> None:
    def drawn(seed: int) -> list[bytes]:
        asked: list[bytes] = []

        def note(words: Sequence[bytes], _number: int) -> bytes:
            asked.append(words[1])
            return OK

        with FakeRedisAI(AI_MODELRUN=note) as server:
            address = server.address
            run(RunConfig(file=None, mix=read_mix(mix), max_queries=60, seed=seed, address=address))
        return asked

    assert drawn(1) == drawn(1) != drawn(2)


def test_inputs_arrive_in_order_with_the_bytes_that_were_drawn(mix: Path) -> None:
    (_, light) = read_mix(mix)
    with FakeRedisAI() as server:
        address = server.address
        run(RunConfig(file=None, mix=(light,), max_queries=1, seed=9, address=address))
        keys = server.last["AI.MODELRUN"]
    sources = keys[keys.index(b"INPUTS") + 1 : keys.index(b"OUTPUTS")]
    assert len(sources) == len(set(sources)) == 2
    expected = [
        Tensors.generate(2000, 64, "INT64", 9).read(0, 5),
        Tensors.generate(2000, 8, "BOOL", 10).read(0, 5),
    ]
    assert server.blobs == expected * 2  # on trial, and measured


def adding() -> bytes:
    """An ONNX model of two inputs, which it adds."""
    names = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [5, 8]) for name in "xyz"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "y"], ["z"])], "add", names[:2], names[2:]
    )
    return bytes(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8
        ).SerializeToString()
    )


@pytest.mark.parametrize("words", [[], ["--use-dag"]])
def test_a_mix_of_two_models_on_a_real_server(
    cli: Cli, tmp_path: Path, mix: Path, words: list[str]
) -> None:
    mix.write_text(MIX.replace("INT64", "FLOAT").replace("BOOL", "FLOAT"))
    with EmbeddedServer(password=None) as server:
        load_into(server.address, ModelSpec(name="heavy", backend=Backend.NULL))
        load_into(server.address, ModelSpec(name="light", backend=Backend.ONNX, blob=adding()))
        done = cli(
            "run", "--mix", mix, "--port", server.port, "--workers", 4, "--max-queries", 2000,
            "--quiet", "--json-out-file", "r.json", *words, code=0,
        )  # fmt: skip
    assert "Kind light, 5 x 8 FLOAT and 5 x 8 FLOAT, weight 1: " in done.stdout
    told = json.loads((tmp_path / "r.json").read_text())
    assert sum(kind["Requests"] for kind in told["Kinds"]) == told["Requests"] == 2000
    assert told["ServerPeriods"]["overall"]["model_calls"] == 2000  # of both models
    cli("report", "r.json", "--out", "r.html", code=0)
    assert "5 x 8 FLOAT and 5 x 8 FLOAT" in (tmp_path / "r.html").read_text()
