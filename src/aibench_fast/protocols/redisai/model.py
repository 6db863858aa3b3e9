"""A stored model: its outputs, and which requests the server runs together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.redisai.connection import (
    NODE_OF_CLUSTER,
    Connection,
    fields,
    info,
    known_advice,
    text,
)
from aibench_fast.protocols.redisai.replies import Refusal

MAX_FETCHED = 16
"""Outputs of a request; see native/kind.h."""


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
        batch_size = found.get("batchsize")
        return cls(
            name,
            outputs=tuple(map(text, names)) if isinstance(names, list) else (),
            batch_size=batch_size if isinstance(batch_size, int) else None,
            min_batch_size=_count(found.get("minbatchsize")),
            min_batch_timeout_ms=_count(found.get("minbatchtimeout")),
        )

    def places(self, wanted: Sequence[str], count: int) -> list[int]:
        """Return which of its `count` outputs these are, by name or by number from 1; all for none.

        ConfigError where it has no such output, or where there are too many of them.
        """
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
    if not in_cluster and _is_node(connection):
        return ServerError(f"{error} (model {key}); {NODE_OF_CLUSTER}")
    how = " --cluster-mode" if in_cluster else ""
    return ServerError(f"{error} (model {key}); load it with `aibench-fast model load{how}`")


def _is_node(connection: Connection) -> bool:
    """Return whether the server is a node of a cluster."""
    found = info(connection.optional("INFO", "server"))
    return "cluster" in (found.get("redis_mode"), found.get("server_mode"))


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0
