"""One benchmark: a RunConfig becomes a Result."""

import dataclasses
import resource
import time
from collections.abc import Mapping, Sequence
from typing import Any

from aibench_fast import _core
from aibench_fast.load import facts
from aibench_fast.load.arrivals import arrivals
from aibench_fast.load.config import RunConfig
from aibench_fast.load.doubts import on_same_machine, warnings
from aibench_fast.load.events import Event, Observer
from aibench_fast.load.kinds import described
from aibench_fast.load.readings import (
    NS_PER_S,
    failures_by_kind,
    histogram,
    measured_s,
    total_failed,
)
from aibench_fast.load.resolve import resolve
from aibench_fast.load.sources import Source, data_digests, open_sources, read_references
from aibench_fast.load.watch import Watch, unix_ms
from aibench_fast.protocols.openinference.session import AskingHttp, OpenInferenceSession
from aibench_fast.protocols.record import ServerRecord
from aibench_fast.protocols.redisai.connection import REPLY_TIMEOUT_S
from aibench_fast.protocols.redisai.session import Asking, RedisAiSession
from aibench_fast.protocols.session import HURRY_S, Session, StatisticsWatch
from aibench_fast.results.result import (
    KindFigures,
    Outage,
    RequestCounts,
    Result,
    Started,
    StepFigures,
)

MS_PER_S = 1000
OTHER_FILES = 100  # what a process has open beside its workers' connections


def _ignore(event: Event) -> None:
    del event


def run(config: RunConfig, observe: Observer = _ignore) -> Result:
    """Run one benchmark and return what it measured; `observe` hears of it meanwhile.

    The load comes from native threads without the GIL: other Python threads go on. Ctrl-C ends the
    run and returns what was measured, with `interrupted` set. Failed requests raise nothing: they
    are counted in the result. ConfigError and ServerError are raised before the clock starts.
    """
    config = resolve(config)
    sources = open_sources(config)
    session = _visit(config, sources)
    try:
        known = _facts(config, session.record, data_digests(sources, observe))
        server_watch = session.watch()
        generator = _load_generator(config, session, sources)
    except BaseException:
        session.leave(HURRY_S)
        raise
    if spoken := generator.tls():
        known["Tls"] = " ".join(spoken)
    try:
        return _measure(config, session, sources, generator, observe, known, server_watch)
    finally:
        generator.close()


def _visit(config: RunConfig, sources: Sequence[Source]) -> Session:
    kinds = [source.asked() for source in sources]
    if config.http_address:
        return OpenInferenceSession(
            config.http_address,
            AskingHttp(model_version=config.model_version, outputs=config.outputs),
            kinds,
        )
    asking = Asking(
        dialect=config.dialect,
        use_dag=config.use_dag,
        persist=config.persist_results,
        timeout_ms=config.timeout_ms,
        reset_stats=config.reset_stats,
    )
    return RedisAiSession(config.address, asking, kinds, config.workers)


def _facts(config: RunConfig, record: ServerRecord, digests: str) -> dict[str, Any]:
    """What the figures depend on, gathered before anything is measured."""
    models = record.model_digests
    return {
        **facts.host_facts(),
        **_protocol_facts(config),
        "ServerConfig": record.config,
        "ModelDigest": None if None in models else ",".join(one for one in models if one),
        "DataDigest": digests,
        "CommandLine": config.command_line,
    }


def _protocol_facts(config: RunConfig) -> dict[str, str]:
    if config.url is None:
        return {"Hiredis": _core.HIREDIS_VERSION}
    return {"Llhttp": _core.LLHTTP_VERSION, "Inputs": config.kinds[0].tensors}


