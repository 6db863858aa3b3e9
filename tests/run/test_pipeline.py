"""Several requests outstanding on a connection: in order, a latency each, every end counted."""

import asyncio
import re
import signal
import struct
import threading
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path

import pytest
from commandline import Cli
from fake_redisai import OK, Behaviour, FakeRedisAI, bulk
from redisclient import load_into
from smallruns import against

from aibench_fast import RunConfig
from aibench_fast.errors import ConfigError
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.server import EmbeddedServer

TENSOR_BYTES = 602_112
OUTPUT_BYTES = 4004


def at(numbers: Sequence[int], reply: bytes | None) -> Behaviour:
    """Answer some requests with `reply`, the others with OK; number 0 is the trial."""
    return lambda _, number: reply if number in numbers else OK


def test_a_request_waits_for_those_before_it_on_its_connection(tensor_file: Path) -> None:
    def behave(_: object, _number: int) -> Awaitable[bytes]:
        return asyncio.sleep(0.05, OK)

    with FakeRedisAI(AI_MODELRUN=behave) as server:
        result = against(server, tensor_file, pipeline=4, burn_in=4, max_queries=24)
    # The server takes 50 ms a request, one after another, and each waits for three before it.
    (p50,) = result.latencies.quantiles_ms([0.5])
    assert p50 >= 200
    # Little's law: latency times rate is what is outstanding, however slow the machine is.
    assert result.latencies.mean_ms / 1000 * result.requests_per_s == pytest.approx(4, rel=0.3)
    assert result.latencies.count == 20
    assert server.counts["AI.MODELRUN"] == 25


def test_each_reply_is_judged_as_its_own_requests(tensor_file: Path, tmp_path: Path) -> None:
    """Each output is of its own tensor; one reply too few or too many would shift them all."""

    def output_of(tensor: bytes) -> bytes:
        # Whole numbers: random bytes taken as floats could be NaN, which equals nothing.
        values = OUTPUT_BYTES // 4
        return struct.pack(f"<{values}f", *tensor[:values])

    data = tensor_file.read_bytes()
    tensors = [data[at : at + TENSOR_BYTES] for at in range(0, len(data), TENSOR_BYTES)]
    references = tmp_path / "references.out"
    references.write_bytes(b"".join(map(output_of, tensors)))

    with FakeRedisAI() as server:
        usual = server.behaviour("AI.TENSORGET")

        def tensor_get(arguments: Sequence[bytes], number: int) -> bytes:
            if number == 0:
                answer = usual(arguments, number)
                assert isinstance(answer, bytes)
                return answer
            return bulk(output_of(server.blobs[-1]))

        server.behave("AI.TENSORGET", tensor_get)
        result = against(server, tensor_file, pipeline=3, max_queries=50, reference_file=references)
    assert (result.successes, result.failures) == (50, {})


def test_a_refused_request_alone_fails(tensor_file: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=at((3, 7), b"-ERR no\r\n")) as server:
        result = against(server, tensor_file, pipeline=4, max_queries=20)
    assert {kind: failure.count for kind, failure in result.failures.items()} == {"error_reply": 2}
    assert result.successes == result.latencies.count == 18


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (None, "connection_lost", "closed|reset by peer"),
        (b"HTTP/1.1 400\r\n", "protocol", "Protocol error"),
    ],
)
def test_a_lost_connection_fails_all_that_were_outstanding(
    tensor_file: Path, reply: bytes | None, kind: str, words: str
) -> None:
    # Late, so that the client has taken the replies before it and sent as many requests again.
    late: Behaviour = lambda _, number: asyncio.sleep(0.3, reply) if number == 5 else OK  # noqa: E731
    with FakeRedisAI(AI_MODELRUN=late) as server:
        result = against(server, tensor_file, pipeline=4, max_queries=20)
    failed = {kind: failure.count for kind, failure in result.failures.items()}
    assert failed.pop(kind) + failed.pop("connection_lost", 0) == 4
    assert not failed
    assert re.search(words, result.failures[kind].first_message)
    assert (result.requests, result.successes, result.latencies.count) == (20, 16, 16)


def test_a_silent_server_times_all_out(tensor_file: Path) -> None:
    silent: Behaviour = lambda _, number: OK if number == 0 else asyncio.sleep(60, OK)  # noqa: E731
    with FakeRedisAI(AI_MODELRUN=silent) as server:
        result = against(server, tensor_file, pipeline=3, max_queries=3, reply_timeout_s=0.3)
    assert {kind: failure.count for kind, failure in result.failures.items()} == {
        "client_timeout": 1,
        "connection_lost": 2,
    }
    assert "an earlier request failed" in result.failures["connection_lost"].first_message


def test_requests_outstanding_at_the_end_are_abandoned(tensor_file: Path) -> None:
    silent: Behaviour = lambda _, number: OK if number < 3 else asyncio.sleep(60, OK)  # noqa: E731
    with FakeRedisAI(AI_MODELRUN=silent) as server:
        main = threading.main_thread()
        ended = threading.Event()

        def interrupt() -> None:
            while server.counts["AI.MODELRUN"] < 4:
                time.sleep(0.01)
            time.sleep(0.3)  # for the client to take the two replies
            assert main.ident is not None
            signal.pthread_kill(main.ident, signal.SIGINT)
            # Python forgets the exception of one that comes while it throws an object away.
            while not ended.wait(10):
                signal.pthread_kill(main.ident, signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        result = against(server, tensor_file, pipeline=5, max_queries=1000)
        ended.set()
        thread.join()
    assert result.interrupted
    assert (result.successes, result.counts.abandoned) == (2, 5)


def test_many_large_requests_on_few_connections(tensor_file: Path) -> None:
    """More than any socket holds, so that a request is sent in many parts behind another."""
    with EmbeddedServer(password=None) as server:
        load_into(server.address, ModelSpec(name="null", backend=Backend.NULL))
        result = against(server, tensor_file, model="null", workers=3, pipeline=50, max_queries=700)
    assert (result.successes, result.failures, result.setup.pipeline) == (700, {}, 50)
    assert result.client.least_worker_requests > 0
    assert result.client.least_worker_requests <= 700 / 3 <= result.client.most_worker_requests


def test_a_pipeline_under_a_rate_limit_is_refused(tensor_file: Path) -> None:
    with pytest.raises(ConfigError, match="`pipeline` 2 with `limit_rps`"):
        RunConfig(file=tensor_file, pipeline=2, limit_rps=10)


@pytest.mark.parametrize("words", [("--pipeline", "0"), ("--pipeline", "500001", "--workers", "2")])
def test_a_pipeline_out_of_range_is_one_line(
    cli: Cli, tensor_file: Path, words: tuple[str, ...]
) -> None:
    done = cli("run", "--file", tensor_file, *words, code=2)
    assert f"--pipeline {words[1]}: it has to be from 1 to" in done.stderr
    assert done.stderr.count("\n") == 1
