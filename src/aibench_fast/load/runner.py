"""One benchmark: a RunConfig becomes a Result."""

import dataclasses
import random
import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

from aibench_fast import _core
from aibench_fast.errors import ConfigError
from aibench_fast.load import facts
from aibench_fast.load.arrivals import arrivals
from aibench_fast.load.config import RunConfig
from aibench_fast.load.doubts import all_equal, warnings
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.record import Output, ServerRecord
from aibench_fast.protocols.redisai.commands import Dialect, encode
from aibench_fast.protocols.redisai.connection import REPLY_TIMEOUT_S, log_in_command
from aibench_fast.protocols.redisai.request import Request
from aibench_fast.protocols.redisai.statistics import ServerWatch
from aibench_fast.protocols.redisai.visit import HURRY_S, leave, visit
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import (
    LIVE_QUANTILES,
    BurnInComplete,
    Digesting,
    Failure,
    Interval,
    IntervalLatencies,
    Result,
    Sample,
    Started,
    StepFigures,
)
from aibench_fast.tensors import tensorfile
from aibench_fast.tensortype import VALUE_BYTES

NS_PER_S = 1e9
MS_PER_S = 1000
NativeFailures = Mapping[str, tuple[int, str]]

WAIT_SLICE_S = 0.05  # how late Ctrl-C, the burn-in's end and the run's end may be noticed
STOP_WAIT_S = 0.5
MAX_OUTPUTS = 100  # to look at for whether they are all alike
OTHER_FILES = 100  # what a process has open beside its workers' connections


Event = Digesting | Started | BurnInComplete | Interval | IntervalLatencies | Sample
Observer = Callable[[Event], None]


def _ignore(event: Event) -> None:
    del event


def run(config: RunConfig, observe: Observer = _ignore) -> Result:
    """Run one benchmark and return what it measured; `observe` hears of it meanwhile.

    The load comes from native threads without the GIL: other Python threads go on. Ctrl-C ends the
    run and returns what was measured, with `interrupted` set. Failed requests raise nothing: they
    are counted in the result. ConfigError and ServerError are raised before the clock starts.
    """
    tensors = _tensors(config)
    first = _first_tensor(config, len(tensors))
    record, request = visit(
        config.address,
        _request(config),
        config.dialect,
        tensors.read(first, config.batch_size),
        workers=config.workers,
        reset_stats=config.reset_stats,
    )
    try:
        known = _facts(config, record, tensors, observe)
        server_watch = ServerWatch(config.address, config.model)
        generator = _load_generator(config, record, request, tensors, first)
    except BaseException:
        leave(config.address, request, config.workers, HURRY_S)
        raise
    try:
        return _measure(config, record, request, tensors, generator, observe, known, server_watch)
    finally:
        generator.close()


def _request(config: RunConfig) -> Request:
    return Request(
        dialect=config.dialect or Dialect.MODELRUN,
        model=config.model,
        dtype=config.dtype,
        shape=config.batch_shape,
        use_dag=config.use_dag,
        persist=config.persist_results,
        timeout_ms=config.timeout_ms,
    )


def _tensors(config: RunConfig) -> _core.Tensors:
    count = config.count_tensors()
    if config.file is None:
        return _core.Tensors.generate(count, config.tensor_bytes, config.dtype, config.seed)
    return _core.Tensors.open(config.file, config.tensor_bytes)


def _first_tensor(config: RunConfig, tensor_count: int) -> int:
    if config.file is None or config.seed == 0:
        return 0
    return random.Random(config.seed).randrange(tensor_count)


def _facts(
    config: RunConfig, record: ServerRecord, tensors: _core.Tensors, observe: Observer
) -> dict[str, Any]:
    """What the figures depend on, gathered before anything is measured."""
    return {
        **facts.host_facts(),
        "Hiredis": _core.HIREDIS_VERSION,
        "ServerConfig": record.config,
        "ModelDigest": record.model_digest,
        "DataDigest": _data_digest(config, tensors, observe),
        "CommandLine": config.command_line,
    }


