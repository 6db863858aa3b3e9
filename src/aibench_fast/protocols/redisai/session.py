"""The servers of a run over RedisAI, and the session with each before and after a run."""

import socket
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from aibench_fast._core import HIREDIS_VERSION
from aibench_fast.coretypes import ClusterNodes, Endpoint, Kind, RespPlan
from aibench_fast.errors import ServerError
from aibench_fast.protocols.address import ServerAddress, all_addresses
from aibench_fast.protocols.protocol import KindSpec
from aibench_fast.protocols.redisai.cluster import RedisCluster, SlotQuestions, read_cluster
from aibench_fast.protocols.redisai.commands import bulk_length, encode
from aibench_fast.protocols.redisai.connection import log_in_commands
from aibench_fast.protocols.redisai.model import most_waiting
from aibench_fast.protocols.redisai.request import STRING_DTYPE, blob_of
from aibench_fast.protocols.redisai.settings import RedisAiSettings
from aibench_fast.protocols.redisai.statistics import RedisAiReader
from aibench_fast.protocols.redisai.visit import leave, read_model, visit
from aibench_fast.protocols.session import Servers, Session, Workload, native_tls
from aibench_fast.protocols.statistics import Reader, ServerWatch

LISTENS_TIMEOUT_S = 1.0
UNKNOWN_DTYPE = "invalid data type"


class RedisAiSession(Session):
    """The session with a server of RedisAI."""

    def __init__(
        self,
        address: ServerAddress,
        settings: RedisAiSettings,
        workload: Workload,
        cluster: RedisCluster | None,
    ) -> None:
        """Visit the server, in a `cluster` a primary; errors as of `visit`."""
        self._cluster = cluster
        self._kinds = workload.kinds
        self._address = address
        self._workers = workload.workers
        self.facts = {"Hiredis": HIREDIS_VERSION}
        try:
            self.record, self.requests, peer = visit(address, settings, workload, cluster)
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
        """Delete what the workers stored."""
        leave(self._address, self.requests, self._workers, patience_s, self._cluster)


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
                kind.model: read_model(questions, kind.model, key(kind.model)) for kind in kinds
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
