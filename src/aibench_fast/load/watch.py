"""Watches a running load generator: per slice of time, per reporting period, for a live view."""

import time

from aibench_fast import coretypes
from aibench_fast.load.config import available_cpus
from aibench_fast.load.readings import (
    NS_PER_S,
    Measurement,
    Taken,
    answered_s,
    ended,
    failed,
    failures_by_kind,
    histogram,
    native_fields,
    overall_rate,
)
from aibench_fast.load.steady import SteadyWatch
from aibench_fast.load.verdict import Seen, check_client
from aibench_fast.results.clientside import ClientCheck
from aibench_fast.results.events import (
    BurnInComplete,
    IntervalLatencies,
    Reading,
    Sample,
    StreamReading,
    Waiting,
)
from aibench_fast.results.forms import LIVE_QUANTILES
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import WHOLE_PERIOD, Interval
from aibench_fast.results.stream import Tokens
from aibench_fast.tensortype import STRINGS, joined_strings, split_strings

MS_PER_S = 1000
WAIT_SLICE_S = 0.05  # how late Ctrl-C, the warm-up's end and the run's end may be noticed
STOP_WAIT_S = 0.5
WAITING_SAID_AFTER_S = 1.0  # that a run which is over waits for answers
PATIENCE_S = 1.0  # with a batch that nobody fills, beyond the longest time of any request
MAX_OUTPUTS = 100  # to look at for whether they are all alike
LIVE_READING_S = 0.25
QUANTILES = (0.5, 0.99)
STREAM_TIMES = {"ttft": "response_first_tokens", "gap": "chunk_gaps"}
"""Of streams of tokens, the figures by their names in options."""


