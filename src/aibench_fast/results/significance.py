"""The likelihood of differences by chance: of two means, of a trend, of a machine's drift."""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from statistics import NormalDist, fmean, median, variance

from aibench_fast.results.record import RunRecord

_LEAST_FRACTION = 1e-300
_PRECISION = 1e-14
_MAX_TERMS = 10_000
MIN_VALUES = 6
"""Fewer can fall or rise throughout by chance."""
MAX_P = 0.01
LEAST_SHOWN_P = 1e-9
MIN_CHANGE = 0.05
"""A rise or fall below this share does not matter, however sure it is."""
MAX_DRIFT_P = 0.2
"""Slopes that are likelier by chance are ignored. A missed slope may cause a false alarm; one too
many only makes the test less sharp."""

Runs = Sequence[RunRecord]
Value = Callable[[RunRecord], float | None]


def welch_p(a: Sequence[float], b: Sequence[float], known_variance: float = 0.0) -> float:
    """Return the likelihood of means so far apart by chance, two-sided, of two values or more.

    `known_variance` is a part of the difference's variance that the values do not show, as rounding
    is. B. L. Welch, "The generalization of Student's problem when several different population
    variances are involved", Biometrika 34, 1947.
    """
    difference = abs(fmean(b) - fmean(a))
    variances = [variance(values) / len(values) for values in (a, b)]
    whole = sum(variances) + known_variance
    if whole == 0:
        return 0.0 if difference else 1.0
    t = difference / math.sqrt(whole)
    of_freedom = sum(
        one**2 / (len(values) - 1) for one, values in zip(variances, (a, b), strict=True)
    )
    if of_freedom < _PRECISION * whole**2:  # nearly all of it is known: t is normal
        return 2 * NormalDist().cdf(-t)
    return student_p(t, whole**2 / of_freedom)


def student_p(t: float, degrees: float) -> float:
    """Return the likelihood that Student's t is at least as far from 0, two-sided; DLMF 8.17."""
    return _incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t))


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function by its continued fraction, DLMF 8.17.22."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # where it converges fast
        return 1 - _incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    # Lentz's method, as W. J. Thompson and A. R. Barnett changed it.
    value, c, d = 1.0, 1.0, 0.0
    for term in range(_MAX_TERMS):
        m = term // 2
        if term == 0:
            numerator = 1.0
        elif term % 2:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _not_zero(1 + numerator * d)
        c = _not_zero(1 + numerator / c)
        value *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return front * (value - 1) / a


def _not_zero(value: float) -> float:
    return value if abs(value) > _LEAST_FRACTION else _LEAST_FRACTION


def holm(p_values: Sequence[float]) -> list[float]:
    """Return each p-value corrected for being one of several, in order.

    If all p-values below a level count as differences, the likelihood of any false one is at most
    that level. S. Holm, "A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics 6, 1979.
    """
    places = sorted(range(len(p_values)), key=p_values.__getitem__)
    others = range(len(p_values), 0, -1)
    scaled = (min(1.0, n * p_values[place]) for n, place in zip(others, places, strict=True))
    corrected = dict(zip(places, accumulate(scaled, max), strict=True))
    return [corrected[place] for place in range(len(p_values))]


@dataclass(frozen=True)
class Trend:
    """A rise or fall that is not by chance, and large enough to matter."""

    change: float
    """A share: the median of the last third of the values over that of the first, less 1."""
    p: float

    @property
    def shown_p(self) -> str:
        """Its likelihood by chance, in words."""
        return f"p {self.p:.1g}" if self.p >= LEAST_SHOWN_P else f"p below {LEAST_SHOWN_P:g}"


def trend(values: Sequence[float]) -> Trend | None:
    """Return the trend of values in the order that they were measured, or None."""
    if len(values) < MIN_VALUES:
        return None
    # By thirds: the first and the last value alone are as noisy as any.
    third = len(values) // 3
    before, after = median(values[:third]), median(values[-third:])
    change = after / before - 1 if before else 0.0
    p = trend_p(values)
    return Trend(change, p) if p < MAX_P and abs(change) >= MIN_CHANGE else None


def trend_p(values: Sequence[float]) -> float:
    """Return the likelihood of so steady a rise or fall by chance: Mann-Kendall, two-sided, normal.

    H. B. Mann, "Nonparametric tests against trend", Econometrica 13, 1945. 1 for few values.
    """
    n = len(values)
    if n < MIN_VALUES:
        return 1.0
    s = 0  # pairs that rise less pairs that fall; a run of a day has too many to go through each
    earlier: list[float] = []
    for value in values:
        s += bisect_left(earlier, value) - (len(earlier) - bisect_right(earlier, value))
        insort(earlier, value)
    variance = n * (n - 1) * (2 * n + 5) / 18
    z = max(0, abs(s) - 1) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


class Drift:
    """The slope of a figure's logarithm over time that all sides of all cells share."""

    def __init__(self, pairs: Sequence[tuple[Runs, Runs]], value: Value) -> None:
        """Find it by least squares; 0 if it is not sure, or times or values are missing."""
        self._slope = 0.0
        known = [_logs_by_time(runs, value) for runs in chain.from_iterable(pairs)]
        groups = [_centred(group) for group in known if len(group) > 1]
        points = list(chain.from_iterable(groups))
        spread = sum(time**2 for time, _ in points)
        degrees = len(points) - len(groups) - 1
        if spread == 0 or degrees < 1:
            return
        slope = sum(time * log for time, log in points) / spread
        left = sum((log - slope * time) ** 2 for time, log in points) / degrees
        if left == 0 or student_p(slope / math.sqrt(left / spread), degrees) < MAX_DRIFT_P:
            self._slope = slope

    def between(self, a: Runs, b: Runs) -> float:
        """Return the logarithm of the ratio of B to A that the drift alone would cause; at most
        that over the longer side: how it continued between two days is unknown.
        """
        times_a, times_b = _times(a), _times(b)
        if not times_a or not times_b:
            return 0.0
        apart = fmean(times_b) - fmean(times_a)
        longest = max(max(times) - min(times) for times in (times_a, times_b))
        return self._slope * math.copysign(min(abs(apart), longest), apart)


def _times(runs: Runs) -> list[int]:
    return [run.start_unix_ms for run in runs if run.start_unix_ms is not None]


def _logs_by_time(runs: Runs, value: Value) -> list[tuple[float, float]]:
    """Return when each run began and its value's logarithm, of runs that have both."""
    pairs = [(run.start_unix_ms, value(run) or 0.0) for run in runs]
    return [(time, math.log(one)) for time, one in pairs if time is not None and one > 0]


def _centred(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    means = [fmean(column) for column in zip(*points, strict=True)]
    return [(time - means[0], log - means[1]) for time, log in points]
