"""Converts what the native core counted to the types of results."""

import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from aibench_fast import _core, coretypes
from aibench_fast.load.config import RunConfig
from aibench_fast.results.fields import native_names
from aibench_fast.results.figures import Failure
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import Outage
from aibench_fast.results.stream import Tokens

NS_PER_S = 1e9
NS_PER_MS = 1_000_000
NativeFailures = Mapping[str, tuple[int, str]]


class Taken(NamedTuple):
    """The counts of a load generator at a time of CLOCK_MONOTONIC."""

    snapshot: coretypes.Snapshot
    at_ns: int

    @classmethod
    def now(cls, generator: _core.LoadGenerator) -> "Taken":
        """Read it."""
        return cls(generator.snapshot(), time.monotonic_ns())


def burn_in_ended(snapshot: coretypes.Snapshot) -> int:
    """Requests of the warm-up that ended in any way, by what is kept of each."""
    return _ended(snapshot.burn_in)


def ended(snapshot: coretypes.Snapshot) -> int:
    """Return the same of all requests."""
    return _ended(snapshot.burn_in) + _ended(snapshot.measured)


def _ended(figures: coretypes.Figures) -> int:
    answered: int = sum(memoryview(figures.histograms["latencies"].counts).cast("q"))
    return answered + total_failed(figures.failures)


def all_failed(snapshot: coretypes.Snapshot) -> int:
    """Return how many requests failed, burn-in included."""
    return total_failed(snapshot.burn_in.failures) + total_failed(snapshot.measured.failures)


def answered_s(snapshot: coretypes.Snapshot) -> float:
    """From the end of the warm-up to the last answer, in seconds; 0 where nothing is measured."""
    if not snapshot.measured_from_ns or not snapshot.last_completed_ns:
        return 0.0
    return max(0, snapshot.last_completed_ns - snapshot.measured_from_ns) / NS_PER_S


def overall_rate(snapshot: coretypes.Snapshot, now_ns: int) -> float:
    """Measured inferences a second until now, or the load's end; 0 during the burn-in."""
    now_ns = min(now_ns, snapshot.cut_ns or now_ns)
    if not snapshot.measured_from_ns or now_ns <= snapshot.measured_from_ns:
        return 0.0
    seconds = (now_ns - snapshot.measured_from_ns) / NS_PER_S
    return snapshot.measured.counters["inferences"] / seconds


def total_failed(failures: NativeFailures) -> int:
    """Return the failed requests of all kinds."""
    return sum(count for count, _ in failures.values())


def failures_by_kind(*parts: NativeFailures) -> dict[str, Failure]:
    """Return the failures of all parts together as a result has them; messages are the first's."""
    found: dict[str, Failure] = {}
    for kind, (count, message) in chain.from_iterable(part.items() for part in parts):
        earlier = found.get(kind, Failure(0, message))
        found[kind] = Failure(earlier.count + count, earlier.first_message)
    return found


def histogram(latencies: coretypes.LatencyCounts) -> LatencyHistogram:
    """Return the counts as a result has them."""
    return LatencyHistogram.from_counts(latencies.counts, latencies.min_us, latencies.max_us)


def native_fields(kind: type, counted: coretypes.Snapshot | coretypes.Figures) -> dict[str, Any]:
    """Return the fields of a dataclass of results that the native core fills."""
    return {
        name: counted.counters[native]
        if native in counted.counters
        else histogram(counted.histograms[native])
        for name, native in native_names(kind).items()
    }


def outages_of(
    generator: _core.LoadGenerator,
    started_ns: int,
    now_ns: int,
    start_unix_ms: int,
    addresses: Sequence[str],
) -> tuple[int, list[Outage]]:
    """Return how many outages there were and the first ones; one that goes on lasts until now."""
    count, outages = generator.outages()
    return count, [
        Outage(
            start_unix_ms=start_unix_ms + round((one.from_ns - started_ns) / NS_PER_MS),
            after_s=(one.from_ns - started_ns) / NS_PER_S,
            seconds=((one.to_ns or now_ns) - one.from_ns) / NS_PER_S,
            is_over=one.to_ns != 0,
            attempts=one.attempts,
            server=addresses[one.server] if len(addresses) > 1 else None,
        )
        for one in outages
    ]


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
