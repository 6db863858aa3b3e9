"""The time that a rate is of, what a run says that waits beyond it, and partial periods."""

import asyncio
import json
import math
import time
from functools import partial
from pathlib import Path

import pytest
import smallruns
from commandline import Cli
from fake_inference import Answer, Asked, Behaviour, FakeInference, binary_reply
from smallruns import Heard

from aibench_fast.load.profile import parse_profile
from aibench_fast.report.content import gather
from aibench_fast.report.text import format_summary
from aibench_fast.results.details import read_details
from aibench_fast.results.events import Waiting
from aibench_fast.results.folder import load

against = partial(smallruns.against, workers=2)


@pytest.mark.parametrize(
    ("settings", "seconds", "requests"),
    [
        ({"limit_rps": 2.5, "duration_s": 1.0}, 1.0, 3),
        ({"limit_rps": 10.0, "max_queries": 5}, 0.5, 5),
        ({"limit_rps": 10.0, "max_queries": 8, "burn_in": 3}, 0.5, 5),
        ({"profile": parse_profile("2/s for 0.75s, 4/s for 0.5s")}, 1.25, 4),
        ({"profile": parse_profile("2/s for 5s"), "duration_s": 0.75}, 0.75, 2),
    ],
    ids=["duration", "requests", "burn-in", "profile", "profile cut short"],
)
def test_a_schedule_has_a_time_of_its_own(
    settings: dict[str, object], seconds: float, requests: int
) -> None:
    """Not to its last answer, which would make one request more of a few in the same time."""
    with FakeInference() as server:
        result = against(server, **settings)
    assert result.requests == requests
    assert result.measured_s == pytest.approx(seconds, abs=1e-3)
    assert result.requests_per_s == pytest.approx(requests / seconds, rel=1e-2)
    if result.steps:
        assert sum(step.seconds for step in result.steps) == pytest.approx(seconds, abs=1e-3)


def test_a_step_and_the_whole_tell_one_rate() -> None:
    with FakeInference() as server:
        result = against(server, profile=parse_profile("2.5/s for 1s"))
    told = format_summary(result)
    assert "3.00 requests/s in all" in told
    assert "Step 2.5/s for 1s: 3 requests, 3.00/s" in told


def test_recorded_arrivals_end_with_their_last_answer(tmp_path: Path) -> None:
    file = tmp_path / "arrivals.txt"
    file.write_text("0\n0.1\n0.4\n")
    with FakeInference() as server:
        result = against(server, arrivals_file=file)
    assert result.requests == 3
    assert 0.4 <= result.measured_s < result.duration_s


def frozen(after: int, seconds: float) -> Behaviour:
    """Answers so many, and is then frozen for so long."""
    from_s = math.inf

    async def answer(_: Asked, number: int) -> Answer:
        nonlocal from_s
        if number > after:
            from_s = min(from_s, time.monotonic())
            await asyncio.sleep(max(0.0, from_s + seconds - time.monotonic()))
        return binary_reply()

    return answer


@pytest.mark.parametrize("settings", [{}, {"limit_rps": 100.0}], ids=["closed loop", "open loop"])
def test_a_stuck_server_is_waited_for_and_not_in_the_rate(settings: dict[str, object]) -> None:
    events = Heard(Waiting)
    with FakeInference(frozen(after=20, seconds=2)) as server:
        result = against(server, observe=events, duration_s=0.5, reply_timeout_s=60.0, **settings)
    assert result.duration_s > 1.5
    assert result.measured_s < 0.6
    assert result.inferences_per_s == pytest.approx(result.inferences / result.measured_s)
    (waiting,) = events
    assert waiting.requests == 2
    assert 0 < waiting.seconds_left <= 59


@pytest.mark.parametrize("is_quiet", [False, True])
def test_what_a_run_waits_for_is_said_once(cli: Cli, is_quiet: bool) -> None:
    with FakeInference(frozen(after=5, seconds=2)) as server:
        done = cli(
            "run", "--url", server.url, "--model", "m", "--duration", "300ms",
            *["--quiet"] * is_quiet, code=0,
        )  # fmt: skip
    words = "the load is over; 1 request under way: waiting for the server, "
    assert done.stderr.count(words) == (not is_quiet)


def test_a_slow_server_is_no_stuck_one() -> None:
    """Its last answer belongs to the time: requests that began in it are all counted."""

    async def slow(_: Asked, number: int) -> Answer:
        await asyncio.sleep(0.3 if number else 0.0)
        return binary_reply()

    with FakeInference(infer=slow) as server:
        result = against(server, workers=1, duration_s=0.4)
    assert result.requests == 2
    assert result.measured_s >= 0.6


def test_no_report_ends_with_a_period_that_was_cut_short(tmp_path: Path) -> None:
    file, older = tmp_path / "new" / "result.json", tmp_path / "older" / "result.json"
    with FakeInference() as server:
        # However late the first period is reported on a busy machine, the second one is shorter.
        result = against(server, limit_rps=50.0, duration_s=1.2, reporting_period_s=0.65)
    assert result.intervals[-1].is_partial
    assert not all(one.is_partial for one in result.intervals)
    for path in (file, older):
        path.parent.mkdir()
    result.save(file)
    document = json.loads(file.read_text())
    (at_ms, period), *_ = document["ClientRunTimeStats"].items()
    del period["partial"]  # as before format 1.9
    lasted_ms = (0, 400, 800, 1000)
    document["ClientRunTimeStats"] = {str(int(at_ms) + passed): period for passed in lasted_ms}
    older.write_text(json.dumps(document))
    for path in (file, older):
        assert [one.is_partial for one in read_details(path).timeline][-1]
        (cell,) = gather("here", load([path])).cells
        assert len(cell.timeline) < len(read_details(path).timeline)
        assert not any(one.is_partial for one in cell.timeline)
