"""The requests due are those sent, shed and unsent, however a scheduled run comes to its end."""

import asyncio
import socket
import threading
import time
from pathlib import Path

import pytest
from fake_inference import Asked, FakeInference, binary_reply
from fake_redisai import OK, OUTPUT_BYTES, Behaviour, FakeRedisAI
from faultproxy import REQUESTS, Fault, FaultProxy
from faults.runs import conserved, redisai

from aibench_fast import Result, ServerAddress
from aibench_fast._core import LoadGenerator, Tensors
from aibench_fast.coretypes import Endpoint, Kind, RespPlan, Schedule, Segment
from aibench_fast.load.profile import parse_profile

RATE = 100
PROFILE = parse_profile(f"{RATE}/s for 60s")
NS_PER_S = 10**9
TEXTS = [b"*2\r\n$12\r\nAI.TENSORSET\r\n$16\r\n", b"\r\n*1\r\n$12\r\nAI.TENSORGET\r\n"]


def due(result: Result) -> float:
    """The number of requests due in the profile's one step, by how long it lasted."""
    (step,) = result.steps
    assert step.unsent == result.schedule.unsent
    assert step.seconds < 30
    return RATE * step.seconds


def test_all_workers_give_up_their_server() -> None:
    with FakeRedisAI() as server:
        server.leave_after("AI.MODELRUN", 20)
        result = conserved(**redisai(server), workers=2, profile=PROFILE, reconnect_for_s=0.5)
    assert result.failures["connect"].count == 2
    assert result.schedule.unsent > 20
    assert result.requests + result.schedule.unsent == pytest.approx(due(result), abs=2)


def test_a_run_over_http_stops_at_a_lost_connection() -> None:
    down = Fault("down", connection=0, direction=REQUESTS, at_bytes=6000, amount=60_000)

    def slow(_asked: Asked, _number: int) -> bytes:
        time.sleep(0.03)
        return binary_reply()

    with FakeInference(infer=slow) as server, FaultProxy(server.port, [down]) as proxy:
        result = conserved(
            proxy.arm, url=f"http://127.0.0.1:{proxy.port}", model="m", profile=PROFILE,
            on_disconnect="stop",
        )  # fmt: skip
    assert result.failures["connection_lost"].count == 1
    assert result.schedule.unsent > 5
    assert result.requests + result.schedule.unsent == pytest.approx(due(result), abs=2)


def test_a_stop_after_the_end_does_not_move_it() -> None:
    """The server is silent over the run's end, and the time-out ends the run long after it."""
    silent: Behaviour = lambda _, number: OK if number < 20 else asyncio.sleep(60, OK)  # noqa: E731
    with FakeRedisAI(AI_MODELRUN=silent) as server:
        result = conserved(
            **redisai(server), profile=PROFILE, duration_s=0.5, reply_timeout_s=1.0,
            continue_on_error=False,
        )  # fmt: skip
    assert result.failures["client_timeout"].count == 1
    assert result.duration_s > 1
    assert result.requests + result.schedule.unsent == RATE * 0.5


@pytest.mark.parametrize("on_lag", ["shed", "stop"])
def test_a_request_that_waited_for_its_connection_is_as_late_as_any(on_lag: str) -> None:
    down = Fault("down", connection=0, direction=REQUESTS, at_bytes=3000, amount=1000)
    with FakeRedisAI() as server, FaultProxy(server.port, [down]) as proxy:
        result = conserved(
            proxy.arm, address=ServerAddress("127.0.0.1", proxy.port), limit_rps=RATE,
            max_queries=200, max_lag_s=0.1, on_lag=on_lag, reconnect_for_s=60.0,
        )  # fmt: skip
    assert result.connections.outages[0].seconds > 0.75
    assert result.client.start_lags.max_ms < 750
    assert result.schedule.lag_exceeded == (on_lag == "stop")
    if on_lag == "shed":
        assert result.shed > 50
        assert result.requests + result.shed + result.schedule.unsent == 200


