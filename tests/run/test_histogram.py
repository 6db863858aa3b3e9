"""The native histogram against the `hdrhistogram` package, and what becomes of it."""

from itertools import chain

import pytest
from ci import examples
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from aibench_fast._core import Histogram
from aibench_fast.results.histogram import HIGHEST_US, LatencyHistogram

latencies_us = st.lists(st.integers(1, HIGHEST_US), max_size=50)


def native(values_ns: list[int]) -> LatencyHistogram:
    histogram = Histogram()
    for value in values_ns:
        histogram.record(value)
    counts = histogram.counts()
    return LatencyHistogram.from_counts(counts.counts, counts.min_us, counts.max_us)


@given(latencies_us)
def test_counts_stand_where_hdrhistogram_puts_them(values_us: list[int]) -> None:
    reference = HdrHistogram(1, HIGHEST_US, 3)
    for value in values_us:
        reference.record_value(value)
    histogram = Histogram()
    for value in values_us:
        histogram.record(value * 1000)
    counts = histogram.counts()
    assert counts.counts == bytes(reference.counts)
    if values_us:
        assert (counts.min_us, counts.max_us) == (min(values_us), max(values_us))


@settings(max_examples=examples(10), deadline=None)  # the package takes long to tell them
@given(latencies_us.filter(bool))
def test_mean_and_deviation_are_hdrhistograms(values_us: list[int]) -> None:
    reference = HdrHistogram(1, HIGHEST_US, 3)
    for value in values_us:
        reference.record_value(value)
    latencies = native([value * 1000 for value in values_us])
    assert latencies.mean_ms == pytest.approx(reference.get_mean_value() / 1000)
    assert latencies.stddev_ms == pytest.approx(reference.get_stddev() / 1000)


@settings(deadline=None)
@given(latencies_us.filter(bool), st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_quantiles_and_encoding_are_hdrhistograms_own(
    values_us: list[int], quantiles: list[float]
) -> None:
    reference = HdrHistogram(1, HIGHEST_US, 3)
    for value in values_us:
        reference.record_value(value)
    latencies = native([value * 1000 for value in values_us])
    # What is above the largest value that was seen is its bucket's edge.
    expected = [
        min(reference.get_value_at_percentile(quantile * 100) / 1000, max(values_us) / 1000)
        for quantile in quantiles
    ]
    assert latencies.quantiles_ms(quantiles) == expected
    assert latencies.encode() == reference.encode().decode()


@settings(deadline=None)
@given(latencies_us.filter(bool))
def test_encoding_keeps_every_quantile(values_us: list[int]) -> None:
    latencies = native([value * 1000 for value in values_us])
    decoded = LatencyHistogram.decode(latencies.encode())
    quantiles = (0.0, 0.25, 0.5, 0.99, 1.0)
    assert decoded.count == len(values_us)
    # The encoding has no exact maximum, so the top comes back within its bucket.
    assert decoded.quantiles_ms(quantiles) == pytest.approx(
        latencies.quantiles_ms(quantiles), rel=1e-3
    )


@given(st.integers(1, HIGHEST_US))
def test_a_latency_comes_back_within_three_digits(value_us: int) -> None:
    (median,) = native([value_us * 1000]).quantiles_ms([0.5])
    assert abs(median * 1000 - value_us) <= value_us / 1000


def test_ten_thousand_equal_values_and_one_outlier() -> None:
    latencies = native([1_000_000] * 10_000 + [100_000_000_000])
    p50, p9999, p100 = latencies.quantiles_ms((0.5, 0.9999, 1.0))
    assert (p50, p9999) == (1.0, 1.0)
    assert abs(p100 - 100_000) < 100
    assert abs(latencies.mean_ms - 10.9989) < 0.05


def test_a_value_above_the_top_is_counted_as_saturated() -> None:
    histogram = Histogram()
    histogram.record(2 * HIGHEST_US * 1000)
    counts = histogram.counts()
    assert (counts.saturated, counts.max_us) == (1, HIGHEST_US)


def test_a_value_below_a_microsecond_counts_as_one() -> None:
    histogram = Histogram()
    histogram.record(12)
    assert histogram.counts().min_us == 1


def test_nothing_recorded_is_all_zero() -> None:
    empty = native([])
    assert empty.quantiles_ms((0.5, 0.99)) == [0.0, 0.0]
    assert (empty.min_ms, empty.max_ms, empty.mean_ms, empty.stddev_ms) == (0, 0, 0, 0)
    assert LatencyHistogram.decode(empty.encode()).count == 0


def test_percentile_table_is_in_milliseconds_throughout() -> None:
    latencies = native([1_000_000, 3_000_000])
    table = latencies.percentile_table()
    assert table.split("\n")[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    mean, deviation = f"{latencies.mean_ms:12.3f}", f"{latencies.stddev_ms:12.3f}"
    assert f"#[Mean    = {mean}, StdDeviation   = {deviation}]" in table
    assert float(deviation) == pytest.approx(1.0, rel=0.01)


@given(latencies_us, latencies_us)
def test_a_periods_quantiles_are_those_of_its_histogram(
    before_us: list[int], then_us: list[int]
) -> None:
    earlier = native([value * 1000 for value in before_us])
    later = native([value * 1000 for value in before_us + then_us])
    quantiles = (0.01, 0.5, 0.9, 0.99, 0.99999, 1.0)
    expected = later.since(earlier).quantiles_ms(quantiles) if then_us else []
    assert later.quantiles_since_ms(earlier, quantiles) == pytest.approx(expected)


@settings(deadline=None)
@given(st.lists(latencies_us, max_size=4))
def test_a_merge_is_hdrhistograms_own(several_us: list[list[int]]) -> None:
    reference = HdrHistogram(1, HIGHEST_US, 3)
    for value in chain(*several_us):
        reference.record_value(value)
    merged = LatencyHistogram.merged(
        native([value * 1000 for value in values_us]) for values_us in several_us
    )
    assert merged.count == reference.get_total_count()
    assert merged.encode() == reference.encode().decode()


@given(latencies_us, latencies_us)
def test_merged_histograms_hold_the_latencies_of_all(a_us: list[int], b_us: list[int]) -> None:
    a, b = native([value * 1000 for value in a_us]), native([value * 1000 for value in b_us])
    together = native([value * 1000 for value in a_us + b_us])
    merged = LatencyHistogram.merged([a, b])
    quantiles = (0.0, 0.5, 0.99, 1.0)
    assert merged.count == together.count
    assert merged.quantiles_ms(quantiles) == together.quantiles_ms(quantiles)
    assert (merged.min_ms, merged.max_ms) == (together.min_ms, together.max_ms)
