"""What repeated runs come to: medians, intervals, and whether they are stable."""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import Any

from aibench_fast.results.result import MIN_FOR_P99, Result

# Student's t at 97.5 %, by degrees of freedom from 1 on; above, the next smaller that is listed.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
UNSTABLE_DEVIATION = 0.10
UNSTABLE_EXTREME = 0.50
"""As pyperf warns: a deviation of a tenth of the mean, or a value half as much off."""
MIN_FOR_TREND = 6
"""Fewer runs can fall or rise throughout by chance."""
TREND_P = 0.01
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class Spread:
    """One figure of all runs."""

    values: Sequence[float]
    unit: str

    @property
    def median(self) -> float:
        """The median of the runs."""
        return median(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """A 95 % interval of the true median, by Student's t on the logarithms; None for one run.

        Figures of runs scatter by factors, so that their logarithms are near to normal, and the
        median of the runs is the mean of those.
        """
        if len(self.values) < 2 or min(self.values) <= 0:
            return None
        logs = [math.log(value) for value in self.values]
        t = _T[min(len(logs) - 1, len(_T)) - 1]
        half = t * stdev(logs) / math.sqrt(len(logs))
        return math.exp(fmean(logs) - half), math.exp(fmean(logs) + half)

    @property
    def half_width(self) -> float:
        """Half the interval's width over the median; infinite for one run."""
        return math.inf if self.interval is None else _width(self.interval) / 2 / self.median

    def doubts(self) -> list[str]:
        """Why the figure is not stable; empty where it is."""
        if len(self.values) < 2:
            return []
        found = []
        mean = fmean(self.values)
        deviation = stdev(self.values) / mean if mean else 0.0
        if deviation > UNSTABLE_DEVIATION:
            found.append(f"it deviates by {deviation:.0%} from run to run")
        extreme = max(self.values, key=lambda value: abs(value - self.median))
        if self.median and abs(extreme / self.median - 1) > UNSTABLE_EXTREME:
            found.append(f"one run had {extreme:.3f} {self.unit}, the median is {self.median:.3f}")
        if (p := trend_p(self.values)) < TREND_P:
            change = self.values[-1] / self.values[0] - 1
            found.append(f"it drifts, by {change:+.0%} from the first run to the last (p {p:.3f})")
        return found


def _width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


def trend_p(values: Sequence[float]) -> float:
    """How likely so steady a rise or fall is by chance: Mann-Kendall, two-sided, normal form.

    H. B. Mann, "Nonparametric tests against trend", Econometrica 13, 1945. 1 for few values.
    """
    n = len(values)
    if n < MIN_FOR_TREND:
        return 1.0
    s = 0  # pairs that rise less pairs that fall; a run of a day has too many to go through each
    earlier: list[float] = []
    for value in values:
        s += bisect_left(earlier, value) - (len(earlier) - bisect_right(earlier, value))
        insort(earlier, value)
    variance = n * (n - 1) * (2 * n + 5) / 18
    z = max(0, abs(s) - 1) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


@dataclass(frozen=True)
class Repeats:
    """Several runs of one setting, in the order that they were made."""

    results: Sequence[Result]
    until: float | None = None
    """How narrow the interval of the rate was to be, half its width over the median."""

    @property
    def rate(self) -> Spread:
        """Inferences a second."""
        return Spread([one.inferences_per_s for one in self.results], "inferences/s")

    def spreads(self) -> dict[str, Spread]:
        """The rate, and the latencies at QUANTILES; without p99 where a run has too few for one."""
        fewest = min(one.latencies.count for one in self.results)
        names = [name for name in QUANTILES if name != "p99" or fewest >= MIN_FOR_P99]
        by_run = [
            one.latencies.quantiles_ms([QUANTILES[name] for name in names]) for one in self.results
        ]
        return {"rate": self.rate} | {
            name: Spread(values, "ms")
            for name, values in zip(names, zip(*by_run, strict=True), strict=True)
        }

    @property
    def gave_up(self) -> bool:
        """Whether the interval is not as narrow as it was to be."""
        return self.until is not None and self.rate.half_width > self.until

    def to_json(self, files: Sequence[str]) -> dict[str, Any]:
        """Return the figures as JSON values; `files` are the results' own."""
        return {
            "Repeats": {
                "Runs": len(self.results),
                "Until": self.until,
                "GaveUp": self.gave_up,
                "Results": [*files],
                "Figures": {name: _spread_json(one) for name, one in self.spreads().items()},
            }
        }


def _spread_json(spread: Spread) -> Mapping[str, Any]:
    low, high = spread.interval or (None, None)
    return {
        "Median": spread.median,
        "Low": low,
        "High": high,
        "Unit": spread.unit,
        "Values": [*spread.values],
        "Doubts": spread.doubts(),
    }


def repeat(
    run_once: Callable[[int], Result], runs: int, until: float | None = None, most: int = 50
) -> Repeats:
    """Make `runs` runs, numbered from 1, and with `until` more, up to `most`, till it is reached.

    A run that is interrupted is the last.
    """
    results: list[Result] = []
    while len(results) < most:
        results.append(run_once(len(results) + 1))
        made = Repeats(results, until)
        enough = len(results) >= runs and not made.gave_up
        if enough or results[-1].interrupted:
            break
    return Repeats(results, until)
