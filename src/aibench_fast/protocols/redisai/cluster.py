"""A Redis Cluster: which primary has which slots, and a hash tag for the keys of each.

A slot's keys are together on one primary, its shard's. What a run needs there, the model and its
workers' tensors, has the shard's hash tag in its keys: the same one whenever it is asked for, as
long as the shard keeps that slot.
"""

import dataclasses
import socket
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.connection import CONNECT_TIMEOUT_S, Connection, info

# A run without a cluster does without the memory of the cluster client.
if TYPE_CHECKING:
    from redis.cluster import RedisCluster

SLOTS = 16384
LOCALHOST = "localhost"
NO_HOST = "?"
"""The host of a node that is to be told by a name, and has none."""


class Shard(NamedTuple):
    """A primary with slots of its own."""

    primary: ServerAddress
    tag: str
    """What stands in braces in its keys."""

    def key(self, name: str) -> str:
        """The key of something that each shard has."""
        return f"{name}{{{self.tag}}}"


class Cluster(NamedTuple):
    """What a cluster tells of itself."""

    shards: Sequence[Shard]
    """In the order of their first slots."""
    nodes: Sequence[ServerAddress]
    """All of them, primaries and replicas."""

    owners: Sequence[ServerAddress]
    """The primary that has each slot."""

    def named_nodes(self) -> list[tuple[str, ServerAddress]]:
        """All nodes by the hosts that MOVED and ASK may name them by.

        Of one that calls itself localhost redis-py tells the address.
        """
        here = socket.gethostbyname(LOCALHOST)
        named = [(node.host, node) for node in self.nodes]
        return named + [(LOCALHOST, node) for node in self.nodes if node.host == here]

    def owner(self, tag: str) -> ServerAddress:
        """The primary that has the slot of a tag."""
        return self.owners[_slot(tag)]


def check_name(model: str) -> None:
    """Raise ConfigError where a model's name says its own slot."""
    if "{" in model or "}" in model:
        raise ConfigError(
            f"--model {model} with --cluster-mode: each shard's copy gets a hash tag of its own; "
            "name it without braces"
        )


def read_cluster(addresses: Sequence[ServerAddress]) -> Cluster:
    """Ask the first node that answers for the slots of its cluster.

    ServerError where none answers, where it is no cluster, and where slots are nobody's.
    """
    address = _answering(addresses)
    client = _client(address)
    try:
        owners = client.nodes_manager.slots_cache
        names = {node.name: node for nodes in owners.values() for node in nodes}
        missing = [slot for slot in range(SLOTS) if not owners.get(slot)]
    finally:
        client.close()
    if missing:
        raise ServerError(
            f"the cluster at {address} has {len(missing)} slots that no node serves, the first is "
            f"{missing[0]}: assign them (CLUSTER ADDSLOTSRANGE), or bring their primary back"
        )
    hidden = [slot for slot in range(SLOTS) if owners[slot][0].host == NO_HOST]
    if hidden:
        raise ServerError(
            f"the cluster at {address} does not tell the host of the primary with slot "
            f"{hidden[0]}: set its cluster-announce-hostname, or have it prefer its address"
        )
    told = {name: node for name, node in names.items() if node.host != NO_HOST}
    nodes = {name: _of_node(address, node) for name, node in told.items()}
    by_slot = [nodes[owners[slot][0].name] for slot in range(SLOTS)]
    primaries = list(dict.fromkeys(by_slot))
    return Cluster(
        shards=[Shard(primary, _tag(by_slot, primary)) for primary in primaries],
        nodes=list(nodes.values()),
        owners=by_slot,
    )


def _answering(addresses: Sequence[ServerAddress]) -> ServerAddress:
    """The first that answers, which has to be a node of a cluster."""
    address, *others = addresses
    try:
        with Connection(address) as connection:
            told = info(connection.optional("CLUSTER", "INFO"))
    except ServerError:
        if others:
            return _answering(others)
        raise
    if "cluster_state" not in told:
        raise ServerError(
            f"the server at {address} is no node of a cluster: leave out --cluster-mode, or name "
            "one that is"
        )
    return address


def _client(address: ServerAddress) -> "RedisCluster":
    from redis.backoff import NoBackoff
    from redis.cluster import RedisCluster
    from redis.exceptions import RedisClusterException, RedisError
    from redis.retry import Retry

    tls: dict[str, Any] = {}
    if settings := address.tls:
        # `Connection` has held this node's certificate against another name, where one was given.
        tls = {
            "ssl": True,
            "ssl_cert_reqs": "none" if settings.insecure else "required",
            "ssl_ca_certs": settings.ca_file and str(settings.ca_file),
            "ssl_certfile": settings.certificate and str(settings.certificate),
            "ssl_keyfile": settings.key and str(settings.key),
            "ssl_check_hostname": not (settings.insecure or settings.server_name),
        }
    try:
        return RedisCluster(
            host=address.host,
            port=address.port,
            username=address.user,
            password=address.password,
            protocol=2,
            socket_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            require_full_coverage=False,
            **tls,
        )
    except (RedisClusterException, RedisError) as error:
        words = " ".join(str(error).split())
        raise ServerError(f"the cluster at {address} does not tell its slots: {words}") from error


def _of_node(address: ServerAddress, node: Any) -> ServerAddress:
    """A node's address, which is spoken to as the first one is."""
    return dataclasses.replace(address, host=str(node.host), port=int(node.port), socket=None)


def _tag(owners: Sequence[ServerAddress], primary: ServerAddress) -> str:
    """The smallest number whose slot is the primary's."""
    return next(str(n) for n in count() if owners[_slot(str(n))] == primary)


def _slot(tag: str) -> int:
    from redis.crc import key_slot

    return int(key_slot(tag.encode()))
