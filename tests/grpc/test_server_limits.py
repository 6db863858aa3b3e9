"""Limits of grpcio's own server: the age of a connection, streams, calls, messages."""

from functools import partial

import grpc
import pytest
import smallruns
from commandline import Cli
from service import MODEL, serving

against = partial(smallruns.against, model=MODEL, max_queries=200, workers=2)


@pytest.mark.parametrize("pipeline", [1, 4])
def test_a_connection_that_reached_its_age_is_a_reconnect(pipeline: int) -> None:
    """The server sends two GOAWAYs, and answers what is under way."""
    age = [("grpc.max_connection_age_ms", 200), ("grpc.max_connection_age_grace_ms", 60_000)]
    with serving(options=age) as port:
        result = against(port, pipeline=pipeline, max_queries=0, duration_s=1.5)
    assert result.failures == {}
    assert result.successes == result.counts.all_requests.sent
    assert result.connections.reconnects >= 4
    assert result.connections.outages == []


def test_more_streams_than_the_server_allows_are_refused_before_the_clock(cli: Cli) -> None:
    with serving(options=[("grpc.max_concurrent_streams", 4)]) as port:
        done = cli(
            "run", "--url", f"grpc://127.0.0.1:{port}", "--model", MODEL, "--pipeline", 5,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
        assert "the server allows 4 concurrent streams on a connection" in done.stderr
        # Fewer than allowed: it counts a stream that it has answered for a moment longer.
        assert against(port, pipeline=2).successes == 200


def test_calls_that_the_server_does_not_take_are_counted() -> None:
    with serving(maximum_concurrent_rpcs=1) as port:
        result = against(port, pipeline=8)
    (kind,) = result.failures
    assert kind == "resource_exhausted"
    assert "Concurrent RPC limit exceeded" in result.failures[kind].first_message
    assert result.successes > 0
    assert result.successes + result.failures[kind].count == 200


def test_a_server_that_compresses_all_the_same_is_one_line(cli: Cli) -> None:
    """The client does not say that it can read that; grpcio's server asks for no such word."""
    with serving(compression=grpc.Compression.Gzip) as port:
        done = cli("run", "--url", f"grpc://127.0.0.1:{port}", "--model", MODEL)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert "compressed, which was not requested (grpc-encoding: gzip)" in done.stderr


def test_a_reply_that_the_server_may_not_send_is_one_line(cli: Cli) -> None:
    with serving(options=[("grpc.max_send_message_length", 1000)]) as port:
        done = cli(
            "run", "--url", f"grpc://127.0.0.1:{port}", "--model", MODEL, "--batch-size", 100,
        )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert "answered RESOURCE_EXHAUSTED for the trial request" in done.stderr
