"""One benchmark: a RunConfig becomes a Result."""

import dataclasses
import resource
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from aibench_fast import _core, coretypes
from aibench_fast.errors import ConfigError
from aibench_fast.load import facts
from aibench_fast.load.arrivals import arrivals
from aibench_fast.load.config import RunConfig
from aibench_fast.load.formatting import as_sent
from aibench_fast.load.outcome import Background, End, model_told, result_of
from aibench_fast.load.readings import NS_PER_S, Taken
from aibench_fast.load.resolve import resolve
from aibench_fast.load.serverprocesses import find_servers
from aibench_fast.load.sources import (
    Sent,
    Source,
    data_digests,
    open_sources,
    read_references,
)
from aibench_fast.load.surroundings import Surroundings
from aibench_fast.load.watch import NS_PER_MS, Watch, unix_ms
from aibench_fast.protocols.address import HttpAddress, ServerAddress
from aibench_fast.protocols.record import ServerRecord
from aibench_fast.protocols.redisai.cluster import RedisCluster, read_cluster
from aibench_fast.protocols.redisai.connection import REPLY_TIMEOUT_S
from aibench_fast.protocols.redisai.session import Asking, RedisAiSession, endpoint_of
from aibench_fast.protocols.serverprocess import ProcessReader
from aibench_fast.protocols.servers import Servers
from aibench_fast.protocols.serverwatch import NoStatistics, StatisticsWatch
from aibench_fast.protocols.session import HURRY_S, AskedKind, Session
from aibench_fast.protocols.statistics import Reader, ServerStatistics
from aibench_fast.results.events import Event, Observer, SoFar, Started, ignore
from aibench_fast.results.result import Interval, Result, ServerFacts

if TYPE_CHECKING:
    from aibench_fast.protocols.openinference.session import OpenInferenceSession

NATIVE_WAIT_S = 0.3  # before an agreed start: many clients on a machine take turns to get there
OTHER_FILES = 100  # what a process has open beside its workers' connections


def run(config: RunConfig, observe: Observer = ignore) -> Result:
    """Run one benchmark and return what it measured; `observe` hears of it meanwhile.

    The load comes from native threads without the GIL: other Python threads go on. Ctrl-C ends the
    run and returns what was measured, with `interrupted` set. Failed requests raise nothing: they
    are counted in the result. ConfigError and ServerError are raised before the clock starts.
    """
    with PreparedRun(config, observe) as prepared:
        return prepared.measure()


