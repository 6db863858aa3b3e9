"""When requests are due: even, Poisson, by a profile, recorded; and what is too late."""

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from ci import examples
from commandline import Cli
from fake_redisai import OK, FakeRedisAI
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from smallruns import against

from aibench_fast import ConfigError
from aibench_fast._core import due_times_ns
from aibench_fast.coretypes import Schedule, Segment
from aibench_fast.load.arrivals import read_arrivals
from aibench_fast.load.profile import parse_profile
from aibench_fast.results.files import read_record

NS_PER_S = 1e9
SEEDS = range(20)


def due_s(schedule: Schedule, most: int = 10_000) -> list[float]:
    return [due_ns / NS_PER_S for due_ns in due_times_ns(schedule, most)]


def forever(rate: float) -> list[Segment]:
    return [Segment(rate, rate, math.inf)]


@pytest.mark.parametrize("seed", SEEDS)
def test_poisson_gaps_are_exponential(seed: int) -> None:
    times = due_s(Schedule("poisson", forever(200.0), seed), 5000)
    gaps = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
    assert stats.kstest(gaps, stats.expon(scale=1 / 200).cdf).pvalue > 0.01


def test_a_seed_gives_its_arrivals_and_another_gives_others() -> None:
    one, again, other = (due_s(Schedule("poisson", forever(9.0), seed), 50) for seed in (3, 3, 4))
    assert one == again != other


_steps = st.lists(
    st.tuples(st.floats(0, 500), st.floats(0, 500), st.floats(0.1, 5)), min_size=1, max_size=5
)


@settings(max_examples=examples(60), deadline=None)
@given(_steps)
def test_the_count_of_a_profile_is_within_one_of_its_integral(
    steps: list[tuple[float, float, float]],
) -> None:
    segments = [Segment(*step, place) for place, step in enumerate(steps)]
    times = due_s(Schedule("even", segments), 100_000)
    assert times == sorted(times)
    start_s, integral = 0.0, 0.0
    for from_per_s, to_per_s, duration_s in steps:
        for tenth in range(1, 11):
            t = duration_s * tenth / 10
            expected = integral + from_per_s * t + (to_per_s - from_per_s) / duration_s * t * t / 2
            counted = sum(due < start_s + t for due in times)
            assert abs(counted - expected) <= 1 + 1e-6 * expected
        integral += (from_per_s + to_per_s) / 2 * duration_s
        start_s += duration_s


def test_even_arrivals_do_not_drift() -> None:
    times = due_times_ns(Schedule("even", forever(3.0)), 100_000)
    assert times[-1] == int(99_999 / 3.0 * NS_PER_S)


def test_a_server_that_freezes_shows_in_response_latency(tensor_file: Path) -> None:
    """For half a second in three, under an open loop of 100 requests a second."""
    started = time.monotonic()

    def freeze(_: Sequence[bytes], number: int) -> bytes:
        nonlocal started
        if number == 1:
            started = time.monotonic()
        if number and 1 < time.monotonic() - started < 1.25:
            time.sleep(0.5)
        return OK

    with FakeRedisAI(AI_MODELRUN=freeze) as server:
        opened = against(server, tensor_file, limit_rps=100, duration_s=3, workers=2)
    (response_p99,) = opened.latencies.quantiles_ms([0.99])
    (service_p99,) = opened.service_latencies.quantiles_ms([0.99])
    assert response_p99 > 400
    assert service_p99 < response_p99 / 2
    assert opened.to_json()["Latency"] == "response"
    with FakeRedisAI() as server:
        closed = against(server, tensor_file, max_queries=20)
    assert (closed.to_json()["Latency"], closed.schedule.arrivals) == ("service", None)


def test_a_profile_has_figures_for_each_step(tensor_file: Path, cli: Cli) -> None:
    profile = "40/s for 500ms, 40/s to 120/s over 500ms"
    with FakeRedisAI() as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--workers", 4, "--burn-in", 10,
            "--profile", profile, code=0,
        )  # fmt: skip
    assert "Step 40/s for 500ms: 20 requests, 40.00/s, response q50 " in done.stdout
    assert "q99 not known, service q99 not known" in done.stdout
    assert "Step 40/s to 120/s over 500ms: 40 requests, 80.00/s, " in done.stdout
    assert "burn-in complete after 10 queries" in done.stdout
    assert f"Arrivals: {profile}; " in done.stdout


