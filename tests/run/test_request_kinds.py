"""Every kind of request: DAGs, both dialects, time-outs, log-ins, outputs compared."""

import os
import re
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from commandline import Cli
from fake_redisai import OK, OUTPUT_BYTES, Behaviour, FakeRedisAI, array, bulk
from smallruns import against

from aibench_fast import ServerAddress
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.redisai.commands import Dialect

OUTPUT = bulk(bytes(OUTPUT_BYTES))


@pytest.mark.parametrize(
    ("settings", "command", "head", "label"),
    [
        ({}, "AI.DAGRUN", [b"|>", b"AI.TENSORSET"], "AI.DAGRUN with persistency OFF"),
        (
            {"persist_results": True}, "AI.DAGRUN",
            [b"PERSIST", b"1", b"classificationTensor:{ID-w0}", b"|>"],
            "AI.DAGRUN with persistency ON",
        ),
        (
            {"dialect": Dialect.MODELEXECUTE}, "AI.DAGEXECUTE", [b"LOAD", b"1"],
            "AI.DAGEXECUTE with persistency OFF",
        ),
        ({"timeout_ms": 250}, "AI.DAGRUN", [b"TIMEOUT", b"250", b"|>"], "AI.DAGRUN"),
    ],
)  # fmt: skip
def test_a_dag_is_one_command(
    tensor_file: Path, settings: dict[str, object], command: str, head: list[bytes], label: str
) -> None:
    with FakeRedisAI() as server:
        result = against(server, tensor_file, use_dag=True, **settings)
    assert (result.successes, result.failed) == (7, 0)
    assert server.counts[command] == 7
    words = [re.sub(rb"\{\w+-w", b"{ID-w", word) for word in server.last[command]]
    assert words[1 : 1 + len(head)] == head
    assert b"<blob>" in server.last[command]
    assert f"mobilenet_v1_100_224 :{label}" in result.setup.query_label


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (array(OK, b"-convolution input must be 4-dimensional\r\n", b"+NA\r\n"), "error_reply"),
        (array(OK, b"+TIMEDOUT\r\n", b"+NA\r\n"), "server_timeout"),
        (array(OK, OK, b"+NA\r\n"), "not_run"),
        (array(OK, OK, bulk(bytes(40))), "wrong_size"),
        (array(OK, OK, array(OUTPUT)), "wrong_reply"),
        (array(OK, OK), "wrong_reply"),
        (array(OK, OK, OUTPUT, OK), "wrong_reply"),
        (b"+TIMEDOUT\r\n", "server_timeout"),
        (b"-ERR model key is empty\r\n", "error_reply"),
        (OK, "wrong_reply"),
        (b"*-1\r\n", "wrong_reply"),
    ],
)
def test_a_dag_is_judged_element_by_element(tensor_file: Path, reply: bytes, kind: str) -> None:
    whole = array(OK, OK, OUTPUT)
    with FakeRedisAI(AI_DAGRUN=lambda _, n: reply if n in (2, 4) else whole) as server:
        result = against(server, tensor_file, use_dag=True)
    assert {k: f.count for k, f in result.failures.items()} == {kind: 2}
    assert (result.successes, result.latencies.count) == (5, 5)


