"""Converts what the native core counted of streams of tokens to the types of results."""

from collections.abc import Mapping
from typing import Any

from aibench_fast import coretypes
from aibench_fast.load.config import RunConfig
from aibench_fast.load.readings import NS_PER_S, native_fields
from aibench_fast.results.stream import Tokens


class TokenReadings:
    """The streams of a run at a time, whole and by parts."""

    def __init__(self, config: RunConfig, snapshot: coretypes.Snapshot, measured_s: float) -> None:
        """`measured_s`: the time that rates are divided by without a steady window."""
        self._slo = config.limits or None
        self._measured_s = measured_s
        self._window: Mapping[str, Any] = {}
        steady_s = _steady_s(config, snapshot)
        if steady_s > 0:
            began_ns, from_ns = snapshot.began_ns, snapshot.steady_from_ns
            after_ns = snapshot.last_completed_ns - snapshot.steady_until_ns
            self._window = {
                "steady_s": steady_s,
                "ramp_s": max(0, from_ns - began_ns) / NS_PER_S,
                "drain_s": max(0, after_ns) / NS_PER_S,
            }

    def of(self, figures: coretypes.Figures) -> Tokens:
        """Return the figures of the whole, of a kind or of a server."""
        return self._tokens(figures, self._measured_s, self._window)

    def of_step(self, figures: coretypes.Figures, seconds: float) -> Tokens:
        """Return those of a step: its rates are of its own time."""
        return self._tokens(figures, seconds, {})

    def _tokens(
        self, figures: coretypes.Figures, span_s: float, window: Mapping[str, Any]
    ) -> Tokens:
        if "output_tokens" not in figures.counters:
            return Tokens()
        counted = native_fields(Tokens, figures)
        return Tokens(**counted, **window, span_s=span_s, slo=self._slo)


def _steady_s(config: RunConfig, snapshot: coretypes.Snapshot) -> float:
    """Return how long the steady window was; of a closed loop the mean of its workers.

    A closed loop's needs a second stream of a worker: a moment between two turns has no rate.
    """
    if not snapshot.steady_from_ns:
        return 0.0
    if config.is_open_loop:
        return max(0, snapshot.steady_until_ns - snapshot.steady_from_ns) / NS_PER_S
    counters = snapshot.measured.counters
    workers_ns: int = counters.get("steady_worker_ns", 0)
    has_streams = counters.get("steady_stream_ns", 0) > 0
    return workers_ns / config.workers / NS_PER_S if has_streams else 0.0
