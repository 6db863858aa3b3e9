"""Tensors of strings by RedisAI's commands: what is sent, and servers that know them and do not."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from commandline import Cli
from fake_redisai import OK, FakeRedisAI, array, bulk
from redisclient import load_into

from aibench_fast import ConfigError, Result, RunConfig, run
from aibench_fast.load.kinds import InputTensor
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.results.events import Sample
from aibench_fast.server import EmbeddedServer
from aibench_fast.tensortype import split_strings

LINES = [b"one", b"two three", b"", b"caf\xe9", b"x" * 5000]


@pytest.fixture(scope="module")
def address() -> Iterator[ServerAddress]:
    with EmbeddedServer(password=None) as server:
        load_into(server.address, ModelSpec(name="null", backend=Backend.NULL))
        yield server.address


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    file = tmp_path / "lines.txt"
    file.write_bytes(b"\n".join(LINES))
    return file


def with_lines(lines: Path | None, **settings: object) -> Result:
    usual = {"file": lines, "shape": (1,), "dtype": "BYTES", "model": "null", "max_queries": 60}
    return run(RunConfig(**(usual | settings)))  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize(
    "settings",
    [{}, {"use_dag": True}, {"dialect": Dialect.MODELEXECUTE, "use_dag": True}, {"pipeline": 4}],
    ids=str,
)
def test_a_server_takes_them(
    address: ServerAddress, lines: Path, batch_size: int, settings: dict[str, object]
) -> None:
    """It counts the strings of each tensor."""
    result = with_lines(lines, address=address, workers=3, batch_size=batch_size, **settings)
    assert (result.inferences, result.failures) == (60, {})
    assert result.facts["StringTensors"] == len(LINES)


def test_the_command_line_says_string_or_bytes(
    cli: Cli, tmp_path: Path, address: ServerAddress
) -> None:
    (tmp_path / "t.jsonl").write_text('["a", "b"]\n["c", "d"]\n')
    words = ("run", "--port", address.port, "--model", "null", "--max-queries", 20, "--quiet")
    for count, told in (
        (20, ("--dtype", "STRING", "--shape", 2)),
        (2, ("--dtype", "bytes", "--shape", 2, "--file", "t.jsonl")),
        (2, ("--input", "t:STRING:2=t.jsonl")),
    ):
        cli(*words, *told, "--json-out-file", "r.json", code=0)
        result = json.loads((tmp_path / "r.json").read_text())
        assert (result["Successes"], result["Facts"]["StringTensors"]) == (20, count)


def test_each_string_ends_with_a_nul(lines: Path) -> None:
    with FakeRedisAI() as server:
        found = with_lines(
            lines, address=ServerAddress(port=server.port), batch_size=2, max_queries=20, seed=4
        )
        trial, *sent = server.blobs
    assert found.failures == {}
    (first,) = (n for n in range(5) if trial == ended(n))
    assert sent == [ended((first + 2 * number) % 5) for number in range(10)]


def test_other_inputs_go_with_them(lines: Path, tmp_path: Path) -> None:
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    rows.tofile(tmp_path / "x")
    inputs = InputTensor(tmp_path / "x", (2,), "FLOAT"), InputTensor(lines, (1,), "BYTES")
    with FakeRedisAI() as server:
        address = ServerAddress(port=server.port)
        found = with_lines(
            None, address=address, inputs=inputs, shape=(), dtype="", batch_size=2, max_queries=20,
            seed=4,
        )  # fmt: skip
        _, trial, *sent = server.blobs
    assert found.failures == {}
    (first,) = (n for n in range(5) if trial == ended(n))
    places = [(first + 2 * number) % 5 for number in range(10)]
    assert sent[1::2] == [ended(place) for place in places]
    assert sent[::2] == [
        rows[place].tobytes() + rows[(place + 1) % 5].tobytes() for place in places
    ]


def ended(first: int) -> bytes:
    return b"".join(LINES[(first + n) % 5] + b"\0" for n in range(2))


def test_a_nul_in_a_string_is_one_line(cli: Cli, tmp_path: Path, address: ServerAddress) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine\na\0b\n")
    for words in (("--seed", 0), ("--seed", 2)):  # in the second request, in the trial
        done = cli(
            "run",
            "--port",
            address.port,
            "--model",
            "null",
            "--input",
            "t:STRING:1=a.txt",
            "--quiet",
            *words,
        )
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert r"input t: b'a\x00b' has a NUL, which ends a string in RedisAI" in done.stderr


def test_a_server_that_does_not_know_them_is_one_line(cli: Cli) -> None:
    def of_1_2_4(arguments: Sequence[bytes], _: int) -> bytes:
        return b"-ERR invalid data type\r\n" if b"STRING" in arguments else OK

    with FakeRedisAI(AI_TENSORSET=of_1_2_4) as server:
        done = cli("run", "--port", server.port, "--model", "m", "--dtype", "STRING", "--shape", 1)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert "invalid data type" in done.stderr
    assert "RedisAI knows STRING tensors from 1.2.5 on" in done.stderr


def answering(*outputs: bytes, count: int = 2) -> FakeRedisAI:
    """A server whose model answers these strings in turn, the trial's first."""

    def tensor_get(arguments: Sequence[bytes], number: int) -> bytes:
        output = bulk(outputs[number % len(outputs)])
        if b"META" not in arguments:
            return output
        shape = array(b":1\r\n", b":%d\r\n" % count)
        return array(bulk(b"dtype"), bulk(b"STRING"), bulk(b"shape"), shape, bulk(b"blob"), output)

    return FakeRedisAI(AI_TENSORGET=tensor_get)


