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
from aibench_fast.results.groups import Outage
from aibench_fast.results.histogram import LatencyHistogram

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
    """A run that is ready to begin, and what is known of it before its first request."""

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
    start_ns: int = 0
    """Of CLOCK_MONOTONIC, once it begins, as the next one."""
    start_unix_ms: int = 0

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
