"""Models that a server stores: their outputs, and which requests it runs together.

RedisAI runs a model with a least batch once MINBATCHSIZE rows are there that fit together; without
a time limit it waits for them for ever. Each connection has one request at a time in the server's
queue, whatever is pipelined on it.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.commands import Command, Refusal
from aibench_fast.protocols.redisai.connection import (
    NODE_OF_CLUSTER,
    Connection,
    fields,
    info,
    known_advice,
    text,
)

MAX_FETCHED = 16
"""Outputs of a request; see native/kind.h."""
AGAIN_S = 0.5
"""Requests of others may have been in the batch that was full: a request is sent again then."""
LAST_REPLIES_S = 0.2


@dataclass(frozen=True)
class StoredModel:
    """The metadata of a model; what the server leaves out is None, empty or 0."""

    name: str
    """Without the hash tag of a cluster's shard."""
    outputs: tuple[str, ...] = ()
    """Their names, which not every backend knows in every version."""
    batch_size: int | None = None
    """The server runs up to so many rows of waiting requests as one; 0: one request at a time."""
    min_batch_size: int = 0
    """It waits until there are so many rows."""
    min_batch_timeout_ms: int = 0
    """It waits no longer than this; 0: for ever."""

    @classmethod
    def of(cls, name: str, reply: Any) -> "StoredModel":
        """Read the reply to AI.MODELGET META."""
        found = fields(reply)
        names = found.get("outputs")
        counts = {field: value for field, value in found.items() if isinstance(value, int)}
        return cls(
            name,
            outputs=tuple(map(text, names)) if isinstance(names, list) else (),
            batch_size=counts.get("batchsize"),
            min_batch_size=counts.get("minbatchsize", 0),
            min_batch_timeout_ms=counts.get("minbatchtimeout", 0),
        )

    def places(self, wanted: Sequence[str], count: int) -> list[int]:
        """Return the places of outputs, given by name or number from 1; none: all. ConfigError."""
        places = [self._place(word, count) for word in wanted] or [*range(count)]
        if len(places) > MAX_FETCHED:
            raise ConfigError(
                f"{len(places)} outputs of the model {self.name}: at most {MAX_FETCHED} are "
                "fetched; choose by `outputs`"
            )
        return places

    def _place(self, word: str, count: int) -> int:
        if word in self.outputs:
            return self.outputs.index(word)
        if word.isdecimal() and 1 <= int(word) <= count:
            return int(word) - 1
        known = (
            f"has the outputs {', '.join(self.outputs)}"
            if self.outputs
            else f"has {count} outputs, whose names the server does not know: give numbers from 1"
        )
        raise ConfigError(f"`outputs` {word}: the model {self.name} {known}")


def model_refused(
    connection: Connection, key: str, refusal: Refusal, *, in_cluster: bool = False
) -> ServerError:
    """Return the error that the refusal of AI.MODELGET is, with what to do about it."""
    error = connection.refused(["AI.MODELGET"], refusal)
    if known_advice(refusal):
        return error
    found = {} if in_cluster else info(connection.optional("INFO", "server"))
    if "cluster" in (found.get("redis_mode"), found.get("server_mode")):
        return ServerError(f"{error} (model {key}); {NODE_OF_CLUSTER}")
    how = " --cluster-mode" if in_cluster else ""
    return ServerError(f"{error} (model {key}); load it with `aibench-fast model load{how}`")


def requests_in_batch(model: StoredModel, rows: int) -> int:
    """Return how many requests of so many rows make a batch that runs; ConfigError if none do."""
    least = model.min_batch_size
    if not model.batch_size or model.min_batch_timeout_ms or rows >= least:
        return 1
    fit = model.batch_size // rows * rows
    if fit < least:
        raise ConfigError(
            f"the model {model.name} waits for {least} rows (MINBATCHSIZE), without a time limit, "
            f"and no more than {fit} fit in its BATCHSIZE {model.batch_size} by `batch_size` "
            f"{rows}: choose another `batch_size`, or load it with `min_batch_timeout_ms`"
        )
    return -(-least // rows)


def most_waiting(asked: Collection[tuple[StoredModel, int]]) -> int:
    """Return how many requests of these models and rows may wait for one another for ever."""
    return sum(requests_in_batch(model, rows) - 1 for model, rows in asked)


def check_workers(
    asked: Collection[tuple[StoredModel, int]], workers: int, most_requests: int = 0
) -> None:
    """ConfigError where a server's workers, or all requests (0: no limit), fill no least batch."""
    needed = most_waiting(asked) + 1
    if workers >= needed and (needed == 1 or not most_requests or most_requests >= needed):
        return
    model, rows = max(asked, key=lambda one: requests_in_batch(*one))
    least = f"the model {model.name} waits for {model.min_batch_size} rows (MINBATCHSIZE)"
    if workers >= needed:
        raise ConfigError(
            f"{least}, without a time limit, which is {needed} requests of `batch_size` {rows}, "
            f"but {most_requests} are sent: send more, or load it with `min_batch_timeout_ms`"
        )
    mixed = " of any of the mix's kinds" if len(asked) > 1 else ""
    raise ConfigError(
        f"{least}, without a time limit: {workers} x `batch_size` {rows} is too few{mixed}; use "
        f"at least {needed} `workers` for each server, or load it with `min_batch_timeout_ms`"
    )


@contextmanager
def company(address: ServerAddress, commands: Sequence[Command], count: int) -> Iterator[None]:
    """While the block lasts, send these commands on `count` connections, so that a batch fills.

    The last of them is the one that waits. ServerError where there is no connection.
    """
    over = threading.Event()
    with ExitStack() as stack:
        connections = [stack.enter_context(Connection(address)) for _ in range(count)]
        threads = stack.enter_context(ThreadPoolExecutor(count or 1, "aibench-trial"))
        sent = [threads.submit(_accompany, one, commands, over) for one in connections]
        try:
            yield
        finally:
            over.set()
            wait(sent, LAST_REPLIES_S)
            for one in connections:
                one.cut()


def _accompany(connection: Connection, commands: Sequence[Command], over: threading.Event) -> None:
    """Send it; errors are the accompanied request's to report."""
    replies: list[Any] = []
    while not over.wait(AGAIN_S if replies else 0):
        try:
            replies = connection.exchange(commands)
        except ServerError:
            return
