"""How much a machine drifted while two sets of runs were made, by when each run began."""

import math
from collections.abc import Callable, Sequence
from itertools import chain
from statistics import fmean

from aibench_fast.results.files import RunRecord
from aibench_fast.results.significance import student_p

MAX_P = 0.2
"""A slope that is as likely by chance is taken for none. A slope that is missed may cost a false
alarm, one too many only makes the test less sharp."""

Runs = Sequence[RunRecord]


class Drift:
    """The common slope of a figure's logarithm over time, within each side of each cell."""

    def __init__(
        self, pairs: Sequence[tuple[Runs, Runs]], value: Callable[[RunRecord], float | None]
    ) -> None:
        """Find it, by least squares; it is 0 where it is not sure, or times or values lack."""
        self._slope = 0.0
        known = [_known(runs, value) for runs in chain.from_iterable(pairs)]
        groups = [_centred(group) for group in known if len(group) > 1]
        points = list(chain.from_iterable(groups))
        spread = sum(time**2 for time, _ in points)
        degrees = len(points) - len(groups) - 1
        if spread == 0 or degrees < 1:
            return
        slope = sum(time * log for time, log in points) / spread
        left = sum((log - slope * time) ** 2 for time, log in points) / degrees
        if left == 0 or student_p(slope / math.sqrt(left / spread), degrees) < MAX_P:
            self._slope = slope

    def between(self, a: Runs, b: Runs) -> float:
        """The logarithm of what it alone makes of the ratio of B to A.

        At most what it was over the longer side: nobody knows how it went on between two days.
        """
        if not self._slope:
            return 0.0
        times_a, times_b = _times(a), _times(b)
        if not times_a or not times_b:
            return 0.0
        apart = fmean(times_b) - fmean(times_a)
        longest = max(max(times) - min(times) for times in (times_a, times_b))
        return self._slope * math.copysign(min(abs(apart), longest), apart)


def _times(runs: Runs) -> list[int]:
    return [run.start_unix_ms for run in runs if run.start_unix_ms is not None]


def _known(runs: Runs, value: Callable[[RunRecord], float | None]) -> list[tuple[float, float]]:
    """When each run began, and its value's logarithm, of those that tell both."""
    told = [(run.start_unix_ms, value(run)) for run in runs]
    return [(time, math.log(one)) for time, one in told if time is not None and one is not None]


def _centred(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    means = [fmean(column) for column in zip(*points, strict=True)]
    return [(time - means[0], log - means[1]) for time, log in points]
