"""Makes a Result of what was counted: at a run's end and, for its journal, before it."""

import dataclasses
import math
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any

from aibench_fast import coretypes
from aibench_fast.load.config import RunConfig
from aibench_fast.load.doubts import server_warnings, warnings
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
)
from aibench_fast.load.watch import Watch
from aibench_fast.protocols.session import ServerRecord
from aibench_fast.protocols.statistics import ServerStatistics
from aibench_fast.results.clientside import ClientSide
from aibench_fast.results.figures import Figures, KindFigures, ServerFigures, StepFigures
from aibench_fast.results.groups import (
    Connections,
    Counts,
    RequestCounts,
    Schedule,
    ServerSide,
    Setup,
    Streamed,
)
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import Result, Warned
from aibench_fast.results.stream import Tokens

MS_PER_S = 1000


class End(Enum):
    """How a run came to be as long as its result says."""

    REACHED = auto()
    INTERRUPTED = auto()
    AHEAD = auto()
    """It goes on: only a run that is killed is left with such a result."""


def result_of(
    run: Measurement, watch: Watch, taken: Taken, stats: ServerStatistics, end: End = End.AHEAD
) -> Result:
    """Return the result of what was counted.

    Threads count on while they are read, one counter after the other: until the end successes are
    what the histogram holds, and the sums of requests are made of that. At the end each counter
    stands for itself, and all agree.
    """
    config, snapshot = run.config, taken.snapshot
    duration_s = (taken.at_ns - snapshot.started_ns) / NS_PER_S
    outage_count, outages = run.outages(taken)
    parts = _Parts(run, snapshot, end)
    all_requests = _all_requests(config, snapshot, end)
    result = Result(
        setup=_setup(run),
        start_unix_ms=run.start_unix_ms,
        end_unix_ms=run.start_unix_ms + round(duration_s * MS_PER_S),
        duration_s=duration_s,
        measured_s=parts.measured_s,
        **parts.figures(snapshot.measured),
        counts=Counts(
            **native_fields(Counts, snapshot),
            burn_in_requests=ended(snapshot.burn_in),
            burn_in_failures=failures_by_kind(snapshot.burn_in.failures),
            abandoned=all_requests.cancelled,
            all_requests=all_requests,
            saturated=snapshot.measured.histograms["latencies"].saturated,
        ),
        connections=Connections(
            **native_fields(Connections, snapshot),
            outage_count=outage_count,
            outages=outages,
        ),
        streamed=Streamed(**native_fields(Streamed, snapshot)),
        schedule=Schedule(
            **native_fields(Schedule, snapshot.measured),
            arrivals=described_arrivals(config),
            lag_exceeded=snapshot.lag_exceeded,
        ),
        steps=parts.steps(),
        kinds=parts.kinds(),
        servers=parts.servers(stats),
        intervals=tuple(watch.intervals),
        client=ClientSide(
            **native_fields(ClientSide, snapshot),
            cpu_s=snapshot.cpu_ns / NS_PER_S,
            busiest_thread=snapshot.busiest_thread,
            check=watch.check_client(snapshot),
            least_worker_requests=snapshot.least_worker_requests,
            most_worker_requests=snapshot.most_worker_requests,
        ),
        server=ServerSide(
            facts=run.records[0].server,
            name=config.server_name,
            periods=stats.periods,
            readings=stats.raw,
        ),
        facts=run.facts,
        interrupted=end is not End.REACHED,
        incomplete=end is End.AHEAD,
    )
    found = [*warnings(run, watch, result), *server_warnings(run)]
    return dataclasses.replace(result, warnings=[Warned(*one) for one in found])


def _setup(run: Measurement) -> Setup:
    config = run.config
    return Setup(
        model=described_model(config),
        query_label=run.query_label,
        data_file=config.data_file,
        data_seed=config.data_seed,
        shape=() if config.mix else config.shape,
        dtype="" if config.mix else config.dtype,
        workers=config.workers,
        threads=config.io_threads,
        batch_size=_batch_size(config),
        pipeline=config.pipeline,
        max_queries=config.max_queries,
        limit_rps=config.limit_rps,
        metadata_autobatching=_autobatching(config, run.records),
    )


def _autobatching(config: RunConfig, records: Sequence[ServerRecord]) -> int:
    """Return the models' batch size on the servers, as given or as all report it; -1: unknown."""
    if config.metadata_autobatching != -1:
        return config.metadata_autobatching
    found = {record.autobatching for record in records}
    common = found.pop() if len(found) == 1 else None
    return -1 if common is None else common


def _measured_s(
    config: RunConfig, snapshot: coretypes.Snapshot, service: LatencyHistogram, end: End
) -> float:
    """Return the time that rates are divided by: the load's, not how long a server took.

    A schedule's time is its own, whenever the last of its requests was answered. Recorded arrivals
    have no end but that. A closed loop ends with its last answer, which `duration_s` bounds:
    requests under way at its end are counted, so that a median latency more belongs to it.
    """
    seconds = answered_s(snapshot)
    if not seconds or end is End.AHEAD:
        return seconds
    if config.is_open_loop:
        if snapshot.cut_ns:
            return (snapshot.cut_ns - snapshot.measured_from_ns) / NS_PER_S
        return sum(step.duration_s for step in config.profile) or seconds
    if config.duration_s and service.count:
        (median_ms,) = service.quantiles_ms([0.5])
        return min(seconds, config.duration_s + median_ms / MS_PER_S)
    return seconds


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


