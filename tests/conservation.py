"""Laws of the counts that hold for every run, whatever went wrong in it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from aibench_fast import Result
from aibench_fast.results.figures import Figures
from aibench_fast.results.histogram import LatencyHistogram


def broken(result: Result, intervals: Sequence[LatencyHistogram]) -> list[str]:
    """The laws that a result does not keep; `intervals` are its reporting periods' latencies."""
    return [law for law, holds in _laws(result, intervals) if not holds]


def _laws(result: Result, intervals: Sequence[LatencyHistogram]) -> Iterator[tuple[str, bool]]:
    counts, last = result.counts.all_requests, result.intervals[-1]
    ended = counts.succeeded + counts.failed
    measured_failures = sum(one.count for one in result.failures.values())
    burn_in_failures = sum(one.count for one in result.counts.burn_in_failures.values())
    yield "sent = succeeded + failed + cancelled", counts.sent == ended + counts.cancelled
    yield "cancelled = abandoned", counts.cancelled == result.counts.abandoned
    yield "failures by kind add up", counts.failed == measured_failures + burn_in_failures
    yield "measured = successes + failures", result.requests == result.successes + measured_failures
    yield "ended = burn-in + measured", ended == result.counts.burn_in_requests + result.requests
    yield "the histogram has the successes", result.latencies.count == result.successes
    yield "the last period has what ended", last.requests == ended
    yield "the last period has what failed", last.failed == counts.failed
    yield "the last period has the images", last.images == result.counts.inferences_with_burn_in
    for name in ("requests", "failed", "images"):
        values = [getattr(one, name) for one in result.intervals]
        yield f"{name} never fall from period to period", values == sorted(values)
    yield "intervals add up to the histogram", _are_whole(intervals, result.latencies)
    if result.service_latencies:
        service = result.service_latencies.count
        yield "each success has a service latency", service == result.successes
    if result.steps:
        never = sum(step.unsent for step in result.steps)
        yield "unsent of steps add up", never == result.schedule.unsent
    for name, parts in (
        ("kinds", result.kinds),
        ("servers", result.servers),
        ("clients", result.clients),
        ("steps", result.steps),
    ):
        if parts:
            yield from _parts(name, result, parts)


def _parts(name: str, result: Result, parts: Sequence[Figures]) -> Iterator[tuple[str, bool]]:
    for figure in ("successes", "inferences", "shed", "late_starts"):
        total = sum(getattr(part, figure) for part in parts)
        yield f"{figure} of {name} add up", total == getattr(result, figure)
    failed: Counter[str] = Counter()
    for part in parts:
        failed.update({kind: failure.count for kind, failure in part.failures.items()})
    whole = {kind: failure.count for kind, failure in result.failures.items()}
    yield f"failures of {name} add up by kind", failed == whole
    latencies = [part.latencies for part in parts]
    yield f"latencies of {name} add up", _are_whole(latencies, result.latencies)


def _are_whole(parts: Iterable[LatencyHistogram], whole: LatencyHistogram) -> bool:
    return LatencyHistogram.merged(parts).encode() == whole.encode()
