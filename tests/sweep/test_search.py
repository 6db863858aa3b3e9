"""The search for the highest load: how near it comes, what it prints and saves, how it ends."""

import asyncio
import json
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from commandline import Cli, command
from fake_redisai import META, OK, FakeRedisAI
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aibench_fast import ConfigError, read_results
from aibench_fast.studies.edge import MAX_STEPS, OutOfTime, find_edge, longest
from aibench_fast.studies.thresholds import parse_target

SEEDS = range(20)


def single_server(rng: random.Random, capacity: float) -> Callable[[float], bool]:
    """Whether p99 is within a hundred service times at a rate, of ten seconds of Poisson arrivals.

    The server takes one request at a time, each for a fixed time (Lindley's recursion).
    """
    service_s = 1 / capacity

    def measure(rate: float) -> bool:
        arrival_s = free_s = 0.0
        latencies = []
        while arrival_s < 10:
            arrival_s += rng.expovariate(rate)
            free_s = max(arrival_s, free_s) + service_s
            latencies.append(free_s - arrival_s)
        return sorted(latencies)[int(0.99 * len(latencies))] <= 100 * service_s

    return measure


@pytest.mark.parametrize("seed", SEEDS)
def test_the_capacity_of_a_single_server_is_found_within_5_percent(seed: int) -> None:
    rng = random.Random(seed)
    capacity = rng.uniform(200, 2000)
    lowest = capacity * rng.uniform(0.02, 0.2)
    edge = find_edge(single_server(rng, capacity), lowest, 1e6, whole=False)
    assert edge.confirmed
    assert edge.holds_at is not None
    assert abs(edge.holds_at / capacity - 1) <= 0.05


@pytest.mark.parametrize("edge_at", [1, 2, 3, 17, 1000])
def test_whole_values_are_found_exactly(edge_at: int) -> None:
    tried: list[float] = []

    def measure(value: float) -> bool:
        tried.append(value)
        return value <= edge_at

    edge = find_edge(measure, 1, 1000, whole=True)
    assert edge.holds_at == edge_at
    assert edge.fails_at == (edge_at + 1 if edge_at < 1000 else None)
    assert all(value == int(value) for value in tried)
    assert tried.count(edge_at) == 3  # both sides are run again
    assert edge_at == 1000 or tried.count(edge_at + 1) == 3


def test_a_run_that_fails_by_accident_does_not_move_the_edge() -> None:
    runs = 0

    def measure(value: float) -> bool:
        nonlocal runs
        runs += 1
        return value <= 500 and runs != 3  # 4 does not hold, once

    edge = find_edge(measure, 1, 1e6, whole=False)
    assert edge.confirmed
    assert edge.holds_at is not None
    assert 490 <= edge.holds_at <= 500


def test_an_edge_that_never_settles_is_not_called_confirmed() -> None:
    rng = random.Random(1)
    runs = 0

    def measure(value: float) -> bool:
        nonlocal runs
        runs += 1
        return value < 10 or (value < 1000 and rng.random() < 0.5)

    edge = find_edge(measure, 1, 1e9, whole=False)
    assert edge.confirmed or runs >= MAX_STEPS


@pytest.mark.parametrize("runs", range(1, 12))
def test_a_search_that_is_out_of_time_says_what_it_knows(runs: int) -> None:
    tried: list[float] = []

    def measure(value: float) -> bool:
        if len(tried) == runs:
            raise OutOfTime
        tried.append(value)
        return value <= 10

    edge = find_edge(measure, 1, 1000, whole=True)
    assert not edge.confirmed
    assert edge.holds_at == max(value for value in tried if value <= 10)
    assert edge.fails_at == min((value for value in tried if value > 10), default=None)


@settings(deadline=None)
@given(
    lowest=st.integers(1, 40),
    times=st.integers(1, 3000),
    edge_at=st.floats(0.5, 200_000),
    whole=st.booleans(),
)
@example(lowest=26, times=2048, edge_at=50_989, whole=True)
def test_no_search_takes_longer_than_it_says(
    lowest: int, times: int, edge_at: float, whole: bool
) -> None:
    tried: list[float] = []

    def seconds(value: float) -> float:
        return 1 + 50 / value

    def measure(value: float) -> bool:
        tried.append(value)
        return value <= edge_at

    assert find_edge(measure, lowest, lowest * times, whole=whole).confirmed
    length = longest(lowest, lowest * times, whole=whole, seconds=seconds)
    assert sum(map(seconds, tried)) <= length.seconds + 1e-9
    assert length.seconds <= 5 * (30 + times.bit_length()) * seconds(lowest)


