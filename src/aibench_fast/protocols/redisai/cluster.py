"""A Redis Cluster: which primary has which slots, a hash tag for the keys of each, and redirects.

A slot's keys are together on one primary, its shard's. What a run needs there, the model and its
workers' tensors, has the shard's hash tag in its keys: the same one whenever it is asked for, as
long as the shard keeps that slot.
"""

import binascii
import dataclasses
import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from typing import Any, NamedTuple

from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.commands import Command, Refusal
from aibench_fast.protocols.redisai.connection import (
    REPLY_TIMEOUT_S,
    Connection,
    fields,
    info,
    text,
)

SLOTS = 16384
_NO_HOSTS = (b"", b"?")
"""The host of a node without a name of the preferred kind."""
MAX_REDIRECTS = 16
TRY_AGAIN_FOR_S = 5.0
"""While a slot's keys are on two nodes, a command that needs several may have to wait."""
TRY_AGAIN_EVERY_S = 0.1
_REDIRECT = re.compile(r"(MOVED|ASK) \d+ (.*):(\d+)")


class Shard(NamedTuple):
    """A primary with slots of its own."""

    primary: ServerAddress
    tag: str
    """The hash tag of its keys, without braces."""

    def key(self, name: str) -> str:
        """Return the key of something that each shard has."""
        return f"{name}{{{self.tag}}}"


class RedisCluster(NamedTuple):
    """A cluster's slots and nodes."""

    shards: Sequence[Shard]
    """In the order of their first slots."""
    nodes: Sequence[ServerAddress]
    """All of them, primaries and replicas."""
    named_nodes: Sequence[tuple[str, ServerAddress]]
    """All of them by the hosts that MOVED and ASK may name them by."""
    owners: Sequence[ServerAddress]
    """The primary that has each slot."""

    def owner(self, tag: str) -> ServerAddress:
        """Return the primary that has the slot of a tag."""
        return self.owners[key_slot(tag)]

    def node(self, host: str, port: int, sender: ServerAddress) -> ServerAddress:
        """Return the node that MOVED or ASK names; without a host, on that of the sender."""
        known = (node for name, node in self.named_nodes if (name, node.port) == (host, port))
        return next(known, dataclasses.replace(sender, host=host or sender.host, port=port))


class _Node(NamedTuple):
    id: str
    address: ServerAddress
    names: Sequence[str]


def check_name(model: str) -> None:
    """Raise ConfigError where a model's name says its own slot."""
    if "{" in model or "}" in model:
        raise ConfigError(
            f"`model` {model} with `cluster_mode`: each shard's copy gets a hash tag of its own; "
            "name it without braces"
        )


def read_cluster(addresses: Sequence[ServerAddress]) -> RedisCluster:
    """Ask the first node that answers for the slots; ServerError if not all are served."""
    address, *others = addresses
    try:
        with Connection(address) as connection:
            state = info(connection.optional("CLUSTER", "INFO"))
            reply = connection.call("CLUSTER", "SLOTS") if "cluster_state" in state else None
    except ServerError:
        if others:
            return read_cluster(others)
        raise
    if "cluster_state" not in state:
        raise ServerError(
            f"the server at {address} is not a node of a cluster: leave out `cluster_mode`, or "
            "name one that is"
        )
    cluster = _read_slots(address, reply)
    failing = state.get("cluster_slots_fail", "0")
    if failing != "0":
        raise ServerError(
            f"the cluster at {address} has {failing} slots whose primary is down: bring it back, "
            "or have a replica take its place (CLUSTER FAILOVER)"
        )
    if state["cluster_state"] != "ok":
        raise ServerError(
            f"the cluster at {address} serves nothing now (cluster_state:{state['cluster_state']}):"
            " see CLUSTER INFO and its log, and try again"
        )
    return cluster


def _read_slots(address: ServerAddress, reply: Any) -> RedisCluster:
    owners: list[_Node | None] = [None] * SLOTS
    nodes: dict[str, _Node] = {}
    try:
        for first, last, *serving in reply:
            if not 0 <= first <= last < SLOTS:
                raise ValueError(first, last)
            found = [_node(address, *one) for one in serving]
            nodes |= {node.id: node for node in found}
            owners[first : last + 1] = [found[0]] * (last + 1 - first)
    except (TypeError, ValueError, IndexError) as error:
        raise ServerError(
            f"{address} answered CLUSTER SLOTS with {str(reply)[:60]}, which are not slots of nodes"
        ) from error
    by_slot = [node for node in owners if node is not None]
    if len(by_slot) < SLOTS:
        raise ServerError(
            f"the cluster at {address} has {SLOTS - len(by_slot)} slots that no node serves, the "
            f"first is {owners.index(None)}: assign them (CLUSTER ADDSLOTSRANGE), or bring their "
            "primary back"
        )
    at: dict[ServerAddress, str] = {}
    for node in nodes.values():
        if at.setdefault(node.address, node.id) != node.id:
            raise ServerError(
                f"the cluster at {address} announces no hosts, and two of its nodes have port "
                f"{node.address.port}: set their cluster-announce-ip or -hostname"
            )
    addresses = [node.address for node in by_slot]
    primaries = list(dict.fromkeys(addresses))
    return RedisCluster(
        shards=[Shard(primary, _tag(addresses, primary)) for primary in primaries],
        nodes=[node.address for node in nodes.values()],
        named_nodes=[(name, node.address) for node in nodes.values() for name in node.names],
        owners=addresses,
    )