def _data_digest(config: RunConfig, tensors: _core.Tensors, observe: Observer) -> str:
    if config.file is None:
        return facts.generated_digest(tensors, config.tensor_bytes)
    try:
        return facts.data_digest(config.file, lambda done, total: observe(Digesting(done, total)))
    except OSError as error:
        raise ConfigError(f"tensor file {config.file}: cannot be read: {error.strerror}") from error


def _load_generator(
    config: RunConfig,
    record: ServerRecord,
    request: Request,
    tensors: _core.Tensors,
    first_tensor: int,
) -> _core.LoadGenerator:
    _allow_connections(config.workers)
    blob_bytes = config.batch_size * config.tensor_bytes
    due = arrivals(config)
    kind = _core.Kind(
        inputs=[tensors],
        requests=[request.text(worker, blob_bytes) for worker in range(config.workers)],
        expected_replies=list(request.expected_replies(record.output.output_bytes)),
        replies_in_array=request.use_dag,
        batch=config.batch_size,
        first_tensor=first_tensor,
        references=_references(config, record.output, len(tensors)),
        tolerance=config.tolerance,
    )
    return _core.LoadGenerator(
        kinds=[kind],
        host=record.peer,
        port=config.address.port,
        socket=config.address.socket,
        greeting=_greeting(config.address),
        threads=config.io_threads,
        pipeline=config.pipeline,
        schedule=due.schedule,
        burn_in_requests=due.burn_in_requests,
        burn_in_ns=due.burn_in_ns,
        max_requests=config.max_requests(len(tensors)),
        max_lag_ns=round(config.max_lag_s * NS_PER_S),
        shed_late=config.on_lag == "shed",
        duration_ns=round(config.duration_s * NS_PER_S),
        reply_timeout_ns=round(config.reply_timeout_s * NS_PER_S),
        connect_timeout_ns=round(config.connect_timeout_s * NS_PER_S),
        stop_on_failure=not config.continue_on_error,
    )


