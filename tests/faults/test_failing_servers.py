"""Servers that fail in a run: each failure is counted by its kind or ends the run in one line."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Awaitable
from pathlib import Path

import pytest
from commandline import Cli
from fake_grpc import Asked as Call
from fake_grpc import FakeGrpc
from fake_grpc import well as answer_well
from fake_inference import Asked, FakeInference, binary_reply, reply
from fake_redisai import OK, OUTPUT_BYTES, Behaviour, FakeRedisAI, array, bulk
from faultproxy import REPLIES, REQUESTS, Fault, FaultProxy
from faults.runs import NULL, conserved, redisai
from http2frames import Code, goaway, rst_stream
from redisclient import connect, load_into

from aibench_fast import Result, ServerAddress, ServerError
from aibench_fast.protocols import settings
from aibench_fast.server import EmbeddedServer

# Connection 0 is the visit's, whose trial is the first inference there is.
DOWN = Fault("down", connection=1, direction=REPLIES, at_bytes=5000, amount=400)
REFUSALS = [
    b"-LOADING Redis is loading the dataset in memory",
    b"-BUSY Redis is busy running a script",
    b"-OOM command not allowed when used memory > 'maxmemory'.",
    b"-NOAUTH Authentication required.",
    b"-NOPERM this user has no permissions to run the 'ai.modelrun' command",
    b"-MOVED 3999 127.0.0.1:6381",
    b"-READONLY You can't write against a read only replica.",
]


def from_number(first: int, answer: bytes | None) -> Behaviour:
    """Answer OK before that request, which the trial is number 0 of, and then this."""
    return lambda _, number: OK if number < first else answer


def rates(result: Result, from_s: float, to_s: float) -> float:
    """Requests that ended a second between two times from the start, by whole periods."""
    inside = [
        one for one in result.intervals
        if from_s * 1000 <= one.unix_ms - result.start_unix_ms <= to_s * 1000
    ]  # fmt: skip
    seconds = (inside[-1].unix_ms - inside[0].unix_ms) / 1000
    return (inside[-1].requests - inside[0].requests) / seconds


def test_a_server_killed_and_back_is_one_outage(tmp_path: Path) -> None:
    """By the schedule 100 requests a second are due, however fast the machine is."""
    down: list[float] = []
    with EmbeddedServer(data_dir=tmp_path, password=None) as server:
        load_into(server.address, NULL)
        connect(server.address).save()
        again = EmbeddedServer(port=server.port, data_dir=tmp_path, password=None)

        def kill_and_start() -> None:
            os.kill(server.pid, signal.SIGKILL)
            down.append(time.monotonic())
            server.wait()
            time.sleep(down[0] + 0.7 - time.monotonic())
            again.start()
            down.append(time.monotonic())

        killer = threading.Timer(1.0, kill_and_start)
        try:
            result = conserved(
                killer.start, address=server.address, model="null", limit_rps=100.0, workers=3,
                duration_s=5.0, reporting_period_s=0.25,
            )  # fmt: skip
        finally:
            killer.join()
            again.stop()
    (outage,) = result.connections.outages
    assert outage.is_over
    assert abs(outage.seconds - (down[1] - down[0])) < 0.3
    assert abs(outage.seconds - 1) < 1  # it takes as long to start as the machine takes
    assert not result.went_well
    assert {*result.failures} == {"connection_lost"}
    assert 1 <= result.failures["connection_lost"].count <= 3
    counts = result.counts.all_requests
    assert counts.sent + result.schedule.unsent == 500
    before, after = rates(result, 0, 1), rates(result, 3.5, 5)
    assert after == pytest.approx(before, rel=0.1)


def test_a_run_may_stop_at_a_lost_connection() -> None:
    with FakeRedisAI(AI_MODELRUN=from_number(5, None)) as server:
        result = conserved(**redisai(server), duration_s=60.0, on_disconnect="stop")
    assert result.failures["connection_lost"].count == 1
    assert (result.successes, result.connections.outage_count) == (4, 0)
    assert result.duration_s < 30


def test_an_idle_connection_that_is_half_closed_is_lost() -> None:
    """At once: that no reply will come is known before it is asked for."""
    dag_bytes = len(array(OK, OK, bulk(bytes(OUTPUT_BYTES))))
    closed = Fault("half_close", connection=0, direction=REPLIES, at_bytes=3 * dag_bytes)
    with FakeRedisAI() as server, FaultProxy(server.port, [closed]) as proxy:
        result = conserved(
            proxy.arm, address=ServerAddress("127.0.0.1", proxy.port), use_dag=True,
            limit_rps=20.0, duration_s=0.5, reply_timeout_s=60.0,
        )  # fmt: skip
    assert {kind: one.count for kind, one in result.failures.items()} == {"connection_lost": 1}
    assert result.successes + result.schedule.unsent == 9
    assert result.duration_s < 30


def test_a_run_over_http_may_stop_too() -> None:
    """There a request whose connection ends before its reply is sent again, on another."""
    down = Fault("down", connection=0, direction=REQUESTS, at_bytes=3000, amount=60_000)
    with FakeInference() as server, FaultProxy(server.port, [down]) as proxy:
        result = conserved(
            proxy.arm, url=f"http://127.0.0.1:{proxy.port}", model="m", duration_s=60.0,
            on_disconnect="stop",
        )  # fmt: skip
    assert {kind: one.count for kind, one in result.failures.items()} == {"connection_lost": 1}
    assert result.successes > 0
    assert result.duration_s < 20


def test_a_server_that_never_comes_back_ends_the_run() -> None:
    with FakeRedisAI() as server:
        server.leave_after("AI.MODELRUN", 5)
        result = conserved(**redisai(server), workers=2, duration_s=60.0, reconnect_for_s=0.3)
    (outage,) = result.connections.outages
    assert not outage.is_over
    assert 0.3 <= outage.seconds < 30
    assert result.failures["connect"].count == 2
    assert "refused" in result.failures["connect"].first_message
    assert result.duration_s < 30


def test_a_frozen_server_shows_in_the_latency() -> None:
    """Of those due while it was frozen each waits for its end, and the next that many less."""
    frozen_s = 0.0
    with EmbeddedServer(password=None) as server:
        load_into(server.address, NULL)

        def freeze() -> None:
            nonlocal frozen_s
            os.kill(server.pid, signal.SIGSTOP)
            began_s = time.monotonic()
            time.sleep(0.6)
            os.kill(server.pid, signal.SIGCONT)
            frozen_s = time.monotonic() - began_s

        freezer = threading.Timer(0.4, freeze)
        result = conserved(
            freezer.start, address=server.address, model="null", limit_rps=100.0, duration_s=2.0
        )
        freezer.join()
    assert result.failures == {}
    assert result.latencies.count + result.schedule.unsent == 200
    assert result.latencies.max_ms >= 550
    # 100 a second of 200 waited, for half of the time in the mean.
    mean_ms = 1000 * frozen_s**2 / 2 * 100 / 200
    assert result.latencies.mean_ms == pytest.approx(mean_ms, rel=0.3)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_is_counted_in_the_servers_words(refusal: bytes) -> None:
    with FakeRedisAI(AI_MODELRUN=from_number(4, refusal + b"\r\n")) as server:
        result = conserved(**redisai(server), max_queries=10)
    assert (result.successes, result.failures["error_reply"].count) == (3, 7)
    assert result.failures["error_reply"].first_message == refusal[1:].decode()


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("command", ["PING", "AI.TENSORSET"])
def test_a_refusal_before_the_run_is_one_line(refusal: bytes, command: str) -> None:
    refuse = {command.replace(".", "_"): lambda *_: refusal + b"\r\n"}
    with FakeRedisAI(**refuse) as server, pytest.raises(ServerError) as caught:  # type: ignore[arg-type]
        conserved(**redisai(server))
    told = refusal[1:].decode().rstrip(".")
    assert told in str(caught.value)
    # What Redis tells of a script that runs says itself what may be done.
    assert (f"{told}; " in str(caught.value)) == (not told.startswith("BUSY"))
    assert command in str(caught.value)
    assert "\n" not in str(caught.value)


def never(*_: object) -> Awaitable[bytes]:
    return asyncio.sleep(60, OK)


def test_a_server_that_is_stuck_before_the_run_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No longer than a request may take, or a model to be compiled."""
    monkeypatch.setattr(settings, "LEAST_PATIENCE_S", 0.3)
    with (
        FakeRedisAI(PING=never) as server,
        pytest.raises(ServerError, match=r"did not answer PING within 0\.3 s"),
    ):
        conserved(**redisai(server), reply_timeout_s=0.1)
    with (
        FakeInference(paths={"/v2": lambda _: never()}) as http,
        pytest.raises(ServerError, match=r"did not answer GET /v2 in time"),
    ):
        conserved(url=http.url, model="m", reply_timeout_s=0.1)


