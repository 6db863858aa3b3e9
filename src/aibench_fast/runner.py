"""One benchmark: a RunConfig becomes a Result."""

import random
import socket
import time
from collections.abc import Callable, Mapping

from aibench_fast import _core
from aibench_fast.commands import encode
from aibench_fast.config import RunConfig
from aibench_fast.control import ServerAddress
from aibench_fast.errors import ServerError
from aibench_fast.histogram import LatencyHistogram
from aibench_fast.preflight import Preflight, preflight, remove_keys
from aibench_fast.result import (
    LIVE_QUANTILES,
    BurnInComplete,
    Failure,
    Interval,
    Result,
    Sample,
    Started,
)
from aibench_fast.serverstats import counts_between, model_counts

NS_PER_S = 1e9
MS_PER_S = 1000
NativeFailures = Mapping[str, tuple[int, str]]

WAIT_SLICE_S = 0.05  # how late Ctrl-C, the burn-in's end and the run's end may be noticed
STOP_WAIT_S = 0.5


Event = Started | BurnInComplete | Interval | Sample
Observer = Callable[[Event], None]


def _ignore(event: Event) -> None:
    del event


def run(config: RunConfig, observe: Observer = _ignore) -> Result:
    """Run one benchmark and return what it measured; `observe` hears of it meanwhile.

    The load comes from native threads without the GIL: other Python threads go on. Ctrl-C ends the
    run and returns what was measured, with `interrupted` set. Failed requests raise nothing: they
    are counted in the result. ConfigError and ServerError are raised before any load is sent.
    """
    tensor_count = config.count_tensors()
    max_requests = config.max_requests(tensor_count)
    first = random.Random(config.seed).randrange(tensor_count) if config.seed else 0
    found = preflight(config, first)
    try:
        generator = _load_generator(config, found, max_requests, first)
        try:
            return _measure(config, found, generator, observe)
        finally:
            generator.close()
            remove_keys(found, config)
    finally:
        found.client.close()


def _load_generator(
    config: RunConfig, found: Preflight, max_requests: int, first_tensor: int
) -> _core.LoadGenerator:
    request = found.request
    blob_bytes = config.batch_size * config.tensor_bytes
    return _core.LoadGenerator(
        tensor_file=config.file,
        tensor_bytes=config.tensor_bytes,
        first_tensor=first_tensor,
        host=_resolve(config.address),
        port=config.address.port,
        socket=config.address.socket,
        greeting=_greeting(config.address),
        requests=[request.text(worker, blob_bytes) for worker in range(config.workers)],
        expected_replies=list(request.expected_replies(found.output_bytes)),
        replies_in_array=request.use_dag,
        threads=config.io_threads,
        batch=config.batch_size,
        burn_in_requests=config.burn_in,
        max_requests=max_requests,
        duration_ns=round(config.duration_s * NS_PER_S),
        reply_timeout_ns=round(config.reply_timeout_s * NS_PER_S),
        connect_timeout_ns=round(config.connect_timeout_s * NS_PER_S),
        stop_on_failure=not config.continue_on_error,
        reference_file=config.reference_file,
        tolerance=config.tolerance,
    )


def _greeting(address: ServerAddress) -> bytes | None:
    """The log-in that every worker's connection begins with."""
    if address.password is None:
        return None
    who = [] if address.user is None else [address.user]
    return encode(["AUTH", *who, address.password], 0)[0]


def _resolve(address: ServerAddress) -> str:
    """Return a numeric address, so that a worker that connects again looks up no name."""
    if address.socket:
        return ""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ServerError(f"cannot find the host {address.host}: {error}") from error
    # The control connection was answered, by the first of these that accepts.
    for _family, _type, _protocol, _name, place in found:
        host = str(place[0])
        try:
            socket.create_connection((host, address.port), timeout=5).close()
        except OSError:
            continue
        return host
    raise ServerError(f"no server answers at {address}")


