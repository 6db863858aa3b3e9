"""Inputs of strings: what is read, what is sent in either encoding, and what is refused."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smallruns
from commandline import Cli
from fake_inference import Asked, FakeInference, binary_reply, json_reply, output, reply

from aibench_fast import ConfigError, RunConfig, run
from aibench_fast._core import Tensors
from aibench_fast.load.kinds import InputTensor
from aibench_fast.protocols.settings import Encoding
from aibench_fast.results.events import Formatting
from aibench_fast.tensors import strings
from aibench_fast.tensortype import split_strings

LINES = [b"hello", b'say "no"\\', "caf\u00e9 \u4f60\u597d".encode(), b"", b"tab\there", b"x" * 3000]


def text_model(*shape: int, name: str = "m") -> dict[str, Any]:
    return {
        "name": name, "platform": "none",
        "inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [-1, *(shape or (1,))]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1001]}],
    }  # fmt: skip


def answer(asked: Asked, number: int) -> bytes:
    """In the encoding of the request."""
    if "inference-header-content-length" in asked.headers:
        return binary_reply()
    return json_reply({"model_name": "m", "outputs": [{**output(), "data": [0.0] * 1001}]})


against = partial(smallruns.against, max_queries=20)


def sent(asked: Asked, place: int = 0) -> list[bytes]:
    """The strings of an input, of a request that is well formed."""
    document = asked.document
    assert "transfer-encoding" not in asked.headers
    one = document["inputs"][place]
    if "inference-header-content-length" not in asked.headers:
        assert asked.headers["content-type"] == "application/json"
        return [string.encode() for string in one["data"]]
    assert asked.headers["content-type"] == "application/octet-stream"
    sizes = [each["parameters"]["binary_data_size"] for each in document["inputs"]]
    assert sum(sizes) == len(asked.tensors)
    before = sum(sizes[:place])
    return split_strings(asked.tensors[before : before + sizes[place]])


@pytest.fixture(params=[Encoding.BINARY, Encoding.JSON])
def encoding(request: pytest.FixtureRequest) -> Encoding:
    found: Encoding = request.param
    return found


def expected(lines: Sequence[bytes], first: int, batch_size: int, count: int) -> list[list[bytes]]:
    """The strings that `count` requests send."""
    return [
        [lines[(first + number * batch_size + n) % len(lines)] for n in range(batch_size)]
        for number in range(count)
    ]


@pytest.mark.parametrize("batch_size", [1, 2, 4])
@pytest.mark.parametrize("seed", [0, 3])
def test_every_line_is_sent_in_turn(
    tmp_path: Path, encoding: Encoding, batch_size: int, seed: int
) -> None:
    file = tmp_path / "lines.txt"
    file.write_bytes(b"\n".join(LINES) + b"\n")
    inputs = (InputTensor(file, (1,), "BYTES", "TEXT"),)
    with FakeInference(infer=answer, model=text_model()) as server:
        result = against(
            server, inputs=inputs, encoding=encoding, batch_size=batch_size, seed=seed,
            max_queries=batch_size * 20,
        )  # fmt: skip
        trial, *measured = map(sent, server.asked)
        document = server.asked[-1].document
    assert (result.successes, result.failures) == (20, {})
    (first,) = (n for n in range(6) if trial == expected(LINES, n, batch_size, 1)[0])
    assert (first == 0) == (seed == 0)
    assert measured == expected(LINES, first, batch_size, 20)
    (one,) = document["inputs"]
    assert (one["shape"], one["datatype"]) == ([batch_size, 1], "BYTES")


def test_a_line_ends_as_any_system_ends_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\r\ntwo\r\n\r\nfour")
    assert len(strings.read(tmp_path / "a", (1,))) == 4
    found = split_strings(strings.read(tmp_path / "a", (2,)).read(0, 2))
    assert found == [b"one", b"two", b"", b"four"]


def test_jsonl_has_a_tensor_in_each_line(tmp_path: Path, encoding: Encoding) -> None:
    file = tmp_path / "pairs.jsonl"
    pairs = [
        ["a\nb", "caf\u00e9"],
        ["", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")],
    ]
    file.write_text("\n".join(map(json.dumps, pairs)))
    inputs = (InputTensor(file, (2,), "BYTES", "TEXT"),)
    with FakeInference(infer=answer, model=text_model(2)) as server:
        result = against(server, inputs=inputs, encoding=encoding, max_queries=4)
        found = [sent(asked) for asked in server.asked[1:]]
    assert result.failures == {}
    assert found == [[one.encode() for one in pair] for pair in pairs * 2]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.jsonl", b'"fine"\n{"a": 1}\n', "line 2: write a JSON string, or an array of strings"),
        ("a.jsonl", b'"fine"\nplain\n', "line 2: write a JSON string, or an array of strings"),
        ("a.jsonl", b'["a", 5]\n', "line 1: write a JSON string, or an array of strings: found 5"),
        ("a.jsonl", b'"\\ud800"\n', "line 1: write a JSON string"),
        ("a.jsonl", b'["a", "b"]\n', "line 1: 2 strings, where a tensor of 1 BYTES has 1"),
        ("a.txt", b"", "is empty"),
        ("none.txt", None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_none_of_strings_is_one_line(
    cli: Cli, tmp_path: Path, name: str, text: bytes | None, words: str
) -> None:
    if text is not None:
        (tmp_path / name).write_bytes(text)
    with FakeInference(infer=answer, model=text_model()) as server:
        done = cli("run", "--url", server.url, "--model", "m", "--input", f"TEXT:BYTES:1={name}")
        assert server.asked == []
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert name in done.stderr
    assert words in done.stderr


def test_lines_that_make_no_whole_tensors_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1\n2\n3\n")
    with pytest.raises(ConfigError, match="3 lines are not a whole number of tensors of 2 BYTES"):
        strings.read(tmp_path / "a", (2,))


def test_what_is_not_utf8_is_for_binary_alone(cli: Cli, tmp_path: Path) -> None:
    lines = [b"fine", b"caf\xe9", b"\0\1\2"]
    (tmp_path / "a.txt").write_bytes(b"\n".join(lines))
    words = ("run", "--model", "m", "--input", "TEXT:BYTES:1=a.txt", "--max-queries", 6, "--quiet")
    with FakeInference(infer=answer, model=text_model()) as server:
        well = cli(*words, "--url", server.url)
        found = [*map(sent, server.asked[1:])]
        refused = cli(*words, "--url", server.url, "--encoding", "json")
    assert well.returncode == 0, well.stderr
    assert found == [[line] for line in lines * 2]
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
    assert r"input TEXT: b'caf\xe9' is not UTF-8, and JSON has no other strings" in refused.stderr


def test_generated_ones_are_words_of_the_seed(cli: Cli, tmp_path: Path) -> None:
    with FakeInference(infer=answer, model=text_model()) as server:
        words = ("run", "--url", server.url, "--model", "m", "--max-queries", 200, "--quiet")
        for seed in (1, 1, 2):
            done = cli(*words, "--seed", seed, "--json-out-file", "r.json", code=0)
        runs = [[sent(one)[0] for one in server.asked[n + 1 : n + 201]] for n in (0, 201, 402)]
    told = json.loads((tmp_path / "r.json").read_text())
    assert runs[0] == runs[1] != runs[2]
    assert len(set(runs[0])) == 200
    lengths = [len(one) for one in runs[0]]
    assert 80 < sum(lengths) / 200 < 160
    assert len(set(lengths)) > 50
    assert all(one.replace(b" ", b"").isalpha() for one in runs[0])
    assert (told["Shape"], told["Dtype"], told["DataSeed"]) == ([1], "BYTES", 2)
    assert told["Facts"]["Inputs"] == "1 x 1 BYTES"
    assert told["Facts"]["StringTensors"] == told["Facts"]["StringTensorsGiven"] == 200
    assert "Tensors: 1 BYTES, generated from seed 2\n" in done.stdout
    assert "Strings: 200 tensors formatted before the run, " in done.stdout


def test_other_inputs_go_with_them(tmp_path: Path, encoding: Encoding) -> None:
    model = text_model()
    model["inputs"].append({"name": "k", "datatype": "FP32", "shape": [-1, 2]})
    model["inputs"].append({"name": "also", "datatype": "BYTES", "shape": [-1, 3]})
    (tmp_path / "a.txt").write_bytes(b"\n".join(LINES))
    rows = np.random.default_rng(1).random((6, 2), np.float32)
    rows.tofile(tmp_path / "k")
    inputs = (
        InputTensor(tmp_path / "a.txt", (1,), "BYTES", "TEXT"),
        InputTensor(tmp_path / "k", (2,), "FLOAT", "k"),
        InputTensor(None, (3,), "BYTES", "also"),
    )
    with FakeInference(infer=answer, model=model) as server:
        result = against(server, inputs=inputs, encoding=encoding, batch_size=2, max_queries=24)
        asked = server.asked[1:]
    assert (result.successes, result.failures) == (12, {})
    assert [sent(one) for one in asked] == expected(LINES, 0, 2, 12)
    drawn = strings.generate(6, (3,), 2)
    for number, one in enumerate(asked):
        first = 2 * number % 6
        assert sent(one, 2) == split_strings(drawn.read(first, 2))
        if encoding is Encoding.JSON:
            floats = np.array(one.document["inputs"][1]["data"], np.float32)
        else:
            before = one.document["inputs"][0]["parameters"]["binary_data_size"]
            floats = np.frombuffer(one.tensors[before : before + 16], np.float32)
        assert floats.tobytes() == rows[first : first + 2].tobytes()


def test_a_mix_has_kinds_with_strings_and_without(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\n".join(LINES))
    (tmp_path / "mix.toml").write_text(
        '[[request]]\nmodel = "m"\nfile = "a.txt"\nshape = [1]\ndtype = "BYTES"\n'
        '[[request]]\nmodel = "n"\nshape = [4]\nweight = 2\n'
        '[[request]]\nmodel = "m"\nbatch-size = 3\n'
        'inputs = [{name = "TEXT", dtype = "BYTES", shape = [1]}]\n'
    )
    other = {**text_model(name="n"), "inputs": [output((-1, 4), name="x")]}
    paths = {"/v2/models/n": json_reply(other), "/v2/models/n/ready": reply(b"")}
    with FakeInference(infer=answer, model=text_model(), paths=paths) as server:
        done = cli(
            "run", "--url", server.url, "--mix", "mix.toml", "--max-queries", 300, "--quiet",
            "--json-out-file", "r.json",
        )  # fmt: skip
        asked = server.asked[3:]
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["Successes"] == 300
    assert [one["Tensors"] for one in told["Kinds"]] == [
        "1 x 1 BYTES",
        "1 x 4 FLOAT",
        "3 x 1 BYTES",
    ]
    of_lines = [sent(one)[0] for one in asked if one.document["inputs"][0]["shape"] == [1, 1]]
    of_words = [sent(one) for one in asked if one.document["inputs"][0]["shape"] == [3, 1]]
    assert set(of_lines) == set(LINES)
    assert len(of_lines) == told["Kinds"][0]["Successes"]
    assert len(of_words) == told["Kinds"][2]["Successes"]
    assert all(len(one) == 3 and min(map(len, one)) > 3 for one in of_words)


def test_the_memory_is_bounded(cli: Cli, tmp_path: Path) -> None:
    lines = [b"%d " % n + b"x" * (n % 50) for n in range(1000)]
    (tmp_path / "a.txt").write_bytes(b"\n".join(lines))
    words = ("run", "--model", "m", "--input", "TEXT:BYTES:1=a.txt", "--batch-size", 2)
    with FakeInference(infer=answer, model=text_model()) as server:
        url = ("--url", server.url)
        done = cli(*words, *url, "--json-memory", "20kB", "--json-out-file", "r.json")
        found = [sent(one) for one in server.asked[1:]]
        none = cli(*words, *url, "--json-memory", 20)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "r.json").read_text())
    facts = told["Facts"]
    fitting = facts["StringTensors"] // 2
    assert 30 < fitting < 100
    assert (facts["StringTensorsGiven"], told["Successes"]) == (1000, 500)
    assert facts["StringBytes"] <= 20_000
    assert found == [lines[n % fitting * 2 : n % fitting * 2 + 2] for n in range(500)]
    assert "m: " in done.stderr
    assert " of 1,000, as many as --json-memory allows, tensors are formatted, in" in done.stderr
    assert "fewer_tensors" in [one["Kind"] for one in told["Warnings"]]
    assert (none.returncode, none.stderr.count("\n")) == (2, 1), none.stderr
    assert "there are 20 bytes for m, one of whose requests takes " in none.stderr


def test_references_are_those_of_the_strings(tmp_path: Path) -> None:
    """Also of few that are cycled, and from another one on."""
    count = 50
    (tmp_path / "a.txt").write_bytes(b"\n".join(b"%d" % n for n in range(count)))
    np.arange(count, dtype=np.float32).tofile(tmp_path / "y")

    def number_of(asked: Asked, _: int) -> bytes:
        numbers = np.array([int(one) for one in sent(asked)], np.float32)
        return binary_reply(numbers.tobytes(), output((len(numbers), 1)))

    inputs = (InputTensor(tmp_path / "a.txt", (1,), "BYTES", "TEXT"),)
    settings: dict[str, Any] = {
        "inputs": inputs, "reference_file": tmp_path / "y", "tolerance": 0.0, "max_queries": 300,
    }  # fmt: skip
    for more in ({}, {"seed": 9}, {"seed": 9, "json_memory_bytes": 5000}, {"batch_size": 3}):
        with FakeInference(infer=number_of, model=text_model()) as server:
            result = against(server, **settings, **more)
            assert result.failures == {}, more
            assert result.inferences == 300
    np.arange(count, dtype=np.float32)[::-1].tofile(tmp_path / "y")
    with FakeInference(infer=number_of, model=text_model()) as server:
        assert against(server, **settings).failures["wrong_output"].count == 300


def test_progress_is_told() -> None:
    events: list[Formatting] = []
    with FakeInference(infer=answer, model=text_model()) as server:
        run(
            RunConfig(file=None, url=server.url, model="m", max_queries=1500),
            lambda event: events.extend([event] if isinstance(event, Formatting) else []),
        )
    assert [(one.done, one.total, one.as_json) for one in events] == [
        (0, 1500, False), (1000, 1500, False),
    ]  # fmt: skip


def test_every_worker_and_every_server_gets_its_own_head() -> None:
    with (
        FakeInference(infer=answer, model=text_model()) as one,
        FakeInference(infer=answer, model=text_model()) as other,
    ):
        result = against(one, others=(other.url,), workers=4, max_queries=100)
        assert (result.successes, result.failures) == (100, {})
        for server in (one, other):
            assert len(server.asked) > 1
            assert {asked.headers["host"] for asked in server.asked} == {f"127.0.0.1:{server.port}"}
        texts = [sent(asked)[0] for server in (one, other) for asked in server.asked[1:]]
    assert len(set(texts)) == 100


@pytest.mark.parametrize(
    ("shape", "batch_size", "sent_shape"),
    [([-1], 1, [1]), ([-1], 4, [4]), ([-1, -1], 3, [3, 1]), ([1], 1, [1]), ([-1, 2], 2, [2, 2])],
)
def test_an_axis_that_the_model_leaves_open_has_one_string(
    shape: list[int], batch_size: int, sent_shape: list[int], encoding: Encoding
) -> None:
    """A list of strings takes the batch along its one axis."""
    model = text_model()
    model["inputs"][0]["shape"] = shape
    with FakeInference(infer=answer, model=model) as server:
        result = against(
            server, encoding=encoding, batch_size=batch_size, max_queries=10 * batch_size
        )
        asked = server.asked[1:]
    assert (result.successes, result.inferences) == (10, 10 * batch_size)
    for one in asked:
        assert one.document["inputs"][0]["shape"] == sent_shape
        assert len(sent(one)) == np.prod(sent_shape)
    assert len({tuple(sent(one)) for one in asked}) == 10


def test_a_list_has_as_many_strings_as_asked_for(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\n".join(LINES))
    model = text_model()
    model["inputs"][0]["shape"] = [-1]
    words = ("--model", "m", "--quiet", "--json-out-file", "r.json")
    with FakeInference(infer=answer, model=model) as server:
        done = cli(
            "run", "--url", server.url, "--input", "TEXT:BYTES:2=a.txt", "--batch-size", 3, *words
        )
        wrong = cli("run", "--url", server.url, "--input", "TEXT:BYTES:2,1", *words)
        asked = server.asked[1:]
    assert done.returncode == 0, done.stderr
    assert [sent(one) for one in asked] == [LINES]
    assert json.loads((tmp_path / "r.json").read_text())["Facts"]["Inputs"] == "6 BYTES"
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1), wrong.stderr
    assert "the model's input is TEXT of any BYTES" in wrong.stderr


def test_batches_of_their_own_length_are_read_back() -> None:
    tensors = Tensors.of_batches([b"one", b"", b"three"], 2)
    assert len(tensors) == 6
    assert [tensors.read(first, 2) for first in (0, 2, 4)] == [b"one", b"", b"three"]
