"""Converts what the native core counted to the types of results."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from aibench_fast import _core, coretypes
from aibench_fast.load.config import RunConfig
from aibench_fast.load.surroundings import Surroundings
from aibench_fast.protocols.session import ServerRecord
from aibench_fast.protocols.statistics import StatisticsWatch
from aibench_fast.results.events import Observer
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


def unix_ms() -> int:
    """Return the wall clock, in milliseconds."""
    return time.time_ns() // NS_PER_MS


@dataclass(frozen=True)
class Measurement:
    """A run that begins, and what is known of it before its first request."""

    config: RunConfig
    generator: _core.LoadGenerator
    records: Sequence[ServerRecord]
    """Of each server."""
    server_watch: StatisticsWatch
    surroundings: Surroundings
    observe: Observer
    max_requests: int
    """0: no limit."""
    asked_workers: int
    """More are made where there are more servers."""
    query_label: str
    facts: Mapping[str, Any]
    equal_tensors: bool
    """Whether some kind's tensors do not differ at all."""
    start_ns: int
    """Of CLOCK_MONOTONIC."""
    start_unix_ms: int

    def unix_ms(self, at_ns: int) -> int:
        """Return a time by the wall clock of the start, which may be set meanwhile."""
        return self.start_unix_ms + round((at_ns - self.start_ns) / NS_PER_MS)

    def outages(self, taken: Taken) -> tuple[int, list[Outage]]:
        """Return how many outages there were and the first; one that goes on lasts until now."""
        count, outages = self.generator.outages()
        started_ns = taken.snapshot.started_ns
        return count, [
            Outage(
                start_unix_ms=self.start_unix_ms + round((one.from_ns - started_ns) / NS_PER_MS),
                after_s=(one.from_ns - started_ns) / NS_PER_S,
                seconds=((one.to_ns or taken.at_ns) - one.from_ns) / NS_PER_S,
                is_over=one.to_ns != 0,
                attempts=one.attempts,
                server=self.records[one.server].server.address if len(self.records) > 1 else None,
            )
            for one in outages
        ]


def ended(*parts: coretypes.Figures) -> int:
    """Return how many requests of these parts ended in any way, by what is kept of each."""
    counts = [memoryview(part.histograms["latencies"].counts).cast("q") for part in parts]
    return sum(map(sum, counts)) + failed(*parts)


def failed(*parts: coretypes.Figures) -> int:
    """Return how many requests of these parts failed."""
    return sum(count for part in parts for count, _ in part.failures.values())


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


class TokenReadings:
    """The streams of a run at a time, whole and by parts."""

    def __init__(self, config: RunConfig, snapshot: coretypes.Snapshot, measured_s: float) -> None:
        """`measured_s`: the time that rates are divided by without a steady window."""
        self._of_all: dict[str, Any] = {"span_s": measured_s, "slo": config.limits or None}
        steady_s = _steady_s(config, snapshot)
        if steady_s > 0:
            began_ns, from_ns = snapshot.began_ns, snapshot.steady_from_ns
            after_ns = snapshot.last_completed_ns - snapshot.steady_until_ns
            self._of_all |= {
                "steady_s": steady_s,
                "ramp_s": max(0, from_ns - began_ns) / NS_PER_S,
                "drain_s": max(0, after_ns) / NS_PER_S,
            }

    def of(self, figures: coretypes.Figures, step_s: float | None = None) -> Tokens:
        """Return the figures of a part of the run; the rates of a step are of its own time."""
        if "output_tokens" not in figures.counters:
            return Tokens()
        own = self._of_all
        if step_s is not None:
            own = {"span_s": step_s, "slo": own["slo"]}
        return Tokens(**native_fields(Tokens, figures), **own)


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
