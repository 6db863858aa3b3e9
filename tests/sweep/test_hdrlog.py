"""--hdr-log-file, read by HdrHistogram's own reader."""

import time
from itertools import pairwise
from pathlib import Path

import pytest
from commandline import Cli
from fake_redisai import OK, FakeRedisAI
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from aibench_fast._core import Histogram
from aibench_fast.results.histogram import LatencyHistogram


def test_every_latency_is_in_the_line_of_its_period(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    def slow_at_last(_: object, number: int) -> bytes:
        time.sleep(0.15 if number > 8 else 0.01)
        return OK

    before = time.time()
    with FakeRedisAI(AI_MODELRUN=slow_at_last) as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--max-queries", 14,
            "--burn-in", 2, "--reporting-period", "200ms", "--hdr-log-file", "log/run.hlog",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reader = HistogramLogReader(str(tmp_path / "log/run.hlog"), HdrHistogram(1, 3_600_000_000, 3))
    intervals = []
    while (interval := reader.get_next_interval_histogram()) is not None:
        intervals.append(interval)
    reader.close()
    assert len(intervals) >= 4
    assert sum(interval.get_total_count() for interval in intervals) == 12
    assert intervals[0].get_max_value() < 150_000 <= intervals[-1].get_max_value()
    assert before <= reader.get_start_time_sec() <= time.time()
    lines = (tmp_path / "log/run.hlog").read_text().splitlines()[4:]
    starts_and_lengths = [tuple(map(float, line.split(",")[:2])) for line in lines]
    for (start, length), (next_start, _) in pairwise(starts_and_lengths):
        assert next_start == pytest.approx(start + length, abs=0.002)


def test_a_run_that_never_starts_leaves_no_log(cli: Cli, tensor_file: Path, tmp_path: Path) -> None:
    with FakeRedisAI(AI_MODELGET=lambda *_: b"-ERR model key is empty\r\n") as server:
        done = cli("run", "--file", tensor_file, "--port", server.port, "--hdr-log-file", "a.hlog")
    assert done.returncode == 3
    assert list(tmp_path.iterdir()) == []


def test_the_latencies_since_an_earlier_time() -> None:
    histogram = Histogram()

    def now() -> LatencyHistogram:
        counts = histogram.counts()
        return LatencyHistogram.from_counts(counts.counts, counts.min_us, counts.max_us)

    for latency_ms in (1, 100):
        histogram.record(latency_ms * 1_000_000)
    earlier = now()
    assert now().since(earlier).count == 0
    for latency_ms in (20, 30, 30):
        histogram.record(latency_ms * 1_000_000)
    since = now().since(earlier)
    assert since.count == 3
    assert since.quantiles_ms([0.0, 0.5]) == pytest.approx([20, 30], rel=1e-3)
    assert since.max_ms == pytest.approx(30, rel=1e-3)