def _references(config: RunConfig, output: Output, tensor_count: int) -> bytes | None:
    """The outputs to compare with, read whole: they are small, and a file may change."""
    if config.reference_file is None:
        return None
    output_bytes = output.output_bytes // config.batch_size
    if output.dtype != "FLOAT" or output_bytes == 0 or output_bytes % VALUE_BYTES:
        raise ConfigError(
            f"--verify compares FLOAT outputs, one for each image; {config.model} answers "
            f"{output.output_bytes} bytes of {output.dtype} to {config.batch_size} images"
        )
    count = tensorfile.check(config.reference_file, (output_bytes // VALUE_BYTES,))
    if count != tensor_count:
        raise ConfigError(
            f"{config.reference_file} has {count} reference outputs for {tensor_count} tensors: "
            "there has to be one for each"
        )
    return config.reference_file.read_bytes()


def _allow_connections(workers: int) -> None:
    """Let the process open a file for every worker, as far as the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = workers + OTHER_FILES
    if soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _greeting(address: ServerAddress) -> bytes | None:
    """The log-in that every worker's connection begins with."""
    command = log_in_command(address)
    return None if command is None else encode(command, 0)[0]


def _measure(
    config: RunConfig,
    record: ServerRecord,
    request: Request,
    tensors: _core.Tensors,
    generator: _core.LoadGenerator,
    observe: Observer,
    known: Mapping[str, Any],
    server_watch: ServerWatch,
) -> Result:
    equal_tensors = len(tensors) > 1 and all_equal(tensors)
    server_watch.start()
    start_unix_ms = _unix_ms()
    watch = _Watch(config, record.output, generator, observe, server_watch)
    try:
        observe(Started(record.server))
        generator.start()
        interrupted = watch.until_the_end()
    except BaseException:  # the observer's: it ends the run
        generator.close()
        leave(config.address, request, config.workers, HURRY_S)
        server_watch.finish(HURRY_S)
        raise
    snapshot = generator.snapshot()
    duration_s = (time.monotonic_ns() - snapshot.started_ns) / NS_PER_S
    patience_s = HURRY_S if interrupted else REPLY_TIMEOUT_S
    until_s = time.monotonic() + patience_s
    leave(config.address, request, config.workers, patience_s)
    # The last reading was under way meanwhile; a stuck server is not waited for twice.
    server_stats = server_watch.finish(max(0.0, until_s - time.monotonic()))
    measured = snapshot.measured
    service = measured.service_latencies
    failed = _total(measured.failures)
    result = Result(
        model=config.model,
        query_label=request.label,
        data_file=config.data_file,
        data_seed=config.data_seed,
        shape=config.shape,
        dtype=config.dtype,
        workers=config.workers,
        threads=config.io_threads,
        batch_size=config.batch_size,
        pipeline=config.pipeline,
        max_queries=config.max_queries,
        limit_rps=config.limit_rps,
        metadata_autobatching=config.metadata_autobatching,
        start_unix_ms=start_unix_ms,
        end_unix_ms=start_unix_ms + round(duration_s * MS_PER_S),
        duration_s=duration_s,
        measured_s=_measured_s(snapshot),
        requests=measured.successes + failed,
        successes=measured.successes,
        failures=_failures(measured.failures),
        burn_in_requests=snapshot.requests - measured.successes - failed,
        burn_in_failures=_failures(snapshot.burn_in_failures),
        abandoned=snapshot.abandoned,
        late_starts=measured.late_starts,
        latencies=_histogram(measured.latencies),
        service_latencies=service and _histogram(service),
        arrivals=_arrivals_told(config),
        shed=measured.shed,
        unsent=generator.unsent(),
        lag_exceeded=snapshot.lag_exceeded,
        steps=_steps(config, generator),
        start_lags=_histogram(snapshot.start_lags),
        timer_lags=_histogram(snapshot.timer_lags),
        reply_waits=_histogram(snapshot.reply_waits),
        saturated=measured.latencies.saturated,
        intervals=tuple(watch.intervals),
        client_cpu_s=snapshot.cpu_ns / NS_PER_S,
        busiest_thread=snapshot.busiest_thread,
        least_worker_requests=snapshot.least_worker_requests,
        most_worker_requests=snapshot.most_worker_requests,
        server=record.server,
        server_stats=server_stats.periods,
        raw_server_stats=server_stats.raw,
        facts=known,
        interrupted=interrupted,
    )
    found = warnings(config, result, record.peer, [*watch.outputs.values()], equal_tensors)
    return dataclasses.replace(result, warnings=found)


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


def _steps(config: RunConfig, generator: _core.LoadGenerator) -> list[StepFigures]:
    return [
        StepFigures(
            step=str(step),
            seconds=step.duration_s,
            successes=figures.successes,
            inferences=figures.inferences,
            failures=_failures(figures.failures),
            shed=figures.shed,
            late_starts=figures.late_starts,
            latencies=_histogram(figures.latencies),
            service_latencies=_histogram(figures.service_latencies or figures.latencies),
        )
        for step, figures in zip(config.profile, generator.step_figures(), strict=True)
    ]


class _Watch:
    """Looks at a running load generator once a slice, and tells what happens."""

    def __init__(
        self,
        config: RunConfig,
        output: Output,
        generator: _core.LoadGenerator,
        observe: Observer,
        server_watch: ServerWatch,
    ) -> None:
        self.intervals: list[Interval] = []
        self.outputs: dict[int, bytes] = {}
        """What the model answered to different tensors, by their index; a sample."""
        self._config = config
        self._output_dtype = output.dtype
        self._generator = generator
        self._observe = observe
        self._server_watch = server_watch
        self._burning_in = config.burn_in > 0 or config.burn_in_s > 0
        self._begin_at_ns = 0  # when a burn-in of some time ends in a closed loop; 0: not here
        self._last_images = 0
        self._last_ns = 0
        self._last_unix_ms = 0
        self._last_latencies = LatencyHistogram.empty()

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
        self._generator.want_sample()
        self._last_ns = time.monotonic_ns()
        self._last_unix_ms = _unix_ms()
        if self._config.burn_in_s and not self._config.is_open_loop:
            self._begin_at_ns = self._last_ns + round(self._config.burn_in_s * NS_PER_S)
        period_ns = round(self._config.reporting_period_s * NS_PER_S)
        next_ns = self._last_ns + period_ns
        while not self._generator.wait(
            min(WAIT_SLICE_S, max(0.0, (next_ns - time.monotonic_ns()) / NS_PER_S))
        ):
            self._note_burn_in()
            if not self._config.sample_responses:
                self._take_sample()
            if time.monotonic_ns() >= next_ns:
                self._look()
                # Where the process was stopped for a while, one line stands for all of it.
                next_ns = max(next_ns + period_ns, time.monotonic_ns())

    def _note_burn_in(self) -> None:
        if 0 < self._begin_at_ns <= time.monotonic_ns():
            self._begin_at_ns = 0
            self._generator.begin_measuring()
        if self._burning_in and self._generator.measuring():
            self._burning_in = False
            requests = self._config.burn_in or self._generator.snapshot().requests
            self._observe(BurnInComplete(requests, self._config.workers))

    def _look(self) -> None:
        """Tell of the period that ends now."""
        self._note_burn_in()
        now_ns = time.monotonic_ns()
        snapshot = self._generator.snapshot()
        failed = _total(snapshot.measured.failures) + _total(snapshot.burn_in_failures)
        images = snapshot.answered_tensors
        latencies = _histogram(snapshot.measured.latencies)
        interval = Interval(
            unix_ms=_unix_ms(),
            images=images,
            instantaneous_rate=(images - self._last_images) * NS_PER_S / (now_ns - self._last_ns),
            overall_rate=_overall_rate(snapshot, now_ns),
            quantiles_ms=latencies.quantiles_ms(LIVE_QUANTILES),
            failed=failed,
            period_quantiles_ms=latencies.quantiles_since_ms(self._last_latencies, LIVE_QUANTILES),
        )
        self._server_watch.period_ended(interval.unix_ms)
        self.intervals.append(interval)
        self._observe(interval)
        if self._config.interval_latencies:
            start_unix_s, end_unix_s = self._last_unix_ms / MS_PER_S, interval.unix_ms / MS_PER_S
            recent = latencies.since(self._last_latencies)
            self._observe(IntervalLatencies(start_unix_s, end_unix_s, recent))
        self._last_latencies = latencies
        self._last_images, self._last_ns = images, now_ns
        self._last_unix_ms = interval.unix_ms
        self._take_sample()

    def _take_sample(self) -> None:
        if (sample := self._generator.take_sample()) is not None:
            _, tensor, output = sample
            first = output[: len(output) // self._config.batch_size]
            if len(self.outputs) < MAX_OUTPUTS:
                self.outputs[tensor] = first
            if self._config.sample_responses:
                self._observe(Sample(tensor, self._output_dtype, first))
        self._generator.want_sample()


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


def _measured_s(snapshot: _core.Snapshot) -> float:
    if not snapshot.measured_from_ns or not snapshot.last_completed_ns:
        return 0.0
    return max(0, snapshot.last_completed_ns - snapshot.measured_from_ns) / NS_PER_S


def _overall_rate(snapshot: _core.Snapshot, now_ns: int) -> float:
    if not snapshot.measured_from_ns or now_ns <= snapshot.measured_from_ns:
        return 0.0
    measured_s = (now_ns - snapshot.measured_from_ns) / NS_PER_S
    return snapshot.measured.inferences / measured_s


def _total(failures: NativeFailures) -> int:
    return sum(count for count, _ in failures.values())


def _failures(failures: NativeFailures) -> dict[str, Failure]:
    return {kind: Failure(count, message) for kind, (count, message) in failures.items()}


def _histogram(latencies: _core.LatencyCounts) -> LatencyHistogram:
    return LatencyHistogram.from_counts(latencies.counts, latencies.min_us, latencies.max_us)
