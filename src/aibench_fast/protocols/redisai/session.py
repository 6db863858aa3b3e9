"""The servers of a run over RedisAI, and the session with each before and after a run."""

import itertools
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from aibench_fast._core import HIREDIS_VERSION
from aibench_fast.coretypes import ClusterNodes, Endpoint, Kind, RespPlan
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import ServerAddress, all_addresses
from aibench_fast.protocols.protocol import KindSpec
from aibench_fast.protocols.redisai import visit
from aibench_fast.protocols.redisai.cluster import RedisCluster, SlotQuestions, read_cluster
from aibench_fast.protocols.redisai.commands import Refusal, bulk_length, encode
from aibench_fast.protocols.redisai.connection import REPLY_TIMEOUT_S, ask_dialect, log_in_commands
from aibench_fast.protocols.redisai.model import check_workers, most_waiting
from aibench_fast.protocols.redisai.request import STRING_DTYPE, Request, blob_of
from aibench_fast.protocols.redisai.settings import RedisAiSettings
from aibench_fast.protocols.redisai.statistics import RedisAiReader
from aibench_fast.protocols.session import (
    HURRY_S,
    ServerRecord,
    Servers,
    Session,
    Workload,
    native_tls,
)
from aibench_fast.protocols.statistics import Reader, ServerWatch

LISTENS_TIMEOUT_S = 1.0
UNKNOWN_DTYPE = "invalid data type"
DELETED_AT_ONCE = 1000
"""Keys of one DEL: while a server deletes them, it answers nobody else."""


class RedisAiSession(Session):
    """The session with a server of RedisAI."""

    def __init__(
        self,
        address: ServerAddress,
        settings: RedisAiSettings,
        workload: Workload,
        cluster: RedisCluster | None = None,
    ) -> None:
        """Ask all that a run takes for granted, then send one request of each kind on trial.

        In a `cluster` the server is the primary of a shard. ServerError, with the server's words,
        where something that is needed is refused. ConfigError where there are too few workers or
        requests for a model that waits for a least batch.
        """
        self._address, self._cluster, self._settings = address, cluster, settings
        self._kinds, self._workers = workload.kinds, workload.workers
        self.facts = {"Hiredis": HIREDIS_VERSION}
        try:
            peer = self._visit(workload)
        except ServerError as error:
            if UNKNOWN_DTYPE in str(error) and any(kind.has_strings for kind in self._kinds):
                raise ServerError(
                    f"{error}; RedisAI knows {STRING_DTYPE} tensors from 1.2.5 on"
                ) from error
            raise
        self.endpoint = Endpoint(
            peer,
            address.port,
            address.socket,
            native_tls(address.tls, address.host),
            self.greeting(),
        )

    def _visit(self, workload: Workload) -> str:
        """Make the requests that workers will send; return the server's numeric address, if any.

        The trial also makes the server compile the model for this shape before anything is
        measured: it has REPLY_TIMEOUT_S where that is more than the settings' patience. Last come
        what each worker needs in the server, and its statistics set to 0 where that is asked for.
        """
        settings, patience_s = self._settings, self._settings.patience_s
        shards = self._cluster.shards if self._cluster else []
        shard = next((one for one in shards if one.primary == self._address), None)
        with SlotQuestions(self._address, self._cluster, patience_s) as questions:
            connection = questions.home
            server, modules, pid = visit.server_facts(connection)
            dialect = settings.dialect or ask_dialect(connection)
            self.requests = requests = [
                Request(
                    dialect=dialect,
                    model=kind.model,
                    inputs=kind.inputs,
                    wanted=settings.outputs,
                    use_dag=settings.use_dag,
                    persist=settings.persist_results,
                    timeout_ms=settings.timeout_ms,
                    shard=shard,
                )
                for kind in self._kinds
            ]
            visit.check_commands(connection, server, requests[0])
            if settings.timeout_ms is not None and visit.EMBEDDED_VERSION not in modules:
                visit.check_timeout(connection, settings.timeout_ms)
            names = {request.model_key: request.model for request in requests}
            models = {key: visit.read_model(questions, name, key) for key, name in names.items()}
            for place, request in enumerate(requests):
                model = models[request.model_key]
                if model.outputs:
                    requests[place] = visit.fetching(request, model, len(model.outputs))
            batched = visit.batched(models, requests)
            check_workers(batched, workload.all_workers, workload.most_requests)
            is_shared = workload.all_workers > len(self._workers)
            if workload.most_requests and is_shared and most_waiting(batched):
                raise ConfigError(
                    "a model that waits for MINBATCHSIZE rows, over several clients: the last "
                    "client to send its share may be too few; give `duration_s` and no "
                    "`max_queries`"
                )
            config = visit.server_config(connection, modules)
            # Models may be of many megabytes, and the trial may have them compiled.
            questions.be_patient(max(REPLY_TIMEOUT_S, patience_s))
            digests = [visit.model_digest(questions, key) for key in models]
            outputs, trials_s = [], []
            try:
                for place, kind in enumerate(self._kinds):
                    began_s = time.monotonic()
                    model = models[requests[place].model_key]
                    requests[place], output = visit.trial(
                        questions, requests[place], self._workers[0], kind, model
                    )
                    trials_s.append(time.monotonic() - began_s)
                    outputs.append(output)
                for worker, request in itertools.product(self._workers, requests):
                    first = request.placeholders(worker) if questions.is_moving else []
                    for command in [*first, *request.setup(worker)]:
                        questions.call(*command)
                if settings.reset_stats and workload.is_first_client:
                    connection.call("CONFIG", "RESETSTAT")
                    for key in models:
                        questions.call("AI.INFO", key, "RESETSTAT")
            except BaseException:
                self.leave(HURRY_S)
                raise
        sizes = {model.batch_size for model in models.values()}
        self.record = ServerRecord(
            server=server,
            config=config,
            model_digests=digests,
            outputs=outputs,
            autobatching=sizes.pop() if len(sizes) == 1 else None,
            most_waiting=most_waiting(batched),
            trial_s=max(trials_s),
            pid=pid,
        )
        return connection.peer

    def greeting(self, *, asking: bool = False) -> list[bytes]:
        """Return the first commands of a connection: a log-in, and in a cluster a probe."""
        login = [text for one in log_in_commands(self._address) for text in encode(one)]
        return login + (self.requests[0].probe(asking=asking) if self._cluster else [])

    def label(self, model: str) -> str:
        """Names a model and the command that runs it, as aibench does."""
        return replace(self.requests[0], model=model).label

    def texts(self, kind: int, worker: int, tensors_bytes: int) -> list[bytes]:
        """Return the commands of a worker's requests, around the tensors."""
        return self.requests[kind].texts(worker)

    def formats(self, kind: int) -> bool:
        """Return whether a kind has strings."""
        return self._kinds[kind].has_strings

    def parts(self, kind: int, number: int) -> list[bytes]:
        """Return each tensor with its length."""
        asked = self._kinds[kind]
        blobs = map(blob_of, asked.inputs, asked.request(number))
        return [bulk_length(len(blob)) + blob for blob in blobs]

    def plan(self, kind: int) -> RespPlan:
        """Return the commands' replies."""
        return self.requests[kind].plan()

    def watch(self, process: Reader | None) -> ServerWatch:
        """Return a watch of INFO, AI.INFO and the processes; ServerError if nothing answers."""
        models = list(dict.fromkeys(request.model_key for request in self.requests))
        readers: list[Reader] = [RedisAiReader(self._address, models)]
        readers += [process] if process else []
        return ServerWatch(readers, str(self._address))

    def leave(self, patience_s: float) -> None:
        """Delete what the workers stored, but for results to keep.

        In a cluster the primary may have lost the slot, which its new owner is then asked for.
        """
        requests, cluster = self.requests, self._cluster
        keys = [request.probe_key for request in requests if request.shard]
        for request, worker in itertools.product(requests, self._workers):
            sources, targets = request.keys(worker)
            keys += sources if request.persist else [*sources, *targets]
            keys += [str(command[1]) for command in request.setup(worker)]
        with suppress(ServerError):
            self._delete(self._address, keys, patience_s)
            return
        others = [node for node in cluster.nodes if node != self._address] if cluster else []
        shard = requests[0].shard
        if others and shard and patience_s > HURRY_S:
            with suppress(ServerError):
                self._delete(read_cluster(others).owner(shard.tag), keys, patience_s)

    def _delete(self, address: ServerAddress, keys: Sequence[str], patience_s: float) -> None:
        with SlotQuestions(address, self._cluster, patience_s, tries_again=False) as questions:
            for first in range(0, len(keys), DELETED_AT_ONCE):
                some = keys[first : first + DELETED_AT_ONCE]
                if isinstance(questions.ask(["DEL", *some]), Refusal):
                    for key in some:  # a slot's keys may be on two nodes
                        questions.call("DEL", key)