@pytest.mark.parametrize("protocol", ["resp", "http"])
def test_a_model_that_is_compiled_for_the_trial_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setattr(settings, "LEAST_PATIENCE_S", 0.3)
    if protocol == "resp":
        slow: Behaviour = lambda _, number: OK if number else asyncio.sleep(1.0, OK)  # noqa: E731
        with FakeRedisAI(AI_MODELRUN=slow) as server:
            result = conserved(**redisai(server), max_queries=3, reply_timeout_s=0.2)
    else:

        def answer(_: Asked, number: int) -> bytes:
            if number == 0:
                time.sleep(1.0)
            return binary_reply()

        with FakeInference(infer=answer) as http:
            result = conserved(url=http.url, model="m", max_queries=3, reply_timeout_s=0.2)
    assert result.successes == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("429 Too Many Requests", "too_many_requests"),
        ("500 Internal Server Error", "error_reply"),
        ("503 Service Unavailable", "unavailable"),
    ],
)
def test_http_refusals_are_kinds_of_their_own(status: str, kind: str) -> None:
    def refuse(asked: Asked, number: int) -> bytes:
        if number < 4:
            return binary_reply()
        return reply(b'{"error": "not now"}', "Retry-After: 120", status=status)

    with FakeInference(infer=refuse) as server:
        result = conserved(url=server.url, model="m", max_queries=10, shape=(), dtype="")
    assert (result.successes, result.failures[kind].count) == (3, 7)
    message = result.failures[kind].first_message
    assert message == f"HTTP {status[:3]}: not now (Retry-After: 120)"
    assert result.duration_s < 60  # it is not obeyed


