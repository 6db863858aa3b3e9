"""The native core under the address, undefined-behaviour and thread sanitizers."""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import grpcfaults
import pytest
import tokenfaults
from certificates import Authority, Certificate, has_openssl
from ci import examples
from commandline import completed
from fake_grpc import FakeGrpc, answer
from fake_inference import Asked, FakeInference, binary_reply, json_reply, output
from fake_redisai import OK, FakeRedisAI
from token_server import TokenServer, token_server

from benchmarks.perf import programs
from vendored_sources import Sources

TSAN_SUPPRESSIONS = Path(__file__).with_name("tsan.supp")


PROTOCOLS = {
    FakeRedisAI: "resp", FakeInference: "http", FakeGrpc: "grpc", int: "stream",
    TokenServer: "tokens",
}  # fmt: skip


@pytest.fixture(scope="session", params=["address,undefined", "thread"])
def driver(request: pytest.FixtureRequest, libraries: Sources, tmp_path_factory: object) -> Path:
    """The load generator as a program of its own, built with a sanitizer."""
    assert isinstance(tmp_path_factory, pytest.TempPathFactory)
    program = tmp_path_factory.mktemp("driver") / "driver"
    return programs.compile_driver(
        program, libraries, tls=has_openssl(), **programs.sanitized(request.param)
    )


@pytest.fixture
def small_tensors(tmp_path: Path) -> Path:
    path = tmp_path / "small.out"
    path.write_bytes(os.urandom(16 * 100))
    return path


def drive(
    driver: Path,
    server: FakeRedisAI | FakeInference | FakeGrpc | TokenServer | int,
    *arguments: object,
    requests_per_s: int = 0,
    pipeline: int = 1,
    kinds: int = 1,
    ca_file: Path | None = None,
) -> list[int]:
    port = server if isinstance(server, int) else server.port  # of streams of inferences
    protocol = PROTOCOLS[type(server)]
    trusted = () if ca_file is None else (ca_file,)
    words = (port, *arguments, requests_per_s, pipeline, kinds, protocol, *trusted)
    done = completed(
        driver, *words, code=0, errors=0,
        env={**os.environ, "TSAN_OPTIONS": f"suppressions={TSAN_SUPPRESSIONS}"},
    )  # fmt: skip
    return [int(number) for number in done.stdout.split()]


def check(counts: Sequence[int], most: int, *, failures: int, successes: int) -> None:
    """All requests were made, and at least so many ended in each way."""
    assert counts[0] == most
    assert counts[1] > successes
    assert counts[2] >= failures


def test_a_run_of_many_workers_on_two_threads(driver: Path, small_tensors: Path) -> None:
    # Long enough for samples to be taken on a busy machine too.
    with FakeRedisAI(AI_MODELRUN=lambda *_: asyncio.sleep(0.002, OK)) as server:
        counts = drive(driver, server, 9, 2, 1000, small_tensors, 0)
    requests, successes, failures, abandoned, latencies, sampled, service, late, *_ = counts
    assert (requests, successes, failures, abandoned, latencies) == (1000, 991, 0, 0, 991)
    assert sampled > 0
    assert (service, late) == (0, 0)


def test_a_run_of_many_requests_on_each_connection(driver: Path, small_tensors: Path) -> None:
    with FakeRedisAI() as server:
        counts = drive(driver, server, 5, 2, 1000, small_tensors, 0, pipeline=7)
    requests, successes, failures, abandoned, latencies, *_ = counts
    assert (requests, successes, failures, abandoned, latencies) == (1000, 995, 0, 0, 995)


def test_a_run_of_generated_tensors(driver: Path) -> None:
    with FakeRedisAI() as server:
        requests, successes, failures, *_ = drive(driver, server, 3, 2, 300, "-", 0)
        sent = server.blobs
    assert (requests, successes, failures) == (300, 297, 0)
    assert len(set(sent)) == 100


@pytest.mark.parametrize("pipeline", [1, 5])
def test_failures_of_every_kind(driver: Path, small_tensors: Path, pipeline: int) -> None:
    def behave(_: object, number: int) -> bytes | None:
        replies = {0: None, 1: b"-ERR no\r\n", 2: b"garbage\r\n", 3: b"*2\r\n+OK\r\n*1\r\n:1\r\n"}
        return replies.get(number % 20, OK)

    with FakeRedisAI(AI_MODELRUN=behave) as server:
        counts = drive(driver, server, 7, 2, 500, small_tensors, 0, pipeline=pipeline)
    check(counts, 500, failures=80, successes=200)


@pytest.mark.parametrize("pipeline", [1, 5])
def test_a_run_that_is_stopped(driver: Path, small_tensors: Path, pipeline: int) -> None:
    def silent(_: object, number: int) -> bytes:
        return b"" if number % 5 == 0 else OK  # and the client's own time-out ends those

    with FakeRedisAI(AI_MODELRUN=silent) as server:
        counts = drive(driver, server, 8, 2, 10**9, small_tensors, 900, pipeline=pipeline)
    requests, successes, failures, _, latencies, *_ = counts
    assert successes == latencies
    assert requests >= successes + failures
    assert failures > 0


def test_a_run_by_a_schedule(driver: Path, small_tensors: Path) -> None:
    with FakeRedisAI() as server:
        counts = drive(driver, server, 9, 2, 200, small_tensors, 0, requests_per_s=400)
    requests, successes, failures, abandoned, latencies, _, service, late, *_ = counts
    assert (requests, successes, failures, abandoned) == (200, 191, 0, 0)
    assert latencies == service == 191
    assert late <= 191


