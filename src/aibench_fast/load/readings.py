"""Converts what the native core counted to the types of results."""

import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from aibench_fast import _core, coretypes
from aibench_fast.results.fields import native_names
from aibench_fast.results.figures import Failure
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import Outage

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
