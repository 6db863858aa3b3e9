"""Tensors as JSON: what is formatted and how it is bounded, when it is chosen, how it is judged."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import smallruns
from commandline import Cli
from echomodels import NUMPY_TYPES
from fake_inference import Asked, Behaviour, FakeInference, binary_reply, json_reply, output, reply
from hypothesis import given
from hypothesis import strategies as st
from smallruns import Heard

from aibench_fast import ConfigError, ServerError
from aibench_fast._core import JsonTensors, Tensors
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.protocols.settings import Encoding
from aibench_fast.results.events import Formatting, Sample
from aibench_fast.tensortype import canonical

JSON_TYPES = sorted(set(NUMPY_TYPES) - {"BF16"})


def answered(data: object, **told: Any) -> bytes:
    """A reply whose output is JSON."""
    return json_reply({"model_name": "m", "outputs": [{**output(**told), "data": data}]})


def zeros(asked: Asked, number: int) -> bytes:
    return answered([0.0] * 1001)


def refusing_binary(asked: Asked, number: int) -> bytes:
    """As MLServer does."""
    if "inference-header-content-length" in asked.headers:
        return json_reply({"error": "no JSON"}, "500 X")
    return zeros(asked, number)


against = partial(smallruns.against, max_queries=20, encoding=Encoding.JSON)


def values(asked: Asked, place: int = 0) -> "npt.NDArray[np.float32]":
    """The floats of an input."""
    return np.array(asked.document["inputs"][place]["data"], np.float32)


def test_a_request_is_text_with_the_tensors_in_order(tmp_path: Path) -> None:
    rows = np.random.default_rng(1).standard_normal((7, 4)).astype(np.float32)
    rows[2] = 0  # whose text is far shorter
    (tmp_path / "x").write_bytes(rows.tobytes())
    with FakeInference(infer=lambda *_: answered([0.0] * 3003, shape=(3, 1001))) as server:
        result = against(server, file=tmp_path / "x", batch_size=3, max_queries=30, seed=3)
    assert (result.successes, result.failures) == (10, {})
    trial, *measured = server.asked
    ring = np.tile(rows, (6, 1))
    (first,) = (n for n in range(7) if (values(trial) == ring[n : n + 3].ravel()).all())
    for number, asked in enumerate(measured):
        start = (first + 3 * number) % 7
        assert values(asked).tobytes() == ring[start : start + 3].tobytes()
        assert asked.headers["content-type"] == "application/json"
        assert "inference-header-content-length" not in asked.headers
        told = {**asked.document}
        (one,) = told.pop("inputs")
        del one["data"]
        assert one == {"name": "x", "shape": [3, 4], "datatype": "FP32"}
        assert told == {"id": "1", "outputs": [{"name": "y"}]}


def test_several_inputs_are_those_of_one_number() -> None:
    model = {
        "name": "m",
        "inputs": [
            {"name": "ids", "datatype": "INT64", "shape": [-1, 3]},
            {"name": "mask", "datatype": "BOOL", "shape": [-1, 3]},
            {"name": 'odd "name"', "datatype": "FP16", "shape": [-1, 2]},
        ],
        "outputs": [output()],
    }
    inputs = tuple(
        InputTensor(None, (one["shape"][-1],), canonical(one["datatype"]), one["name"])
        for one in model["inputs"]  # type: ignore[index, union-attr]
    )
    with FakeInference(infer=zeros, model=model) as server:
        assert against(server, inputs=inputs, seed=5, batch_size=2, max_queries=40).successes == 20
    drawn = [
        Tensors.generate(2000, 24, "INT64", 5), Tensors.generate(2000, 3, "BOOL", 6),
        Tensors.generate(2000, 4, "FP16", 7),
    ]  # fmt: skip
    for number, asked in enumerate(server.asked[1:]):
        ids, mask, odd = asked.document["inputs"]
        expected = [one.read(2 * number, 2) for one in drawn]
        assert np.array(ids["data"], "<i8").tobytes() == expected[0]
        assert mask["data"] == [bool(value) for value in expected[1]]
        assert np.array(odd["data"], "<f2").tobytes() == expected[2]


@given(datatype=st.sampled_from(JSON_TYPES), data=st.data())
def test_any_tensor_survives(datatype: str, data: st.DataObject) -> None:
    """Parsed as Python parses it, to the bit; floats in the fewest digits of their precision."""
    dtype = np.dtype(NUMPY_TYPES[datatype])
    count = data.draw(st.integers(1, 5))
    raw = data.draw(
        st.binary(min_size=3 * count * dtype.itemsize, max_size=3 * count * dtype.itemsize)
    )
    rows = np.frombuffer(raw, dtype)
    if dtype.kind == "f":
        rows = np.where(np.isfinite(rows), rows, dtype.type(0))
    if dtype.kind == "b":
        rows = np.frombuffer(raw, "u1") & 1 == 1
    rows = rows.reshape(3, count)
    texts = JsonTensors(canonical(datatype), count * dtype.itemsize, 3)
    texts.add(rows.tobytes())
    made = texts.finish(3)
    found = json.loads(b"[%b]" % made.read(2, 3))
    # By way of a double, as most servers read: such as 7.038531e-26 is a bit off then.
    near = np.array(found, dtype)
    expected = np.concatenate([rows[2], rows[0], rows[1]])
    if datatype == "FP32":
        near = np.array([np.float32(repr_of) for repr_of in map(str, found)])
    assert near.astype(dtype).tobytes() == expected.tobytes()
    if datatype in ("FP32", "FP64"):
        shortest = [float(str(value)) for value in expected]
        assert found == shortest


def test_a_value_that_json_has_not_is_one_line(cli: Cli, tmp_path: Path) -> None:
    np.array([[1, 2, 3, 4], [1, 2, np.nan, 4]], np.float32).tofile(tmp_path / "x")
    with FakeInference(infer=zeros) as server:
        done = cli(
            "run", "--url", server.url, "--model", "m", "--file", "x", "--encoding", "json",
            "--quiet", code=2, errors=1,
        )  # fmt: skip
    assert "input x of m: as JSON, tensor 1: nan or inf number is not allowed" in done.stderr


def test_the_memory_is_said_and_bounded(cli: Cli, tmp_path: Path) -> None:
    rows = np.random.default_rng(2).random((100, 4), np.float32)
    rows.tofile(tmp_path / "x")
    words = ("run", "--model", "m", "--file", "x", "--encoding", "json")
    with FakeInference(infer=zeros) as server:
        url = ("--url", server.url)
        done = cli(*words, *url, "--json-memory", "1kB", "--json-out-file", "r.json")
        sent = {values(asked).tobytes() for asked in server.asked}
        few = cli(*words, *url, "--max-queries", 7, "--quiet", "--json-out-file", "few.json")
        none = cli(*words, *url, "--json-memory", 20)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "r.json").read_text())
    facts, count = told["Facts"], told["Facts"]["JsonTensors"]
    assert told["Successes"] == 100
    assert sent == {row.tobytes() for row in rows[:count]}
    assert 15 < count < 30
    assert (facts["JsonTensorsGiven"], facts["Encoding"]) == (100, "json")
    assert facts["JsonBytes"] <= 1000
    assert " of 100, as many as --json-memory allows, tensors are formatted as JSON" in done.stderr
    assert "fewer_tensors" in [one["Kind"] for one in told["Warnings"]]
    # What is not sent is not formatted, and is no warning.
    assert (few.returncode, few.stderr) == (0, "")
    assert json.loads((tmp_path / "few.json").read_text())["Facts"]["JsonTensors"] == 7
    assert "fewer_tensors" not in (tmp_path / "few.json").read_text()
    assert (none.returncode, none.stderr.count("\n")) == (2, 1), none.stderr
    assert "there are 20 bytes for m, one of whose tensors takes " in none.stderr


def test_tensors_that_are_cycled_keep_their_references(tmp_path: Path) -> None:
    rows = np.random.default_rng(3).random((100, 4), np.float32)
    rows.tofile(tmp_path / "x")

    def echo(asked: Asked, number: int) -> bytes:
        return answered(values(asked).tolist(), shape=(1, 4))

    with FakeInference(infer=echo) as server:
        told = {"file": tmp_path / "x", "reference_file": tmp_path / "x", "tolerance": 0.0}
        result = against(server, **told, json_memory_bytes=1000, max_queries=100, seed=9)
    assert (result.successes, result.failures) == (100, {})
    assert len({asked.body for asked in server.asked[1:]}) == result.facts["JsonTensors"] < 100


def test_progress_is_told() -> None:
    events = Heard(Formatting)
    with FakeInference(infer=zeros) as server:
        server.model["inputs"][0]["shape"] = [-1, 100_000]
        against(server, observe=events, max_queries=8)
    assert [event.done for event in events] == list(range(8))
    assert {(event.model, event.total, event.given) for event in events} == {("m", 8, 8)}


@pytest.mark.parametrize(
    ("infer", "extensions", "expected"),
    [
        (lambda *_: binary_reply(), [], "binary"),
        (refusing_binary, ["binary_tensor_data"], "json"),
        (refusing_binary, [], "json"),
    ],
    ids=["takes it unannounced", "announces it and refuses", "neither"],
)
def test_the_trial_finds_the_encoding(
    infer: Behaviour, extensions: list[str], expected: str
) -> None:
    told = json_reply({"name": "fake", "version": "7", "extensions": extensions})
    with FakeInference(infer=infer, paths={"/v2": told}) as server:
        result = against(server, encoding=None)
        assert (result.successes, result.facts["Encoding"]) == (20, expected)
        if expected == "json":
            assert result.facts["BinaryRefused"].endswith("for the trial request: no JSON")
            with pytest.raises(ServerError, match="answered HTTP 500 for the trial request"):
                against(server, encoding=Encoding.BINARY)


def test_a_server_that_is_busy_is_not_asked_for_less() -> None:
    """It would be measured in JSON for want of a moment."""
    busy = json_reply({"error": "later"}, "503 X")
    with FakeInference(infer=lambda _, number: busy if number == 0 else binary_reply()) as server:
        with pytest.raises(ServerError, match="answered HTTP 503 for the trial request: later"):
            against(server, encoding=None)
        assert len(server.asked) == 1


def test_a_model_that_fails_in_both_is_told_in_the_servers_words() -> None:
    def fails(asked: Asked, number: int) -> bytes:
        return json_reply({"error": f"failed {number}"}, "500 X")

    with (
        FakeInference(infer=fails) as server,
        pytest.raises(ServerError, match="failed 0"),  # of what it announces
    ):
        against(server, encoding=None)
    told = json_reply({"name": "fake", "version": "7", "extensions": []})
    with (
        FakeInference(infer=fails, paths={"/v2": told}) as server,
        pytest.raises(ServerError, match="failed 1"),
    ):
        against(server, encoding=None)


def test_bf16_is_for_binary_alone() -> None:
    with FakeInference(infer=refusing_binary) as server:
        server.model["inputs"][0]["datatype"] = "BF16"
        with pytest.raises(ConfigError, match="BF16 has no form in JSON"):
            against(server)
        with pytest.raises(ServerError, match="for the trial request: no JSON"):
            against(server, encoding=None)
    with (
        FakeInference(infer=lambda *_: answered([1.0], shape=(1,), datatype="BF16")) as server,
        pytest.raises(ConfigError, match="output y is BF16 in JSON"),
    ):
        against(server)


def sampled(server: FakeInference) -> bytes:
    """The first output of a run."""
    found = Heard(Sample)
    result = against(server, observe=found, max_queries=0, duration_s=0.3, sample_responses=True)
    assert result.failures == {}
    output: bytes = found[0].output
    return output


def test_every_half_is_read_as_it_was() -> None:
    halves = np.arange(1 << 16, dtype="<u2").view("<f2")
    halves = halves[np.isfinite(halves)]
    between = np.array([1 + 2**-11, 1 + 3 * 2**-11, 65519.0, 65520.0, 2**-25, 3 * 2**-25])
    asked = [*halves.tolist(), *between.tolist()]
    told = answered(asked, shape=(len(asked),), datatype="FP16")
    with FakeInference(infer=lambda *_: told) as server:
        found = sampled(server)
    assert found[: halves.nbytes] == halves.tobytes()
    with np.errstate(over="ignore"):
        assert found[halves.nbytes :] == between.astype("<f2").tobytes()  # ties to even


@pytest.mark.parametrize("datatype", sorted(set(JSON_TYPES) - {"FP16"}))
def test_outputs_are_the_bytes_that_they_are_in_binary(datatype: str) -> None:
    dtype = np.dtype(NUMPY_TYPES[datatype])
    if dtype.kind == "b":
        rows = np.array([True, False, True, True])
    elif dtype.kind == "f":
        limits = np.finfo(dtype)
        rows = np.array([limits.min, limits.max, limits.tiny, -0.0, 0.1], dtype)
    else:
        limits = np.iinfo(dtype)
        rows = np.array([limits.min, limits.max, 0, 1], dtype)
    # Nested, as some servers write them.
    told = answered([[rows[:2].tolist()], [rows[2:].tolist()]], shape=rows.shape, datatype=datatype)
    with FakeInference(infer=lambda *_: told) as server:
        assert sampled(server) == rows.tobytes()


def test_a_float_that_is_none_is_nan() -> None:
    trial = answered([0.0] * 3, shape=(3,))
    texts = iter([trial])
    odd = trial.replace(b"[0.0, 0.0, 0.0]", b"[null, NaN,0.0]")
    with FakeInference(infer=lambda *_: next(texts, odd)) as server:
        found = np.frombuffer(sampled(server), "<f4")
    assert np.isnan(found).tolist() == [True, True, False]


WELL = {"data": [1, 2], "shape": (2,), "datatype": "INT8"}


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"data": [1]}, "wrong_size", "output y has 1 values, expected 2"),
        ({"data": [1, 2, 3]}, "wrong_size", "output y has 3 values, expected 2"),
        ({"data": [1, "2"]}, "wrong_reply", "output y has a value that is not INT8"),
        ({"data": [1, 128]}, "wrong_reply", "output y has a value that is not INT8"),
        ({"data": [-129, 1]}, "wrong_reply", "output y has a value that is not INT8"),
        ({"data": [1, 2.5]}, "wrong_reply", "output y has a value that is not INT8"),
        ({"data": [1, None]}, "wrong_reply", "output y has a value that is not INT8"),
        ({"data": "12"}, "wrong_size", "output y has 0 values, expected 2"),
        ({"data": json.loads("[" * 40 + "1" + "]" * 40)}, "wrong_reply", "that is not INT8"),
        ({"shape": (1, 2)}, "wrong_size", "output y has the shape [1,2], expected [2]"),
        ({"datatype": "UINT8"}, "wrong_reply", "output y is of UINT8, expected INT8"),
        ({"name": "z"}, "wrong_reply", "found output z, expected y"),
    ],
)
def test_an_output_that_is_another_is_a_failure(
    changes: Mapping[str, Any], kind: str, words: str
) -> None:
    def one_is_odd(asked: Asked, number: int) -> bytes:
        return answered(**(WELL | changes if number == 5 else WELL))

    with FakeInference(infer=one_is_odd) as server:
        result = against(server)
    assert list(result.failures) == [kind]
    assert result.failures[kind].count == 1
    assert words in result.failures[kind].first_message
    assert result.successes == 19


def test_a_mix_shares_the_memory() -> None:
    kinds = (
        RequestKind("m", (InputTensor(None, (4,), "FLOAT"),)),
        RequestKind("n", (InputTensor(None, (40,), "FLOAT"),)),
    )
    other = {"name": "n", "inputs": [output((1, 40), name="q")], "outputs": [output()]}
    paths = {"/v2/models/n": json_reply(other), "/v2/models/n/ready": reply(b"")}
    with FakeInference(infer=zeros, paths=paths) as server:
        result = against(server, mix=kinds, max_queries=100, json_memory_bytes=4000)
    assert (result.successes, result.failures) == (100, {})
    assert 3000 < result.facts["JsonBytes"] <= 4000
    assert result.facts["JsonTensorsGiven"] == 200
    with (
        FakeInference(infer=zeros, paths=paths) as server,
        pytest.raises(ConfigError, match="for n, one of whose tensors takes "),
    ):
        against(server, mix=kinds, max_queries=100, json_memory_bytes=500)


@pytest.mark.parametrize("words", [("--encoding", "json"), ("--json-memory", "1GB")])
def test_it_is_for_http_alone(cli: Cli, words: tuple[str, str]) -> None:
    done = cli("run", "--shape", "4", *words, code=2, errors=1)
    assert f"{words[0]} without --url" in done.stderr
