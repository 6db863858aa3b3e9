"""One benchmark: a RunConfig becomes a Result."""

import dataclasses
import resource
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from aibench_fast import _core, coretypes
from aibench_fast.errors import ConfigError
from aibench_fast.load.arrivals import Arrivals, arrivals
from aibench_fast.load.config import RunConfig
from aibench_fast.load.formatting import as_sent
from aibench_fast.load.machine import host_facts
from aibench_fast.load.outcome import End, described_model, result_of
from aibench_fast.load.readings import NS_PER_MS, NS_PER_S, Measurement, Taken, unix_ms
from aibench_fast.load.resolve import resolve
from aibench_fast.load.sources import (
    Sent,
    Source,
    conversations_of,
    data_digests,
    open_sources,
    read_references,
)
from aibench_fast.load.surroundings import Surroundings, find_servers
from aibench_fast.load.watch import Watch
from aibench_fast.protocols.serverprocess import ProcessReader
from aibench_fast.protocols.session import HURRY_S, Servers, Session, Workload
from aibench_fast.protocols.statistics import LAST_READING_S, ServerStatistics, StatisticsWatch
from aibench_fast.results.events import Event, Observer, SoFar, Started, ignore
from aibench_fast.results.groups import ServerFacts
from aibench_fast.results.result import Interval, Result

NATIVE_WAIT_S = 0.3  # before an agreed start: many clients on a machine take turns to get there
OTHER_FILES = 100  # what a process has open beside its workers' connections


def run(config: RunConfig, observe: Observer = ignore) -> Result:
    """Run one benchmark from this process, as `clients.runner.run` does without a cluster."""
    with PreparedRun(config, observe) as prepared:
        return prepared.measure()


