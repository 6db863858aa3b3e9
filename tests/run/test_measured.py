"""The counts of a run: latencies are real, failures are not latencies, burn-in is left out."""

import asyncio
import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from fake_redisai import OK, Behaviour, FakeRedisAI, bulk
from lateservers import PROTOCOLS, run_late
from smallruns import Heard, against

from aibench_fast import RunConfig, run
from aibench_fast.errors import ServerError
from aibench_fast.load.watch import Watch
from aibench_fast.results.events import BurnInComplete, Event, Sample, SoFar
from aibench_fast.results.result import Interval

TENSOR_BYTES = 602_112


def late(delay_s: Callable[[int], float], reply: bytes = OK) -> Behaviour:
    """Answer each request after a time that depends on its number; the trial is number 0."""

    def behave(_: Sequence[bytes], number: int) -> Awaitable[bytes]:
        return asyncio.sleep(delay_s(number), reply)

    return behave


def failing(reply: bytes | None, numbers: Sequence[int]) -> Behaviour:
    """Answer some requests with `reply`, the others with OK."""
    return lambda _, number: reply if number in numbers else OK


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_delay_of_the_server_is_the_latency(protocol: str) -> None:
    result = run_late(protocol, lambda _: 0.1, max_queries=10, workers=2)
    (p50,) = result.latencies.quantiles_ms([0.5])
    assert 100 <= p50 < 150  # less than a half more, on a busy machine too
    assert 100 <= result.latencies.min_ms <= 105


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_late_answer_in_a_hundred_is_at_p99_and_max(protocol: str) -> None:
    result = run_late(protocol, lambda n: 0.2 if n % 100 == 50 else 0, max_queries=150)
    p50, p99 = result.latencies.quantiles_ms((0.5, 0.99))
    assert p50 < 100
    assert p99 >= 199
    assert result.latencies.max_ms >= 199


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_half_of_the_answers_late_are_half_of_the_histogram(protocol: str) -> None:
    result = run_late(protocol, lambda n: 0.05 if n % 2 else 0, max_queries=40)
    q25, q75 = result.latencies.quantiles_ms((0.25, 0.75))
    assert q25 < 40
    assert 50 <= q75 < 100
    assert result.latencies.count == 40


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_burn_in_is_in_no_figure(protocol: str) -> None:
    events: list[object] = []
    result = run_late(
        protocol, lambda n: 0.2 if n <= 3 else 0.01, events.append, burn_in=3, max_queries=23
    )
    assert result.latencies.max_ms < 150
    assert (result.requests, result.counts.burn_in_requests, result.latencies.count) == (20, 3, 20)
    # 3 slow ones would add 0.6 s to a measured time of about 0.3 s.
    assert result.duration_s - result.measured_s > 0.55
    assert result.inferences_per_s == pytest.approx(20 / result.measured_s)
    assert result.inferences_per_s_with_burn_in == pytest.approx(23 / result.duration_s)
    assert BurnInComplete(3, 1) in events


def test_failures_during_the_burn_in_are_reported_apart(tensor_file: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=failing(b"-ERR cold\r\n", (1, 2))) as server:
        result = against(server, tensor_file, burn_in=5, max_queries=10)
    assert not result.failures
    assert result.counts.burn_in_failures["error_reply"].count == 2
    assert result.failed == 2
    assert result.latencies.count == 5


