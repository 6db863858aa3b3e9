"""Models with a least batch and no time limit: requests that wait until there are enough of them.

RedisAI runs such a model once MINBATCHSIZE rows are there that fit together, and waits for them for
ever. Each connection has one request at a time in the server's queue, whatever is pipelined on it.
"""

import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.commands import Command
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.protocols.redisai.model import StoredModel

AGAIN_S = 0.5
"""Requests of others may have been in the batch that was full: a request is sent again then."""
LAST_REPLIES_S = 0.2


def requests_in_batch(model: StoredModel, rows: int) -> int:
    """Return how many requests of so many rows have to be there at a time; 1: each runs by itself.

    ConfigError where no number of them makes a batch that runs.
    """
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
    """ConfigError where so many workers of a server cannot fill the least batches.

    `most_requests` are all that will be sent, 0 being no limit.
    """
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
        threads = [
            threading.Thread(
                target=_accompany, args=(one, commands, over), name="aibench-trial", daemon=True
            )
            for one in connections
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            until_s = time.monotonic() + LAST_REPLIES_S
            for thread in threads:
                thread.join(max(0.0, until_s - time.monotonic()))
            for one in connections:
                one.cut()
            for thread in threads:
                thread.join()


def _accompany(connection: Connection, commands: Sequence[Command], over: threading.Event) -> None:
    """Send it; errors are the accompanied request's to report."""
    replies: list[Any] = []
    while not over.wait(AGAIN_S if replies else 0):
        try:
            replies = connection.exchange(commands)
        except ServerError:
            return
