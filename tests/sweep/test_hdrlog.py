"""--hdr-log-file, read by HdrHistogram's own reader."""

import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from commandline import Cli
from fake_redisai import OK, FakeRedisAI
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from hypothesis import given
from hypothesis import strategies as st

from aibench_fast._core import Histogram
from aibench_fast.results.events import IntervalLatencies
from aibench_fast.results.hdrlog import HdrLog
from aibench_fast.results.histogram import HIGHEST_US, LatencyHistogram


def test_every_latency_is_in_the_line_of_its_period(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    def slow_at_last(_: object, number: int) -> bytes:
        time.sleep(0.6 if number > 11 else 0.01)
        return OK

    before = time.time()
    with FakeRedisAI(AI_MODELRUN=slow_at_last) as server:
        cli(
            "run", "--file", tensor_file, "--port", server.port, "--max-queries", 14,
            "--burn-in", 2, "--reporting-period", "200ms", "--hdr-log-file", "log/run.hlog", code=0,
        )  # fmt: skip
    reader = HistogramLogReader(str(tmp_path / "log/run.hlog"), HdrHistogram(1, 3_600_000_000, 3))
    intervals = []
    while (interval := reader.get_next_interval_histogram()) is not None:
        intervals.append(interval)
    reader.close()
    assert len(intervals) >= 4
    assert sum(interval.get_total_count() for interval in intervals) == 12
    assert intervals[0].get_max_value() < 600_000 <= intervals[-1].get_max_value()
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


@given(
    start_unix_s=st.floats(1e9, 4e9),
    periods=st.lists(
        st.tuples(st.floats(0.001, 3600), st.lists(st.integers(1, HIGHEST_US), max_size=9)),
        min_size=1, max_size=5,
    ),
)  # fmt: skip
def test_any_log_is_read_back(start_unix_s: float, periods: list[tuple[float, list[int]]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.hlog"
        with path.open("wb") as file:
            log, end_unix_s = HdrLog(file), start_unix_s
            for seconds, values_us in periods:
                histogram = Histogram()
                for value in values_us:
                    histogram.record(value * 1000)
                counts = histogram.counts()
                latencies = LatencyHistogram.from_counts(
                    counts.counts, counts.min_us, counts.max_us
                )
                log.append(IntervalLatencies(end_unix_s, end_unix_s + seconds, latencies))
                end_unix_s += seconds
        reader = HistogramLogReader(str(path), HdrHistogram(1, HIGHEST_US, 3))
        found = [*iter(reader.get_next_interval_histogram, None)]
        reader.close()
    assert [one.get_total_count() for one in found] == [len(values) for _, values in periods]
    for one, (_, values_us) in zip(found, periods, strict=True):
        reference = HdrHistogram(1, HIGHEST_US, 3)
        for value in values_us:
            reference.record_value(value)
        assert bytes(one.counts) == bytes(reference.counts)