def test_what_is_given_up_in_the_measured_time_is_no_failure_of_the_burn_in(tmp_path: Path) -> None:
    recorded = tmp_path / "arrivals"
    recorded.write_text("0\n0.1\n0.5\n60\n")
    with FakeRedisAI() as server:
        server.leave_after("AI.MODELRUN", 1)  # the trial
        result = conserved(
            **redisai(server), workers=1, arrivals_file=recorded, burn_in=1, reconnect_for_s=1.0
        )
    assert {kind: one.count for kind, one in result.counts.burn_in_failures.items()} == {
        "connection_lost": 1
    }
    assert {kind: one.count for kind, one in result.failures.items()} == {"connect": 1}


class FullQueue:
    """A server on a unix socket that cuts all its connections and accepts no others."""

    def __init__(self, path: Path, connections: int) -> None:
        self.path = path
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(1)
        self._waiting: list[socket.socket] = []
        self._accepted: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, args=(connections,))
        self._thread.start()

    def _accept(self, connections: int) -> None:
        self._accepted = [self._listening.accept()[0] for _ in range(connections)]

    def cut(self) -> None:
        """Fill the queue, then end all connections."""
        self._thread.join(30)
        full = False
        while not full:
            self._waiting.append(socket.socket(socket.AF_UNIX))
            self._waiting[-1].setblocking(False)
            full = self._waiting[-1].connect_ex(str(self.path)) != 0
        for one in self._accepted:
            one.shutdown(socket.SHUT_RDWR)

    def accept_all(self) -> None:
        """Accept those in the queue, which the last did not come into, and one more."""
        for _ in self._waiting:
            self._accepted.append(self._listening.accept()[0])

    def close(self) -> None:
        for one in (self._listening, *self._waiting, *self._accepted):
            one.close()


def test_a_full_queue_of_one_server_does_not_hold_up_another(tmp_path: Path) -> None:
    workers, period_ns = 5, NS_PER_S // 20
    stuck = FullQueue(tmp_path / "s", workers)
    with FakeRedisAI() as server:
        generator = LoadGenerator(
            kinds=[
                Kind(
                    inputs=[Tensors.generate(4, 16, "FLOAT", 1)],
                    requests=[TEXTS] * (2 * workers),
                    plan=RespPlan([None, OUTPUT_BYTES]),
                )
            ],
            endpoints=[Endpoint("127.0.0.1", server.port), Endpoint("", 0, stuck.path)],
            threads=1, burn_in_requests=0, max_requests=0, duration_ns=60 * NS_PER_S,
            reply_timeout_ns=60 * NS_PER_S, connect_timeout_ns=NS_PER_S, stop_on_failure=False,
            reconnect_for_ns=60 * NS_PER_S,
            schedule=Schedule("even", [Segment(NS_PER_S / period_ns, NS_PER_S / period_ns, 600.0)]),
        )  # fmt: skip
        generator.start()
        time.sleep(0.3)
        stuck.cut()
        time.sleep(0.3)
        before = generator.parts()[0].figures.counters["successes"]
        time.sleep(1.0)
        answered = generator.parts()[0].figures.counters["successes"] - before
        generator.stop()
        assert generator.wait(30)
        generator.close()
    stuck.close()
    # 20 were due. Each try of the others to connect had held up all for a second.
    assert answered >= 10


def test_a_queue_that_is_full_for_a_moment_is_no_outage(tmp_path: Path) -> None:
    stuck = FullQueue(tmp_path / "s", 1)
    generator = LoadGenerator(
        kinds=[
            Kind([Tensors.generate(4, 16, "FLOAT", 1)], [TEXTS], RespPlan([None, OUTPUT_BYTES]))
        ],
        endpoints=[Endpoint("", 0, stuck.path)],
        threads=1, burn_in_requests=0, max_requests=0, duration_ns=60 * NS_PER_S,
        reply_timeout_ns=60 * NS_PER_S, connect_timeout_ns=60 * NS_PER_S, stop_on_failure=False,
        reconnect_for_ns=0,
    )  # fmt: skip
    generator.start()
    stuck.cut()
    time.sleep(0.3)
    stuck.accept_all()
    deadline = time.monotonic() + 30
    while generator.snapshot().counters["begun"] < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    outages = generator.outages()
    failures = generator.snapshot().measured.failures
    generator.stop()
    assert generator.wait(30)
    generator.close()
    stuck.close()
    assert [*failures] == ["connection_lost"]
    assert outages == (0, [])
