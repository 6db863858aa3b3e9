"""Watching a burn-in for its steady state."""

import time

from aibench_fast import _core
from aibench_fast.load.readings import NS_PER_S, histogram
from aibench_fast.load.steady import SteadyState, Window
from aibench_fast.results.histogram import LatencyHistogram

STEADY_TOLERANCE = 0.05
MAX_UNSTEADY_S = 60.0


class SteadyWatch:
    """Looks at a burn-in until it comes to a steady state, or does not in time."""

    def __init__(self, generator: _core.LoadGenerator) -> None:
        """Watch `generator`, whose burn-in begins now."""
        self.gave_up: str | None = None
        """Why it ended without one, in words."""
        self._generator = generator
        self._state = SteadyState(STEADY_TOLERANCE)
        self._started_ns = self._window_from_ns = time.monotonic_ns()
        self._last = LatencyHistogram.empty()

    def look(self) -> bool:
        """Whether the burn-in is to end; a window that is over by now is taken into account."""
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
