"""Compare two sets of runs: is B faster than A, and how sure is that?"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from aibench_fast.errors import ConfigError
from aibench_fast.results.cells import by_cell
from aibench_fast.results.notebook import ShownInNotebooks
from aibench_fast.results.record import Cell, RunRecord
from aibench_fast.results.runfigures import P50, P95, P99, THROUGHPUT, Figure, figures_of
from aibench_fast.results.significance import Drift, holm, welch_p

CONFIDENCE = 0.95
DEFAULT_THRESHOLD = 0.05
MIN_RUNS = 3
"""Runs of each side. With fewer, the interval would come from the method, not from the data. With 3
to 10 runs a side the intervals held the true ratio in 94 to 99 % of simulated comparisons, normal
and skewed."""
RECOMMENDED_RUNS = 5
"""Runs of each side: with three, an interval is often too wide to be useful."""
RESAMPLES = 10_000
SEED = 20_200_806  # any number: a verdict has to be the same each time
HISTOGRAM_STEP_MS = 0.001
HISTOGRAM_SHARE = 2.0**-10
"""Of a value: the resolution of a histogram's three digits."""


Floats = NDArray[np.float64]


class ComparisonVerdict(StrEnum):
    """The outcome of a comparison at a threshold."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    """The whole interval is within the threshold."""
    UNCLEAR = "unclear"
    """Neither is sure: more runs would show."""
    TOO_FEW_RUNS = "too few runs"
    NOT_KNOWN = "not known"
    """A run has too few requests for the figure, or does not contain it."""


METRICS = (THROUGHPUT, P50, P95, P99)


@dataclass(frozen=True)
class Comparison:
    """One figure of one cell."""

    cell: Cell
    metric: Figure
    a: float | None
    """The geometric mean of A's runs; None if any run's figure is unknown."""
    b: float | None
    runs_a: int
    runs_b: int
    ratio: float | None
    """b / a; None if either is unknown."""
    interval: tuple[float, float] | None
    """The ratio's confidence interval; None without a ratio, or with too few runs."""
    p: float | None
    """The likelihood of so large a difference without any change but the machine's drift, by
    Welch's test; None as above."""
    drift: float
    """The ratio from the machine's drift alone, by the runs' order within A and within B."""
    verdict: ComparisonVerdict
    corrected_p: float | None = None
    """`p`, corrected for all comparisons that have one (Holm)."""

    @property
    def leaves_out_1(self) -> bool:
        """Whether the interval shows a change, if it is the only comparison."""
        return self.interval is not None and not self.interval[0] <= 1 <= self.interval[1]


@dataclass(frozen=True)
class Difference:
    """A fact of the setup that differs between the sides."""

    name: str
    a: Sequence[str]
    b: Sequence[str]

    def __str__(self) -> str:
        """Return the values of both sides."""
        return f"{self.name}: {_either(self.a)} in A, {_either(self.b)} in B"


def _either(values: Sequence[str]) -> str:
    return " and ".join(values) if values else "unknown"


@dataclass(frozen=True)
class ComparisonReport(ShownInNotebooks):
    """All comparisons of two sets of runs."""

    comparisons: Sequence[Comparison]
    only_a: Sequence[Cell]
    only_b: Sequence[Cell]
    differences: Sequence[Difference]
    unknown: Sequence[Difference]
    """Facts that one side does not contain, so that it is unknown whether they differ."""
    threshold: float
    """A ratio within 1 +- this counts as no change."""

    @property
    def worse(self) -> bool:
        """Whether any figure of any cell is worse in B."""
        return any(comparison.verdict is ComparisonVerdict.WORSE for comparison in self.comparisons)

    @property
    def judged(self) -> list[Comparison]:
        """The comparisons that have an interval."""
        return [comparison for comparison in self.comparisons if comparison.interval is not None]

    @property
    def by_chance(self) -> float:
        """How many of their intervals would exclude 1 on average without any change."""
        return len(self.judged) * (1 - CONFIDENCE)


def compare(
    a: Sequence[RunRecord], b: Sequence[RunRecord], threshold: float = DEFAULT_THRESHOLD
) -> ComparisonReport:
    """Compare the cells that both sides have; a ratio within 1 +- `threshold` counts as no change.
    ConfigError if there are none.
    """
    cells_a, cells_b = by_cell(a), by_cell(b)
    common = sorted(cells_a.keys() & cells_b.keys())
    if not common:
        raise ConfigError(
            f"nothing to compare: A has {_words(cells_a)}, and B has {_words(cells_b)}"
            f"{_lacking(cells_a, cells_b)}"
        )
    pairs = [(cells_a[cell], cells_b[cell]) for cell in common]
    metrics = [[*METRICS, *figures_of(chain(*pair))] for pair in pairs]
    drifts = {one.name: Drift(pairs, one.value) for one in chain.from_iterable(metrics)}
    comparisons = [
        _compare_cell(cell, metric, *pair, drifts[metric.name].between(*pair))
        for cell, pair, of_cell in zip(common, pairs, metrics, strict=True)
        for metric in of_cell
    ]
    corrected = iter(holm([one.p for one in comparisons if one.p is not None]))
    differences, unknown = _differences(pairs)
    return ComparisonReport(
        comparisons=[_judged(one, corrected, threshold) for one in comparisons],
        only_a=sorted(cells_a.keys() - cells_b.keys()),
        only_b=sorted(cells_b.keys() - cells_a.keys()),
        differences=differences,
        unknown=unknown,
        threshold=threshold,
    )


