"""Makes a Result of what was counted: at a run's end and, for its journal, before it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from aibench_fast import _core, coretypes
from aibench_fast.load.config import RunConfig
from aibench_fast.load.doubts import server_warnings, warnings
from aibench_fast.load.readings import (
    NS_PER_S,
    Taken,
    TokenReadings,
    all_failed,
    answered_s,
    burn_in_ended,
    ended,
    failures_by_kind,
    histogram,
    native_fields,
    outages_of,
)
from aibench_fast.load.watch import Watch
from aibench_fast.protocols.session import ServerRecord
from aibench_fast.protocols.statistics import ServerStatistics
from aibench_fast.results.clientside import ClientSide
from aibench_fast.results.figures import Figures, KindFigures, ServerFigures, StepFigures
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import (
    Connections,
    Counts,
    RequestCounts,
    Result,
    Schedule,
    ServerSide,
    Setup,
    Streamed,
    Warned,
)

MS_PER_S = 1000


class End(Enum):
    """How a run came to be as long as its result says."""

    REACHED = auto()
    INTERRUPTED = auto()
    AHEAD = auto()
    """It goes on: only a run that is killed is left with such a result."""


@dataclass(frozen=True)
class Background:
    """The part of a run's result that is known before its first request."""

    config: RunConfig
    asked_workers: int
    """More are made where there are more servers."""
    query_label: str
    records: Sequence[ServerRecord]
    """Of each server."""
    facts: Mapping[str, Any]
    equal_tensors: bool
    """Whether some kind's tensors do not differ at all."""
    start_unix_ms: int

    @property
    def record(self) -> ServerRecord:
        """Of the first server."""
        return self.records[0]


def result_of(
    run: Background,
    generator: _core.LoadGenerator,
    watch: Watch,
    taken: Taken,
    server_stats: ServerStatistics,
    end: End = End.AHEAD,
) -> Result:
    """Return the result of what was counted.

    Threads count on while they are read, one counter after the other: until the end successes are
    what the histogram holds, and the sums of requests are made of that. At the end each counter
    stands for itself, and all agree.
    """
    config, record, snapshot = run.config, run.record, taken.snapshot
    duration_s = (taken.at_ns - snapshot.started_ns) / NS_PER_S
    addresses = [one.server.address for one in run.records]
    outage_count, outages = outages_of(
        generator, snapshot.started_ns, taken.at_ns, run.start_unix_ms, addresses
    )
    measured, batch_size = snapshot.measured, _batch_size(config)
    whole = _part(measured, batch_size, end)
    seconds = _measured_s(config, snapshot, whole["service_latencies"] or whole["latencies"], end)
    all_requests = _all_requests(config, snapshot, end)
    parts = generator.parts()
    tokens = TokenReadings(config, snapshot, seconds)
    result = Result(
        setup=_setup(run, batch_size),
        start_unix_ms=run.start_unix_ms,
        end_unix_ms=run.start_unix_ms + round(duration_s * MS_PER_S),
        duration_s=duration_s,
        measured_s=seconds,
        **whole,
        counts=Counts(
            **native_fields(Counts, snapshot),
            burn_in_requests=burn_in_ended(snapshot),
            burn_in_failures=failures_by_kind(snapshot.burn_in.failures),
            abandoned=all_requests.cancelled,
            all_requests=all_requests,
            saturated=measured.histograms["latencies"].saturated,
        ),
        connections=Connections(
            **native_fields(Connections, snapshot),
            outage_count=outage_count,
            outages=outages,
        ),
        streamed=Streamed(**native_fields(Streamed, snapshot)),
        tokens=tokens.of(measured),
        schedule=Schedule(
            **native_fields(Schedule, measured),
            arrivals=described_arrivals(config),
            lag_exceeded=snapshot.lag_exceeded,
        ),
        steps=_steps(config, snapshot, parts, tokens, end),
        kinds=_kinds(config, measured, parts, tokens, end),
        servers=_servers(run, seconds, parts, tokens, server_stats, end),
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
            facts=record.server,
            name=config.server_name,
            periods=server_stats.periods,
            readings=server_stats.raw,
        ),
        facts=run.facts,
        interrupted=end is not End.REACHED,
        incomplete=end is End.AHEAD,
    )
    same_cores = watch.surroundings.same_cores
    found = [
        *warnings(
            config, result, same_cores, watch.outputs, run.equal_tensors, watch.unsteady,
            watch.unfilled,
        ),
        *server_warnings(run.records, run.asked_workers, config.metadata_autobatching),
    ]  # fmt: skip
    return dataclasses.replace(result, warnings=[Warned(*one) for one in found])


