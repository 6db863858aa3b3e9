"""Servers that report less than the protocol has: then --input and the trial decide."""

import itertools
import json
from functools import partial
from typing import Any

import pytest
import smallruns
from commandline import Cli
from fake_inference import Asked, FakeInference, binary_reply, json_reply, output, reply

from aibench_fast import ServerError
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.protocols.settings import Encoding

NOT_FOUND = json_reply({"error": "not found"}, "404 Not Found")
NOT_IMPLEMENTED = json_reply({"error": "unimplemented"}, "501 Not Implemented")
INFER = "/v2/models/m/infer"


against = partial(smallruns.against, max_queries=5, inputs=(InputTensor(None, (4,), "FLOAT", "x"),))

SPARSE: dict[str, tuple[dict[str, Any] | None, dict[str, bytes]]] = {
    "no inputs and outputs": ({"name": "m", "platform": "", "inputs": [], "outputs": []}, {}),
    "no keys": ({"name": "m", "versions": ["1"]}, {}),
    "nulls": ({"name": "m", "inputs": None, "outputs": None}, {}),
    "no name": ({}, {}),
    "no metadata": (None, {"/v2/models/m": NOT_FOUND}),
    "no ready": (None, {"/v2/models/m/ready": NOT_FOUND}),
    "no v2": (None, {"/v2": NOT_FOUND}),
    "nothing but infer": (
        None,
        dict.fromkeys(("/v2", "/v2/models/m", "/v2/models/m/ready"), NOT_IMPLEMENTED),
    ),
}


def sparse(name: str, **how: Any) -> FakeInference:
    model, paths = SPARSE[name]
    if model is not None:
        how["model"] = model
    return FakeInference(paths=dict(paths), **how)


@pytest.mark.parametrize("name", SPARSE)
def test_an_input_that_is_given_is_enough(name: str) -> None:
    with sparse(name) as server:
        result = against(server)
    assert (result.successes, result.failures, result.setup.shape) == (5, {}, (4,))
    asked = server.asked[-1].document
    assert [(one["name"], one["shape"]) for one in asked["inputs"]] == [("x", [1, 4])]
    if "outputs" in asked:
        assert asked["outputs"] == [{"name": "y", "parameters": {"binary_data": True}}]
    else:  # all, by the extension's own word for it
        assert asked["parameters"] == {"binary_data_output": True}


def test_outputs_that_are_given_are_asked_for() -> None:
    with sparse("nothing but infer") as server:
        assert against(server, outputs=("y",), batch_size=5).successes == 1
    asked = server.asked[-1].document
    assert asked["inputs"][0]["shape"] == [5, 4]
    assert asked["outputs"] == [{"name": "y", "parameters": {"binary_data": True}}]


def test_outputs_nobody_described_may_have_any_length() -> None:
    answers = itertools.cycle(
        binary_reply(bytes(8 * count), output((count, 2))) for count in (1, 3, 0)
    )
    with sparse("no keys", infer=lambda *_: next(answers)) as server:
        result = against(server)
    assert (result.successes, result.failures) == (5, {})


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("no inputs and outputs", "the server does not say which inputs the model m takes: give"),
        ("no keys", "the server does not say which inputs the model m takes: give --input NAME:D"),
        ("no metadata", "HTTP 404 for the model m: not found; if it answers requests all the sa"),
    ],
)
def test_without_an_input_a_line_says_what_to_give(cli: Cli, name: str, told: str) -> None:
    with sparse(name) as server:
        done = cli("run", "--url", server.url, "--model", "m")
    assert done.returncode in (2, 3)
    assert done.stderr.count("\n") == 1, done.stderr
    assert told in done.stderr
    assert done.stderr.endswith("give --input NAME:DATATYPE:SHAPE for each input to send\n")


@pytest.mark.parametrize("status", ["404 Not Found", "400 Bad Request"])
def test_an_unknown_model_is_told_with_those_that_are_there(cli: Cli, status: str) -> None:
    index = [{"name": "a", "state": "READY"}, {"name": "m", "state": "UNAVAILABLE"}]
    paths = {
        "/v2/repository/index": json_reply(index),
        "/v2/models/m": json_reply({"error": "unknown model"}, status),
    }
    with FakeInference(paths=paths) as server:  # type: ignore[arg-type]
        done = cli("run", "--url", server.url, "--model", "m", "--input", "x:FP32:4")
        assert server.asked == []
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "for the model m: unknown model; there are a\n" in done.stderr


def test_an_unknown_model_of_a_server_without_a_list_is_the_trials_error() -> None:
    with (
        sparse("nothing but infer", infer=lambda *_: NOT_FOUND) as server,
        pytest.raises(ServerError, match="HTTP 404 for the trial request: not found"),
    ):
        against(server)


@pytest.mark.parametrize("status", ["401 X", "403 X", "500 X", "503 X"])
def test_a_server_that_refuses_to_tell_is_not_one_that_cannot(status: str) -> None:
    for path in ("/v2/models/m", "/v2"):
        with FakeInference(paths={path: json_reply({"error": "no"}, status)}) as server:
            with pytest.raises(ServerError, match=f"HTTP {status[:3]} for the "):
                against(server)
            assert server.asked == []