def _load_generator(
    config: RunConfig, session: Session, sources: Sequence[Source]
) -> _core.LoadGenerator:
    _allow_connections(config.workers)
    due = arrivals(config)
    tensor_count = len(sources[0].inputs[0])
    kinds = [
        _core.Kind(
            inputs=source.inputs,
            requests=[session.texts(place, worker) for worker in range(config.workers)],
            plan=session.plan(place),
            batch=source.kind.batch_size,
            first_tensor=source.first,
            references=read_references(config, output, tensor_count),
            tolerance=config.tolerance,
            weight=source.kind.weight,
        )
        for place, (source, output) in enumerate(zip(sources, session.record.outputs, strict=True))
    ]
    return _core.LoadGenerator(
        kinds=kinds,
        mix_seed=config.seed,
        **session.endpoint._asdict(),
        threads=config.io_threads,
        pipeline=config.pipeline,
        schedule=due.schedule,
        burn_in_requests=due.burn_in_requests,
        burn_in_ns=due.burn_in_ns,
        max_requests=config.max_requests(tensor_count),
        max_lag_ns=round(config.max_lag_s * NS_PER_S),
        shed_late=config.on_lag == "shed",
        duration_ns=round(config.duration_s * NS_PER_S),
        reply_timeout_ns=round(config.reply_timeout_s * NS_PER_S),
        connect_timeout_ns=round(config.connect_timeout_s * NS_PER_S),
        reconnect_for_ns=round(config.reconnect_for_s * NS_PER_S),
        stop_on_disconnect=config.on_disconnect == "stop",
        stop_on_failure=not config.continue_on_error,
    )


