"""The servers of a run over RedisAI: those that are named, or the primaries of a cluster."""

import socket
from collections.abc import Sequence

from aibench_fast.coretypes import ClusterNodes, Endpoint, Kind
from aibench_fast.protocols.address import ServerAddress, all_addresses
from aibench_fast.protocols.protocol import KindSpec
from aibench_fast.protocols.redisai.cluster import read_cluster
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.protocols.redisai.leastbatch import most_waiting
from aibench_fast.protocols.redisai.redirects import SlotQuestions
from aibench_fast.protocols.redisai.session import RedisAiSession
from aibench_fast.protocols.redisai.settings import RedisAiSettings, addresses
from aibench_fast.protocols.redisai.visit import read_model
from aibench_fast.protocols.servers import FoundServers
from aibench_fast.protocols.session import Workload, native_tls

LISTENS_TIMEOUT_S = 1.0


class RedisAiServers(FoundServers):
    """The servers that are named, or the primaries of a cluster."""

    def __init__(self, settings: RedisAiSettings) -> None:
        """Ask for the primaries of a cluster; ServerError as `read_cluster`."""
        self._settings = settings
        self._addresses = addresses(settings)
        self._cluster = read_cluster(self._addresses) if settings.cluster_mode else None
        if self._cluster:
            self._addresses = [shard.primary for shard in self._cluster.shards]
        self._sessions: list[RedisAiSession] = []
        self.count = len(self._addresses)

    def visit(self, number: int, workload: Workload) -> RedisAiSession:
        """Make a session with one; ServerError and ConfigError as `RedisAiSession`."""
        address = self._addresses[number]
        session = RedisAiSession(address, self._settings, workload, self._cluster)
        self._sessions.append(session)
        return session

    def cluster_nodes(self, kinds: Sequence[Kind], workers: int) -> ClusterNodes | None:
        """Return the nodes and the requests by which workers follow their slots."""
        if self._cluster is None:
            return None
        sessions = self._sessions
        owners = [sessions[worker % len(sessions)] for worker in range(workers)]
        return ClusterNodes(
            nodes=[(name, endpoint_of(node)) for name, node in self._cluster.named_nodes],
            asking_kinds=[
                kind._replace(
                    requests=[owner.asking_texts(place, n) for n, owner in enumerate(owners)],
                    plan=sessions[0].asking_plan(place),
                )
                for place, kind in enumerate(kinds)
            ],
            asking_greetings=[one.greeting(asking=True) for one in sessions],
        )


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


def least_workers(settings: RedisAiSettings, kinds: Sequence[KindSpec]) -> int:
    """Return one, or as many workers as fill the batches that models wait for.

    ServerError where a model is not there; ConfigError where no number of workers fills its batch.
    """
    servers = addresses(settings)
    cluster = read_cluster(servers) if settings.cluster_mode else None
    shards = cluster.shards if cluster else []
    address = shards[0].primary if shards else settings.address
    with (
        Connection(address, settings.patience_s) as connection,
        SlotQuestions(connection, cluster) as questions,
    ):
        models = {
            name: read_model(questions, name, shards[0].key(name) if shards else name)
            for name in {kind.model: None for kind in kinds}
        }
    waiting = most_waiting({(models[kind.model], kind.batch_size) for kind in kinds})
    return 1 if waiting == 0 else (waiting + 1) * len(shards or servers)
