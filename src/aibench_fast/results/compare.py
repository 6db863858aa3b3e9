"""Two sets of runs against each other: is B faster than A, and how sure is that?"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from aibench_fast.errors import ConfigError
from aibench_fast.results.files import Cell, RunRecord, by_cell
from aibench_fast.results.notebook import ShownInNotebooks

CONFIDENCE = 0.95
DEFAULT_THRESHOLD = 0.05
MIN_RUNS = 3
"""Of each side. Below it the deviation between runs says too little: the interval would be one of
the method, not of the data. With 3 to 10 runs a side the intervals below held the true ratio in 94
to 99 % of simulated comparisons, normal and skewed."""
RESAMPLES = 10_000
SEED = 20_200_806  # any number: a verdict has to be the same each time
HISTOGRAM_STEP_MS = 0.001
HISTOGRAM_SHARE = 2.0**-10
"""Of a value: a histogram's three digits tell no more."""


Floats = NDArray[np.float64]


class Verdict(StrEnum):
    """What a comparison comes to at a threshold."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    """The whole interval is within the threshold."""
    UNCLEAR = "unclear"
    """The interval holds both a change that matters and none, or less: more runs would tell."""
    TOO_FEW_RUNS = "too few runs"
    NOT_KNOWN = "not known"
    """A run has too few requests for the figure, or does not tell it."""


@dataclass(frozen=True)
class Metric:
    """A figure of a run that is compared."""

    name: str
    unit: str
    higher_is_better: bool
    value: Callable[[RunRecord], float | None]
    least_step: float = 0.0
    """What two values differ by at least, if they do, in the unit; 0 where they are not rounded."""


def _quantile(name: str) -> Callable[[RunRecord], float | None]:
    return lambda run: run.quantile_ms(name)


METRICS = (
    Metric("throughput", "inferences/s", True, lambda run: run.inferences_per_s),
    Metric("p50", "ms", False, _quantile("q50"), HISTOGRAM_STEP_MS),
    Metric("p95", "ms", False, _quantile("q95"), HISTOGRAM_STEP_MS),
    Metric("p99", "ms", False, _quantile("q99"), HISTOGRAM_STEP_MS),
)


@dataclass(frozen=True)
class Comparison:
    """One figure of one cell."""

    cell: Cell
    metric: Metric
    a: float | None
    """The geometric mean of A's runs; None where a run's own is not known."""
    b: float | None
    runs_a: int
    runs_b: int
    ratio: float | None
    """b / a; None where either is not known."""
    interval: tuple[float, float] | None
    """The ratio's confidence interval; None without a ratio, or where there are too few runs."""
    verdict: Verdict


@dataclass(frozen=True)
class Difference:
    """A fact of the set-up that is not the same on both sides."""

    name: str
    a: Sequence[str]
    b: Sequence[str]

    def __str__(self) -> str:
        """Return what is found on either side."""
        return f"{self.name}: {_either(self.a)} in A, {_either(self.b)} in B"


def _either(values: Sequence[str]) -> str:
    return " and ".join(values) if values else "unknown"


@dataclass(frozen=True)
class Report(ShownInNotebooks):
    """All that comparing two sets of runs brought."""

    comparisons: Sequence[Comparison]
    only_a: Sequence[Cell]
    only_b: Sequence[Cell]
    differences: Sequence[Difference]
    unknown: Sequence[Difference]
    """Facts that one side does not tell, so that nobody can say whether they differ."""
    threshold: float
    """A ratio within 1 +- this does not matter."""

    @property
    def worse(self) -> bool:
        """Whether any figure of any cell is worse in B."""
        return any(comparison.verdict is Verdict.WORSE for comparison in self.comparisons)


def compare(
    a: Sequence[RunRecord], b: Sequence[RunRecord], threshold: float = DEFAULT_THRESHOLD
) -> Report:
    """Compare the cells that both sides have; a ratio within 1 +- `threshold` does not matter.

    ConfigError where they have no cell in common.
    """
    cells_a, cells_b = by_cell(a), by_cell(b)
    common = sorted(cells_a.keys() & cells_b.keys())
    if not common:
        raise ConfigError(
            f"nothing to compare: A has {_words(cells_a)}, and B has {_words(cells_b)}"
            f"{_lacking(cells_a, cells_b)}"
        )
    differences, unknown = _differences([(cells_a[cell], cells_b[cell]) for cell in common])
    return Report(
        comparisons=[
            _compare_cell(cell, metric, cells_a[cell], cells_b[cell], threshold)
            for cell in common
            for metric in METRICS
        ],
        only_a=sorted(cells_a.keys() - cells_b.keys()),
        only_b=sorted(cells_b.keys() - cells_a.keys()),
        differences=differences,
        unknown=unknown,
        threshold=threshold,
    )


def _lacking(a: Iterable[Cell], b: Iterable[Cell]) -> str:
    """Words that cells which only one side knows the auto-batching of are not compared."""
    for name, unknown, other in (("A", a, b), ("B", b, a)):
        known = {cell._replace(autobatching=-1) for cell in other}
        if any(cell.autobatching < 0 and cell in known for cell in unknown):
            return f"; {name}'s results do not say the model's auto-batching (-1), the others do"
    return ""


def _words(cells: Iterable[Cell]) -> str:
    first, *others = cells
    return f"{first} and {len(others)} more" if others else str(first)