def _allow_connections(workers: int) -> None:
    """Let the process open a file for every worker, as far as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = workers + OTHER_FILES
    if soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _measure(
    config: RunConfig,
    session: Session,
    sources: Sequence[Source],
    generator: _core.LoadGenerator,
    observe: Observer,
    known: Mapping[str, Any],
    server_watch: StatisticsWatch,
) -> Result:
    record = session.record
    equal_tensors = any(source.all_equal for source in sources)
    server_watch.start()
    start_unix_ms = unix_ms()
    watch = Watch(config, record.outputs, generator, observe, server_watch)
    try:
        observe(Started(record.server))
        generator.start()
        interrupted = watch.until_the_end()
    except BaseException:  # the observer's: it ends the run
        generator.close()
        session.leave(HURRY_S)
        server_watch.finish(HURRY_S)
        raise
    snapshot = generator.snapshot()
    duration_s = (time.monotonic_ns() - snapshot.started_ns) / NS_PER_S
    patience_s = HURRY_S if interrupted else REPLY_TIMEOUT_S
    until_s = time.monotonic() + patience_s
    session.leave(patience_s)
    # The last reading was under way meanwhile; a stuck server is not waited for twice.
    server_stats = server_watch.finish(max(0.0, until_s - time.monotonic()))
    outage_count, outages = generator.outages()
    measured = snapshot.measured
    service = measured.service_latencies
    failed = total_failed(measured.failures)
    result = Result(
        model=_model_told(config),
        query_label=session.label(_model_told(config)),
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
        metadata_autobatching=config.metadata_autobatching,
        start_unix_ms=start_unix_ms,
        end_unix_ms=start_unix_ms + round(duration_s * MS_PER_S),
        duration_s=duration_s,
        measured_s=measured_s(snapshot),
        requests=measured.successes + failed,
        successes=measured.successes,
        inferences=measured.inferences,
        inferences_with_burn_in=snapshot.answered_tensors,
        failures=failures_by_kind(measured.failures),
        burn_in_requests=snapshot.requests - measured.successes - failed,
        burn_in_failures=failures_by_kind(snapshot.burn_in_failures),
        abandoned=snapshot.abandoned,
        all_requests=_all_requests(snapshot),
        outage_count=outage_count,
        outages=[_outage(one, snapshot, start_unix_ms, duration_s) for one in outages],
        reconnects=snapshot.reconnects,
        late_starts=measured.late_starts,
        latencies=histogram(measured.latencies),
        service_latencies=service and histogram(service),
        arrivals=_arrivals_told(config),
        shed=measured.shed,
        unsent=generator.unsent(),
        lag_exceeded=snapshot.lag_exceeded,
        steps=_steps(config, generator),
        kinds=_kinds(config, measured, generator),
        start_lags=histogram(snapshot.start_lags),
        timer_lags=histogram(snapshot.timer_lags),
        reply_waits=histogram(snapshot.reply_waits),
        saturated=measured.latencies.saturated,
        intervals=tuple(watch.intervals),
        client_cpu_s=snapshot.cpu_ns / NS_PER_S,
        busiest_thread=snapshot.busiest_thread,
        client=watch.check_client(snapshot, on_same_machine(record.peer)),
        least_worker_requests=snapshot.least_worker_requests,
        most_worker_requests=snapshot.most_worker_requests,
        server=record.server,
        server_stats=server_stats.periods,
        raw_server_stats=server_stats.raw,
        facts=known,
        interrupted=interrupted,
    )
    found = warnings(
        config, result, on_same_machine(record.peer), watch.outputs, equal_tensors,
        watch.unsteady,
    )  # fmt: skip
    return dataclasses.replace(result, warnings=found)


def _all_requests(snapshot: _core.Snapshot) -> RequestCounts:
    failed = total_failed(snapshot.measured.failures) + total_failed(snapshot.burn_in_failures)
    return RequestCounts(
        sent=snapshot.begun,
        succeeded=snapshot.requests - failed,
        failed=failed,
        cancelled=snapshot.abandoned,
    )


def _outage(
    outage: _core.Outage, snapshot: _core.Snapshot, start_unix_ms: int, duration_s: float
) -> Outage:
    after_s = (outage.from_ns - snapshot.started_ns) / NS_PER_S
    until_s = (outage.to_ns - snapshot.started_ns) / NS_PER_S if outage.to_ns else duration_s
    return Outage(
        start_unix_ms=start_unix_ms + round(after_s * MS_PER_S),
        after_s=after_s,
        seconds=until_s - after_s,
        is_over=outage.to_ns != 0,
        attempts=outage.attempts,
    )


def _arrivals_told(config: RunConfig) -> dict[str, Any] | None:
    """What the result says of how requests were due."""
    if not config.is_open_loop:
        return None
    return {
        "Kind": "recorded" if config.arrivals_file else config.arrivals,
        "Seed": config.seed if config.arrivals == "poisson" else None,
        "Profile": ", ".join(map(str, config.profile)) or None,
        "File": None if config.arrivals_file is None else str(config.arrivals_file),
        "PeakRps": config.peak_rps or None,
        "MaxLagSeconds": config.max_lag_s or None,
        "OnLag": config.on_lag if config.max_lag_s else None,
    }


def _model_told(config: RunConfig) -> str:
    return described(config.mix) if config.mix else config.model


def _batch_size(config: RunConfig) -> int:
    """Of all kinds; 0 where they differ."""
    sizes = {kind.batch_size for kind in config.kinds}
    return sizes.pop() if len(sizes) == 1 else 0


def _part(figures: _core.Figures) -> dict[str, Any]:
    """What is measured of any part of the requests."""
    service = figures.service_latencies
    return {
        "successes": figures.successes,
        "inferences": figures.inferences,
        "failures": failures_by_kind(figures.failures),
        "shed": figures.shed,
        "late_starts": figures.late_starts,
        "latencies": histogram(figures.latencies),
        "service_latencies": service and histogram(service),
    }


def _kinds(
    config: RunConfig, measured: _core.Figures, generator: _core.LoadGenerator
) -> list[KindFigures]:
    """Of a mix; the only kind of one has the figures of the whole."""
    parts = generator.kind_figures() or [measured]
    return [
        KindFigures(
            name=kind.model,
            tensors=kind.tensors,
            batch_size=kind.batch_size,
            weight=kind.weight,
            **_part(figures),
        )
        for kind, figures in zip(config.mix, parts, strict=False)
    ]


def _steps(config: RunConfig, generator: _core.LoadGenerator) -> list[StepFigures]:
    return [
        StepFigures(name=str(step), seconds=step.duration_s, **_part(figures))
        for step, figures in zip(config.profile, generator.step_figures(), strict=True)
    ]
