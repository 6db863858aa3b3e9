"""Reading a load generator for a live view, a few times a second."""

import time

from aibench_fast import coretypes
from aibench_fast.load.readings import (
    NS_PER_S,
    Measurement,
    Taken,
    failures_by_kind,
    histogram,
    native_fields,
)
from aibench_fast.results.events import Reading, StreamReading
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.stream import Tokens

LIVE_READING_S = 0.25
QUANTILES = (0.5, 0.99)
STREAM_TIMES = {"ttft": "response_first_tokens", "gap": "chunk_gaps"}
"""Of streams of tokens, the figures by their names in options."""


class LiveReadings:
    """Tells an observer how a run goes, from snapshots: the I/O threads do nothing for it."""

    def __init__(self, run: Measurement) -> None:
        """Read the generator, which is not started yet."""
        self._run = run
        self._last = Taken.now(run.generator)
        self._last_latencies = LatencyHistogram.empty()
        self._last_times = dict.fromkeys(STREAM_TIMES, LatencyHistogram.empty())

    def look(self) -> None:
        """Tell the observer, where it is time again."""
        if (time.monotonic_ns() - self._last.at_ns) / NS_PER_S < LIVE_READING_S:
            return
        run, taken = self._run, Taken.now(self._run.generator)
        snapshot, seconds = taken.snapshot, (taken.at_ns - self._last.at_ns) / NS_PER_S
        latencies = histogram(snapshot.measured.histograms["latencies"])
        elapsed_s = (taken.at_ns - snapshot.started_ns) / NS_PER_S
        run.observe(
            Reading(
                seconds=elapsed_s,
                seconds_left=self._seconds_left(taken, elapsed_s),
                is_measuring=run.generator.measuring(),
                requests=snapshot.counters["requests"],
                rate=self._new(snapshot, "answered_tensors") / seconds,
                quantiles_ms=latencies.quantiles_since_ms(self._last_latencies, QUANTILES),
                latencies=latencies,
                failures=failures_by_kind(snapshot.burn_in.failures, snapshot.measured.failures),
                server=run.server_watch.last_period,
                outages=run.outages(taken)[1],
                streams=self._streams(snapshot, seconds),
            )
        )
        self._last, self._last_latencies = taken, latencies

    def _new(self, snapshot: coretypes.Snapshot, counter: str) -> int:
        """Return what was counted since the last look."""
        return snapshot.counters[counter] - self._last.snapshot.counters[counter]

    def _streams(self, snapshot: coretypes.Snapshot, seconds: float) -> StreamReading | None:
        """Return what came of streams of tokens since the last look; None if there are none."""
        if not snapshot.counters["chunks_so_far"]:
            return None
        tokens = Tokens(**native_fields(Tokens, snapshot.measured))
        times = {name: getattr(tokens, figure) for name, figure in STREAM_TIMES.items()}
        reading = StreamReading(
            self._new(snapshot, "chunks_so_far") / seconds * tokens.tokens_per_chunk,
            {
                name: one.quantiles_since_ms(self._last_times[name], QUANTILES)
                for name, one in times.items()
            },
        )
        self._last_times = times
        return reading

    def _seconds_left(self, taken: Taken, elapsed_s: float) -> float | None:
        """By the time that is measured, or by how long the requests so far took."""
        left = []
        from_ns, limit_s = taken.snapshot.measured_from_ns, self._run.config.measured_s
        if limit_s and from_ns:
            left.append(limit_s - max(0, taken.at_ns - from_ns) / NS_PER_S)
        if self._run.max_requests and (ended := taken.snapshot.counters["requests"]):
            left.append((self._run.max_requests / ended - 1) * elapsed_s)
        return max(0.0, min(left)) if left else None