def test_within_ends_a_search(cli: Cli, tmp_path: Path) -> None:
    words = ("--slo", "p50=10s", "--shape", 16, "--from", 10, "--duration", "300ms", "--burn-in", 0)
    with FakeRedisAI() as server:
        began_s = time.monotonic()
        done = cli("search", *words, "--port", server.port, "--within", "3s")
        took_s = time.monotonic() - began_s
        none = cli("search", *words, "--port", server.port, "--within", "100ms")
    assert done.returncode == 1
    assert took_s < 60  # of hundreds of runs
    first, *_, last = done.stdout.splitlines()
    assert first.endswith(", of which --within allows 3s")
    assert last.startswith("Found: p50<=10s holds up to ")
    assert last.endswith(
        ", the highest value that was tried; the edge could not be confirmed: --within is over"
    )
    search = json.loads((tmp_path / "search/search.json").read_text())["Search"]
    assert (search["Confirmed"], search["Interrupted"]) == (False, False)
    assert none.returncode == 2


def test_a_time_that_is_too_short_for_a_run_is_one_line(cli: Cli) -> None:
    with FakeRedisAI() as server:
        done = cli(
            "search", "--slo", "p50=10s", "--shape", 16, "--port", server.port,
            "--over", "workers", "--within", "5s", "--results-dir", "new",
        )  # fmt: skip
        assert server.counts["AI.MODELRUN"] == 0
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--within 5s: a run of workers 1 takes 11s; allow more" in done.stderr


def test_targets_read_as_the_most_or_the_least() -> None:
    assert parse_target("p99=50ms").words == "p99<=50ms"
    assert parse_target("rate=200").words == "rate>=200"
    assert parse_target("errors<0.1%").words == "errors<0.1%"
    with pytest.raises(ConfigError, match=r"`slo` 'p99=fast'.*not a duration"):
        parse_target("p99=fast")


def one_at_a_time(service_s: float) -> Callable[[Sequence[bytes], int], object]:
    """A server that answers one request after another, each in a fixed time."""
    free_s = 0.0

    async def answer(_: Sequence[bytes], number: int) -> bytes:
        nonlocal free_s
        free_s = max(time.monotonic(), free_s) + service_s
        await asyncio.sleep(free_s - time.monotonic())
        return OK

    return answer