@pytest.mark.parametrize(
    ("kind", "command", "reply", "words"),
    [
        ("error_reply", "AI_MODELRUN", b"-ERR model key is empty\r\n", "ERR model key is empty"),
        ("error_reply", "AI_TENSORSET", b"-OOM command not allowed\r\n", "OOM"),
        ("server_timeout", "AI_MODELRUN", b"+TIMEDOUT\r\n", "TIMEDOUT"),
        ("not_run", "AI_MODELRUN", b"+NA\r\n", "NA"),
        ("wrong_reply", "AI_MODELRUN", b":1\r\n", "an integer, expected a status"),
        ("wrong_reply", "AI_MODELRUN", b"$-1\r\n", "nil, expected a status"),
        ("wrong_reply", "AI_MODELRUN", b"+QUEUED\r\n", "QUEUED"),
        ("wrong_reply", "AI_MODELRUN", b"*2\r\n+OK\r\n*1\r\n-ERR x\r\n", "an array"),
        ("protocol", "AI_MODELRUN", b"HTTP/1.1 400 Bad Request\r\n", "Protocol error"),
        ("connection_lost", "AI_MODELRUN", None, "closed"),
    ],
)  # fmt: skip
def test_a_failure_is_counted_by_kind_and_is_no_latency(
    tensor_file: Path, kind: str, command: str, reply: bytes | None, words: str
) -> None:
    with FakeRedisAI(**{command: failing(reply, (3, 5))}) as server:
        result = against(server, tensor_file, max_queries=10)
    assert result.failures.keys() == {kind}
    assert result.failures[kind].count == 2
    assert words in result.failures[kind].first_message
    assert (result.requests, result.successes, result.latencies.count) == (10, 8, 8)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(bulk(bytes(4000)), "wrong_size"), (b"$-1\r\n", "wrong_reply"), (OK, "wrong_reply")],
)
def test_an_output_that_is_not_the_models_is_a_failure(
    tensor_file: Path, reply: bytes, kind: str
) -> None:
    def behave(arguments: Sequence[bytes], number: int) -> bytes:
        if b"META" in arguments:
            shape = b"*2\r\n:1\r\n:1001\r\n"
            return b"*6\r\n%b%b%b%b%b%b" % (
                bulk(b"dtype"), bulk(b"FLOAT"), bulk(b"shape"), shape,
                bulk(b"blob"), bulk(bytes(4004)),
            )  # fmt: skip
        return reply if number == 2 else bulk(bytes(4004))

    with FakeRedisAI(AI_TENSORGET=behave) as server:
        result = against(server, tensor_file, max_queries=5)
    assert result.failures.keys() == {kind}
    assert (result.failures[kind].count, result.latencies.count) == (1, 4)


def test_an_unasked_reply_is_a_failure_and_shifts_no_later_one(tensor_file: Path) -> None:
    whole = bulk(bytes(4004))
    with FakeRedisAI() as server:
        get = server.behaviour("AI.TENSORGET")

        def behave(arguments: Sequence[bytes], number: int) -> bytes:
            return whole + OK if number == 2 else get(arguments, number)  # type: ignore[return-value]

        server.behave("AI.TENSORGET", behave)
        result = against(server, tensor_file, max_queries=6)
    assert result.failures["protocol"].count == 1
    assert "more replies" in result.failures["protocol"].first_message
    assert result.successes == 5


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_silent_server_is_a_client_timeout(protocol: str) -> None:
    result = run_late(protocol, lambda n: 3600 if n == 2 else 0, max_queries=5, reply_timeout_s=0.3)
    assert result.failures["client_timeout"].count == 1
    assert "300 ms" in result.failures["client_timeout"].first_message
    assert (result.latencies.count, result.latencies.max_ms < 300) == (4, True)


def test_a_lost_connection_is_opened_again(tensor_file: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=failing(None, (3,))) as server:
        result = against(server, tensor_file, max_queries=10)
        # The visit before, statistics, worker twice, the visit after.
        assert server.connections == 5
    assert result.successes == 9