def two_inputs() -> dict[str, Any]:
    return {
        "name": "m", "platform": "none", "outputs": [output()],
        "inputs": [output((-1, 4), name="x"), output((-1, 4), name="bias")],
    }  # fmt: skip


def needs_x(asked: Asked, number: int) -> bytes:
    if "x" not in [one["name"] for one in asked.document["inputs"]]:
        return json_reply({"error": "expected input x"}, "400 X")
    return binary_reply()


def test_an_optional_input_may_be_left_out() -> None:
    with FakeInference(infer=needs_x, model=two_inputs()) as server:
        result = against(server)
        assert (result.successes, result.failures) == (5, {})
        assert [len(asked.document["inputs"]) for asked in server.asked] == [1] * 6
        with pytest.raises(ServerError, match="HTTP 400 for the trial request: expected input x"):
            against(server, inputs=(InputTensor(None, (4,), "FLOAT", "bias"),))


def test_an_optional_input_of_a_mix_may_be_left_out() -> None:
    x, bias = (InputTensor(None, (4,), "FLOAT", name) for name in ("x", "bias"))
    kinds = (RequestKind("m", (x,)), RequestKind("m", (bias, x)))
    with FakeInference(infer=needs_x, model=two_inputs()) as server:
        result = against(server, mix=kinds, inputs=(), max_queries=30)
    assert (result.successes, result.failures) == (30, {})
    assert {len(asked.document["inputs"]) for asked in server.asked} == {1, 2}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--input", "q:FP32:4"], "--input q: the model m takes x, bias"),
        (["--input", "x:FP32:4", "--input", "q:FP32:4"], "--input x, q: the model m takes x, bias"),
        (["--input", "x:FP32:4", "--input", "x:FP32:4"], "--input x is given more than once"),
        ([], "the model m has 2 inputs: x of any x 4 FP32, bias of any x 4 FP32; give --input"),
    ],
)
def test_inputs_that_there_are_not_are_one_line(cli: Cli, words: list[str], told: str) -> None:
    with FakeInference(model=two_inputs()) as server:
        done = cli("run", "--url", server.url, "--model", "m", *words, code=2, errors=1)
    assert told in done.stderr


@pytest.mark.parametrize("length", ["1e400", "NaN", '"x"', "[]"])
def test_metadata_with_a_length_that_is_not_one_is_one_line(cli: Cli, length: str) -> None:
    told = f'{{"inputs": [{{"name": "x", "datatype": "FP32", "shape": [{length}]}}]}}'
    with FakeInference(paths={"/v2/models/m": reply(told.encode())}) as server:
        done = cli("run", "--url", server.url, "--model", "m")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "the metadata of the model m does not follow the protocol" in done.stderr


def data_reply(shape: str, data: str, datatype: str = "FP32") -> bytes:
    told = json.dumps({"name": "y", "datatype": datatype})[:-1]
    return reply(f'{{"outputs": [{told}, "shape": {shape}, "data": {data}}}]}}'.encode())


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (data_reply('["1", "2"]', "[1, 2]"), 'the shape ["1","2"], expected'),
        (data_reply("[1.0, 2.0]", "[1, 2]"), "the shape [1.0,2.0], expected"),
        (data_reply("[1, 2]", '["1", "2"]', "INT64"), "a value that is not INT64"),
        (data_reply("[1, 2]", "[1.0, 2.5]", "INT64"), "a value that is not INT64"),
        (data_reply("[]", "0.5"), "0 values, expected 1"),
        (data_reply("[1, 2]", "[1]"), "1 values, expected 2"),
        (data_reply("[1, 2]", "[1, true]"), "a value that is not FP32"),
        (data_reply("[-1, 2]", "[1, 2]"), "does not follow the protocol"),
        (data_reply("[1e400]", "[1]"), "does not follow the protocol"),
        (data_reply("[4000000000]", "[1]"), "was answered with 1 outputs of 16000000000 bytes"),
    ],
)
def test_what_the_run_would_refuse_ends_it_at_the_trial(answer: bytes, told: str) -> None:
    with FakeInference(infer=lambda *_: answer) as server:
        with pytest.raises(ServerError) as raised:
            against(server, encoding=Encoding.JSON)
        assert len(server.asked) == 1
    assert told in str(raised.value)


@pytest.mark.parametrize(
    "answer",
    [
        data_reply("[]", "[0.5]"),
        data_reply("[1, 1, 2]", "[[[0.5, 0.25]]]"),
        data_reply("[2]", "[9007199254740993, -9223372036854775808]", "INT64"),
        data_reply("[2]", "[1, 0]", "BOOL"),
    ],
)
def test_what_is_odd_and_allowed_is_good_in_both(answer: bytes) -> None:
    with FakeInference(infer=lambda *_: answer) as server:
        result = against(server, encoding=Encoding.JSON)
    assert (result.successes, result.failures) == (5, {})


@pytest.mark.parametrize("says_so", [False, True])
def test_a_server_may_close_after_each_answer_before_the_run(says_so: bool) -> None:
    with FakeInference(close_each_question=True) as server:
        if says_so:
            described = json_reply(server.model).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            server.paths = {"/v2/models/m": described}
        result = against(server)
    assert (result.successes, result.failures) == (5, {})
