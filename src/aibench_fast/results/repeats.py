"""Repeated runs together: medians, intervals, and whether they are stable."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean, median, stdev
from typing import Any

from aibench_fast.results.files import record_of
from aibench_fast.results.record import RunRecord
from aibench_fast.results.result import Result
from aibench_fast.results.runfigures import P50, P95, P99, figures_of
from aibench_fast.results.significance import trend

LEVEL = 0.95
# Student's t at 97.5 %, by degrees of freedom from 1 on: for so few runs that none of them is far
# enough from the median.
_T = (12.706, 4.303, 3.182, 2.776)
UNSTABLE_DEVIATION = 0.10
UNSTABLE_EXTREME = 0.50
"""As pyperf warns: a deviation of a tenth of the mean, or a value half as much off."""


@dataclass(frozen=True)
class Spread:
    """The values of one figure in all runs."""

    values: Sequence[float]
    unit: str

    @property
    def median(self) -> float:
        """The median of the runs."""
        return median(self.values)

    @property
    def interval(self) -> tuple[float, float] | None:
        """A 95 % interval of the true median, in which the runs' own is; None for one run.

        By their order, however they scatter (`median_interval`); of fewer than six runs, whose
        order does not tell as much, by Student's t on the logarithms, taken for normal.
        """
        if len(self.values) > len(_T) + 1:
            return median_interval(self.values)
        if len(self.values) < 2 or min(self.values) <= 0:
            return None
        logs = [math.log(value) for value in self.values]
        half = _T[len(logs) - 2] * stdev(logs) / math.sqrt(len(logs))
        low, high = math.exp(fmean(logs) - half), math.exp(fmean(logs) + half)
        return min(low, self.median), max(high, self.median)

    @property
    def half_width(self) -> float:
        """The interval's wider side over the median; infinite without an interval or a median."""
        if self.interval is None or not self.median:
            return math.inf
        low, high = self.interval
        return max(high - self.median, self.median - low) / self.median

    def doubts(self) -> list[str]:
        """Return why the figure is not stable, if it is not."""
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
        if drift := trend(self.values):
            found.append(
                f"it drifts, by {drift.change:+.0%} from the first third of the runs to the last "
                f"({drift.shown_p})"
            )
        return found


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """An interval that has the true median at LEVEL, of six values or more.

    How many values are below the true median is binomial, whatever their distribution; between two
    of them it is interpolated. Hettmansperger and Sheather, "Confidence intervals based on
    interpolated order statistics", Statistics & Probability Letters 4, 1986.
    """
    ordered, n = sorted(values), len(values)
    levels = _median_levels(n)
    place = sum(level >= LEVEL for level in levels)  # the innermost that has it, from both ends
    low, high = ordered[place - 1], ordered[n - place]
    if place == 1:  # how far beyond the outermost but one a tail reaches is not known
        return low, high
    outer, inner = levels[place - 1 : place + 1]
    excess = (outer - LEVEL) / (outer - inner)
    share = (n - place) * excess / (place + (n - 2 * place) * excess)
    return low + share * (ordered[place] - low), high + share * (ordered[n - place - 1] - high)


def _median_levels(n: int) -> list[float]:
    """Return the likelihood of the true median between the values at each place from both ends."""
    beyond = accumulate(math.comb(n, below) for below in range(n // 2))
    return [1 - count / (1 << (n - 1)) for count in beyond]


@dataclass(frozen=True)
class Repeats:
    """Several runs of one setting, in the order that they were made."""

    results: Sequence[Result]
    until: float | None = None
    """The target for the interval of the rate, its wider side over the median."""
    interrupted: bool = False
    """Whether a run was cut short. It is excluded if there is a whole one."""

    @property
    def rate(self) -> Spread:
        """Inferences a second."""
        return Spread([one.inferences_per_s for one in self.results], "inferences/s")

    def spreads(self) -> dict[str, Spread]:
        """Return the rate, the latencies that all runs have enough requests for, and the figures of
        streams of tokens that all have.
        """
        found = {"rate": self.rate}
        if not all(one.latencies.count and one.inferences_per_s for one in self.results):
            return found
        records = self.records
        has_streams = all(one.tokens.output_tokens for one in self.results)
        for figure in (P50, P95, P99, *(figures_of(records) if has_streams else ())):
            known = figure.known(records)
            if len(known) == len(records):
                found[figure.name] = Spread(known, figure.unit)
        return found

    @property
    def records(self) -> list[RunRecord]:
        """The runs as `read_results` returns them, for `compare`; ConfigError of an empty one."""
        return [record_of(result) for result in self.results]

    @property
    def gave_up(self) -> bool:
        """Whether the interval misses its target."""
        return self.until is not None and self.rate.half_width > self.until

    def to_json(self, files: Sequence[str]) -> dict[str, Any]:
        """Return the figures as JSON values; `files` are the results' own."""
        return {
            "Repeats": {
                "Runs": len(self.results),
                "Until": self.until,
                "GaveUp": self.gave_up,
                "Interrupted": self.interrupted,
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