class PreparedRun:
    """A run that is ready to be measured: its servers were visited, all workers are connected."""

    def __init__(self, config: RunConfig, observe: Observer) -> None:
        """Make it ready; ConfigError and ServerError where that cannot be."""
        config = resolve(config)
        cluster = read_cluster(config.addresses) if config.cluster_mode else None
        addresses = _addresses(config, cluster)
        self._asked_workers = config.workers
        config = dataclasses.replace(config, workers=max(config.workers, len(addresses)))
        self._config = config
        self._observe = observe
        self._interrupted = False
        self._is_measured = False
        self._sources = open_sources(config)
        self._servers = servers = _visit(config, addresses, self._sources, cluster)
        try:
            digests = data_digests(self._sources, observe)
            sent, told = as_sent(config, servers.first, self._sources, observe)
            self._facts = {**_facts(config, servers.first.record, digests), **told}
            self._server_watch = _server_watch(config, servers, addresses)
            self._generator = _load_generator(config, servers, self._sources, sent, cluster)
            self._surroundings = _surroundings(config, servers)
        except BaseException:
            servers.leave(HURRY_S)
            raise
        if spoken := self._generator.tls():
            self._facts["Tls"] = " ".join(spoken)

    def __enter__(self) -> Self:
        """Return the run."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Give back what it has, in the servers too."""
        if not self._is_measured:
            self._servers.leave(HURRY_S)
        self._generator.close()

    @property
    def server(self) -> ServerFacts:
        """Which server will answer, of several the first."""
        return self._servers.first.record.server

    def snapshot(self) -> coretypes.Snapshot:
        """What was counted by now."""
        return self._generator.snapshot()

    def interrupt(self) -> None:
        """End it as Ctrl-C does, before the block's end; any thread may."""
        self._interrupted = True
        self._generator.stop()

    def measure(self, at_ns: int = 0) -> Result:
        """Measure, once, from `at_ns` of CLOCK_MONOTONIC on, which is waited for; 0: from now."""
        config, servers, generator = self._config, self._servers, self._generator
        self._is_measured = True
        server_watch = self._server_watch
        server_watch.start()
        until_start_ns = at_ns - time.monotonic_ns() if at_ns else 0
        background = Background(
            config=config,
            asked_workers=self._asked_workers,
            query_label=servers.label(model_told(config)),
            records=servers.records,
            facts=self._facts,
            equal_tensors=any(source.all_equal for source in self._sources),
            start_unix_ms=unix_ms() + until_start_ns // NS_PER_MS,
        )

        def tell(event: Event) -> None:
            self._observe(event)
            if config.results_so_far and isinstance(event, Interval):
                stats = server_watch.so_far()
                self._observe(SoFar(result_of(background, generator, watch, watch.taken, stats)))

        watch = Watch(
            config, servers.records, generator, tell, server_watch, self._surroundings, at_ns
        )
        try:
            self._await(at_ns)
            self._observe(Started(self.server))
            generator.start(0 if self._interrupted else at_ns)
            interrupted = watch.until_the_end() or self._interrupted
        except BaseException:  # the observer's: it ends the run
            generator.close()
            servers.leave(HURRY_S)
            server_watch.finish(HURRY_S)
            raise
        at_end = Taken.now(generator)
        try:
            server_stats = self._left(HURRY_S if interrupted else REPLY_TIMEOUT_S)
        except KeyboardInterrupt:  # a server that does not answer is not waited for any longer
            interrupted = True
            server_stats = self._left(HURRY_S)
        end = End.INTERRUPTED if interrupted else End.REACHED
        return result_of(background, generator, watch, at_end, server_stats, end)

    def _left(self, patience_s: float) -> ServerStatistics:
        """Leave the servers, and return what they counted, as far as they answer in time."""
        until_s = time.monotonic() + patience_s
        self._servers.leave(patience_s)
        # The last reading was under way meanwhile; a stuck server is not waited for twice.
        return self._server_watch.finish(max(0.0, until_s - time.monotonic()))

    def _await(self, at_ns: int) -> None:
        """Wait for most of the time until then; the native threads wait for the rest."""
        while not self._interrupted:
            left_s = (at_ns - time.monotonic_ns()) / NS_PER_S - NATIVE_WAIT_S
            if left_s <= 0:
                return
            time.sleep(min(left_s, NATIVE_WAIT_S))


def _server_watch(
    config: RunConfig, servers: Servers, addresses: Sequence[ServerAddress | HttpAddress]
) -> StatisticsWatch:
    """What reads the servers' statistics, which one client does for all."""
    if not config.is_first_client:
        return NoStatistics()
    return servers.watch(lambda n: _more_readers(config, addresses[n], servers.records[n]))


def _surroundings(config: RunConfig, servers: Servers) -> Surroundings:
    found = find_servers(servers.endpoints, servers.records, config.server_pid)
    return Surroundings(found, is_only_client=config.share is None)


def _addresses(
    config: RunConfig, cluster: RedisCluster | None
) -> Sequence[ServerAddress] | Sequence[HttpAddress]:
    if cluster is not None:
        return [shard.primary for shard in cluster.shards]
    return config.http_addresses or config.addresses


def _visit(
    config: RunConfig,
    addresses: Sequence[ServerAddress | HttpAddress],
    sources: Sequence[Source],
    cluster: RedisCluster | None,
) -> Servers:
    """Sessions with all servers; what a failed visit leaves the ones before with is taken away."""
    kinds = [source.asked() for source in sources]
    sessions: list[Session] = []
    try:
        for number, address in enumerate(addresses):
            workers = range(number, config.workers, len(addresses))
            if isinstance(address, HttpAddress):
                sessions.append(_over_http(config, address, kinds, sessions))
            else:
                asking = _asking(config, config.max_requests(len(sources[0].inputs[0])))
                all_workers = _workers_of_all_clients(config, number, len(addresses))
                sessions.append(
                    RedisAiSession(address, asking, kinds, workers, all_workers, cluster)
                )
        return Servers(sessions)
    except BaseException:
        for session in sessions:
            session.leave(HURRY_S)
        raise


def _over_http(
    config: RunConfig,
    address: HttpAddress,
    kinds: Sequence[AskedKind],
    before: Sequence[Session],
) -> "OpenInferenceSession":
    """Tensors are sent to all servers as the first one takes them."""
    # Only here: a run over RedisAI's commands should not pay for HTTP in memory.
    from aibench_fast.protocols.openinference.session import AskingHttp, OpenInferenceSession

    settled = [one.encoding for one in before if isinstance(one, OpenInferenceSession)]
    asking = AskingHttp(
        model_version=config.model_version,
        outputs=config.outputs,
        encoding=settled[0] if settled else config.encoding,
        patience_s=config.patience_s,
        as_trial=config.reference_file is not None,
    )
    return OpenInferenceSession(address, asking, kinds)


