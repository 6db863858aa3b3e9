"""How late requests start by a schedule, beside how late the machine's own timers fire."""

from collections.abc import Iterator
from statistics import median

from aibench_fast import RunConfig, run
from aibench_fast._core import timer_errors
from aibench_fast.load.readings import histogram
from benchmarks.perf.bench import MODEL, Bench
from benchmarks.perf.row import Row

RATE = 1000
WORKERS = 8
NS_PER_S = 1_000_000_000
US_PER_MS = 1000
MOST_US = 100.0
QUANTILES = (0.5, 0.99)


def start_time(bench: Bench) -> Iterator[Row]:
    """At 1,000 requests a second to the NULL backend, by turns with a bare timer."""
    address, run_s = bench.null_server, 4 * bench.effort.run_s
    ours: list[list[float]] = []
    timer: list[list[float]] = []
    for _ in range(bench.effort.rounds):
        errors = timer_errors(round(run_s * RATE), NS_PER_S // RATE)
        timer.append(histogram(errors).quantiles_ms(QUANTILES))
        result = run(
            RunConfig(
                file=None, shape=(16,), address=address, model=MODEL, workers=WORKERS,
                limit_rps=RATE, duration_s=run_s,
            )
        )  # fmt: skip
        ours.append(result.client.start_lags.quantiles_ms(QUANTILES))
    yield Row(
        name=f"start-time error at {RATE:,}/s, p99",
        figure="microseconds that a request starts late by a schedule",
        rounds=tuple(p99 * US_PER_MS for _, p99 in ours),
        at_most=MOST_US,
        beside={
            "p50": _median_us(p50 for p50, _ in ours),
            "the machine's own timer p50": _median_us(p50 for p50, _ in timer),
            "its p99": _median_us(p99 for _, p99 in timer),
        },
        unit="us",
        note=f"{WORKERS} workers, 16 floats, all requests, late workers' too",
    )


def _median_us(values_ms: Iterator[float]) -> float:
    return median(values_ms) * US_PER_MS
