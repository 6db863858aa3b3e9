"""Runs of small tensors for tests of what goes wrong in them."""

from collections.abc import Callable

import conservation
from fake_redisai import FakeRedisAI

from aibench_fast import Result, RunConfig, run
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.results.events import Event, IntervalLatencies, Started
from aibench_fast.results.histogram import LatencyHistogram

NULL = ModelSpec(name="null", backend=Backend.NULL)
SMALL: dict[str, object] = {"file": None, "shape": (4,), "dtype": "FLOAT"}


def observed(
    config: RunConfig, at_start: Callable[[], object]
) -> tuple[Result, list[LatencyHistogram]]:
    """Run; call `at_start` when it starts; also return each reporting period's latencies."""
    intervals: list[LatencyHistogram] = []

    def observe(event: Event) -> None:
        if isinstance(event, Started):
            at_start()
        if isinstance(event, IntervalLatencies):
            intervals.append(event.latencies)

    return run(config, observe), intervals


def conserved(at_start: Callable[[], object] = lambda: None, **settings: object) -> Result:
    """A run of which the counts add up."""
    usual = {**SMALL, "interval_latencies": True}
    config = RunConfig(**(usual | settings))  # type: ignore[arg-type]
    result, intervals = observed(config, at_start)
    assert conservation.broken(result, intervals) == []
    return result


def redisai(server: FakeRedisAI) -> dict[str, object]:
    """Where it is."""
    return {"address": server.address}