def _lacking(a: Iterable[Cell], b: Iterable[Cell]) -> str:
    """Return words for cells that do not match because one side lacks the auto-batching."""
    for name, unknown, other in (("A", a, b), ("B", b, a)):
        known = {cell._replace(autobatching=-1) for cell in other}
        if any(cell.autobatching < 0 and cell in known for cell in unknown):
            return f"; {name}'s results do not say the model's auto-batching (-1), the others do"
    return ""


def _words(cells: Iterable[Cell]) -> str:
    first, *others = cells
    return f"{first} and {len(others)} more" if others else str(first)


def _compare_cell(
    cell: Cell, metric: Figure, a: Sequence[RunRecord], b: Sequence[RunRecord], drift: float
) -> Comparison:
    """Compare a figure of a cell, without a verdict; the test takes drift for another error."""
    logs_a, logs_b = _logs(metric, a), _logs(metric, b)
    interval, ratio, p = None, None, None
    verdict = ComparisonVerdict.NOT_KNOWN
    if logs_a is not None and logs_b is not None:
        verdict = ComparisonVerdict.TOO_FEW_RUNS
        ratio = math.exp(logs_b.mean() - logs_a.mean())
        if min(len(a), len(b)) >= MIN_RUNS:
            steps = _step(metric, logs_a), _step(metric, logs_b)
            interval = ratio_interval(logs_a, logs_b, steps)
            p = welch_p([*logs_a], [*logs_b], _rounding(steps) + drift**2)
    return Comparison(
        cell=cell,
        metric=metric,
        a=None if logs_a is None else math.exp(logs_a.mean()),
        b=None if logs_b is None else math.exp(logs_b.mean()),
        runs_a=len(a),
        runs_b=len(b),
        ratio=ratio,
        interval=interval,
        p=p,
        drift=math.exp(drift),
        verdict=verdict,
    )


def _logs(metric: Figure, runs: Sequence[RunRecord]) -> Floats | None:
    """Return the logarithms of the runs' values; None if any is unknown, or not above 0."""
    values = metric.known(runs)
    return np.log(values) if len(values) == len(runs) and min(values) > 0 else None


def _step(metric: Figure, logs: Floats) -> float:
    """Return how far values are rounded, as a share of them: histograms round milliseconds."""
    if metric.unit != "ms":
        return 0.0
    step: float = max(HISTOGRAM_SHARE, HISTOGRAM_STEP_MS / math.exp(logs.mean()))
    return step


def ratio_interval(
    logs_a: Floats, logs_b: Floats, steps: tuple[float, float] = (0.0, 0.0)
) -> tuple[float, float]:
    """Return the confidence interval of the ratio of geometric means, B to A, from logarithms.

    A studentised bootstrap over runs (Efron and Tibshirani, An Introduction to the Bootstrap,
    section 12.5), which is honest about a handful of runs, unlike plain percentiles. `steps` are
    the rounding of A's and B's values, as shares of them. Rounding is an error of a step over the
    root of 12, assumed uniform. Without it, runs that are equal by rounding would have no error,
    and the interval no bound.
    """
    rounding = _rounding(steps)
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


def _rounding(steps: tuple[float, float]) -> float:
    """Return the variance that rounding alone gives to the difference of means, of any number of
    runs: those in one bucket have the same rounding.
    """
    return sum(step**2 / 12 for step in steps)


def _standard_error(a: Floats, b: Floats, rounding: float) -> Floats:
    """Return the standard error of the difference of means, for each row, rounding included."""
    variance: Floats = a.var(axis=1, ddof=1) / a.shape[1] + b.var(axis=1, ddof=1) / b.shape[1]
    return np.sqrt(variance + rounding)


def _judged(one: Comparison, corrected: Iterator[float], threshold: float) -> Comparison:
    """Return a comparison with its verdict, by the next corrected p-value if it has one."""
    if one.ratio is None or one.interval is None:
        return one
    corrected_p = next(corrected)
    low, high = one.interval
    verdict = ComparisonVerdict.UNCLEAR
    if one.leaves_out_1 and corrected_p < 1 - CONFIDENCE and abs(one.ratio - 1) > threshold:
        is_better = (one.ratio > 1) == (one.metric.best is max)
        verdict = ComparisonVerdict.BETTER if is_better else ComparisonVerdict.WORSE
    elif 1 - threshold <= low and high <= 1 + threshold:
        verdict = ComparisonVerdict.SAME
    return replace(one, corrected_p=corrected_p, verdict=verdict)


def _differences(
    pairs: Iterable[tuple[Sequence[RunRecord], Sequence[RunRecord]]],
) -> tuple[list[Difference], list[Difference]]:
    """Return the facts that differ, and those that only one side has, over all cells."""
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
