"""Figures of streams of tokens by which runs are tabulated and compared."""

from collections.abc import Iterable
from functools import partial

from aibench_fast.results.files import RunRecord
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.servers import Figure
from aibench_fast.results.streamnames import RATES, SHOWN_QUANTILES, TIMES, NamedRate, NamedTimes


def time_ms(run: RunRecord, times: NamedTimes, quantile: str) -> float | None:
    """Return a quantile of some times of a run, such as `q99`; None if that is not known."""
    found = times.of(run.stream or {})
    return found[quantile] if found else None


def time_histogram(run: RunRecord, times: NamedTimes) -> LatencyHistogram:
    """Return all values of some times of a run, empty if it has none; ConfigError if unreadable."""
    encoded = times.encoded(run.stream or {})
    return LatencyHistogram.decode(encoded) if encoded else LatencyHistogram.empty()


def shown_times(runs: Iterable[RunRecord]) -> list[NamedTimes]:
    """Return the times that any of the runs has, and that others do not repeat."""
    streams = [run.stream for run in runs if run.stream]
    return [times for times in TIMES if any(times.is_shown(stream) for stream in streams)]


def _per_second(run: RunRecord, rate: NamedRate) -> float | None:
    return rate.of(run.stream or {})


_RATES = [
    Figure(rate.name, rate.words, rate.unit, partial(_per_second, rate=rate), max) for rate in RATES
]


def figures_of(runs: Iterable[RunRecord]) -> list[Figure]:
    """Return the figures that any of the runs has: rates, and the median and p99 of times."""
    several = [run for run in runs if run.stream]
    return [
        *(one for one in _RATES if any(one.value(run) is not None for run in several)),
        *(
            Figure(
                f"{times.name}.{shown}", f"{times.words}, {shown}", "ms",
                partial(time_ms, times=times, quantile=quantile), min,
            )
            for times in shown_times(several)
            for quantile, shown in SHOWN_QUANTILES.items()
        ),
    ]  # fmt: skip
