"""A Redis Cluster of embedded servers on this machine's loopback: primaries and their replicas."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Self

from aibench_fast.errors import ServerError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.connection import Connection, info
from aibench_fast.server.embedded import EmbeddedServer

SLOTS = 16384
FORMED_TIMEOUT_S = 30.0
POLL_S = 0.02


class EmbeddedCluster:
    """Nodes that form a cluster and stop together; use it as a context manager.

    Args:
        primaries: number of primaries, at least three, which share the slots evenly.
        replicas: number of replicas per primary.
        node_timeout_ms: time without an answer after which a node counts as gone, and a replica
            takes its place.
        engine_threads: threads of each node's engine; 0 for every core.

    Raises ServerError if a node does not start or the nodes do not find each other.
    """

    def __init__(
        self,
        primaries: int = 3,
        replicas: int = 0,
        node_timeout_ms: int = 1000,
        engine_threads: int = 1,
    ) -> None:
        """Set up the nodes without starting them."""
        count = primaries * (1 + replicas)
        self._nodes = [
            EmbeddedServer(
                password=None, engine_threads=engine_threads, cluster_timeout_ms=node_timeout_ms
            )
            for _ in range(count)
        ]
        self.primaries = self._nodes[:primaries]
        """The primaries at the start."""
        self.replicas = self._nodes[primaries:]
        """The replicas: number n belongs to primary n modulo the number of primaries."""
        self._stack = ExitStack()

    @property
    def address(self) -> ServerAddress:
        """Address of one node, which knows the others."""
        return self.primaries[0].address

    def __enter__(self) -> Self:
        """Start the nodes, and return when all slots are served and all replicas have copies."""
        with ExitStack() as stack:
            for node in self._nodes:
                stack.enter_context(node)
            with ExitStack() as connections:
                self._form(
                    [connections.enter_context(Connection(one.address)) for one in self._nodes]
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all nodes."""
        self._stack.close()

    def _form(self, nodes: Sequence[Connection]) -> None:
        count = len(self.primaries)
        primaries, replicas = nodes[:count], nodes[count:]
        for n, primary in enumerate(primaries):
            first, last = SLOTS * n // count, SLOTS * (n + 1) // count - 1
            primary.call("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in self._nodes[1:]:
            nodes[0].call("CLUSTER", "MEET", node.host, node.port, node.cluster_port)
        known = str(len(nodes))
        _wait(nodes, "know each other", lambda node: _state(node)["cluster_known_nodes"] == known)
        ids = [primary.call("CLUSTER", "MYID") for primary in primaries]
        for n, replica in enumerate(replicas):
            replica.call("CLUSTER", "REPLICATE", ids[n % count])
        _wait(replicas, "have copies", _has_copy)
        _wait(nodes, "serve all slots", lambda node: _state(node)["cluster_state"] == "ok")


def _wait(nodes: Sequence[Connection], what: str, is_so: Callable[[Connection], bool]) -> None:
    deadline = time.monotonic() + FORMED_TIMEOUT_S
    while not all(map(is_so, nodes)):
        if time.monotonic() > deadline:
            raise ServerError(f"the nodes do not {what} after {FORMED_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)


def _state(node: Connection) -> dict[str, str]:
    return info(node.call("CLUSTER", "INFO"))


def _has_copy(replica: Connection) -> bool:
    return info(replica.call("INFO", "replication")).get("master_link_status") == "up"