def _compare_cell(
    cell: Cell, metric: Metric, a: Sequence[RunRecord], b: Sequence[RunRecord], threshold: float
) -> Comparison:
    logs_a, logs_b = _logs(metric, a), _logs(metric, b)
    interval, ratio, verdict = None, None, Verdict.NOT_KNOWN
    if logs_a is not None and logs_b is not None:
        ratio = math.exp(logs_b.mean() - logs_a.mean())
        if min(len(a), len(b)) >= MIN_RUNS:
            steps = [
                metric.least_step
                and max(HISTOGRAM_SHARE, metric.least_step / math.exp(logs.mean()))
                for logs in (logs_a, logs_b)
            ]
            interval = ratio_interval(logs_a, logs_b, (steps[0], steps[1]))
        verdict = _verdict(metric, ratio, interval, threshold)
    return Comparison(
        cell=cell,
        metric=metric,
        a=None if logs_a is None else math.exp(logs_a.mean()),
        b=None if logs_b is None else math.exp(logs_b.mean()),
        runs_a=len(a),
        runs_b=len(b),
        ratio=ratio,
        interval=interval,
        verdict=verdict,
    )


def _logs(metric: Metric, runs: Sequence[RunRecord]) -> Floats | None:
    values = [metric.value(run) for run in runs]
    known = [value for value in values if value is not None]
    return np.log(known) if len(known) == len(values) else None


def ratio_interval(
    logs_a: Floats, logs_b: Floats, steps: tuple[float, float] = (0.0, 0.0)
) -> tuple[float, float]:
    """The confidence interval of the ratio of geometric means, B to A, from values' logarithms.

    A studentised bootstrap over runs (Efron and Tibshirani, An Introduction to the Bootstrap,
    section 12.5): unlike plain percentiles it does not pretend to more than a handful of runs
    can tell. `steps` are what A's and B's values are rounded to, as shares of them. A rounded value
    is off by a step over the root of 12, taken for uniform: runs that are equal by rounding alone
    would otherwise have no error, and the interval no bound.
    """
    # Of runs in one bucket it is the same, so that it does not get less with more of them.
    rounding = sum(step**2 / 12 for step in steps)
    difference = logs_b.mean() - logs_a.mean()
    rng = np.random.default_rng(SEED)
    resampled_a = logs_a[rng.integers(len(logs_a), size=(RESAMPLES, len(logs_a)))]
    resampled_b = logs_b[rng.integers(len(logs_b), size=(RESAMPLES, len(logs_b)))]
    shift = resampled_b.mean(axis=1) - resampled_a.mean(axis=1) - difference
    error = _standard_error(resampled_a, resampled_b, rounding)
    # A resample of one run repeated has no error: its shift counts as beyond any multiple of it.
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(shift == 0, 0.0, shift / error)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(t, [tail, 1 - tail], method="nearest")
    # Runs that are equal by rounding have resamples as equal: no fewer errors than of known ones.
    least = NormalDist().inv_cdf(1 - tail)
    low, high = min(low, -least), max(high, least)
    spread = float(_standard_error(logs_a[None], logs_b[None], rounding)[0])
    if spread == 0:
        return math.exp(difference), math.exp(difference)
    return math.exp(difference - high * spread), math.exp(difference - low * spread)


def _standard_error(a: Floats, b: Floats, rounding: float) -> Floats:
    """Of the difference of means, for each row, with the variance that rounding alone gives."""
    variance: Floats = a.var(axis=1, ddof=1) / a.shape[1] + b.var(axis=1, ddof=1) / b.shape[1]
    return np.sqrt(variance + rounding)


def _verdict(
    metric: Metric, ratio: float, interval: tuple[float, float] | None, threshold: float
) -> Verdict:
    if interval is None:
        return Verdict.TOO_FEW_RUNS
    low, high = interval
    if low > 1 and ratio > 1 + threshold:
        return Verdict.BETTER if metric.higher_is_better else Verdict.WORSE
    if high < 1 and ratio < 1 - threshold:
        return Verdict.WORSE if metric.higher_is_better else Verdict.BETTER
    if 1 - threshold <= low and high <= 1 + threshold:
        return Verdict.SAME
    return Verdict.UNCLEAR


def _differences(
    pairs: Iterable[tuple[Sequence[RunRecord], Sequence[RunRecord]]],
) -> tuple[list[Difference], list[Difference]]:
    """The facts that differ, and those that one side alone does not tell, over all cells."""
    differ: dict[Difference, None] = {}
    unknown: dict[Difference, None] = {}
    for runs_a, runs_b in pairs:
        if any(run.lacks_autobatching for run in (*runs_a, *runs_b)):
            unknown[Difference("auto-batching", (), ())] = None
        setups_a, setups_b = [run.setup for run in runs_a], [run.setup for run in runs_b]
        for name in setups_a[0]:
            values_a = {setup[name] for setup in setups_a}
            values_b = {setup[name] for setup in setups_b}
            difference = Difference(name, _known(values_a), _known(values_b))
            if len(set(difference.a) | set(difference.b)) > 1:
                differ[difference] = None
            elif len(values_a | values_b) > 1:
                unknown[difference] = None
    return list(differ), list(unknown)


def _known(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted(value for value in values if value is not None))