def _node(asked: ServerAddress, host: Any, port: int, node_id: bytes, *more: Any) -> _Node:
    """Return a node of CLUSTER SLOTS; servers from 7.0 on add its other names after its id."""
    others = fields(more[0]) if more else {}
    ip = others.get("ip")
    names = [text(one) for one in (host, ip, others.get("hostname")) if one]
    if host in _NO_HOSTS and ip:
        host = ip
    known = asked.host if host is None or host in _NO_HOSTS else text(host)
    return _Node(
        text(node_id),
        dataclasses.replace(asked, host=known, port=int(port), socket=None),
        names,
    )


def _tag(owners: Sequence[ServerAddress], primary: ServerAddress) -> str:
    """Return the smallest number whose slot is the primary's."""
    return next(str(n) for n in count() if owners[key_slot(str(n))] == primary)


def key_slot(tag: str) -> int:
    """Return the slot of a hash tag, by Redis's CRC16: polynomial 0x1021, from 0 on."""
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


class SlotQuestions(ExitStack):
    """Asks for keys of one slot, and follows MOVED and ASK as a run's workers do.

    Without a cluster there is but the one server. A `with` block closes all connections.
    """

    def __init__(
        self,
        address: ServerAddress,
        cluster: RedisCluster | None,
        patience_s: float = REPLY_TIMEOUT_S,
        *,
        tries_again: bool = True,
    ) -> None:
        """Connect to the node that is asked first; ServerError as `Connection`."""
        super().__init__()
        self.home = self.enter_context(Connection(address, patience_s))
        """The connection to the node that is asked first."""
        self.connection = self.home
        """To the node that answered the last question."""
        self._is_asking = False
        """Whether ASKING has to come before each command there."""
        self.is_moving = False
        """Whether an ASK was followed: the slot is on its way."""
        self.cluster = cluster
        self._patience_s = patience_s
        self._tries_again = tries_again
        self._nodes = {address: self.home}

    def be_patient(self, patience_s: float) -> None:
        """Wait for replies no longer than that from now on."""
        self._patience_s = patience_s
        for connection in self._nodes.values():
            connection.patience_s = patience_s

    def call(self, *command: Any, skim: bool = False) -> Any:
        """Ask one question that has to be answered; ServerError names it where it is not."""
        reply = self.ask(command, skim=skim)
        if isinstance(reply, Refusal):
            raise self.refused(command, reply)
        return reply

    def refused(self, command: Sequence[Any], refusal: Refusal) -> ServerError:
        """Return the error that a refusal of the last question is."""
        if self.cluster and _REDIRECT.match(str(refusal)):
            return ServerError(
                f"the nodes of the cluster send {command[0]} from one to the other, at last by "
                f"{self.connection.address}: {refusal}; do they agree on who has the slot?"
            )
        return self.connection.refused(command, refusal)

    def ask(self, command: Sequence[Any], *, skim: bool = False) -> Any:
        """Ask one question; an error reply that cannot be followed is returned as a Refusal."""
        until_s = time.monotonic() + TRY_AGAIN_FOR_S * self._tries_again
        self.connection, self._is_asking, redirects = self.home, False, 0
        while True:
            *_, reply = self.connection.exchange(self.commands(command), skim=skim)
            if self.cluster is None or not isinstance(reply, Refusal):
                return reply
            if str(reply).startswith("TRYAGAIN") and time.monotonic() < until_s:
                time.sleep(TRY_AGAIN_EVERY_S)
                self.connection, self._is_asking, redirects = self.home, False, 0
                continue
            named = _REDIRECT.match(str(reply))
            if named is None or redirects == MAX_REDIRECTS:
                return reply
            self._follow(self.cluster, *named.groups())
            redirects += 1

    def commands(self, command: Sequence[Any]) -> list[Command]:
        """Return a command as it is sent where the last question was answered."""
        return [["ASKING"], [*command]] if self._is_asking else [[*command]]

    def _follow(self, cluster: RedisCluster, word: str, host: str, port: str) -> None:
        node = cluster.node(host, int(port), self.connection.address)
        if node not in self._nodes:
            self._nodes[node] = self.enter_context(Connection(node, self._patience_s))
        self.connection = self._nodes[node]
        self._is_asking = word == "ASK"
        if self._is_asking:
            self.is_moving = True
        else:
            self.home = self.connection

    def stream(self, command: Command, take: Callable[[bytes], None]) -> int | None:
        """`Connection.stream`, where the last question was answered."""
        if self._is_asking:
            self.connection.call("ASKING")
        return self.connection.stream(command, take)