class Watch:
    """Watches a running load generator, and reports what happens to the observer."""

    def __init__(self, run: Measurement) -> None:
        """Watch the generator, which is started next."""
        self._run, self._config, self._generator = run, run.config, run.generator
        self.intervals: list[Interval] = []
        self._outputs = run.records[0].outputs
        self.outputs: list[dict[int, bytes]] = [{} for _ in self._outputs]
        """A sample of each kind's outputs for different tensors, by the tensors' index."""
        self.taken = Taken.now(self._generator)
        """The counts at the end of the newest reporting period."""
        self.unsteady: str | None = None
        """How the warm-up ended without a steady state, if it was to reach one."""
        self.unfilled = False
        """Whether the last requests were abandoned, for a batch that nobody was left to fill."""
        until_steady = self._config.burn_in_until_steady
        self._burning_in = bool(self._config.burn_in or self._config.burn_in_s or until_steady)
        self._steady = SteadyWatch(self._generator) if until_steady else None
        self._around_from = self._around_to = run.surroundings.read()
        """At the beginning and the end of the measured time."""
        self._live = LiveReadings(run) if self._config.live_readings else None
        self._begin_at_ns = 0  # when a warm-up of some time ends in a closed loop; 0: not here
        self._last_unix_ms = 0
        self._last_latencies = LatencyHistogram.empty()
        self._over_ns = 0  # when it was seen that the load is over
        self._counted = (0, 0)  # how many requests had begun and ended when that changed last
        self._counted_s = 0.0
        self._said_waiting = False
        self._generator.want_sample()  # before it starts: a short run may be over at once

    def until_the_end(self) -> bool:
        """Wait until the run is over; return whether Ctrl-C ended it."""
        try:
            self._wait()
        except KeyboardInterrupt:
            self._generator.stop()
            self._generator.wait(STOP_WAIT_S)
            self._look()
            return True
        self._look()
        return False

    def _wait(self) -> None:
        self._around_from = self._run.surroundings.read()
        start_ns = max(self._run.start_ns, time.monotonic_ns())
        self.taken = Taken(self.taken.snapshot, start_ns)
        self._last_unix_ms = self._run.unix_ms(start_ns)
        if self._config.burn_in_s and not self._config.is_open_loop:
            self._begin_at_ns = start_ns + round(self._config.burn_in_s * NS_PER_S)
        period_ns = round(self._config.reporting_period_s * NS_PER_S)
        next_ns = start_ns + period_ns
        while not self._generator.wait(
            min(WAIT_SLICE_S, max(0.0, (next_ns - time.monotonic_ns()) / NS_PER_S))
        ):
            self._note_burn_in()
            self._run.surroundings.look()
            if not self.unfilled and self._is_stuck():
                self.unfilled = True
                self._generator.stop()
            if not self._config.sample_responses:
                self._take_sample()
            if self._live:
                self._live.look()
            self._note_waiting()
            if time.monotonic_ns() >= next_ns:
                self._look()
                # Where the process was stopped for a while, one line stands for all of it.
                next_ns = max(next_ns + period_ns, time.monotonic_ns())

    def _note_burn_in(self) -> None:
        if 0 < self._begin_at_ns <= time.monotonic_ns():
            self._begin_at_ns = 0
            self._generator.begin_measuring()
        if self._burning_in and self._steady and self._steady.look():
            self.unsteady = self._steady.gave_up
            self._steady = None
            self._generator.begin_measuring()
        if self._burning_in and self._generator.measuring():
            self._burning_in = False
            self._around_from = self._run.surroundings.read()
            requests = self._config.burn_in or self._generator.snapshot().counters["requests"]
            self._run.observe(BurnInComplete(requests, self._config.workers))

    def _is_stuck(self) -> bool:
        """Return whether the last requests of the run will not be answered.

        A model with a least batch and no time limit runs once enough requests are there. When a run
        begins no more of them, fewer may be left than a batch takes. They are given the time that
        the longest request took, and a second more: a batch that runs is answered by then.
        """
        records = self._run.records
        most_left = self._config.pipeline * sum(record.most_waiting for record in records)
        if not most_left or not self._generator.is_ending():
            return False
        snapshot = self._generator.snapshot()
        counted = begun, ended = snapshot.counters["begun"], snapshot.counters["requests"]
        if counted != self._counted:
            self._counted, self._counted_s = counted, time.monotonic()
        longest_s = max(record.trial_s for record in records)
        for part in (snapshot.measured, snapshot.burn_in):
            counts = part.histograms.get("service_latencies", part.histograms["latencies"])
            if (latencies := histogram(counts)).count:
                longest_s = max(longest_s, latencies.max_ms / MS_PER_S)
        waited_s = time.monotonic() - self._counted_s
        return 0 < begun - ended <= most_left and waited_s > longest_s + PATIENCE_S

    def _note_waiting(self) -> None:
        """Say once what the run waits for, where it goes on for a while after the load's end."""
        now_ns = time.monotonic_ns()
        if not self._over_ns and self._generator.is_ending():
            self._over_ns = now_ns
        waited_s = (now_ns - self._over_ns) / NS_PER_S
        if self._over_ns and not self._said_waiting and waited_s >= WAITING_SAID_AFTER_S:
            self._said_waiting = True
            counters = self._generator.snapshot().counters
            seconds_left = max(0.0, self._config.reply_timeout_s - waited_s)
            self._run.observe(Waiting(counters["begun"] - counters["requests"], seconds_left))

    def _look(self) -> None:
        """Report the period that ends now."""
        self._note_burn_in()
        self._around_to = self._run.surroundings.read()
        before, self.taken = self.taken, Taken.now(self._generator)
        snapshot, now_ns = self.taken
        parts = snapshot.burn_in, snapshot.measured
        images = snapshot.counters["answered_tensors"]
        new_images = images - before.snapshot.counters["answered_tensors"]
        latencies = histogram(snapshot.measured.histograms["latencies"])
        interval = Interval(
            unix_ms=self._run.unix_ms(now_ns),
            images=images,
            instantaneous_rate=new_images * NS_PER_S / (now_ns - before.at_ns),
            overall_rate=overall_rate(snapshot, now_ns),
            quantiles_ms=latencies.quantiles_ms(LIVE_QUANTILES),
            failed=failed(*parts),
            requests=ended(*parts),
            period_quantiles_ms=latencies.quantiles_since_ms(self._last_latencies, LIVE_QUANTILES),
            chunks=snapshot.counters["chunks_so_far"],
            is_partial=self._is_partial(snapshot, before.at_ns, now_ns),
        )
        self._run.server_watch.period_ended(interval.unix_ms)
        self.intervals.append(interval)
        self._run.observe(interval)
        if self._config.interval_latencies:
            start_unix_s, end_unix_s = self._last_unix_ms / MS_PER_S, interval.unix_ms / MS_PER_S
            recent = latencies.since(self._last_latencies)
            self._run.observe(IntervalLatencies(start_unix_s, end_unix_s, recent))
        self._last_latencies, self._last_unix_ms = latencies, interval.unix_ms
        self._take_sample()

    def _is_partial(self, snapshot: coretypes.Snapshot, from_ns: int, now_ns: int) -> bool:
        """Return whether there was load in only a part of the period that ends now."""
        until_ns = min(now_ns, snapshot.cut_ns or self._over_ns or now_ns)
        loaded_s = (until_ns - from_ns) / NS_PER_S
        return loaded_s < WHOLE_PERIOD * self._config.reporting_period_s

    def check_client(self, snapshot: coretypes.Snapshot) -> ClientCheck:
        """Judge the client by what it did in the measured time, once that is over."""
        latencies = histogram(snapshot.measured.histograms["latencies"])
        service = snapshot.measured.histograms.get("service_latencies")
        around = self._run.surroundings.between(self._around_from, self._around_to)
        seconds = answered_s(snapshot)
        usable_s = seconds * available_cpus(around.quota and around.quota.cpus)
        wait_s = snapshot.longest_cpu_wait_ns / NS_PER_S
        return check_client(
            Seen(
                latencies=latencies if service is None else histogram(service),
                responses=None if service is None else latencies,
                timer_lags=histogram(snapshot.histograms["timer_lags"]),
                reply_waits=histogram(snapshot.histograms["reply_waits"]),
                busiest_thread=snapshot.busiest_thread,
                cpu_share=snapshot.cpu_ns / NS_PER_S / usable_s if usable_s else 0.0,
                cpu_wait=wait_s / seconds if wait_s >= 0 and seconds else None,
                measured_s=seconds,
                same_cores=self._run.surroundings.same_cores,
                around=around,
            )
        )

    def _take_sample(self) -> None:
        if (sample := self._generator.take_sample()) is not None:
            kind, tensor, output = sample
            dtype, batch_size = self._outputs[kind].dtype, self._config.kinds[kind].batch_size
            first = _first_of(output, dtype, batch_size)
            # A label is often the same.
            if len(self.outputs[kind]) < MAX_OUTPUTS and dtype != STRINGS:
                self.outputs[kind][tensor] = first
            if self._config.sample_responses:
                self._run.observe(Sample(tensor, dtype, first))
        self._generator.want_sample()


def _first_of(output: bytes, dtype: str, batch_size: int) -> bytes:
    """Return the first tensor's part of an output; all of it if a batch has no equal parts."""
    if dtype == STRINGS:
        strings = split_strings(output)
        count = len(strings) if len(strings) % batch_size else len(strings) // batch_size
        return joined_strings(strings[:count])
    return output if len(output) % batch_size else output[: len(output) // batch_size]


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
