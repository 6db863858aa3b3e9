"""Find out whether values rise or fall throughout, and by how much."""

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

MIN_VALUES = 6
"""Fewer can fall or rise throughout by chance."""
MAX_P = 0.01
LEAST_SHOWN_P = 1e-9
MIN_CHANGE = 0.05
"""A rise or fall below this share does not matter, however sure it is."""


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