def test_steps_add_up_to_the_whole(tensor_file: Path) -> None:
    def refuse(_: Sequence[bytes], number: int) -> bytes:
        return b"-ERR no\r\n" if number % 7 == 6 else OK

    steps = parse_profile("100/s for 300ms, 0/s for 100ms, 50/s to 200/s over 400ms")
    with FakeRedisAI(AI_MODELRUN=refuse) as server:
        result = against(
            server, tensor_file, profile=steps, arrivals="poisson", seed=5, workers=3, burn_in_s=0.2
        )
    assert len(result.steps) == 3
    assert result.steps[1].requests == 0
    for name in ("requests", "successes", "inferences", "late_starts", "shed"):
        assert sum(getattr(step, name) for step in result.steps) == getattr(result, name)
    assert sum(step.latencies.count for step in result.steps) == result.latencies.count
    assert result.failures["error_reply"].count == sum(
        step.failures["error_reply"].count for step in result.steps if step.failures
    )
    assert result.counts.burn_in_requests > 0
    assert result.schedule.arrivals["Seed"] == 5


def test_recorded_arrivals_are_sent_when_they_are_due(tensor_file: Path, tmp_path: Path) -> None:
    came: list[float] = []

    def note(_: Sequence[bytes], number: int) -> bytes:
        if number:
            came.append(time.monotonic())
        return OK

    recorded = tmp_path / "arrivals.txt"
    recorded.write_text("# seconds\n0\n0\n0.05\n\n0.4 # late\n")
    with FakeRedisAI(AI_MODELRUN=note) as server:
        result = against(server, tensor_file, arrivals_file=recorded, workers=3)
    assert (result.requests, result.failed) == (4, 0)
    assert came[3] - came[0] > 0.3
    assert result.to_json()["Arrivals"]["Kind"] == "recorded"


def stalling(_: Sequence[bytes], number: int) -> bytes:
    if number == 10:
        time.sleep(0.4)
    return OK


def test_what_is_too_late_is_shed_and_counted(tensor_file: Path, cli: Cli) -> None:
    with FakeRedisAI(AI_MODELRUN=stalling) as server:
        result = against(
            server, tensor_file, limit_rps=100, max_queries=100, max_lag_s=0.1, on_lag="shed"
        )
    assert result.shed >= 20  # some 30 were due during the stall, of which 10 may wait
    assert result.requests + result.shed == 100
    with FakeRedisAI(AI_MODELRUN=stalling) as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--limit-rps", 100,
            "--max-queries", 100, "--max-lag", "100ms", "--on-lag", "shed", "--quiet",
        )  # fmt: skip
    assert "requests were not sent, because they were 0.1 s late" in done.stdout


def test_a_request_that_is_too_late_ends_the_run(tensor_file: Path, cli: Cli) -> None:
    with FakeRedisAI(AI_MODELRUN=stalling) as server:
        result = against(server, tensor_file, limit_rps=100, max_queries=100, max_lag_s=0.1)
    assert result.schedule.lag_exceeded
    assert result.requests < 30
    assert result.shed == 0
    # What came due during the stall, with the one that ended the run, is hidden nowhere.
    assert result.schedule.unsent >= 10
    assert result.requests + result.schedule.unsent <= 100 * result.measured_s + 3
    with FakeRedisAI(AI_MODELRUN=stalling) as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--limit-rps", 100,
            "--max-queries", 100, "--max-lag", "100ms", "--quiet", code=1,
        )  # fmt: skip
    assert "Ended: a request was more than 0.1 s late" in done.stdout


def test_a_step_that_is_cut_short_lasted_as_long_as_it_did(tensor_file: Path) -> None:
    steps = parse_profile("50/s for 400ms, 50/s for 9s, 50/s for 1s")
    with FakeRedisAI() as server:
        result = against(server, tensor_file, profile=steps, duration_s=0.6, workers=2)
    assert [step.seconds for step in result.steps] == pytest.approx([0.4, 0.2, 0], abs=0.001)
    assert [step.requests + step.unsent for step in result.steps] == [20, 10, 0]


def test_a_profile_that_its_last_request_ends_lasted_until_then(tensor_file: Path) -> None:
    steps = parse_profile("50/s for 400ms, 50/s for 9s, 50/s for 1s")
    with FakeRedisAI() as server:
        result = against(server, tensor_file, profile=steps, max_queries=35, workers=2)
    assert [step.seconds for step in result.steps] == pytest.approx([0.4, 0.3, 0], abs=0.001)
    assert [step.requests for step in result.steps] == [20, 15, 0]


def test_what_a_step_could_not_send_is_counted_in_it(
    tensor_file: Path, cli: Cli, tmp_path: Path
) -> None:
    def slow(*_: object) -> bytes:
        time.sleep(0.1)
        return OK

    with FakeRedisAI(AI_MODELRUN=slow) as server:
        cli(
            "run", "--file", tensor_file, "--port", server.port, "--quiet",
            "--json-out-file", "r.json", "--duration", "500ms",
            "--profile", "200/s for 300ms, 300/s for 200ms, 1/s for 1s",
        )  # fmt: skip
    result = json.loads((tmp_path / "r.json").read_text())
    first, second, third = (step["Unsent"] for step in result["Steps"])
    assert first > 40
    assert second > 50
    assert third == 0
    assert first + second == result["Unsent"]
    for step, due in zip(result["Steps"], (60, 60, 0), strict=True):
        assert step["Requests"] + step["Unsent"] <= due
    assert sum(step["Requests"] + step["Unsent"] for step in result["Steps"]) >= 119


