"""Outputs whose axes the model's metadata leaves open: each reply is judged by its own shape."""

import itertools
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smallruns
from commandline import Cli
from fake_inference import Asked, Behaviour, FakeInference, binary_reply, json_reply, output, reply
from smallruns import Heard, config_of

from aibench_fast import ServerError, run
from aibench_fast.protocols.settings import Encoding
from aibench_fast.results.events import Sample

ROW = 4
BOTH = pytest.mark.parametrize("encoding", Encoding)


def detector(*outputs: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a model that finds as many boxes as there are."""
    return {
        "name": "m", "platform": "none",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [output((-1, ROW), name="boxes"), *outputs],
    }  # fmt: skip


def boxes(count: int, encoding: Encoding) -> bytes:
    found = np.arange(count * ROW, dtype="<f4")
    told = output((count, ROW), name="boxes")
    if encoding is Encoding.BINARY:
        return binary_reply(found.tobytes(), told)
    return json_reply({"outputs": [{**told, "data": found.tolist()}]})


against = partial(smallruns.against, max_queries=20)


@BOTH
@pytest.mark.parametrize("counts", [[3, 3, 5, 0, 1], [0, 7], [100_000, 1], [0, 100_000, 0]])
def test_each_reply_has_as_many_as_it_says(encoding: Encoding, counts: list[int]) -> None:
    answers = itertools.cycle([boxes(count, encoding) for count in counts])
    with FakeInference(infer=lambda *_: next(answers), model=detector()) as server:
        result = against(server, encoding=encoding)
    assert (result.successes, result.failures) == (20, {})


@BOTH
def test_a_reply_that_lacks_rows_of_a_batch_is_a_failure(encoding: Encoding) -> None:
    answers = itertools.cycle([boxes(8, encoding), boxes(7, encoding)])
    with FakeInference(infer=lambda *_: next(answers), model=detector()) as server:
        result = against(server, encoding=encoding, batch_size=8, max_queries=160)
    assert (result.successes, [*result.failures]) == (10, ["wrong_size"])


@BOTH
def test_a_sample_is_as_long_as_its_reply(encoding: Encoding) -> None:
    answers = itertools.chain([boxes(0, encoding)], itertools.repeat(boxes(50, encoding)))
    found = Heard(Sample)
    with FakeInference(infer=lambda *_: next(answers), model=detector()) as server:
        config = config_of(server, duration_s=0.3, encoding=encoding, sample_responses=True)
        assert run(config, found).failures == {}
    assert found[0].output == np.arange(50 * ROW, dtype="<f4").tobytes()


def two_outputs(count: int, scores: int) -> bytes:
    told = [output((count, ROW), name="boxes"), output((scores,), name="scores")]
    sizes = [count * ROW * 4, scores * 4]
    named = [
        {**one, "parameters": {"binary_data_size": size}}
        for one, size in zip(told, sizes, strict=True)
    ]
    return binary_reply(bytes(sum(sizes)), outputs=named)


def test_several_outputs_are_each_as_long_as_they_say() -> None:
    answers = itertools.cycle([two_outputs(2, 2), two_outputs(0, 5), two_outputs(9, 0)])
    model = detector(output((-1,), name="scores"))
    with FakeInference(infer=lambda *_: next(answers), model=model) as server:
        result = against(server)
    assert (result.successes, result.failures) == (20, {})


def changed(answer: bytes, old: str, new: str) -> bytes:
    """A reply in JSON or binary with other JSON, and the lengths set right."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lengths = [line for line in head.decode().split("\r\n") if line.startswith("Inference")]
    text_bytes = int(lengths[0].split(": ")[1]) if lengths else len(body)
    text = body[:text_bytes].replace(old.encode(), new.encode())
    assert text != body[:text_bytes]
    more = [f"Inference-Header-Content-Length: {len(text)}"] if lengths else []
    return reply(text + body[text_bytes:], *more)


FIVE = boxes(5, Encoding.BINARY)
WRONG: dict[str, tuple[Encoding, bytes, str, str]] = {
    "a size that is not its shape's": (
        Encoding.BINARY, changed(FIVE, "80", "64"), "wrong_size",
        "output boxes has 64 bytes, expected 80",
    ),
    "fewer bytes than it says": (
        Encoding.BINARY,
        reply(FIVE.partition(b"\r\n\r\n")[2][:-4], FIVE.split(b"\r\n")[2].decode()),
        "wrong_size", "outputs of 76 bytes, expected 80",
    ),
    "another length of the closed axis": (
        Encoding.BINARY, changed(FIVE, "[5, 4]", "[4, 5]"), "wrong_size",
        "output boxes has the shape [4,5], expected [any,4]",
    ),
    "a negative length": (
        Encoding.BINARY, changed(FIVE, "[5, 4]", "[-1, 4]"), "wrong_size", "the shape [-1,4]",
    ),
    "a length that is text": (
        Encoding.BINARY, changed(FIVE, "[5, 4]", '["5", 4]'), "wrong_size", 'the shape ["5",4]',
    ),
    "a length beyond all memory": (
        Encoding.BINARY, changed(FIVE, "[5, 4]", "[18446744073709551615, 4]"), "wrong_size",
        "output boxes has over 67108864 bytes",
    ),
    "fewer values than its shape": (
        Encoding.JSON, changed(boxes(5, Encoding.JSON), "[5, 4]", "[6, 4]"), "wrong_size",
        "output boxes has 20 values, expected 24",
    ),
    "other values": (
        Encoding.JSON, changed(boxes(5, Encoding.JSON), "[0.0, ", '["0", '), "wrong_reply",
        "output boxes has a value that is not FP32",
    ),
    "more bytes than any output": (
        Encoding.BINARY, binary_reply(bytes(80 << 20), output((5 << 20, ROW), name="boxes")),
        "protocol", "a body far longer than the requested outputs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_as_it_says_is_a_failure(name: str) -> None:
    encoding, answer, kind, message = WRONG[name]
    behaviour: Behaviour = (  # noqa: E731
        lambda _, number: answer if number == 5 else boxes(number % 3, encoding)
    )
    with FakeInference(infer=behaviour, model=detector()) as server:
        result = against(server, encoding=encoding)
    (found,) = result.failures.items()
    assert (result.successes, found[0], found[1].count) == (19, kind, 1)
    assert message in found[1].first_message


def test_metadata_that_does_not_fit_the_trial_opens_nothing() -> None:
    """Such as of a server that leaves the batch out."""
    answers = itertools.cycle([boxes(3, Encoding.BINARY), boxes(5, Encoding.BINARY)])
    model = {**detector(), "outputs": [output((-1,), name="boxes")]}
    with FakeInference(infer=lambda *_: next(answers), model=model) as server:
        result = against(server)
    assert result.failures["wrong_size"].count == 10
    assert "the shape [5,4], expected [3,4]" in result.failures["wrong_size"].first_message


def test_an_output_that_is_verified_has_the_references_length(cli: Cli, tmp_path: Path) -> None:
    np.zeros((20, 4), np.float32).tofile(tmp_path / "x")
    np.tile(np.arange(3 * ROW, dtype="<f4"), (20, 1)).tofile(tmp_path / "y")
    words = ("run", "--model", "m", "--file", "x", "--verify", "y", "--quiet",
             "--json-out-file", "r.json")  # fmt: skip

    def found(asked: Asked, number: int) -> bytes:
        return boxes(5 if number == 7 else 3, Encoding.BINARY)

    with FakeInference(infer=found, model=detector()) as server:
        done = cli(*words, "--url", server.url)
    failures = json.loads((tmp_path / "r.json").read_text())["Failures"]
    assert done.returncode == 1, done.stderr
    assert failures["wrong_size"]["Count"] == 1
    assert "the shape [5,4], expected [3,4]" in failures["wrong_size"]["FirstMessage"]
    (tmp_path / "y").write_bytes(bytes(20 * 7))
    with FakeInference(infer=found, model=detector()) as server:
        done = cli(*words, "--url", server.url, code=2, errors=1)


def test_several_servers_need_not_find_as_much() -> None:
    with (
        FakeInference(infer=lambda *_: boxes(3, Encoding.BINARY), model=detector()) as one,
        FakeInference(infer=lambda *_: boxes(5, Encoding.BINARY), model=detector()) as other,
    ):
        result = against(one, others=(other.url,), workers=2)
        assert (result.successes, result.failures) == (20, {})
        other.infer = lambda *_: binary_reply(bytes(48), output((3, ROW), "INT32", "boxes"))
        with pytest.raises(ServerError, match="load the same model into both"):
            against(one, others=(other.url,), workers=2)
