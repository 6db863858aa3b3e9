"""A server may answer a question with anything: that is a result, or one line in its own words."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ci import examples
from commandline import Cli
from fake_redisai import FakeRedisAI, array, bulk
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aibench_fast import Result, RunConfig, ServerError, run

SHOWN = settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

_lines = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(str.encode)
_leaves = st.one_of(
    _lines.map(lambda text: b"+%b\r\n" % text),
    _lines.map(lambda text: b"-ERR %b\r\n" % text),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: b":%d\r\n" % number),
    st.binary(max_size=20).map(bulk),
    st.lists(st.tuples(_lines, _lines), max_size=4).map(
        lambda pairs: bulk(b"\r\n".join(b"%b:%b" % pair for pair in pairs))
    ),
    st.sampled_from([b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"_\r\n", b"#t\r\n", b",1.5\r\n"]),
)


def _map(pairs: list[bytes]) -> bytes:
    return b"%%%d\r\n%b" % (len(pairs) // 2, b"".join(pairs[: len(pairs) // 2 * 2]))


_replies = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=4).map(lambda items: array(*items)),
    max_leaves=8,
)
_garbage = st.one_of(
    st.binary(max_size=40),
    st.just(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    st.lists(_replies, max_size=4).map(_map),  # of RESP3, which nobody asked for
)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeRedisAI]:
    with FakeRedisAI() as running:
        yield running


def answered(
    server: FakeRedisAI,
    tensor_file: Path,
    name: str,
    reply: bytes,
    when: Callable[[list[bytes]], bool] = lambda _: True,
    *,
    then_close: bool = False,
) -> Result | ServerError:
    """A run of three requests where one question is answered with this."""
    usual = server.behaviour(name)

    def behave(words: list[bytes], number: int) -> object:
        return reply if when(words) else usual(words, number)

    server.behave(name, behave)  # type: ignore[arg-type]
    if then_close:  # or a reply that is never whole is waited for
        server.close_after = name
    try:
        address = server.address
        return run(RunConfig(file=tensor_file, address=address, max_queries=3))
    except ServerError as error:
        return error
    finally:
        server.behave(name, usual)
        server.close_after = None


@pytest.mark.parametrize("name", ["MODULE", "CONFIG", "INFO", "AI.INFO"])
@SHOWN
@given(reply=_replies)
@example(reply=array(b":1\r\n"))
@example(reply=array(array(b":1\r\n", b":2\r\n")))
@example(reply=b":7\r\n")
@example(reply=bulk(b"used_memory:N/A\r\nused_cpu_user:nan\r\ncmdstat_ai.x:calls=,usec=9e999"))
def test_an_optional_question_answered_by_anything(
    server: FakeRedisAI, tensor_file: Path, name: str, reply: bytes
) -> None:
    result = answered(server, tensor_file, name, reply)
    assert isinstance(result, Result)
    assert result.successes == 3
    json.dumps(result.to_json(), allow_nan=False)


@SHOWN
@given(reply=_replies)
def test_which_commands_there_are_answered_by_anything(
    server: FakeRedisAI, tensor_file: Path, reply: bytes
) -> None:
    result = answered(server, tensor_file, "COMMAND", reply)
    # A list of as many entries may say that a command is not known.
    assert isinstance(result, Result) or "does not know AI." in str(result)


@pytest.mark.parametrize("name", ["PING", "AI.MODELGET", "AI.TENSORSET", "AI.TENSORGET"])
@SHOWN
@given(reply=_replies)
def test_a_needed_question_answered_by_anything(
    server: FakeRedisAI, tensor_file: Path, name: str, reply: bytes
) -> None:
    trial = {"AI.TENSORGET": lambda words: b"META" in words}.get(name, lambda _: True)
    found = answered(server, tensor_file, name, reply, trial)
    if isinstance(found, ServerError):
        assert name in str(found)
        assert "\n" not in str(found)


@pytest.mark.parametrize("name", ["PING", "MODULE", "COMMAND", "CONFIG", "INFO", "AI.MODELGET"])
@SHOWN
@given(reply=_garbage)
def test_what_is_no_reply_names_the_question(
    server: FakeRedisAI, tensor_file: Path, name: str, reply: bytes
) -> None:
    found = answered(server, tensor_file, name, reply, then_close=True)
    if isinstance(found, ServerError):
        ended = "closed the connection at" in str(found) or "was lost at" in str(found)
        assert name in str(found) or ended
        assert "\n" not in str(found)


def test_a_server_that_ends_at_the_trial_request(cli: Cli, tensor_file: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=lambda *_: None) as server:
        done = cli("run", "--file", tensor_file, "--port", server.port, "--model", "m")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "closed the connection at AI.MODELRUN" in done.stderr
    assert "trial request of 1 x 224 x 224 x 3 FLOAT to the model m" in done.stderr
    assert "may have ended" in done.stderr


def test_errors_of_the_network_are_in_our_words(
    cli: Cli, tensor_file: Path, closed_port: int, tmp_path: Path
) -> None:
    refused = cli("run", "--file", tensor_file, "--port", closed_port)
    assert f"no server answers at localhost:{closed_port}: connection refused;" in refused.stderr
    no_host = cli("run", "--file", tensor_file, "--host", "no-such-host.invalid")
    assert "there is no host no-such-host.invalid" in no_host.stderr
    no_socket = cli("run", "--file", tensor_file, "--socket", tmp_path / "none")
    assert "none: no such file or directory;" in no_socket.stderr
    for done in (refused, no_host, no_socket):
        assert (done.returncode, done.stderr.count("\n")) == (3, 1)
        assert "Error" not in done.stderr


def test_a_model_without_run_info_is_named_with_the_option(cli: Cli) -> None:
    with FakeRedisAI() as server:
        done = cli("stats", "--port", server.port, "--model", "nosuch", code=3, errors=1)
    assert "nosuch" in done.stderr
    assert "--model" in done.stderr
