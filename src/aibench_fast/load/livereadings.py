"""Reading a load generator for a live view, a few times a second."""

import time
from collections.abc import Callable, Mapping, Sequence

from aibench_fast import _core, coretypes
from aibench_fast.load.config import RunConfig
from aibench_fast.load.readings import (
    NS_PER_MS,
    NS_PER_S,
    failures_by_kind,
    histogram,
    native_fields,
    outages_of,
)
from aibench_fast.protocols.statistics import StatisticsWatch
from aibench_fast.results.events import Observer, Reading, StreamReading
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.stream import Tokens

LIVE_READING_S = 0.25
MS_PER_S = 1000
STREAM_TIMES: Mapping[str, Callable[[Tokens], LatencyHistogram]] = {
    "ttft": lambda tokens: tokens.response_first_tokens,
    "gap": lambda tokens: tokens.chunk_gaps,
}
"""Of streams of tokens, by name."""


class LiveReadings:
    """Tells an observer how a run goes, from snapshots: the I/O threads do nothing for it."""

    def __init__(
        self,
        config: RunConfig,
        generator: _core.LoadGenerator,
        observe: Observer,
        server_watch: StatisticsWatch,
        addresses: Sequence[str],
    ) -> None:
        """Read `generator`, which is not started yet, of the servers at these addresses."""
        self._config = config
        self._generator = generator
        self._observe = observe
        self._server_watch = server_watch
        self._addresses = addresses
        self._max_requests = config.max_requests(config.count_tensors()[0])
        self._last_ns = time.monotonic_ns()
        self._last_images = 0
        self._last_latencies = LatencyHistogram.empty()
        self._last_chunks = 0
        self._last_times = dict.fromkeys(STREAM_TIMES, LatencyHistogram.empty())

    def look(self) -> None:
        """Tell the observer, where it is time again."""
        now_ns = time.monotonic_ns()
        seconds = (now_ns - self._last_ns) / NS_PER_S
        if seconds < LIVE_READING_S:
            return
        snapshot = self._generator.snapshot()
        latencies = histogram(snapshot.measured.histograms["latencies"])
        images = snapshot.counters["answered_tensors"]
        elapsed_s = (now_ns - snapshot.started_ns) / NS_PER_S
        start_unix_ms = time.time_ns() // NS_PER_MS - round(elapsed_s * MS_PER_S)
        _, outages = outages_of(
            self._generator, snapshot.started_ns, now_ns, start_unix_ms, self._addresses
        )
        self._observe(
            Reading(
                seconds=elapsed_s,
                seconds_left=self._seconds_left(snapshot, now_ns, elapsed_s),
                is_measuring=self._generator.measuring(),
                requests=snapshot.counters["requests"],
                rate=(images - self._last_images) / seconds,
                quantiles_ms=latencies.quantiles_since_ms(self._last_latencies, (0.5, 0.99)),
                latencies=latencies,
                failures=failures_by_kind(snapshot.burn_in.failures, snapshot.measured.failures),
                server=self._server_watch.last_period,
                outages=outages,
                streams=self._streams(snapshot, seconds),
            )
        )
        self._last_ns, self._last_images, self._last_latencies = now_ns, images, latencies

    def _streams(self, snapshot: coretypes.Snapshot, seconds: float) -> StreamReading | None:
        """Return what came of streams of tokens since the last look; None if there are none."""
        chunks = snapshot.counters["chunks_so_far"]
        if not chunks:
            return None
        tokens = Tokens(**native_fields(Tokens, snapshot.measured))
        times = {name: of(tokens) for name, of in STREAM_TIMES.items()}
        reading = StreamReading(
            (chunks - self._last_chunks) / seconds * tokens.tokens_per_chunk,
            {
                name: one.quantiles_since_ms(self._last_times[name], (0.5, 0.99))
                for name, one in times.items()
            },
        )
        self._last_chunks, self._last_times = chunks, times
        return reading

    def _seconds_left(
        self, snapshot: coretypes.Snapshot, now_ns: int, elapsed_s: float
    ) -> float | None:
        """By the time that is measured, or by how long the requests so far took."""
        left = []
        if self._config.measured_s and snapshot.measured_from_ns:
            measured_s = max(0, now_ns - snapshot.measured_from_ns) / NS_PER_S
            left.append(self._config.measured_s - measured_s)
        if self._max_requests and (ended := snapshot.counters["requests"]):
            left.append((self._max_requests / ended - 1) * elapsed_s)
        return max(0.0, min(left)) if left else None