def test_a_server_that_goes_away_ends_the_run(tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        server.leave_after("AI.MODELRUN", 3)
        result = against(server, tensor_file, max_queries=1_000_000, reconnect_for_s=0.2)
    assert result.failures["connection_lost"].count >= 1
    assert result.failures["connect"].count == 1
    assert result.successes == 2


def test_a_server_that_only_hangs_up_is_not_stormed(tensor_file: Path) -> None:
    hang_up = failing(None, range(1, 10**9))
    with FakeRedisAI(AI_MODELRUN=hang_up) as server:
        result = against(server, tensor_file, duration_s=1, workers=2)
    assert 2 <= result.failures["connection_lost"].count <= 2 * 1000 / 50 + 2


def test_a_tensor_file_that_shrinks_ends_the_run(tensor_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tensors.out"
    copy.write_bytes(tensor_file.read_bytes())

    def truncate(_: Sequence[bytes], number: int) -> bytes:
        if number == 3:
            os.truncate(copy, 0)
        return OK

    with FakeRedisAI(AI_MODELRUN=truncate) as server:
        result = against(server, copy, duration_s=60)
    assert result.failures["tensor_file"].count == 1
    assert "was changed" in result.failures["tensor_file"].first_message
    assert result.successes == 3


def test_stop_at_the_first_failure(tensor_file: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=failing(b"-ERR no\r\n", range(4, 1000))) as server:
        result = against(server, tensor_file, max_queries=1000, continue_on_error=False)
    assert (result.successes, result.failures["error_reply"].count) == (3, 1)


def test_a_refused_trial_starts_nothing(tensor_file: Path) -> None:
    refusing = failing(b"-ERR INPUT has the wrong shape\r\n", range(1000))
    with FakeRedisAI(AI_MODELRUN=refusing) as server:
        with pytest.raises(ServerError, match="INPUT has the wrong shape"):
            against(server, tensor_file)
        assert server.counts["AI.TENSORSET"] == 1


def test_duration_bounds_the_measured_time(tensor_file: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=late(lambda _: 0.02)) as server:
        result = against(server, tensor_file, duration_s=0.5, burn_in=3)
    assert 0.4 <= result.measured_s <= 1.5
    assert result.requests > 7  # the file of seven was cycled
    assert result.counts.abandoned == 0


def test_each_request_carries_the_next_tensors_of_the_file(tensor_file: Path) -> None:
    tensors = tensor_file.read_bytes()
    ring = tensors * 4
    with FakeRedisAI() as server:
        against(server, tensor_file, batch_size=3, max_queries=15)
    sent = server.blobs[1:]  # the first was the trial's
    assert sent == [ring[n * 3 * TENSOR_BYTES : (n + 1) * 3 * TENSOR_BYTES] for n in range(5)]


def test_one_pass_of_the_file_is_the_default(tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        against(server, tensor_file, workers=3)
    assert sorted(server.blobs[1:]) == sorted(
        tensor_file.read_bytes()[n * TENSOR_BYTES : (n + 1) * TENSOR_BYTES] for n in range(7)
    )


def test_a_seed_chooses_the_first_tensor(tensor_file: Path) -> None:
    firsts = []
    for seed in (1, 1, 2):
        with FakeRedisAI() as server:
            against(server, tensor_file, seed=seed, max_queries=2)
        firsts.append(server.blobs[1])
    assert firsts[0] == firsts[1] != firsts[2]


def test_python_goes_on_while_the_load_runs(tensor_file: Path) -> None:
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.wait(0.01):
            ticks.append(time.monotonic())

    other = threading.Thread(target=tick)
    other.start()
    try:
        with FakeRedisAI(AI_MODELRUN=late(lambda _: 0.05)) as server:
            # The server answers from a Python thread of this very process.
            result = against(server, tensor_file, max_queries=20, workers=2)
    finally:
        done.set()
        other.join()
    assert result.successes == 20
    assert len(ticks) > 20


def test_every_period_is_reported_the_last_one_too(tensor_file: Path) -> None:
    intervals = Heard(Interval)
    with FakeRedisAI(AI_MODELRUN=late(lambda _: 0.05)) as server:
        result = against(
            server, tensor_file, observe=intervals, max_queries=14, reporting_period_s=0.3
        )
    assert [interval.images for interval in intervals] == sorted(i.images for i in intervals)
    assert intervals[-1].images == 14
    assert len(intervals) >= 3
    assert list(result.intervals) == intervals
    now_ms = time.time() * 1000
    assert all(now_ms - 60_000 < interval.unix_ms <= now_ms for interval in intervals)


def test_result_file_has_the_keys_of_aibench(tensor_file: Path, tmp_path: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=failing(b"-ERR x\r\n", (3,))) as server:
        result = against(
            server, tensor_file, workers=2, burn_in=1, max_queries=7, metadata_autobatching=5
        )
    result.save(tmp_path / "new" / "result.json")
    saved = json.loads((tmp_path / "new" / "result.json").read_text())
    assert (saved["Limit"], saved["Workers"], saved["TensorBatchSize"]) == (7, 2, 1)
    assert (saved["MetadataAutobatching"], saved["MaxRps"]) == (5, 0)
    assert saved["EndTime"] - saved["StartTime"] == pytest.approx(saved["DurationMillis"], abs=50)
    quantiles = saved["OverallQuantiles"]["AllQueries"]
    assert list(quantiles) == ["q0", "q50", "q95", "q99", "q999", "q100"]
    assert (quantiles["q95"], quantiles["q99"], quantiles["q999"]) == (None, None, None)  # of 5
    assert 0 < quantiles["q0"] <= quantiles["q50"] <= quantiles["q100"]
    assert saved["OverallRates"]["overallOpsRate"] == result.inferences_per_s
    assert saved["OverallRatesIncludingWarmup"]["overallOpsRate"] > 0
    assert saved["Failures"] == {"error_reply": {"Count": 1, "FirstMessage": "ERR x"}}
    assert saved["MeasuredSeconds"] == result.measured_s
    assert saved["Server"]["Version"] == "1.2.7 on redis 7.0.15"
    assert saved["ClientCpuSeconds"] > 0
    assert set(saved) >= {"ClientRunTimeStats", "ServerRunTimeStats", "ResultFormatVersion"}


def test_what_a_run_came_to_so_far_adds_up_in_every_period(tensor_file: Path) -> None:
    seen: list[Event] = []
    numbers = range(5, 10_000, 7)
    with FakeRedisAI(AI_MODELRUN=failing(b"-ERR out of luck\r\n", numbers)) as server:
        address = server.address
        result = run(
            RunConfig(
                file=tensor_file, address=address, workers=4, burn_in=50, duration_s=1.0,
                reporting_period_s=0.1, results_so_far=True,
            ),
            seen.append,
        )  # fmt: skip
    so_far = [event.result for event in seen if isinstance(event, SoFar)]
    assert len(so_far) >= 3
    assert [len(one.intervals) for one in so_far] == [*range(1, len(so_far) + 1)]
    for one in [*so_far, result]:
        every = one.counts.all_requests
        assert every.sent == every.succeeded + every.failed + every.cancelled
        assert every.failed == one.failed
        assert every.succeeded + every.failed == one.counts.burn_in_requests + one.requests
        assert 0 <= every.cancelled <= 4
        assert one.latencies.count == one.successes == one.inferences
        assert one.requests == one.successes + sum(kind.count for kind in one.failures.values())
        assert one.incomplete == one.interrupted == (one is not result)
    for one in so_far:
        assert one.intervals[-1].requests == one.counts.burn_in_requests + one.requests
        assert one.intervals[-1].failed == one.failed


def test_a_run_that_is_over_before_it_is_watched_has_its_sample(
    tensor_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Watch._wait

    def late(watch: Watch) -> None:
        time.sleep(0.5)
        waits(watch)

    monkeypatch.setattr(Watch, "_wait", late)
    samples: list[Event] = []
    with FakeRedisAI() as server:
        against(
            server, tensor_file,
            observe=lambda event: samples.append(event) if isinstance(event, Sample) else None,
            max_queries=1, sample_responses=True,
        )  # fmt: skip
    assert len(samples) == 1
