"""The model that a sweep runs, stored again when a cell needs another batch size on the server."""

import dataclasses
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.load.config import RunConfig
from aibench_fast.protocols.redisai.cluster import read_cluster
from aibench_fast.protocols.redisai.connection import REPLY_TIMEOUT_S, Connection
from aibench_fast.protocols.redisai.model import StoredModel, check_workers
from aibench_fast.studies.events import Note, StudyObserver
from aibench_fast.studies.grid import Cell

# Models need NumPy, which a command that only prints its help should not wait for.
if TYPE_CHECKING:
    from aibench_fast.models.load import ModelSpec

HURRY_S = 1.0
"""Timeout of the restore after an interrupt."""


class SweptModel(AbstractContextManager["SweptModel"]):
    """A model of RedisAI, which is stored again when a cell needs another batch size.

    In a cluster each shard has a copy, all equal to the first one. At the end of a `with` block the
    model has its own batch size again.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        has_to_batch: bool,
        allow_flush: bool,
        observe: StudyObserver,
    ) -> None:
        """Read the model from its server; ConfigError if it has to batch and cannot."""
        from aibench_fast.models.load import stored_model

        self._flush = allow_flush
        self._observe = observe
        self._copies = [(config.address, config.model)]
        if config.cluster_mode:
            shards = read_cluster([config.address]).shards
            self._copies = [(shard.primary, shard.key(config.model)) for shard in shards]
        first, key = self._copies[0]
        with Connection(first) as connection:
            spec = stored_model(connection, key, in_cluster=config.cluster_mode)
        self._spec = dataclasses.replace(spec, name=config.model)
        self.batch_size = spec.batch_size
        """The batch size that the model was found with."""
        self._stored = self._spec
        if has_to_batch and not _batched(self._spec, 1).batches:
            raise ConfigError(
                f"`autobatching`: the model {config.model} runs on {self._spec.backend}, which "
                "does not batch requests; leave it out"
            )

    def check(self, cell: Cell, most_requests: int) -> None:
        """ConfigError if the requests of a cell would wait for a batch that never fills."""
        servers = len(self._copies)
        if cell.workers < servers:
            raise ConfigError(
                f"`workers` {cell.workers} in a cluster of {servers} primaries: each needs at "
                "least one; use more"
            )
        spec = _batched(self._spec, cell.autobatching)
        model = StoredModel(
            spec.name,
            batch_size=spec.batch_size,
            min_batch_size=spec.min_batch_size,
            min_batch_timeout_ms=spec.min_batch_timeout_ms,
        )
        check_workers([(model, cell.batch_size)], cell.workers // servers, most_requests)

    def prepare(self, batch_size: int) -> None:
        """Store the model with this batch size, in an emptied server if that is allowed."""
        self._store(_batched(self._spec, batch_size))

    def _store(self, wanted: "ModelSpec", patience_s: float = REPLY_TIMEOUT_S) -> None:
        if wanted == self._stored and not self._flush:
            return
        from aibench_fast.models.load import load_model

        # A cell may take hours, and a connection that is idle so long may be cut.
        for address, key in self._copies:
            with Connection(address, patience_s) as connection:
                if self._flush:
                    connection.call("FLUSHALL")
                load_model(connection, dataclasses.replace(wanted, name=key))
        self._stored = wanted

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Restore the model, if the server answers."""
        self._flush = False
        is_ended = kind is not None and issubclass(kind, KeyboardInterrupt)
        try:
            self._store(self._spec, HURRY_S if is_ended else REPLY_TIMEOUT_S)
        except ServerError as error:
            self._observe(Note(f"the model keeps its last batch size: {error}"))


def _batched(spec: "ModelSpec", batch_size: int) -> "ModelSpec":
    """Return the model with another batch size, and a least batch that is no larger."""
    least = min(spec.min_batch_size, batch_size)
    return dataclasses.replace(
        spec,
        batch_size=batch_size,
        min_batch_size=least,
        min_batch_timeout_ms=spec.min_batch_timeout_ms if least else 0,
    )