def _setup(run: Background, batch_size: int) -> Setup:
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
        batch_size=batch_size,
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


def _all_requests(config: RunConfig, snapshot: coretypes.Snapshot, end: End) -> RequestCounts:
    failed, counters = all_failed(snapshot), snapshot.counters
    if end is not End.AHEAD:
        return RequestCounts(
            sent=counters["begun"],
            succeeded=counters["requests"] - failed,
            failed=failed,
            cancelled=counters["abandoned"],
        )
    over = ended(snapshot)
    # Without those that began while the others were read.
    under_way = min(counters["begun"] - over, config.workers * config.pipeline)
    return RequestCounts(
        sent=over + under_way,
        succeeded=over - failed,
        failed=failed,
        cancelled=under_way,
    )


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


def _part(
    figures: coretypes.Figures, batch_size: int, end: End, kind: type[Figures] = Figures
) -> dict[str, Any]:
    """Return the figures of a part of the requests; a `batch_size` of 0 means that they differ."""
    found = native_fields(kind, figures)
    if end is End.AHEAD:
        found["successes"] = successes = found["latencies"].count
        found["inferences"] = successes * batch_size if batch_size else found["inferences"]
    service = figures.histograms.get("service_latencies")
    return {
        **found,
        "failures": failures_by_kind(figures.failures),
        "service_latencies": service and histogram(service),
    }


def _of(parts: Sequence[coretypes.Part], dimension: str) -> list[coretypes.Figures]:
    return [part.figures for part in parts if part.dimension == dimension]


def _kinds(
    config: RunConfig,
    measured: coretypes.Figures,
    parts: Sequence[coretypes.Part],
    tokens: TokenReadings,
    end: End,
) -> list[KindFigures]:
    """Of a mix; the only kind of one has the figures of the whole."""
    return [
        KindFigures(
            name=kind.model,
            tensors=kind.tensors,
            batch_size=kind.batch_size,
            weight=kind.weight,
            tokens=tokens.of(figures),
            **_part(figures, kind.batch_size, end),
        )
        for kind, figures in zip(config.mix, _of(parts, "kind") or [measured], strict=False)
    ]


def _servers(
    run: Background,
    seconds: float,
    parts: Sequence[coretypes.Part],
    tokens: TokenReadings,
    server_stats: ServerStatistics,
    end: End,
) -> list[ServerFigures]:
    """Of several; the only one has the figures of the whole."""
    config, count = run.config, len(run.records)
    each = server_stats.each or [{}] * count
    return [
        ServerFigures(
            name=record.server.address,
            kind=record.server.kind,
            version=record.server.version,
            workers=len(range(number, config.workers, count)),
            measured_s=seconds,
            server_stats=stats,
            tokens=tokens.of(figures),
            **_part(figures, _batch_size(config), end),
        )
        for number, (record, figures, stats) in enumerate(
            zip(run.records, _of(parts, "server"), each, strict=False)
        )
    ]


def _steps(
    config: RunConfig,
    snapshot: coretypes.Snapshot,
    parts: Sequence[coretypes.Part],
    tokens: TokenReadings,
    end: End,
) -> list[StepFigures]:
    """Of a profile, as far as the run went through it."""
    left_s = snapshot.cut_after_ns / NS_PER_S if snapshot.cut_after_ns else math.inf
    steps = []
    for step, figures in zip(config.profile, _of(parts, "step"), strict=True):
        seconds = max(0.0, min(step.duration_s, left_s))
        left_s -= seconds
        part = _part(figures, _batch_size(config), end, StepFigures)
        of_step = tokens.of_step(figures, seconds)
        steps.append(StepFigures(name=str(step), seconds=seconds, tokens=of_step, **part))
    return steps
