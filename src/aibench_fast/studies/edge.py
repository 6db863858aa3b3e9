"""The edge between loads that hold and loads that do not: bracketed, bisected, confirmed."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean

from aibench_fast.studies.events import SearchPlanned

PRECISION = 0.02
"""The relative distance of the two sides of an edge, if values need not be whole."""
CONFIRMATIONS = 3
"""Runs on each side of the edge; most of them have to agree."""
MAX_STEPS = 100


class OutOfTime(Exception):
    """There is no time for one more run."""


@dataclass(frozen=True)
class Edge:
    """The result of a search."""

    holds_at: float | None
    """The highest value that held; None if the lowest did not."""
    fails_at: float | None
    """The lowest that did not; None if the highest did."""
    confirmed: bool
    """Whether most of CONFIRMATIONS runs on either side say so."""
    out_of_time: bool = False


@dataclass
class Trials:
    """The outcome of every run, and the edge between values that hold and values that fail.

    A value holds if most of its runs did. The edge is below the lowest value that fails.
    """

    measure: Callable[[float], bool]
    """Makes one run of a value; returns whether it held. OutOfTime if there is no time for it."""
    held: dict[float, list[bool]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many runs there were."""
        return sum(map(len, self.held.values()))

    @property
    def fails_at(self) -> float | None:
        """The lowest value that does not hold; None if all do."""
        return min((value for value in self.held if not self.holds(value)), default=None)

    @property
    def holds_at(self) -> float | None:
        """The highest value below it; None if there is none."""
        top = self.fails_at
        return max((value for value in self.held if top is None or value < top), default=None)

    def holds(self, value: float) -> bool:
        """Whether most of a value's runs held."""
        return fmean(self.held[value]) > 0.5

    def run(self, value: float) -> None:
        """Make one more run of a value."""
        held = self.measure(value)
        self.held.setdefault(value, []).append(held)

    def confirm(self, value: float) -> bool:
        """Run a value until it has CONFIRMATIONS runs; whether it holds then."""
        while len(self.held[value]) < CONFIRMATIONS:
            self.run(value)
        return self.holds(value)


def find_edge(
    measure: Callable[[float], bool], lowest: float, highest: float, *, whole: bool
) -> Edge:
    """Find the highest value that holds, by `measure`, which makes one run of a value.

    From `lowest` on values are doubled until one fails or `highest` held; then the two sides are
    brought together: by their geometric mean to PRECISION, or `whole` values by their mean until
    they are neighbours. At last both sides are run again; where most runs say otherwise it goes on
    from there. Where `measure` raises OutOfTime, the edge is what is known by then, not confirmed.
    """
    trials = Trials(measure)
    out_of_time = False
    try:
        trials.run(lowest)
        while trials.count < MAX_STEPS:
            low, high = trials.holds_at, trials.fails_at
            if low is None:
                if not trials.confirm(lowest):
                    return Edge(None, lowest, confirmed=True)
            elif high is None:
                if low < highest:
                    trials.run(min(2 * low, highest))
                elif trials.confirm(highest):
                    return Edge(highest, None, confirmed=True)
            elif (middle := _between(low, high, whole)) is not None:
                trials.run(middle)
            elif trials.confirm(low) and not trials.confirm(high):
                return Edge(low, high, confirmed=True)
    except OutOfTime:
        out_of_time = True
    return Edge(trials.holds_at, trials.fails_at, confirmed=False, out_of_time=out_of_time)


def _between(low: float, high: float, whole: bool) -> float | None:
    """The value to try next; None if the two sides are near enough."""
    if whole:
        return None if high - low <= 1 else (low + high) // 2
    return None if high <= low * (1 + PRECISION) else math.sqrt(low * high)


def longest(
    lowest: float, highest: float, *, whole: bool, seconds: Callable[[float], float]
) -> SearchPlanned:
    """How long a search takes while runs of one value agree, by the `seconds` of one run."""
    doubled = [lowest]
    while doubled[-1] < highest:
        doubled.append(min(2 * doubled[-1], highest))
    lengths = []
    for place, high in enumerate(doubled):
        low = doubled[max(0, place - 1)]
        more = _halvings(low, high, whole) + 2 * (CONFIRMATIONS - 1)
        spent_s = sum(map(seconds, doubled[: place + 1])) + more * max(seconds(low), seconds(high))
        lengths.append(SearchPlanned(place + 1 + more, spent_s))
    return max(lengths, key=lambda one: one.seconds)


def _halvings(low: float, high: float, whole: bool) -> int:
    """How many values between the two may have to be tried."""
    if low == high:
        return 0
    gaps = high - low if whole else math.log(high / low) / math.log1p(PRECISION)
    return max(0, math.ceil(math.log2(gaps)))
