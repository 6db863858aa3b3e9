"""Watches the warm-up until it is steady."""

import time

from aibench_fast import _core
from aibench_fast.load.readings import NS_PER_S, histogram
from aibench_fast.load.steady import SteadyState, Window
from aibench_fast.results.histogram import LatencyHistogram

STEADY_TOLERANCE = 0.05
MAX_UNSTEADY_S = 60.0


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