def test_the_newest_dialect_is_asked_for_once(tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        result = against(server, tensor_file, dialect=None, workers=3)
    assert result.setup.query_label.endswith(":AI.MODELEXECUTE")
    assert server.counts["AI.MODELEXECUTE"] == 8
    assert server.counts["AI.MODELRUN"] == 0
    assert server.counts["COMMAND"] == 2  # the dialect, and the commands of the request


def test_the_older_dialect_is_fallen_back_to(tensor_file: Path) -> None:
    def older(arguments: Sequence[bytes], _: int) -> bytes:
        known = (b"*-1\r\n" if b"EXECUTE" in name else array(OK) for name in arguments[2:])
        return array(*known)

    with FakeRedisAI(COMMAND=older) as server:
        assert against(server, tensor_file, dialect=None).setup.query_label.endswith(":AI.MODELRUN")
        told = r"not know AI\.MODELEXECUTE: `dialect` modelexecute takes RedisAI 1\.2\.3 or newer"
        with pytest.raises(ServerError, match=told):
            against(server, tensor_file, dialect=Dialect.MODELEXECUTE)


@pytest.mark.parametrize("use_dag", [False, True])
def test_timeout_of_a_redisai_that_is_too_old(tensor_file: Path, use_dag: bool) -> None:
    def version(number: int) -> Behaviour:
        return lambda *_: array(
            array(bulk(b"name"), bulk(b"ai"), bulk(b"ver"), b":%d\r\n" % number)
        )

    with FakeRedisAI(MODULE=version(10002)) as server:
        told = "`timeout_ms` 9 takes RedisAI 1.2.1 or newer, and the server at .* has 1.0.2"
        with pytest.raises(ServerError, match=told):
            against(server, tensor_file, timeout_ms=9, use_dag=use_dag)
        assert not server.counts["AI.MODELRUN"] + server.counts["AI.DAGRUN"]
        server.behave("MODULE", version(10201))
        assert against(server, tensor_file, timeout_ms=9, use_dag=use_dag).successes


def test_timeout_stands_where_each_dialect_has_it(tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        against(server, tensor_file, timeout_ms=9)
        against(server, tensor_file, timeout_ms=9, dialect=Dialect.MODELEXECUTE)
    assert server.last["AI.MODELRUN"][2:4] == [b"TIMEOUT", b"9"]
    assert server.last["AI.MODELEXECUTE"][-2:] == [b"TIMEOUT", b"9"]


def test_results_to_keep_are_not_deleted(tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        against(server, tensor_file, workers=2)
        kinds = [key.partition(b":")[0] for key in server.last["DEL"][1:]]
        assert kinds == [b"imageTensor", b"classificationTensor"] * 2
        against(server, tensor_file, workers=2, persist_results=True)
        assert [key.partition(b":")[0] for key in server.last["DEL"][1:]] == [b"imageTensor"] * 2


class GuardedRedisAI(FakeRedisAI):
    """Wants AUTH once a connection; knows the connections by nothing but their number of AUTHs."""

    def __init__(self, *words: bytes) -> None:
        super().__init__(
            AUTH=lambda arguments, _: (
                OK if tuple(arguments[1:]) == words else b"-WRONGPASS invalid password\r\n"
            )
        )


@pytest.mark.parametrize(
    ("user", "words"), [(None, (b"secret",)), ("bench", (b"bench", b"secret"))]
)
def test_every_connection_logs_in(
    tensor_file: Path, user: str | None, words: tuple[bytes, ...]
) -> None:
    with GuardedRedisAI(*words) as server:
        address = ServerAddress("127.0.0.1", server.port, user=user, password="secret")
        result = against(server, tensor_file, address=address, workers=3)
        assert result.successes == 7
        # The visit before, statistics, three workers, the visit after.
        assert server.counts["AUTH"] == 6
        assert "secret" not in repr(address) + repr(result.to_json())


def test_a_worker_that_connects_again_logs_in_again(tensor_file: Path) -> None:
    with GuardedRedisAI(b"secret") as server:
        server.behave("AI.MODELRUN", lambda _, number: None if number == 3 else OK)
        address = ServerAddress("127.0.0.1", server.port, password="secret")
        result = against(server, tensor_file, address=address)
        assert result.failures["connection_lost"].count == 1
        assert (result.successes, server.counts["AUTH"]) == (6, 5)


def test_a_log_in_refused_to_a_worker_starts_nothing(tensor_file: Path) -> None:
    with GuardedRedisAI(b"secret") as server:
        server.behave("AUTH", lambda _, n: OK if n < 2 else b"-ERR max number of clients\r\n")
        address = ServerAddress("127.0.0.1", server.port, password="secret")
        with pytest.raises(ServerError, match="max number of clients"):
            against(server, tensor_file, address=address, workers=2)
        assert server.counts["AI.TENSORSET"] == 1  # the trial's


def test_the_password_comes_from_the_environment_or_a_file(
    cli: Cli, tensor_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("secret\n")
    with GuardedRedisAI(b"secret") as server:
        arguments = ("run", "--file", tensor_file, "--port", server.port, "--quiet")
        assert cli(*arguments, "--password-file", tmp_path / "password").returncode == 0
        monkeypatch.setenv("AIBENCH_PASSWORD", "secret")
        assert cli(*arguments).returncode == 0
        monkeypatch.setenv("AIBENCH_PASSWORD", "wrong")
        refused = cli(*arguments, code=3)
    assert "invalid password" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_user_without_a_password_is_one_line(cli: Cli, tensor_file: Path) -> None:
    done = cli("run", "--file", tensor_file, "--user", "bench", code=2, errors=1)
    assert "AIBENCH_PASSWORD" in done.stderr


def outputs(*firsts: float) -> bytes:
    """Outputs of 1001 values, which differ in the first one."""
    return b"".join(struct.pack("<1001f", first, *[0.0] * 1000) for first in firsts)


def test_outputs_are_compared_with_their_references(tensor_file: Path, tmp_path: Path) -> None:
    references = tmp_path / "references.out"
    # The server answers zeros; tensors 2 and 5 ought to have given something else.
    references.write_bytes(outputs(0, 5e-5, 0.5, 0, 0, float("nan"), 0))
    with FakeRedisAI() as server:
        result = against(server, tensor_file, reference_file=references, max_queries=14)
    assert result.failures.keys() == {"wrong_output"}
    assert result.failures["wrong_output"].count == 4
    message = result.failures["wrong_output"].first_message
    assert message == "tensor 2, value 0: 0, the reference has 0.5"
    assert (result.successes, result.latencies.count) == (10, 10)


def test_batches_are_compared_row_by_row(tensor_file: Path, tmp_path: Path) -> None:
    references = tmp_path / "references.out"
    references.write_bytes(outputs(0, 0, 0, 0, 0, 0, 0.5))
    whole = bulk(bytes(3 * OUTPUT_BYTES))

    def get(arguments: Sequence[bytes], _: int) -> bytes:
        if b"META" not in arguments:
            return whole
        shape = array(b":3\r\n", b":1001\r\n")
        return array(bulk(b"dtype"), bulk(b"FLOAT"), bulk(b"shape"), shape, bulk(b"blob"), whole)

    with FakeRedisAI(AI_TENSORGET=get) as server:
        result = against(
            server, tensor_file, reference_file=references, max_queries=12, batch_size=3
        )
    assert result.failures["wrong_output"].count == 1  # of 0-2, 3-5, 6-8 (6 0 1), 9-11
    assert "tensor 6" in result.failures["wrong_output"].first_message


def test_references_for_another_file_are_refused(tensor_file: Path, tmp_path: Path) -> None:
    references = tmp_path / "references.out"
    references.write_bytes(outputs(0, 0))
    with (
        FakeRedisAI() as server,
        pytest.raises(ConfigError, match="2 reference outputs for 7 tensors"),
    ):
        against(server, tensor_file, reference_file=references)
    with pytest.raises(ConfigError, match=r"none\.out"), FakeRedisAI() as server:
        against(server, tensor_file, reference_file=tmp_path / "none.out")


def test_a_file_that_is_no_whole_number_of_outputs_is_refused(
    tensor_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "cut.out").write_bytes(os.urandom(5000))
    with FakeRedisAI() as server, pytest.raises(ConfigError, match=r"cut\.out"):
        against(server, tensor_file, reference_file=tmp_path / "cut.out")


@pytest.mark.parametrize(("dtype", "output_bytes"), [("FLOAT", 0), ("INT64", 8), ("FLOAT", 4)])
def test_outputs_that_cannot_be_compared_are_refused(
    tensor_file: Path, tmp_path: Path, dtype: str, output_bytes: int
) -> None:
    (tmp_path / "references.out").write_bytes(outputs(0) * 7)

    def get(arguments: Sequence[bytes], _: int) -> bytes:
        blob = bulk(bytes(output_bytes))
        name, shape = bulk(dtype.encode()), array(b":1\r\n")
        return array(bulk(b"dtype"), name, bulk(b"shape"), shape, bulk(b"blob"), blob)

    with (
        FakeRedisAI(AI_TENSORGET=get) as server,
        pytest.raises(ConfigError, match=f"{output_bytes} bytes of {dtype} to 8 images"),
    ):
        against(server, tensor_file, reference_file=tmp_path / "references.out", batch_size=8)


def test_runs_at_the_same_time_do_not_share_keys(tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        against(server, tensor_file)
        first = server.last["DEL"]
        against(server, tensor_file)
        assert not set(first[1:]) & set(server.last["DEL"][1:])


def test_a_refused_trial_leaves_no_key(tensor_file: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=lambda *_: b"-ERR no\r\n") as server:
        with pytest.raises(ServerError):
            against(server, tensor_file)
        assert server.last["AI.TENSORSET"][1] in server.last["DEL"]
