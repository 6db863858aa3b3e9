"""Facts of a server that was visited before a run, whatever its protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aibench_fast.results.result import ServerFacts


@dataclass(frozen=True)
class Output:
    """A model's reply to the trial request."""

    dtype: str
    """Of the first one."""
    first_bytes: int
    """The first output's, of the whole batch."""
    output_bytes: int
    """The same of all outputs together."""
    any_length: bool = False
    """Whether replies may have outputs of another length."""


@dataclass(frozen=True)
class ServerRecord:
    """Facts that a server reported; None for those that it did not."""

    server: ServerFacts
    peer: str
    """The numeric address that answered, for workers to connect to; empty for a unix socket."""
    config: Mapping[str, str] | None
    """The settings that bear on speed."""
    model_digests: Sequence[str | None]
    """The SHA-256 of each model as the server gives it out; of one that was stored from a file it
    is the file's."""
    outputs: Sequence[Output]
    """The reply to the trial request of each kind."""
    autobatching: int | None = None
    """The batch size that the server has the models run with."""
    most_waiting: int = 0
    """How many requests may wait for one another without end: for a batch that is not full."""
    trial_s: float = 0.0
    """How long the slowest trial request took, in seconds."""
    pid: int | None = None
    """Of its process, on its own machine."""