def _workers_of_all_clients(config: RunConfig, number: int, servers: int) -> int:
    """How many workers a server has, of all clients."""
    share = config.share
    counts = (
        [config.workers]
        if share is None
        else [len(range(n, share.all_workers, share.clients)) for n in range(share.clients)]
    )
    return sum(len(range(number, max(count, servers), servers)) for count in counts)


def _asking(config: RunConfig, most_requests: int) -> Asking:
    return Asking(
        dialect=config.dialect,
        use_dag=config.use_dag,
        persist=config.persist_results,
        timeout_ms=config.timeout_ms,
        outputs=config.outputs,
        most_requests=most_requests,
        reset_stats=config.reset_stats and config.is_first_client,
        patience_s=config.patience_s,
    )


def _more_readers(
    config: RunConfig, address: ServerAddress | HttpAddress, record: ServerRecord
) -> list[Reader]:
    """What tells of the server beside its protocol; ServerError where --metrics-url does not."""
    if config.server_pid is not None:
        return [ProcessReader(config.server_pid)]
    if not isinstance(address, HttpAddress):
        return []
    from aibench_fast.protocols.openinference.metrics import found_reader, given_reader

    of = config.models, config.model_version
    if config.metrics_address is not None:
        return [given_reader(config.metrics_address, *of)]
    found = found_reader(address, record.server.kind, *of)
    return [] if found is None else [found]


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
    inputs = {"Inputs": config.kinds[0].tensors} if config.inputs else {}
    if config.url is None:
        return {"Hiredis": _core.HIREDIS_VERSION, **inputs}
    return {"Llhttp": _core.LLHTTP_VERSION, **inputs}


def _load_generator(
    config: RunConfig,
    servers: Servers,
    sources: Sequence[Source],
    sent: Sequence[Sent],
    cluster: RedisCluster | None,
) -> _core.LoadGenerator:
    """`sent` are the sources' tensors as they are sent."""
    _allow_connections(config.workers)
    due = arrivals(config)
    tensor_count = sources[0].tensor_count
    kinds = [
        coretypes.Kind(
            inputs=one.inputs,
            requests=[
                servers.texts(place, worker, one.request_bytes) for worker in range(config.workers)
            ],
            plan=servers.plan(place),
            batch=one.kind.batch_size,
            first_tensor=one.first,
            references=read_references(config, output, tensor_count, one),
            tolerance=config.tolerance,
            weight=one.kind.weight,
        )
        for place, (one, output) in enumerate(zip(sent, servers.first.record.outputs, strict=True))
    ]
    return _core.LoadGenerator(
        kinds=kinds,
        mix_seed=config.seed,
        endpoints=servers.endpoints,
        cluster=cluster and _native_cluster(config, servers, kinds, cluster),
        threads=config.io_threads,
        pipeline=config.pipeline,
        schedule=due.schedule,
        burn_in_requests=due.burn_in_requests,
        burn_in_ns=due.burn_in_ns,
        measured_after_ns=due.measured_after_ns,
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


def _native_cluster(
    config: RunConfig, servers: Servers, kinds: Sequence[coretypes.Kind], cluster: RedisCluster
) -> coretypes.ClusterNodes:
    """What workers need to follow their slots."""
    sessions = [one for one in servers.sessions if isinstance(one, RedisAiSession)]
    owners = [sessions[worker % len(sessions)] for worker in range(config.workers)]
    return coretypes.ClusterNodes(
        nodes=[(name, endpoint_of(node)) for name, node in cluster.named_nodes],
        asking_kinds=[
            kind._replace(
                requests=[owner.asking_texts(place, n) for n, owner in enumerate(owners)],
                plan=sessions[0].asking_plan(place),
            )
            for place, kind in enumerate(kinds)
        ],
        asking_greetings=[one.greeting(asking=True) for one in sessions],
    )


def _allow_connections(workers: int) -> None:
    """Let the process open a file for every worker; ConfigError where the system never will."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = workers + OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard <= workers:
        raise ConfigError(
            f"--workers {workers}: each has a connection, and this process may have {hard} files "
            "open; ask for fewer, or raise the hard limit (ulimit -Hn)"
        )
    if soft < wanted:
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
