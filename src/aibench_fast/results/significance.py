"""The likelihood of a difference of means by chance, alone and among several."""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, variance

_LEAST_FRACTION = 1e-300
_PRECISION = 1e-14
_MAX_TERMS = 10_000


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
    corrected = [0.0] * len(p_values)
    largest = 0.0
    smallest_first = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(smallest_first):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