def test_failures_and_late_starts_under_a_schedule(driver: Path, small_tensors: Path) -> None:
    def behave(_: object, number: int) -> bytes | None:
        return {0: None, 1: b"-ERR no\r\n"}.get(number % 20, OK)

    with FakeRedisAI(AI_MODELRUN=behave) as server:
        counts = drive(driver, server, 2, 2, 400, small_tensors, 0, requests_per_s=1_000_000)
    requests, successes, failures, _, latencies, _, service, late, *_ = counts
    assert requests == 400
    assert latencies == service == successes
    assert failures >= 40
    assert late > 300  # two workers cannot do a million a second


def test_a_run_by_a_schedule_that_is_stopped(driver: Path, small_tensors: Path) -> None:
    with FakeRedisAI() as server:
        # Between two requests, which are due every 50 ms.
        counts = drive(driver, server, 4, 2, 10**9, small_tensors, 325, requests_per_s=20)
    requests, successes, failures, abandoned, *_ = counts
    # Workers that wait for their request to be due have none under way; one may still be slow.
    assert failures == 0
    assert abandoned <= 1
    assert 0 < requests < 20
    assert successes <= requests


def test_a_mix_of_kinds(driver: Path, small_tensors: Path) -> None:
    def behave(_: object, number: int) -> bytes | None:
        return {0: None, 1: b"-ERR no\r\n"}.get(number % 20, OK)

    with FakeRedisAI(AI_MODELRUN=behave) as server:
        counts = drive(driver, server, 6, 2, 600, small_tensors, 0, pipeline=3, kinds=5)
    requests, successes, failures, *_, in_parts = counts
    assert requests == 600
    assert failures >= 60
    # The burn-in, one request a worker, is in no part; some of it may have failed.
    assert in_parts == 600 - 6
    assert successes + failures >= in_parts


def test_a_profile_that_sheds_what_is_late(driver: Path, small_tensors: Path) -> None:
    def behave(_: object, number: int) -> bytes:
        if number % 25 == 24:
            time.sleep(0.3)
        return OK

    with FakeRedisAI(AI_MODELRUN=behave) as server:
        counts = drive(driver, server, 2, 2, 10**9, small_tensors, 0, requests_per_s=-600)
    requests, successes, failures, abandoned, latencies, _, service, _, shed, in_steps = counts
    assert (failures, abandoned) == (0, 0)
    assert shed > 0
    # The ramp alone is a step; what comes before it is its burn-in.
    assert latencies == service == successes == in_steps
    assert 0 < in_steps < requests


def test_a_run_over_http(driver: Path, small_tensors: Path) -> None:
    def behave(_: Asked, number: int) -> bytes | None:
        replies = {
            0: None,
            1: json_reply({"error": "no"}, "500 Oh"),
            2: b"garbage\r\n",
            3: binary_reply(told=output((7, 143))),
            4: binary_reply(model_name="another"),
            5: b"HTTP/1.1 100 Continue\r\n\r\n" + binary_reply(),
        }
        return replies.get(number % 20, binary_reply())

    with FakeInference(infer=behave) as server:
        counts = drive(driver, server, 7, 2, 500, small_tensors, 0)
    check(counts, 500, failures=60, successes=300)


@pytest.mark.parametrize("streams", [1, 5])
def test_a_run_over_grpc(driver: Path, small_tensors: Path, streams: int) -> None:
    requests = examples(500)
    with FakeGrpc(grpcfaults.behave) as server:
        counts = drive(driver, server, 7, 2, requests, small_tensors, 0, pipeline=streams)
    check(counts, requests, failures=requests // 10, successes=requests // 3)


def test_a_run_over_grpc_by_a_schedule_that_is_stopped(driver: Path, small_tensors: Path) -> None:
    async def late(asked: grpcfaults.Asked, number: int) -> bytes:
        await asyncio.sleep(0.6 if number % 5 == 0 else 0)  # beyond the client's own time-out
        return answer(asked.stream, grpcfaults.WELL)

    with FakeGrpc(late) as server:
        counts = drive(driver, server, 4, 2, 10**9, small_tensors, 1500, requests_per_s=20)
    requests, successes, failures, abandoned, *_ = counts
    assert 0 < failures < requests
    assert successes > 0
    assert abandoned <= 4


@pytest.mark.parametrize("outstanding", [1, 5])
def test_a_run_of_streams_of_inferences(
    driver: Path, small_tensors: Path, outstanding: int
) -> None:
    requests = examples(300)
    with grpcfaults.streaming() as port:
        counts = drive(driver, port, 7, 2, requests, small_tensors, 0, pipeline=outstanding)
    check(counts, requests, failures=requests // 10, successes=requests // 3)


@pytest.mark.parametrize("requests_per_s", [0, 400])
def test_a_run_of_streams_of_tokens(driver: Path, small_tensors: Path, requests_per_s: int) -> None:
    with token_server(tokenfaults.behave) as server:
        counts = drive(driver, server, 7, 2, 300, small_tensors, 0, requests_per_s=requests_per_s)
    check(counts, 300, failures=60, successes=150)


def test_tensors_survive_as_json(driver: Path) -> None:
    programs.output_of([driver])


@pytest.mark.parametrize("pipeline", [1, 5])
def test_tls_with_connections_that_are_cut(
    driver: Path,
    small_tensors: Path,
    pipeline: int,
    authority: Authority,
    certificate: Certificate,
) -> None:
    def behave(_: object, number: int) -> bytes | None:
        return {0: None, 1: b"garbage\r\n"}.get(number % 40, OK)

    server = FakeRedisAI(AI_MODELRUN=behave)
    server.tls = certificate.for_server
    with server:
        counts = drive(
            driver, server, 7, 2, 500, small_tensors, 0, pipeline=pipeline, ca_file=authority.file
        )
    check(counts, 500, failures=20, successes=200)