class PreparedRun(AbstractContextManager["PreparedRun"]):
    """A run that is ready to be measured: its servers were visited, all workers are connected."""

    def __init__(self, config: RunConfig, observe: Observer) -> None:
        """Make it ready; ConfigError and ServerError where that cannot be."""
        config = resolve(config)
        self._servers = servers = config.protocol.find_servers()
        asked_workers = config.workers
        config = dataclasses.replace(config, workers=max(config.workers, servers.count))
        self._interrupted = False
        self._is_measured = False
        sources = open_sources(config, observe)
        turns = conversations_of(sources)
        due = arrivals(config, turns)
        servers.visit(_workloads(config, sources, servers.count))
        try:
            digests = ",".join(data_digests(sources, observe))
            sent, of_form = as_sent(config, servers.first, sources, observe)
            facts = _facts(config, servers.first, digests) | of_form
            if turns:
                facts |= {"Sessions": turns.count, "Turns": len(turns)}
            # One client reads the servers' statistics for all.
            process = None if config.server_pid is None else ProcessReader(config.server_pid)
            server_watch = servers.watch(process) if config.is_first_client else StatisticsWatch()
            generator = _load_generator(config, servers, sources, sent, due)
            if spoken := generator.tls():
                facts["Tls"] = " ".join(spoken)
            near = find_servers(servers.endpoints, servers.records, config.server_pid)
            self._run = Measurement(
                config=config,
                generator=generator,
                records=servers.records,
                server_watch=server_watch,
                surroundings=Surroundings(near, is_only_client=config.share is None),
                observe=observe,
                max_requests=config.max_requests(sources[0].tensor_count),
                asked_workers=asked_workers,
                query_label=servers.first.label(described_model(config)),
                facts=facts,
                equal_tensors=any(source.all_equal for source in sources),
            )
        except BaseException:
            servers.leave(HURRY_S)
            raise

    def __exit__(self, *exception: object) -> None:
        """Give back what it has, in the servers too."""
        if not self._is_measured:
            self._servers.leave(HURRY_S)
        self._run.generator.close()

    @property
    def server(self) -> ServerFacts:
        """Return which server will answer, of several the first."""
        return self._servers.first.record.server

    def snapshot(self) -> coretypes.Snapshot:
        """Return what was counted by now."""
        return self._run.generator.snapshot()

    def interrupt(self) -> None:
        """End it as Ctrl-C does, before the block's end; any thread may."""
        self._interrupted = True
        self._run.generator.stop()

    def measure(self, at_ns: int = 0) -> Result:
        """Measure, once, from `at_ns` of CLOCK_MONOTONIC on, which is waited for; 0: from now."""
        run, generator = self._run, self._run.generator
        self._is_measured = True
        run.server_watch.start()
        now_ns = time.monotonic_ns()

        def report(event: Event) -> None:
            run.observe(event)
            if run.config.results_so_far and isinstance(event, Interval):
                stats = run.server_watch.so_far()
                run.observe(SoFar(result_of(measured, watch, watch.taken, stats)))

        measured = dataclasses.replace(
            run,
            observe=report,
            start_ns=at_ns or now_ns,
            start_unix_ms=unix_ms() + (at_ns and (at_ns - now_ns) // NS_PER_MS),
        )
        watch = Watch(measured)
        try:
            self._await(at_ns)
            run.observe(Started(self.server))
            generator.start(0 if self._interrupted else at_ns)
            interrupted = watch.until_the_end() or self._interrupted
        except BaseException:  # the observer's: it ends the run
            generator.close()
            self._left(HURRY_S)
            raise
        at_end = Taken.now(generator)
        try:
            server_stats = self._left(HURRY_S if interrupted else LAST_READING_S)
        except KeyboardInterrupt:  # a server that does not answer is not waited for any longer
            interrupted = True
            server_stats = self._left(HURRY_S)
        end = End.INTERRUPTED if interrupted else End.REACHED
        return result_of(measured, watch, at_end, server_stats, end)

    def _left(self, patience_s: float) -> ServerStatistics:
        """Leave the servers, and return what they counted, as far as they answer in time."""
        until_s = time.monotonic() + patience_s
        self._servers.leave(patience_s)
        # The last reading was under way meanwhile; a stuck server is not waited for twice.
        return self._run.server_watch.finish(max(0.0, until_s - time.monotonic()))

    def _await(self, at_ns: int) -> None:
        """Wait for most of the time until then; the native threads wait for the rest."""
        while not self._interrupted:
            left_s = (at_ns - time.monotonic_ns()) / NS_PER_S - NATIVE_WAIT_S
            if left_s <= 0:
                return
            time.sleep(min(left_s, NATIVE_WAIT_S))


def _workloads(config: RunConfig, sources: Sequence[Source], servers: int) -> list[Workload]:
    kinds = [source.asked() for source in sources]
    most_requests = config.max_requests(sources[0].tensor_count)
    return [
        Workload(
            kinds=kinds,
            workers=range(number, config.workers, servers),
            all_workers=_workers_of_all_clients(config, number, servers),
            most_requests=most_requests,
            is_first_client=config.is_first_client,
            has_references=config.reference_file is not None,
        )
        for number in range(servers)
    ]


def _workers_of_all_clients(config: RunConfig, number: int, servers: int) -> int:
    """Return how many workers a server has, of all clients."""
    counts = [config.workers]
    if share := config.share:
        counts = [len(range(n, share.all_workers, share.clients)) for n in range(share.clients)]
    return sum(len(range(number, max(count, servers), servers)) for count in counts)


def _facts(config: RunConfig, session: Session, digests: str) -> dict[str, Any]:
    """Return what the figures depend on, gathered before anything is measured."""
    record = session.record
    models = record.model_digests
    return {
        **host_facts(),
        **session.facts,
        **({"Inputs": config.kinds[0].tensors} if config.inputs else {}),
        "ServerConfig": record.config,
        "ModelDigest": None if None in models else ",".join(one for one in models if one),
        "DataDigest": digests,
        "CommandLine": config.command_line,
    }


def _load_generator(
    config: RunConfig,
    servers: Servers[Session],
    sources: Sequence[Source],
    sent: Sequence[Sent],
    due: Arrivals,
) -> _core.LoadGenerator:
    """`sent` are the sources' tensors as they are sent."""
    allow_connections(config.workers)
    tensor_count = sources[0].tensor_count
    found = [servers.of(worker).written(worker) for worker in range(config.workers)]
    written = [place for place in found if place is not None] or None
    kinds = [
        coretypes.Kind(
            inputs=one.inputs,
            requests=[
                servers.of(worker).texts(place, worker, one.request_bytes)
                for worker in range(config.workers)
            ],
            plan=servers.first.plan(place),
            batch=one.kind.batch_size,
            first_tensor=one.first,
            references=read_references(config, output, tensor_count, one),
            tolerance=config.tolerance,
            weight=one.kind.weight,
            written=written,
        )
        for place, (one, output) in enumerate(zip(sent, servers.first.record.outputs, strict=True))
    ]
    return _core.LoadGenerator(
        kinds=kinds,
        mix_seed=config.seed,
        endpoints=servers.endpoints,
        cluster=servers.cluster_nodes(kinds, config.workers),
        threads=config.io_threads,
        pipeline=config.pipeline,
        **due._asdict(),
        share=config.share,
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


def allow_connections(workers: int) -> None:
    """Let the process open a file for every worker; ConfigError where the system never will."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = workers + OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard <= workers:
        raise ConfigError(
            f"`workers` {workers}: each has a connection, and this process may have {hard} files "
            "open; ask for fewer, or raise the hard limit (ulimit -Hn)"
        )
    if soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
