"""Whether a run has come to a steady state: rate and median of its last windows agree."""

import time
from dataclasses import dataclass, field
from typing import NamedTuple

from aibench_fast import _core
from aibench_fast.load.readings import NS_PER_S, histogram
from aibench_fast.results.histogram import LatencyHistogram

FIRST_WINDOW_S = 0.5
MAX_WINDOWS = 8
COMPARED_WINDOWS = 3
MIN_IN_WINDOW = 30
"""Requests per window: with fewer, neither figure means anything."""
STEADY_TOLERANCE = 0.05
MAX_UNSTEADY_S = 60.0


class Window(NamedTuple):
    """A part of the warm-up."""

    seconds: float
    latencies: LatencyHistogram
    """Of the successes that ended in it."""

    @property
    def rate(self) -> float:
        """Successes a second."""
        return self.latencies.count / self.seconds

    @property
    def p50_ms(self) -> float:
        """Their median latency."""
        return self.latencies.quantiles_ms([0.5])[0]


@dataclass
class SteadyState:
    """Windows of a warm-up, which get longer as it does, so that chance matters less and less.

    Where MAX_WINDOWS are full, two become one, and those to come are twice as long: the windows
    that are compared always cover the last three eighths of the burn-in or more.
    """

    tolerance: float
    """How far the highest of a figure may be above the lowest, as a share."""
    windows: list[Window] = field(default_factory=list)
    window_s: float = FIRST_WINDOW_S
    """How long the next window has to be."""

    def window_ended(self, window: Window) -> None:
        """Take the window that ended now."""
        self.windows.append(window)
        if len(self.windows) == MAX_WINDOWS:
            pairs = zip(self.windows[::2], self.windows[1::2], strict=True)
            self.windows = [
                Window(
                    one.seconds + other.seconds,
                    LatencyHistogram.merged([one.latencies, other.latencies]),
                )
                for one, other in pairs
            ]
            self.window_s *= 2

    @property
    def is_reached(self) -> bool:
        """Return whether the last windows agree in rate and median latency."""
        last = self.windows[-COMPARED_WINDOWS:]
        if len(last) < COMPARED_WINDOWS or any(one.latencies.count < MIN_IN_WINDOW for one in last):
            return False
        rates, medians_ms = [one.rate for one in last], [one.p50_ms for one in last]
        most = 1 + self.tolerance
        return max(rates) <= most * min(rates) and max(medians_ms) <= most * min(medians_ms)

    def described(self) -> str:
        """Return the last windows' figures in words."""
        last = self.windows[-COMPARED_WINDOWS:]
        rates = ", ".join(f"{one.rate:.4g}" for one in last)
        medians = ", ".join(f"{one.p50_ms:.4g}" for one in last)
        return f"its last windows had {rates} requests/s and a p50 of {medians} ms"


class SteadyWatch:
    """Watches a warm-up until it is steady, or has taken too long."""

    def __init__(self, generator: _core.LoadGenerator) -> None:
        """Watch `generator`, whose warm-up begins now."""
        self.gave_up: str | None = None
        """Why it ended without one, in words."""
        self._generator = generator
        self._state = SteadyState(STEADY_TOLERANCE)
        self._started_ns = self._window_from_ns = time.monotonic_ns()
        self._last = LatencyHistogram.empty()

    def look(self) -> bool:
        """Return whether the warm-up is to end; takes a window that is over into account."""
        now_ns = time.monotonic_ns()
        seconds = (now_ns - self._window_from_ns) / NS_PER_S
        if seconds < self._state.window_s:
            return False
        latencies = histogram(self._generator.snapshot().burn_in.histograms["latencies"])
        self._state.window_ended(Window(seconds, latencies.since(self._last)))
        self._window_from_ns, self._last = now_ns, latencies
        if self._state.is_reached:
            return True
        if (now_ns - self._started_ns) / NS_PER_S < MAX_UNSTEADY_S:
            return False
        self.gave_up = self._state.described()
        return True