def test_what_was_due_and_found_no_worker_is_counted(tensor_file: Path) -> None:
    def slow(*_: object) -> bytes:
        time.sleep(0.05)
        return OK

    with FakeRedisAI(AI_MODELRUN=slow) as server:
        result = against(server, tensor_file, limit_rps=200, duration_s=0.5)
    assert result.requests + result.schedule.unsent + result.counts.abandoned >= 95
    assert result.schedule.unsent > 70


def test_the_summary_says_how_many_workers_the_rate_takes(tensor_file: Path, cli: Cli) -> None:
    def slow(_: Sequence[bytes], number: int) -> bytes:
        time.sleep(0.04)
        return OK

    with FakeRedisAI(AI_MODELRUN=slow) as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--limit-rps", 100,
            "--max-queries", 20, "--quiet",
        )  # fmt: skip
    assert "it takes more than 4 workers" in done.stdout


def test_what_the_client_itself_adds_is_told(tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        result = against(server, tensor_file, limit_rps=400, max_queries=400, workers=4)
    saved = result.to_json()
    assert saved["ScheduleLag"]["count"] == 400
    assert 100 <= saved["TimerLag"]["count"] <= 400  # of fewer no q99 is known
    assert saved["TimerLag"]["q50"] <= saved["TimerLag"]["q99"] <= saved["TimerLag"]["q100"]
    assert saved["ReplyWait"] is None or saved["ReplyWait"]["q50"] < 1000


def test_a_burn_in_of_some_time(tensor_file: Path, cli: Cli) -> None:
    def slow(_: Sequence[bytes], number: int) -> bytes:
        time.sleep(0.01)
        return OK

    with FakeRedisAI(AI_MODELRUN=slow) as server:
        closed = against(server, tensor_file, burn_in_s=0.3, duration_s=0.3)
        opened = against(server, tensor_file, burn_in_s=0.3, duration_s=0.3, limit_rps=50)
    for result in (closed, opened):
        assert result.counts.burn_in_requests > 5
        assert result.requests > 5
        assert result.measured_s > 0.2
        assert result.duration_s - result.measured_s >= 0.29  # the burn-in
    assert opened.counts.burn_in_requests == 15


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--profile", "10/s for"), "'10/s for' is not a step"),
        (("--profile", "10/s for 5s, quickly"), "'quickly' is not a step"),
        (("--profile", "10/s for 0s"), "lasts no time"),
        (("--profile", ""), "'' is not a step"),
        (("--limit-rps", 5, "--on-lag", "shed"), "--on-lag shed without --max-lag"),
        (("--profile", "0/s for 5s"), "nothing would be sent"),
        (("--profile", "5/s for 5s", "--limit-rps", 5), "--limit-rps and --profile"),
        (("--arrivals", "poisson"), "--arrivals poisson without a rate"),
        (("--max-lag", "1s"), "in a closed loop nothing is ever late"),
        (("--limit-rps", 5, "--pipeline", 2), "--pipeline 2 with --limit-rps"),
        (("--limit-rps", -1), "--limit-rps -1"),
        (("--arrivals-file", "none.txt"), "--arrivals-file none.txt: cannot be read"),
        (("--burn-in", "5x"), "'5x' is not a duration"),
    ],
)
def test_bad_input_is_one_line(
    cli: Cli, tensor_file: Path, arguments: tuple[object, ...], told: str
) -> None:
    with FakeRedisAI() as server:
        done = cli("run", "--file", tensor_file, "--port", server.port, *arguments)
        assert server.counts["DEL"] <= 1
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert told in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "it has no offset"),
        ("0\n1\n0.5\n", "line 3: 0.5 s is before"),
        ("0\nsoon\n", "line 2: 'soon' is not an offset"),
        ("-1\n", "line 1: '-1' is not an offset"),
        ("nan\n", "line 1: 'nan' is not an offset"),
    ],
)
def test_a_file_that_is_no_recording_names_the_line(tmp_path: Path, words: str, told: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(words)
    with pytest.raises(ConfigError, match=told):
        read_arrivals(path)


def test_a_result_with_a_schedule_is_read_like_any(tensor_file: Path, tmp_path: Path) -> None:
    with FakeRedisAI() as server:
        steps = parse_profile("100/s for 200ms")
        against(server, tensor_file, profile=steps, workers=2).save(tmp_path / "r.json")
    assert read_record(tmp_path / "r.json").latency == "response"