def test_outputs_may_have_other_lengths_in_each_reply() -> None:
    samples: list[Sample] = []
    outputs = [b"a\0bb\0", b"\0\0", b"c" * 200_000 + b"\0caf\xe9\0"]
    with answering(*outputs) as server:
        result = run(
            RunConfig(
                file=None, shape=(4,), model="m", address=ServerAddress(port=server.port),
                max_queries=30, sample_responses=True,
            ),
            lambda event: samples.extend([event] if isinstance(event, Sample) else []),
        )  # fmt: skip
    assert (result.successes, result.failures) == (30, {})
    assert samples[0].dtype == "BYTES"
    found = split_strings(samples[0].output)
    assert b"".join(one + b"\0" for one in found) in outputs
    assert len(found) == 2


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (b"a\0", "an output of 1 strings, expected 2"),
        (b"a\0b\0c\0", "an output of 3 strings, expected 2"),
        (b"", "an output of 0 strings, expected 2"),
        (b"a\0b\0c", "an output whose last string does not end with a NUL"),
    ],
)
def test_other_strings_than_the_trials_are_failures(odd: bytes, words: str) -> None:
    with answering(*[b"a\0b\0"] * 5, odd) as server:
        result = run(
            RunConfig(
                file=None, shape=(4,), model="m", address=ServerAddress(port=server.port),
                max_queries=12,
            )
        )  # fmt: skip
    assert list(result.failures) == ["wrong_size"]
    assert result.failures["wrong_size"].first_message == words
    assert result.failures["wrong_size"].count == 2
    assert result.successes == 10


def test_outputs_of_strings_are_not_verified(cli: Cli, tmp_path: Path) -> None:
    np.zeros(4, np.float32).tofile(tmp_path / "x")
    with answering(b"a\0b\0") as server:
        done = cli(
            "run", "--port", server.port, "--model", "m", "--shape", 4, "--file", "x",
            "--verify", "x", code=2, errors=1,
        )  # fmt: skip
    assert "--verify compares FLOAT outputs" in done.stderr
    assert "4 bytes of BYTES" in done.stderr


def test_a_type_that_redisai_has_not_names_those_it_has() -> None:
    with pytest.raises(ConfigError, match=r"`dtype` FP16: RedisAI has FLOAT, .*, BOOL, STRING"):
        RunConfig(file=None, inputs=(InputTensor(None, (1,), "FP16", "t"),))