def test_what_a_grpc_server_did_not_process_is_no_failure(cli: Cli, tmp_path: Path) -> None:
    """The summary says that it was sent again, and the exit code that all went well."""

    def leave(asked: Call, number: int) -> bytes:
        if number % 100 == 50:
            return rst_stream(asked.stream, Code.REFUSED_STREAM)
        end = goaway(asked.stream) if number == 120 else b""
        return end + answer_well(asked, number)

    with FakeGrpc(leave) as server:
        done = cli(
            "run", "--url", server.url, "--model", "m", "--max-queries", 300, "--pipeline", 2,
            "--quiet", "--json-out-file", "r.json", code=0,
        )  # fmt: skip
    saved = json.loads((tmp_path / "r.json").read_text())
    assert f"Resent: {saved['Resent']} requests that the server had not processed" in done.stdout
    assert "1 made after the server closed one" in done.stdout
    # Beside those refused, a stream that the client began before it had read the GOAWAY.
    assert 3 <= saved["Resent"] <= 4
    assert (saved["Reconnects"], saved["RemadeConnections"], saved["OutageCount"]) == (1, 0, 0)
    assert saved["AllRequests"]["Succeeded"] == 300


def test_a_refusal_at_every_reconnect_is_counted_until_there_is_room() -> None:
    """A full server accepts the connection and says that it is full: that is not an outage."""
    with EmbeddedServer(password=None) as server:
        load_into(server.address, NULL)
        client = connect(server.address)

        def fill() -> None:
            client.config_set("maxclients", 2)  # this one, and that of the statistics
            client.client_kill_filter(_type="normal", skipme=True)
            time.sleep(0.5)
            client.config_set("maxclients", 100)

        filler = threading.Timer(0.5, fill)
        result = conserved(
            filler.start, address=server.address, model="null", workers=3, limit_rps=50.0,
            duration_s=2.0,
        )  # fmt: skip
        filler.join()
    assert result.failures["error_reply"].first_message == "ERR max number of clients reached"
    assert {*result.failures} <= {"error_reply", "connection_lost"}
    assert result.connections.outage_count == 0
    assert result.successes >= 50


def test_an_outage_is_in_the_summary_and_in_the_exit_code(cli: Cli, tmp_path: Path) -> None:
    """No request need have failed: this one waits until there is a connection again."""
    with FakeRedisAI() as server, FaultProxy(server.port, [DOWN]) as proxy:
        proxy.arm()
        done = cli(
            "run", "--shape", 4, "--port", proxy.port, "--max-queries", 100, "--quiet",
            "--json-out-file", "r.json", code=1,
        )  # fmt: skip
    assert "Outage: the server could not be reached for 0." in done.stdout
    saved = json.loads((tmp_path / "r.json").read_text())
    assert saved["OutageCount"] == 1
    assert saved["Outages"][0]["IsOver"]
    counts = saved["AllRequests"]
    assert counts["Sent"] == counts["Succeeded"] + counts["Failed"] + counts["Cancelled"] == 100
