"""Figures of runs, by which they are tabulated and compared."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from statistics import median

from aibench_fast.results.forms import QUANTILES
from aibench_fast.results.histogram import least_count
from aibench_fast.results.record import RunRecord
from aibench_fast.results.streamnames import RATES, SHOWN_QUANTILES, TIMES, NamedTimes

MIB = 1 << 20


@dataclass(frozen=True)
class Figure:
    """A figure of a run."""

    name: str
    title: str
    unit: str
    value: Callable[[RunRecord], float | None]
    best: Callable[[Iterable[float]], float]
    least_requests: int = 1
    """Requests that a run needs for the figure to be known."""

    def known(self, runs: Iterable[RunRecord]) -> list[float]:
        """Return the figure of each run that has it."""
        return [value for run in runs if (value := self.value(run)) is not None]

    def median(self, runs: Iterable[RunRecord]) -> float | None:
        """Return the median of the runs that have it; None if none has."""
        return median(known) if (known := self.known(runs)) else None


def _latency(quantile: str) -> Figure:
    name = quantile.replace("q", "p")
    return Figure(
        name, f"latency {name}", "ms", lambda run: run.quantile_ms(quantile), min,
        least_count(QUANTILES[quantile]),
    )  # fmt: skip


def _memory_mib(run: RunRecord) -> float | None:
    memory_bytes = run.server_use.memory_bytes
    return None if memory_bytes is None else memory_bytes / MIB


def _window_wait_ms(quantile: str, run: RunRecord) -> float | None:
    return (run.window_waits_ms or {}).get(quantile)


def _window_percent(run: RunRecord) -> float | None:
    return 100 * run.window_share if run.window_waits_ms else None


THROUGHPUT = Figure(
    "throughput", "throughput", "inferences/s", lambda run: run.inferences_per_s, max
)
P50, P95, P99 = map(_latency, ("q50", "q95", "q99"))
USE_FIGURES = (
    Figure("cpu", "CPU use of the server", "cores", lambda run: run.server_use.cores, min),
    Figure(
        "cpu_an_inference", "CPU time of the server for an inference", "ms",
        lambda run: run.cpu_ms_an_inference, min,
    ),
    Figure("memory", "memory of the server", "MiB", _memory_mib, min),
)  # fmt: skip
"""Figures of the server's own resources; `cells.sources_of_use` says who counted them."""
WINDOW_FIGURES = (
    Figure("window_wait.p50", "window wait p50", "ms", partial(_window_wait_ms, "q50"), min),
    Figure("window_wait.p99", "window wait p99", "ms", partial(_window_wait_ms, "q99"), min),
    Figure("window_share", "window wait", "% of the latency", _window_percent, min),
)
"""How long requests waited for the server's flow-control windows."""
FIGURES = (THROUGHPUT, P50, P99, *USE_FIGURES)
"""Figures by which servers are compared."""


def time_ms(run: RunRecord, times: NamedTimes, quantile: str) -> float | None:
    """Return a quantile of some times of a run, such as `q99`; None if that is not known."""
    found = times.of(run.stream or {})
    return found[quantile] if found else None


def shown_times(runs: Iterable[RunRecord]) -> list[NamedTimes]:
    """Return the times that any of the runs has, and that others do not repeat."""
    streams = [run.stream for run in runs if run.stream]
    return [times for times in TIMES if any(times.is_shown(stream) for stream in streams)]


def _per_second(run: RunRecord, key: str) -> float | None:
    return (run.stream or {}).get(key)


_RATES = [
    Figure(rate.name, rate.words, rate.unit, partial(_per_second, key=rate.key), max)
    for rate in RATES
]


def figures_of(runs: Iterable[RunRecord]) -> list[Figure]:
    """Return the figures of streams of tokens that any of the runs has: rates, and the median and
    p99 of times.
    """
    several = [run for run in runs if run.stream]
    return [
        *(one for one in _RATES if one.known(several)),
        *(
            Figure(
                f"{times.name}.{shown}", f"{times.words}, {shown}", "ms",
                partial(time_ms, times=times, quantile=quantile), min,
                least_count(QUANTILES[quantile]),
            )
            for times in shown_times(several)
            for quantile, shown in SHOWN_QUANTILES.items()
        ),
    ]  # fmt: skip
