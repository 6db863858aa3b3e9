"""Questions about the keys of one slot of a cluster, which may be on its way to another node."""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, NamedTuple

from aibench_fast.errors import ServerError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.cluster import RedisCluster
from aibench_fast.protocols.redisai.commands import Command
from aibench_fast.protocols.redisai.connection import REPLY_TIMEOUT_S, Connection
from aibench_fast.protocols.redisai.replies import Refusal

MAX_REDIRECTS = 16
TRY_AGAIN_FOR_S = 5.0
"""While a slot's keys are on two nodes, a command that needs several may have to wait."""
TRY_AGAIN_EVERY_S = 0.1
_REDIRECT = re.compile(r"(MOVED|ASK) \d+ (.*):(\d+)")


class Place(NamedTuple):
    """Where a question is asked."""

    connection: Connection
    asking: bool = False
    """Whether ASKING has to come before it."""

    def commands(self, command: Sequence[Any]) -> list[Command]:
        """Return the command as it is sent there."""
        return [["ASKING"], [*command]] if self.asking else [[*command]]


class SlotQuestions(AbstractContextManager["SlotQuestions"]):
    """Asks for keys of one slot, and follows MOVED and ASK as a run's workers do.

    Without a cluster there is but the one server. The connections to other nodes are closed at the
    end of a `with` block.
    """

    def __init__(
        self,
        home: Connection,
        cluster: RedisCluster | None,
        patience_s: float = REPLY_TIMEOUT_S,
        try_again_for_s: float = TRY_AGAIN_FOR_S,
    ) -> None:
        """Ask first on `home`, which is the caller's to close."""
        self.place = Place(home)
        """Where the last question was answered."""
        self.is_moving = False
        """Whether an ASK was followed: the slot is on its way."""
        self.cluster = cluster
        self._home = home
        self._patience_s = patience_s
        self._try_again_for_s = try_again_for_s
        self._others: dict[ServerAddress, Connection] = {}
        self._stack = ExitStack()

    def __exit__(self, *_: object) -> None:
        """Close the connections to other nodes."""
        self._stack.close()

    def be_patient(self, patience_s: float) -> None:
        """Wait for replies no longer than that from now on."""
        self._patience_s = patience_s
        for connection in (self._home, *self._others.values()):
            connection.be_patient(patience_s)

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
                f"{self.place.connection.address}: {refusal}; do they agree on who has the slot?"
            )
        return self.place.connection.refused(command, refusal)

    def ask(self, command: Sequence[Any], *, skim: bool = False) -> Any:
        """Ask one question; an error reply that cannot be followed is returned as a Refusal."""
        until_s = time.monotonic() + self._try_again_for_s
        place, redirects = Place(self._home), 0
        while True:
            self.place = place
            *_, reply = place.connection.exchange(place.commands(command), skim=skim)
            if self.cluster is None or not isinstance(reply, Refusal):
                return reply
            if str(reply).startswith("TRYAGAIN") and time.monotonic() < until_s:
                time.sleep(TRY_AGAIN_EVERY_S)
                place, redirects = Place(self._home), 0
                continue
            named = _REDIRECT.match(str(reply))
            if named is None or redirects == MAX_REDIRECTS:
                return reply
            place = self._elsewhere(self.cluster, *named.groups())
            redirects += 1

    def _elsewhere(self, cluster: RedisCluster, word: str, host: str, port: str) -> Place:
        sender = self.place.connection.address
        node = cluster.node(host, int(port), sender)
        if node not in self._others:
            self._others[node] = self._stack.enter_context(Connection(node, self._patience_s))
        if word == "ASK":
            self.is_moving = True
        else:
            self._home = self._others[node]
        return Place(self._others[node], asking=word == "ASK")

    def stream(self, command: Command, take: Callable[[bytes], None]) -> int | None:
        """`Connection.stream`, where the last question was answered."""
        if self.place.asking:
            self.place.connection.call("ASKING")
        return self.place.connection.stream(command, take)