def _measure(
    config: RunConfig, found: Preflight, generator: _core.LoadGenerator, observe: Observer
) -> Result:
    counts_before = model_counts(found.client, config.address, config.model)
    start_unix_ms = _unix_ms()
    watch = _Watch(config, found, generator, observe)
    observe(Started(found.server))
    generator.start()
    interrupted = watch.until_the_end()
    end_ns = time.monotonic_ns()
    counts_after = model_counts(found.client, config.address, config.model)
    snapshot = generator.snapshot()
    return Result(
        model=config.model,
        query_label=found.request.label,
        data_file=str(config.file),
        workers=config.workers,
        threads=config.io_threads,
        batch_size=config.batch_size,
        max_queries=config.max_queries,
        metadata_autobatching=config.metadata_autobatching,
        start_unix_ms=start_unix_ms,
        end_unix_ms=_unix_ms(),
        duration_s=(end_ns - snapshot.started_ns) / NS_PER_S,
        measured_s=_measured_s(snapshot),
        requests=snapshot.successes + _total(snapshot.failures),
        successes=snapshot.successes,
        failures=_failures(snapshot.failures),
        burn_in_requests=min(config.burn_in, snapshot.requests),
        burn_in_failures=_failures(snapshot.burn_in_failures),
        abandoned=snapshot.abandoned,
        latencies=_histogram(snapshot),
        saturated=snapshot.latencies.saturated,
        intervals=tuple(watch.intervals),
        client_cpu_s=snapshot.cpu_ns / NS_PER_S,
        busiest_thread=snapshot.busiest_thread,
        server=found.server,
        server_stats=counts_between(counts_before, counts_after),
        interrupted=interrupted,
    )


class _Watch:
    """Looks at a running load generator once a slice, and tells what happens."""

    def __init__(
        self,
        config: RunConfig,
        found: Preflight,
        generator: _core.LoadGenerator,
        observe: Observer,
    ) -> None:
        self.intervals: list[Interval] = []
        self._config = config
        self._output_dtype = found.output_dtype
        self._generator = generator
        self._observe = observe
        self._burning_in = config.burn_in > 0
        self._last_images = 0
        self._last_ns = 0

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
        self._last_ns = time.monotonic_ns()
        period_ns = round(self._config.reporting_period_s * NS_PER_S)
        next_ns = self._last_ns + period_ns
        while not self._generator.wait(
            min(WAIT_SLICE_S, max(0.0, (next_ns - time.monotonic_ns()) / NS_PER_S))
        ):
            self._note_burn_in()
            if time.monotonic_ns() >= next_ns:
                self._look()
                next_ns += period_ns

    def _note_burn_in(self) -> None:
        if self._burning_in and self._generator.measuring():
            self._burning_in = False
            self._observe(BurnInComplete(self._config.burn_in, self._config.workers))

    def _look(self) -> None:
        """Tell of the period that ends now."""
        self._note_burn_in()
        now_ns = time.monotonic_ns()
        snapshot = self._generator.snapshot()
        failed = _total(snapshot.failures) + _total(snapshot.burn_in_failures)
        images = (snapshot.requests - failed) * self._config.batch_size
        interval = Interval(
            unix_ms=_unix_ms(),
            images=images,
            instantaneous_rate=(images - self._last_images) * NS_PER_S / (now_ns - self._last_ns),
            overall_rate=_overall_rate(snapshot, now_ns, self._config.batch_size),
            quantiles_ms=_histogram(snapshot).quantiles_ms(LIVE_QUANTILES),
            failed=failed,
        )
        self._last_images, self._last_ns = images, now_ns
        self.intervals.append(interval)
        self._observe(interval)
        self._take_sample()

    def _take_sample(self) -> None:
        if not self._config.sample_responses:
            return
        if (sample := self._generator.take_sample()) is not None:
            self._observe(Sample(sample[0], self._output_dtype, sample[1]))
        self._generator.want_sample()


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


def _measured_s(snapshot: _core.Snapshot) -> float:
    if not snapshot.measured_from_ns or not snapshot.last_completed_ns:
        return 0.0
    return max(0, snapshot.last_completed_ns - snapshot.measured_from_ns) / NS_PER_S


def _overall_rate(snapshot: _core.Snapshot, now_ns: int, batch_size: int) -> float:
    if not snapshot.measured_from_ns or now_ns <= snapshot.measured_from_ns:
        return 0.0
    measured_s = (now_ns - snapshot.measured_from_ns) / NS_PER_S
    return snapshot.successes * batch_size / measured_s


def _total(failures: NativeFailures) -> int:
    return sum(count for count, _ in failures.values())


def _failures(failures: NativeFailures) -> dict[str, Failure]:
    return {kind: Failure(count, message) for kind, (count, message) in failures.items()}


def _histogram(snapshot: _core.Snapshot) -> LatencyHistogram:
    latencies = snapshot.latencies
    return LatencyHistogram.from_counts(latencies.counts, latencies.min_us, latencies.max_us)