def _all_requests(config: RunConfig, snapshot: coretypes.Snapshot, end: End) -> RequestCounts:
    parts, counters = (snapshot.burn_in, snapshot.measured), snapshot.counters
    failures = failed(*parts)
    sent, over, cancelled = counters["begun"], counters["requests"], counters["abandoned"]
    if end is End.AHEAD:
        over = ended(*parts)
        # Without those that began while the others were read.
        cancelled = min(sent - over, config.workers * config.pipeline)
        sent = over + cancelled
    return RequestCounts(sent=sent, succeeded=over - failures, failed=failures, cancelled=cancelled)


def described_arrivals(config: RunConfig) -> dict[str, Any] | None:
    """Return what the result says of how requests were due."""
    if not config.is_open_loop:
        return None
    file = config.arrivals_file or config.trace
    return {
        "Kind": "recorded" if config.is_recorded else config.arrivals,
        "Seed": config.seed if config.arrivals == "poisson" else None,
        "Profile": ", ".join(map(str, config.profile)) or None,
        "File": None if file is None else str(file),
        "Speed": None if config.trace is None else config.speed,
        "PeakRps": config.peak_rps or None,
        "MaxLagSeconds": config.max_lag_s or None,
        "OnLag": config.on_lag if config.max_lag_s else None,
    }


def described_model(config: RunConfig) -> str:
    """Return the model as a result names it; of a mix all of them."""
    models = dict.fromkeys(kind.model for kind in config.mix)
    return f"mix of {', '.join(models)}" if config.mix else config.model


def _batch_size(config: RunConfig) -> int:
    """Of all kinds; 0 where they differ."""
    sizes = {kind.batch_size for kind in config.kinds}
    return sizes.pop() if len(sizes) == 1 else 0


class _Parts:
    """The figures of a run by what its requests belong to."""

    def __init__(self, run: Measurement, snapshot: coretypes.Snapshot, end: End) -> None:
        self._run, self._config, self._snapshot, self._end = run, run.config, snapshot, end
        self._parts = run.generator.parts()
        figures = snapshot.measured.histograms
        service = histogram(figures.get("service_latencies", figures["latencies"]))
        self.measured_s = _measured_s(run.config, snapshot, service, end)
        self._window: dict[str, Any] = {}
        if (steady_s := _steady_s(run.config, snapshot)) > 0:
            before_ns = snapshot.steady_from_ns - snapshot.began_ns
            after_ns = snapshot.last_completed_ns - snapshot.steady_until_ns
            self._window = {
                "steady_s": steady_s,
                "ramp_s": max(0, before_ns) / NS_PER_S,
                "drain_s": max(0, after_ns) / NS_PER_S,
            }

    def _of(self, dimension: str) -> list[coretypes.Figures]:
        return [part.figures for part in self._parts if part.dimension == dimension]

    def figures(
        self,
        figures: coretypes.Figures,
        kind: type[Figures] = Figures,
        batch_size: int | None = None,
        step_s: float | None = None,
    ) -> dict[str, Any]:
        """Return the figures of a part of the requests, by default of all kinds."""
        found = native_fields(kind, figures)
        if self._end is End.AHEAD:
            batch_size = _batch_size(self._config) if batch_size is None else batch_size
            found["successes"] = successes = found["latencies"].count
            found["inferences"] = successes * batch_size if batch_size else found["inferences"]
        service = figures.histograms.get("service_latencies")
        return {
            **found,
            "failures": failures_by_kind(figures.failures),
            "service_latencies": service and histogram(service),
            "tokens": self._tokens(figures, step_s),
        }

    def _tokens(self, figures: coretypes.Figures, step_s: float | None) -> Tokens:
        """Return the streams of tokens; the rates of a step are of its own time."""
        if "output_tokens" not in figures.counters:
            return Tokens()
        window = self._window if step_s is None else {}
        return Tokens(
            **native_fields(Tokens, figures),
            **window,
            span_s=self.measured_s if step_s is None else step_s,
            slo=self._config.limits or None,
        )

    def kinds(self) -> list[KindFigures]:
        """Of a mix; the only kind of one has the figures of the whole."""
        each = self._of("kind") or [self._snapshot.measured]
        return [
            KindFigures(
                name=kind.model,
                tensors=kind.tensors,
                batch_size=kind.batch_size,
                weight=kind.weight,
                **self.figures(figures, batch_size=kind.batch_size),
            )
            for kind, figures in zip(self._config.mix, each, strict=False)
        ]

    def servers(self, stats: ServerStatistics) -> list[ServerFigures]:
        """Of several; the only one has the figures of the whole."""
        count = len(self._run.records)
        each = zip(self._run.records, self._of("server"), stats.each or [{}] * count, strict=False)
        return [
            ServerFigures(
                name=record.server.address,
                kind=record.server.kind,
                version=record.server.version,
                workers=len(range(number, self._config.workers, count)),
                measured_s=self.measured_s,
                server_stats=own_stats,
                **self.figures(figures),
            )
            for number, (record, figures, own_stats) in enumerate(each)
        ]

    def steps(self) -> list[StepFigures]:
        """Of a profile, as far as the run went through it."""
        cut_ns = self._snapshot.cut_after_ns
        left_s = cut_ns / NS_PER_S if cut_ns else math.inf
        steps = []
        for step, figures in zip(self._config.profile, self._of("step"), strict=True):
            seconds = max(0.0, min(step.duration_s, left_s))
            left_s -= seconds
            found = self.figures(figures, StepFigures, step_s=seconds)
            steps.append(StepFigures(name=str(step), seconds=seconds, **found))
        return steps