def test_steps_are_printed_and_saved_and_the_report_shows_the_edge(
    cli: Cli, tmp_path: Path
) -> None:
    with FakeRedisAI(AI_MODELRUN=one_at_a_time(0.01)) as server:  # type: ignore[arg-type]
        done = cli(
            "search", "--slo", "p90=60ms", "--slo", "errors=1%", "--shape", 16,
            "--port", server.port, "--from", 60, "--to", 180, "--duration", "500ms",
            "--burn-in", "0", "--workers", 40, "--expect", "rate>10", "--junit", "s.xml",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    length, *lines = done.stdout.splitlines()
    assert length == "the search: at most 12 runs, which take 6s; --within TIME ends it sooner"
    assert lines[0].startswith("step 1: rate 60: p90<=60ms ")
    assert lines[0].endswith(": held")
    assert lines[-2].startswith("Found: p90<=60ms and errors<=1% holds up to ")
    assert lines[-1].endswith("inferences/s, held")
    assert 'name="rate&gt;10"' in (tmp_path / "s.xml").read_text()
    search = json.loads((tmp_path / "search/search.json").read_text())["Search"]
    assert search["Over"] == "rate"
    assert search["Slo"] == ["p90<=60ms", "errors<=1%"]
    assert search["Confirmed"]
    # At 100 requests a second the server is full; of 15 % more, a tenth wait 60 ms or longer.
    assert 85 <= search["Found"] <= 125
    loaded = read_results(tmp_path / "search/search.json")
    assert len(loaded.records) == len(search["Steps"])
    assert {record.cell.max_rps for record in loaded.records} == {
        step["Value"] for step in search["Steps"]
    }
    cli("report", "search", "--out", "report.html", code=0)
    page = (tmp_path / "report.html").read_text()
    assert "Search over rate: latency against load" in page
    assert f"the edge is at {search['Found']:.5g} requests/s" in page
    assert "throughput-auto-batching" not in page  # its steps are no cells of a sweep


def test_a_search_over_workers_is_a_closed_loop(cli: Cli, tmp_path: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=one_at_a_time(0.01)) as server:  # type: ignore[arg-type]
        done = cli(
            "search", "--slo", "p50=45ms", "--over", "workers", "--shape", 16,
            "--port", server.port, "--duration", "300ms", "--burn-in", "100ms", "--quiet",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.count("\n") == 1
    found = json.loads((tmp_path / "search/search.json").read_text())["Search"]
    assert 3 <= found["Found"] <= 5  # each waits for those before it, 10 ms each
    step = json.loads((tmp_path / "search" / found["Steps"][0]["Result"]).read_text())
    assert step["Arrivals"] is None


def test_steps_too_short_for_a_target_are_made_longer(cli: Cli, tmp_path: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=one_at_a_time(0.05)) as server:  # type: ignore[arg-type]
        done = cli(
            "search", "--slo", "p90=10s", "--over", "workers", "--to", 1, "--shape", 16,
            "--port", server.port, "--duration", "200ms", "--burn-in", 0, code=0, errors=0,
        )  # fmt: skip
    told = "requests in a step are too few for p90<=10s: once more, for"
    assert done.stdout.count(told) == 1
    assert "holds up to 1 workers" in done.stdout
    steps = [json.loads(one.read_text()) for one in sorted(tmp_path.glob("search/step-*.json"))]
    assert len(steps) == 3
    assert all(one["Requests"] >= 10 for one in steps)
    assert not list(tmp_path.glob("search/*.journal"))


def test_a_target_that_so_many_requests_never_tell_is_one_line(cli: Cli, tmp_path: Path) -> None:
    with FakeRedisAI() as server:
        done = cli(
            "search", "--slo", "p90=10s", "--over", "workers", "--shape", 16,
            "--port", server.port, "--max-queries", 5, "--burn-in", 0, code=2, errors=1,
        )  # fmt: skip
    assert "5 requests in a step are too few for p90<=10s: use a longer --duration, or more" in (
        done.stderr
    )


def test_a_target_that_fails_at_the_lowest_value_says_so(cli: Cli, tmp_path: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=one_at_a_time(0.05)) as server:  # type: ignore[arg-type]
        done = cli(
            "search", "--slo", "p50=1ms", "--shape", 16, "--port", server.port, "--from", 10,
            "--duration", "500ms", "--burn-in", "0", code=1,
        )  # fmt: skip
    assert done.stdout.splitlines()[-1].startswith("Found none: p50<=1ms does not hold at 10 ")
    search = json.loads((tmp_path / "search/search.json").read_text())["Search"]
    assert search["Found"] is None
    assert [step["Held"] for step in search["Steps"]] == [False] * 3  # it is asked again
    assert cli("report", "search", "--out", "r.html").returncode == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--slo", "p99=50ms", "--from", "0"], "--from 0: over rate it has to be a number from"),
        (["--slo", "p99=50ms", "--to", "0"], "--to 0: over rate it has to be a number from 0.001"),
        (["--slo", "p99=1s", "--over", "workers", "--to", "1.5"], "a whole number from 1 to"),
        (["--slo", "p99=1s", "--over", "workers", "--max-lag", "1s"], "--max-lag with --over"),
        (["--slo", "p99=1s", "--on-lag", "shed"], "--on-lag shed without --max-lag"),
        (["--slo", "p99=1s", "--workers", "0"], "--workers 0: it has to be from 1"),
        (["--slo", "p99=1s", "--junit", "."], "cannot write"),
        (["--slo", "p99=50ms", "--from", "9", "--to", "3"], "--from 9 is above --to 3"),
        (["--slo", "p99=50ms", "--over", "workers", "--from", "1.5"], "a whole number from 1"),
        (["--slo", "fast=50ms"], "--slo 'fast=50ms': unknown figure 'fast'"),
        (
            ["--slo", "p99=1s", "--over", "workers", "--workers", "4"],
            "give --from and --to instead",
        ),
        (["--slo", "p99=1s", "--over", "pipeline", "--pipeline", "4"], "give --from and --to"),
        (["--slo", "p99=1s", "--over", "batch-size", "--batch-size", "4"], "give --from and"),
        ([], "the following arguments are required: --slo"),
        (["--slo", "p99=1s", "--over", "workers", "--arrivals", "poisson"], "only --over rate"),
    ],
)
def test_bad_input_is_one_line(cli: Cli, words: list[str], told: str) -> None:
    done = cli("search", *words, "--shape", 16, code=2, errors=1)
    assert told in done.stderr


