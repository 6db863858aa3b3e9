"""Figures of streams of tokens by which runs are tabulated and compared."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from aibench_fast.results.files import RunRecord
from aibench_fast.results.servers import Figure
from aibench_fast.results.streamnames import RATES, TIMES, NamedTimes

SHOWN_QUANTILES = {"q50": "p50", "q99": "p99"}


def time_ms(run: RunRecord, times: NamedTimes, quantile: str) -> float | None:
    """Return a quantile of some times of a run, such as `q99`; None if that is not known."""
    found = times.of(run.stream or {})
    return found[quantile] if found else None


def _per_second(run: RunRecord, key: str) -> float | None:
    return (run.stream or {}).get(key) or None


def figures_of(runs: Iterable[RunRecord]) -> list[Figure]:
    """Return the figures that any of the runs has: rates, and the median and p99 of times."""
    streams = [run.stream for run in runs if run.stream]
    return [*_figures(streams)] if streams else []


def _figures(streams: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    for name, key in RATES.items():
        yield Figure(name, f"{name} per second", f"{name}/s", partial(_per_second, key=key), max)
    for times in TIMES:
        if any(times.is_shown(stream) for stream in streams):
            for quantile, shown in SHOWN_QUANTILES.items():
                value = partial(time_ms, times=times, quantile=quantile)
                yield Figure(f"{times.name}.{shown}", f"{times.words}, {shown}", "ms", value, min)
