"""How much a machine drifted during two sets of runs, by when each run began."""

import math
from collections.abc import Callable, Sequence
from itertools import chain
from statistics import fmean

from aibench_fast.results.files import RunRecord
from aibench_fast.results.significance import student_p

MAX_P = 0.2
"""Slopes that are likelier by chance are ignored. A missed slope may cause a false alarm; one too
many only makes the test less sharp."""

Runs = Sequence[RunRecord]


class Drift:
    """The slope of a figure's logarithm over time that all sides of all cells share."""

    def __init__(
        self, pairs: Sequence[tuple[Runs, Runs]], value: Callable[[RunRecord], float | None]
    ) -> None:
        """Find it by least squares; 0 if it is not sure, or times or values are missing."""
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
        """Return the logarithm of the ratio of B to A that the drift alone would cause.

        At most the drift over the longer side: how it continued between two days is unknown.
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
    """Return when each run began and its value's logarithm, of runs that have both."""
    pairs = [(run.start_unix_ms, value(run)) for run in runs]
    return [(time, math.log(one)) for time, one in pairs if time is not None and one is not None]


def _centred(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    means = [fmean(column) for column in zip(*points, strict=True)]
    return [(time - means[0], log - means[1]) for time, log in points]
