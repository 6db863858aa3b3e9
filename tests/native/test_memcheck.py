"""The native core under valgrind's memcheck: nothing read that was not written, nothing lost."""

from collections.abc import Callable
from pathlib import Path

import grpcfaults
import pytest
import tokenfaults
from commandline import completed
from fake_grpc import FakeGrpc
from fake_inference import Asked, FakeInference, binary_reply, json_reply
from fake_redisai import OK, FakeRedisAI
from token_server import token_server

from benchmarks.perf import programs
from vendored_sources import Sources

FOUND = 99


@pytest.fixture(scope="module")
def checked(
    libraries: Sources,
    tmp_path_factory: pytest.TempPathFactory,
    system_program: Callable[[str, str], Path],
) -> list[object]:
    """The driver's command line, up to its arguments."""
    valgrind = system_program("valgrind", "valgrind")
    program = tmp_path_factory.mktemp("driver") / "driver"
    programs.compile_driver(program, libraries)
    return [
        valgrind, "--quiet", "--leak-check=full",
        f"--error-exitcode={FOUND}", program,
    ]  # fmt: skip


def counts_of(command: list[object]) -> list[int]:
    """The counts of requests, successes and failures."""
    done = completed(*command, code=0, errors=0)
    return [int(number) for number in done.stdout.split()[:3]]


def check_run(checked: list[object], protocol: str, port: int, *how: int, most: int = 200) -> None:
    """Run with so many requests, of which some fail; `how` is the pipeline and the kinds."""
    words = [*checked, port, 4, 2, most, "-", 0, 0, *(how or (1, 1)), protocol]
    requests, successes, failures = counts_of(words)
    assert requests == most
    assert successes > 0
    assert failures > 0


def test_a_mix_over_resp_with_failures(checked: list[object]) -> None:
    def behave(_: object, number: int) -> bytes | None:
        return {0: None, 1: b"-ERR no\r\n", 2: b"garbage\r\n"}.get(number % 20, OK)

    with FakeRedisAI(AI_MODELRUN=behave) as server:
        check_run(checked, "resp", server.port, 3, 3)


def test_a_run_over_http_with_failures(checked: list[object]) -> None:
    def behave(_: Asked, number: int) -> bytes | None:
        replies = {0: None, 1: json_reply({"error": "no"}, "500 Oh"), 2: b"garbage\r\n"}
        return replies.get(number % 20, binary_reply())

    with FakeInference(infer=behave) as server:
        check_run(checked, "http", server.port)


@pytest.mark.parametrize("streams", [1, 4])
def test_a_run_over_grpc_with_failures(checked: list[object], streams: int) -> None:
    with FakeGrpc(grpcfaults.behave) as server:
        check_run(checked, "grpc", server.port, streams, 1)


def test_tensors_survive_as_json(checked: list[object]) -> None:
    assert counts_of(checked) == []


def test_streams_of_tokens_with_failures(checked: list[object]) -> None:
    with token_server(tokenfaults.behave) as server:
        check_run(checked, "tokens", server.port, most=100)
