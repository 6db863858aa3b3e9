"""Outputs of strings: judged by their count and their lengths, in binary and in JSON."""

import json
import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import smallruns
from commandline import Cli
from fake_inference import Answer, Asked, FakeInference, json_reply, output, reply
from smallruns import Heard

from aibench_fast import ServerError
from aibench_fast.protocols.settings import Encoding
from aibench_fast.results.events import Sample
from aibench_fast.tensortype import joined_strings, split_strings

FLOATS = struct.pack("<2f", 0.25, 0.75)
SCORE = output((1, 2), name="score")


def model(*outputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "m", "platform": "none",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": list(outputs),
    }  # fmt: skip


def labels(*shape: int, name: str = "label") -> dict[str, Any]:
    return output(shape, "BYTES", name)


def in_binary(*pairs: tuple[dict[str, Any], bytes], sizes: Sequence[object] = ()) -> bytes:
    """A reply with outputs and their bytes; `sizes` are what it says of them instead."""
    told = sizes or [len(data) for _, data in pairs]
    outputs = [
        {**one, "parameters": {"binary_data_size": size}}
        for (one, _), size in zip(pairs, told, strict=True)
    ]
    text = json.dumps({"model_name": "m", "outputs": outputs}).encode()
    body = text + b"".join(data for _, data in pairs)
    return reply(body, f"Inference-Header-Content-Length: {len(text)}")


def in_json(*pairs: tuple[dict[str, Any], object]) -> bytes:
    outputs = [{**one, "data": data} for one, data in pairs]
    return json_reply({"model_name": "m", "outputs": outputs})


against = partial(smallruns.against, max_queries=20)


@pytest.mark.parametrize("place", [0, 1], ids=["strings first", "floats first"])
@pytest.mark.parametrize("encoding", Encoding)
def test_their_lengths_may_differ_in_each_reply(encoding: Encoding, place: int) -> None:
    """Also where the shape is always the same."""
    asked_outputs = [labels(1, 3), SCORE]
    samples = Heard(Sample)

    def answer(asked: Asked, number: int) -> bytes:
        words = ["", "caf\u00e9" * number, f"no. {number}\n"]
        if encoding is Encoding.JSON:
            pairs: list[Any] = [(labels(1, 3), words), (SCORE, [0.25, 0.75])]
        else:
            data = joined_strings(word.encode() for word in words)
            pairs = [(labels(1, 3), data), (SCORE, FLOATS)]
        made = in_json if encoding is Encoding.JSON else in_binary
        return made(*pairs[:: -1 if place else 1])

    with FakeInference(infer=answer, model=model(*asked_outputs)) as server:
        result = against(server, encoding=encoding, observe=samples, sample_responses=True)
    assert (result.successes, result.failures) == (20, {})
    if place:
        assert samples[0].output == FLOATS
    else:
        assert split_strings(samples[0].output) == [b"", "caf\u00e9".encode(), b"no. 1\n"]


@pytest.mark.parametrize("encoding", Encoding)
def test_there_may_be_any_number_where_the_model_leaves_it_open(encoding: Encoding) -> None:
    def answer(asked: Asked, number: int) -> bytes:
        words = [f"word {n}" for n in range(number % 4)]
        one = labels(1, len(words))
        if encoding is Encoding.JSON:
            return in_json((one, [words]))
        return in_binary((one, joined_strings(word.encode() for word in words)))

    with FakeInference(infer=answer, model=model(labels(-1, -1))) as server:
        result = against(server, encoding=encoding)
    assert (result.successes, result.failures) == (20, {})


def test_replies_may_be_far_longer_than_the_first() -> None:
    def answer(asked: Asked, number: int) -> bytes:
        word = b"x" * (100_000 * (number % 5))
        return in_binary((labels(1, 1), joined_strings([word])))

    with FakeInference(infer=answer, model=model(labels(-1, 1))) as server:
        result = against(server, workers=2)
    assert (result.successes, result.failures) == (20, {})