class RedisAiServers(Servers[RedisAiSession]):
    """The servers that are named, or the primaries of a cluster."""

    def __init__(self, addresses: Sequence[ServerAddress], settings: RedisAiSettings) -> None:
        """Ask for the primaries of a cluster; ServerError as `read_cluster`."""
        self._settings = settings
        self._cluster = read_cluster(addresses) if settings.cluster_mode else None
        shards = self._cluster.shards if self._cluster else []
        self._addresses = [shard.primary for shard in shards] or addresses
        super().__init__([partial(self._visit, one) for one in self._addresses])

    def _visit(self, address: ServerAddress, workload: Workload) -> RedisAiSession:
        return RedisAiSession(address, self._settings, workload, self._cluster)

    def cluster_nodes(self, kinds: Sequence[Kind], workers: int) -> ClusterNodes | None:
        """Return the nodes and the requests by which workers follow their slots."""
        if self._cluster is None:
            return None
        return ClusterNodes(
            nodes=[(name, endpoint_of(node)) for name, node in self._cluster.named_nodes],
            asking_kinds=[
                kind._replace(
                    requests=[
                        self.of(worker).requests[place].texts(worker, asking=True)
                        for worker in range(workers)
                    ],
                    plan=self.first.requests[place].plan(asking=True),
                )
                for place, kind in enumerate(kinds)
            ],
            asking_greetings=[one.greeting(asking=True) for one in self.sessions],
        )

    def least_workers(self, kinds: Sequence[KindSpec]) -> int:
        """Return one, or as many workers as fill the batches that models wait for."""
        key = self._cluster.shards[0].key if self._cluster else str
        patience_s = self._settings.patience_s
        with SlotQuestions(self._addresses[0], self._cluster, patience_s) as questions:
            models = {
                kind.model: visit.read_model(questions, kind.model, key(kind.model))
                for kind in kinds
            }
        waiting = most_waiting({(models[kind.model], kind.batch_size) for kind in kinds})
        return 1 if waiting == 0 else (waiting + 1) * self.count


def endpoint_of(node: ServerAddress) -> Endpoint:
    """Return the endpoint of a cluster's node, its name looked up; ServerError if it has none.

    Of several addresses it is the first where something listens: a server may not do so on all.
    """
    first, *others = all_addresses(node.host, node.port)
    found = (one for one in (first, *others) if not others or _listens(one, node.port))
    return Endpoint(next(found, first), node.port, tls=native_tls(node.tls, node.host))


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), LISTENS_TIMEOUT_S).close()
    except OSError:
        return False
    return True
