"""--limit-rps: requests leave by a schedule, and what waits for its turn is latency."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from commandline import Cli
from fake_redisai import OK, FakeRedisAI
from lateservers import PROTOCOLS, run_late
from smallruns import against


@pytest.mark.parametrize("workers", [1, 5])
def test_requests_are_spread_over_the_time(tensor_file: Path, workers: int) -> None:
    arrivals: list[float] = []

    def note(_: Sequence[bytes], number: int) -> bytes:
        if number:  # 0 is the trial
            arrivals.append(time.monotonic())
        return OK

    with FakeRedisAI(AI_MODELRUN=note) as server:
        result = against(server, tensor_file, limit_rps=50, max_queries=50, workers=workers)
    assert result.successes == 50
    # Request k may come late on a busy machine, but never before its time: no bursts.
    start = arrivals[-1] - 49 / 50
    assert all(arrival > start + number / 50 - 0.3 for number, arrival in enumerate(arrivals))
    assert arrivals[-1] - arrivals[0] > 0.7
    assert result.measured_s > 0.97


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_waiting_for_a_free_worker_is_response_latency(protocol: str) -> None:
    result = run_late(protocol, lambda n: 0.5 if n == 10 else 0, limit_rps=100, max_queries=60)
    assert result.latencies.count == result.service_latencies.count == 60
    # 50 requests were due during the stall, but one alone was on its way.
    (response_p50,) = result.latencies.quantiles_ms([0.5])
    (service_p50,) = result.service_latencies.quantiles_ms([0.5])
    assert response_p50 > 100 > service_p50
    assert result.service_latencies.max_ms >= 500
    assert result.late_starts >= 40
    assert result.late_share == result.late_starts / 60


def test_the_limit_is_of_requests_not_of_images(tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        result = against(
            server, tensor_file, limit_rps=20, max_queries=100, batch_size=5, workers=2
        )
    assert result.requests == 20
    assert 0.9 < result.measured_s < 4  # images would take 5 s


def test_the_time_is_up_before_the_next_request_is_due(tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        result = against(server, tensor_file, limit_rps=0.2, duration_s=0.4, workers=3)
    assert (result.requests, result.counts.abandoned) == (1, 0)
    assert result.duration_s < 3  # the second one is due after 5 s


def test_burn_in_is_in_no_figure_under_a_limit_too(tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        result = against(server, tensor_file, limit_rps=100, max_queries=30, burn_in=10)
    assert (result.counts.burn_in_requests, result.requests, result.latencies.count) == (10, 20, 20)
    assert result.service_latencies.count == 20


def test_the_result_says_which_latencies_it_has(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    with FakeRedisAI() as server:
        for name, more in (("open", ("--limit-rps", 100)), ("closed", ())):
            arguments = ("--file", tensor_file, "--port", server.port, "--quiet")
            done = cli("run", *arguments, *more, "--json-out-file", f"{name}.json", code=0)
            assert ("Response latency" in done.stdout) == (name == "open")
    opened = json.loads((tmp_path / "open.json").read_text())
    closed = json.loads((tmp_path / "closed.json").read_text())
    assert (opened["MaxRps"], opened["Latency"]) == (100, "response")
    assert opened["ServiceQuantiles"]["AllQueries"]["q50"] > 0
    assert (closed["MaxRps"], closed["Latency"]) == (0, "service")
    assert (closed["ServiceQuantiles"], closed["LateStarts"]) == (None, 0)


@pytest.mark.parametrize("limit", ["-1", "nan", "inf", "1e9"])
def test_what_is_no_rate_is_refused(cli: Cli, tensor_file: Path, limit: str) -> None:
    done = cli("run", "--file", tensor_file, f"--limit-rps={limit}", code=2, errors=1)
    assert "--limit-rps" in done.stderr