TWO = joined_strings([b"cat", b"dog"])


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (in_binary((labels(1, 2), TWO[:-1] + b"")), "has a string that reaches beyond its end"),
        (in_binary((labels(1, 2), TWO + b"\0\0")), "has a string that reaches beyond its end"),
        (
            in_binary((labels(1, 2), b"\xff\xff\xff\xff" + TWO)),
            "has a string that reaches beyond its end",
        ),
        (in_binary((labels(1, 2), joined_strings([b"cat"]))), "has 1 values, expected 2"),
        (in_binary((labels(1, 2), TWO + joined_strings([b""]))), "has 3 values, expected 2"),
        (in_binary((labels(1, 2), b"")), "has 0 values, expected 2"),
        (in_binary((labels(1, 2), TWO), sizes=[15]), "has 15 bytes, of which 14 came"),
        (in_binary((labels(1, 2), TWO + b"!"), sizes=[14]), "outputs of 15 bytes, expected 14"),
        (in_binary((labels(1, 2), TWO), sizes=["14"]), "has no size, or over "),
        (in_binary((labels(1, 2), TWO), sizes=[1 << 62]), "has no size, or over "),
        (in_binary((labels(1, 3), TWO)), "has the shape [1,3], expected [any,2]"),
    ],
)
def test_what_is_wrong_in_binary_is_a_failure(odd: bytes, words: str) -> None:
    well = in_binary((labels(1, 2), TWO))
    assert_one_fails(well, odd, "wrong_size", words)


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (["cat"], "wrong_size", "has 1 values, expected 2"),
        (["cat", "dog", "cow"], "wrong_size", "has 3 values, expected 2"),
        (["cat", 5], "wrong_reply", "has a value that is not BYTES"),
        (["cat", None], "wrong_reply", "has a value that is not BYTES"),
        ("cat", "wrong_size", "has 0 values, expected 2"),
        (None, "wrong_size", "has 0 values, expected 2"),
    ],
)
def test_what_is_wrong_in_json_is_a_failure(data: object, kind: str, words: str) -> None:
    well = in_json((labels(1, 2), ["cat", "dog"]))
    odd = in_json((labels(1, 2), data))
    assert_one_fails(well, odd, kind, words, encoding=Encoding.JSON)


def assert_one_fails(well: bytes, odd: bytes, kind: str, words: str, **more: Any) -> None:
    """In a run, and on trial, where nothing is measured."""

    def one_is_odd(asked: Asked, number: int) -> Answer:
        return odd if number == 5 else well

    with FakeInference(infer=one_is_odd, model=model(labels(-1, 2))) as server:
        result = against(server, **more)
    assert {name: failure.count for name, failure in result.failures.items()} == {kind: 1}
    assert words in result.failures[kind].first_message
    assert result.successes == 19
    with (
        FakeInference(infer=lambda *_: odd, model=model(labels(-1, 2))) as server,
        pytest.raises(ServerError, match="the trial request of the model m was answered"),
    ):
        against(server, **more)


def test_samples_are_shown_as_text(cli: Cli) -> None:
    words = ["cat", 'say "no"\nplease', "caf\u00e9", b"\xff\x00", "x" * 200, "six", "seven"]
    strings = [one if isinstance(one, bytes) else one.encode() for one in words]
    answer = in_binary((labels(2, 7), joined_strings(strings * 2)))
    with FakeInference(infer=lambda *_: answer, model=model(labels(-1, 7))) as server:
        done = cli(
            "run", "--url", server.url, "--model", "m", "--batch-size", 2, "--print-responses",
            "--max-queries", 200, "--quiet", code=0,
        )  # fmt: skip
    told = next(line for line in done.stderr.splitlines() if line.startswith("reply to tensor"))
    shown = told.partition(": ")[2]
    long = f"'{'x' * 60}'..."
    assert shown == rf"""'cat', 'say "no"\nplease', 'café', '�\x00', {long} and 2 more"""
    assert "answered different tensors alike" not in done.stdout


def test_a_label_that_is_always_the_same_is_no_doubt(cli: Cli) -> None:
    answer = in_binary((labels(1, 1), joined_strings([b"cat"])))
    with FakeInference(infer=lambda *_: answer, model=model(labels(-1, 1))) as server:
        done = cli(
            "run", "--url", server.url, "--model", "m", "--duration", "0.5s",
            "--reporting-period", "0.1s", "--quiet", code=0,
        )  # fmt: skip
    assert "alike" not in done.stdout


def test_verify_needs_numbers(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(16))
    (tmp_path / "y").write_bytes(FLOATS)
    strings = joined_strings([b"cat"])

    def answer(asked: Asked, number: int) -> bytes:
        have = {"label": (labels(1, 1), strings), "score": (SCORE, FLOATS)}
        return in_binary(*(have[one["name"]] for one in asked.document["outputs"]))

    words = ("run", "--model", "m", "--file", "x", "--verify", "y", "--tolerance", 0, "--quiet")
    with FakeInference(infer=answer, model=model(labels(-1, 1), SCORE)) as server:
        url = ("--url", server.url)
        both, label = cli(*words, *url), cli(*words, *url, "--output", "label")
        score = cli(*words, *url, "--output", "score", "--max-queries", 10)
    assert (both.returncode, both.stderr.count("\n")) == (2, 1), both.stderr
    assert "m answers several: choose one by --output" in both.stderr
    assert (label.returncode, label.stderr.count("\n")) == (2, 1), label.stderr
    assert "--verify compares FLOAT outputs" in label.stderr
    assert "7 bytes of BYTES" in label.stderr
    assert score.returncode == 0, score.stderr