def test_what_cannot_be_raised_shows_before_a_step(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mix.toml").write_text('[[request]]\nmodel = "m"\nshape = [4]\n')
    done = cli("search", "--slo", "p99=1s", "--mix", "mix.toml", "--over", "batch-size")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--mix with --batch-size" in done.stderr
    assert not (tmp_path / "search").exists()


def test_steps_arrive_as_is_asked(cli: Cli, tmp_path: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=one_at_a_time(0.01)) as server:  # type: ignore[arg-type]
        done = cli(
            "search", "--slo", "p50=10s", "--shape", 16, "--port", server.port, "--workers", 1,
            "--from", 80, "--duration", "500ms", "--burn-in", "0", "--arrivals", "poisson",
            "--max-lag", "1ms", "--seed", 3,
        )  # fmt: skip
    assert done.returncode == 1, done.stderr + done.stdout
    assert "not held: a request was later than --max-lag" in done.stdout
    search = json.loads((tmp_path / "search/search.json").read_text())["Search"]
    step = json.loads((tmp_path / "search" / search["Steps"][0]["Result"]).read_text())
    assert (step["Arrivals"]["Kind"], step["Arrivals"]["Seed"]) == ("poisson", 3)
    assert step["Arrivals"]["MaxLagSeconds"] == 0.001


@pytest.mark.parametrize("slo", [["p50=10s"], ["p50=10s", "errors=20%"]])
def test_failures_are_no_fast_answers(cli: Cli, slo: list[str]) -> None:
    asked = 0

    def visit(*_: object) -> bytes:
        nonlocal asked
        asked = 0
        return META

    def refuse(*_: object) -> bytes:
        """Refuse every tenth request of a step, of which the trial is the first."""
        nonlocal asked
        asked += 1
        return b"-ERR no\r\n" if asked % 10 == 0 else OK

    with FakeRedisAI(AI_MODELGET=visit, AI_MODELRUN=refuse) as server:
        done = cli(
            "search", *(word for one in slo for word in ("--slo", one)), "--shape", 16,
            "--port", server.port, "--from", 200, "--to", 200, "--duration", "500ms",
            "--burn-in", "0",
        )  # fmt: skip
    if len(slo) == 1:
        assert done.returncode == 1
        assert "of 100 requests failed: not held: 10.0% of the requests failed" in done.stdout
    else:
        assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupted_search_says_what_it_knows(cli: Cli, tmp_path: Path) -> None:
    with FakeRedisAI() as server:
        searching = subprocess.Popen(
            command(
                "search", "--slo", "p50=10s", "--shape", 16, "--port", server.port, "--from", 50,
                "--duration", "300ms", "--burn-in", 0,
            ),
            cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        while len(list(tmp_path.glob("search/step-*.json"))) < 2:
            time.sleep(0.01)
        searching.send_signal(signal.SIGINT)
        told, _ = searching.communicate(timeout=30)
    assert searching.returncode == 130
    last = told.splitlines()[-1]
    assert last.startswith("Interrupted after ")
    assert ": it held at " in last
    search = json.loads((tmp_path / "search/search.json").read_text())["Search"]
    assert (search["Interrupted"], search["Found"]) == (True, None)


def test_a_search_whose_server_goes_keeps_its_steps(cli: Cli, tmp_path: Path) -> None:
    def once(_: Sequence[bytes], number: int) -> bytes:
        return OK if number < 10 else b"-ERR the model is gone\r\n"

    with FakeRedisAI(AI_MODELRUN=once) as server:
        cli(
            "search", "--slo", "p50=1s", "--shape", 16, "--port", server.port, "--from", 40,
            "--duration", "500ms", "--burn-in", "0", code=3, errors=1,
        )  # fmt: skip
    search = json.loads((tmp_path / "search/search.json").read_text())["Search"]
    assert (search["Found"], search["Confirmed"], len(search["Steps"])) == (None, False, 1)


def test_a_folder_with_a_search_is_left_alone(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "search/search.json").write_text("{}")
    done = cli("search", "--slo", "p99=50ms", "--shape", 16, code=2, errors=1)
    assert "has a search already" in done.stderr
