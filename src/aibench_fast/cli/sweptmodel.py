"""The model that a sweep runs: stored again where a cell wants another batch size on the server."""

import argparse
import dataclasses
import sys
from typing import Self

from aibench_fast.cli.options.servers import Where
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.load.sweep import Cell
from aibench_fast.models.load import ModelSpec, load_model, stored_model
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.cluster import check_name, read_cluster
from aibench_fast.protocols.redisai.connection import REPLY_TIMEOUT_S, Connection
from aibench_fast.protocols.redisai.leastbatch import check_workers
from aibench_fast.protocols.redisai.model import StoredModel

HURRY_S = 1.0
"""How long the server has to take its model back where someone waits for the end."""


class AnyModel:
    """A model of a server that we store nothing in."""

    batch_size = -1
    """It does not tell."""

    def check(self, cell: Cell, most_requests: int) -> None:
        """Every cell can be run, as far as is known."""

    def prepare(self, batch_size: int) -> None:
        """It stays as it is."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """It is as it was."""


class RedisAiModel:
    """The model under test, which is stored again where a cell wants another batch size.

    In a cluster each shard has a copy, all of which are as the first one is. At the end of a `with`
    block it has its own batch size again.
    """

    def __init__(self, address: ServerAddress, options: argparse.Namespace) -> None:
        """Read it from the server; ConfigError where it cannot be batched, and has to be."""
        self._flush = options.allow_flush
        self._copies = [(address, options.model)]
        self._in_cluster = options.cluster_mode
        if self._in_cluster:
            check_name(options.model)
            shards = read_cluster([address]).shards
            self._copies = [(shard.primary, shard.key(options.model)) for shard in shards]
        first, key = self._copies[0]
        with Connection(first) as connection:
            spec = stored_model(connection, key, in_cluster=self._in_cluster)
        self._spec = dataclasses.replace(spec, name=options.model)
        self._stored = self._spec
        if any(options.autobatching or ()) and not _batched(self._spec, 1).batches:
            raise ConfigError(
                f"--autobatching: the model {options.model} runs on {self._spec.backend}, which "
                "does not batch requests; leave it out"
            )

    @property
    def batch_size(self) -> int:
        """The batch size that the model was found with."""
        return self._spec.batch_size

    def check(self, cell: Cell, most_requests: int) -> None:
        """ConfigError where a cell's requests would wait for a batch that never fills."""
        servers = len(self._copies)
        if cell.workers < servers:
            raise ConfigError(
                f"--workers {cell.workers} in a cluster of {servers} primaries: each has one at "
                "least; ask for more"
            )
        spec = self._at(cell.autobatching)
        model = StoredModel(
            spec.name,
            batch_size=spec.batch_size,
            min_batch_size=spec.min_batch_size,
            min_batch_timeout_ms=spec.min_batch_timeout_ms,
        )
        check_workers([(model, cell.batch_size)], cell.workers // servers, most_requests)

    def prepare(self, batch_size: int) -> None:
        """Have the server hold the model with this batch size, and nothing else if it may."""
        self._store(self._at(batch_size))

    def _at(self, batch_size: int) -> ModelSpec:
        own = batch_size == self.batch_size
        return self._spec if own else _batched(self._spec, batch_size)

    def _store(self, wanted: ModelSpec, patience_s: float = REPLY_TIMEOUT_S) -> None:
        if wanted == self._stored and not self._flush:
            return
        # A cell may take hours, after which a connection that nothing was asked on may be cut.
        for address, key in self._copies:
            with Connection(address, patience_s) as connection:
                if self._flush:
                    connection.call("FLUSHALL")
                load_model(connection, dataclasses.replace(wanted, name=key))
        self._stored = wanted

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Have it as it was found, as far as the server answers."""
        self._flush = False
        is_ended = kind is not None and issubclass(kind, KeyboardInterrupt)
        try:
            self._store(self._spec, HURRY_S if is_ended else REPLY_TIMEOUT_S)
        except ServerError as error:
            print(f"aibench-fast: the model keeps its last batch size: {error}", file=sys.stderr)


def _batched(spec: ModelSpec, batch_size: int) -> ModelSpec:
    """The same model with another batch size, and waiting for no more than that."""
    least = min(spec.min_batch_size, batch_size)
    return dataclasses.replace(
        spec,
        batch_size=batch_size,
        min_batch_size=least,
        min_batch_timeout_ms=spec.min_batch_timeout_ms if least else 0,
    )


def swept_model(where: Where, options: argparse.Namespace) -> RedisAiModel | AnyModel:
    """The model of a server that is there; ServerError where it is not."""
    return RedisAiModel(where["address"], options) if "address" in where else AnyModel()
