"""A request as bytes: the texts around the tensors, and the replies that are expected."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from aibench_fast.coretypes import RespPlan, RespStrings
from aibench_fast.errors import ConfigError
from aibench_fast.protocols.redisai.cluster import Shard
from aibench_fast.protocols.redisai.commands import TENSOR_BLOB, Command, Dialect, encode, named
from aibench_fast.protocols.session import AskedInput
from aibench_fast.tensortype import STRINGS, split_strings, tensor_bytes

STRING_DTYPE = "STRING"
SHOWN_BYTES = 60
(ASKING,) = encode(["ASKING"])


def dtype_of(one: AskedInput) -> str:
    """Return RedisAI's name of the type of an input's values."""
    return STRING_DTYPE if one.dtype == STRINGS else one.dtype


def blob_of(one: AskedInput, tensor: bytes) -> bytes:
    """Return the bytes of an input's tensor; ConfigError where a string has a NUL in it."""
    if one.dtype != STRINGS:
        return tensor
    strings = split_strings(tensor)
    for string in strings:
        if b"\0" in string:
            raise ConfigError(
                f"input {one.name or ''}: {string[:SHOWN_BYTES]!r} has a NUL, which ends a string "
                "in RedisAI; leave it out"
            )
    return b"".join(string + b"\0" for string in strings)


@dataclass(frozen=True, kw_only=True)
class Request:
    """The inference request of every worker: a pipeline of commands, or one DAG.

    Every worker has keys of its own, which its next request overwrites, so that a run's memory on
    the server does not grow with its length. No two runs share a key.
    """

    dialect: Dialect
    model: str
    inputs: Sequence[AskedInput]
    """In the model's order."""
    wanted: Sequence[str] = ()
    """The outputs to fetch, by name or number; none: all."""
    output_count: int = 1
    """How many outputs the model has."""
    fetched: Sequence[int] = (0,)
    """Which of them are fetched, by their places."""
    output_bytes: Sequence[int | RespStrings] = ()
    """The size of each one that is fetched, or its strings, once the trial has shown it."""
    use_dag: bool = False
    persist: bool = False
    """Whether a DAG stores its outputs in the server."""
    timeout_ms: int | None = None
    shard: Shard | None = None
    """Of a cluster, that has a copy of the model."""
    run_id: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def label(self) -> str:
        """Names the model, without the device, and the command that runs it, as aibench does."""
        name = self.model.removesuffix("_cpu").removesuffix("_gpu")
        command = self.dialect.model_run_command
        if self.use_dag:
            persistency = "ON" if self.persist else "OFF"
            command = f"{self.dialect.dag_command} with persistency {persistency}"
        return f"RedisAI Query - {name} :{command}"

    @property
    def rows(self) -> int:
        """Return how many rows of a batch it is."""
        return self.inputs[0].shape[0]

    @property
    def model_key(self) -> str:
        """Return the model's key, in a cluster that of the shard's copy."""
        return self.shard.key(self.model) if self.shard else self.model

    @property
    def probe_key(self) -> str:
        """Return a key of the shard's slot that no request has."""
        return f"probe:{self._tag('probe')}"

    def _tag(self, owner: str) -> str:
        """Return the suffix of an owner's keys: its own hash tag, or the shard's and its name."""
        name = f"{self.run_id}-{owner}"
        return self.shard.key("") + name if self.shard else f"{{{name}}}"

    def keys(self, worker: int) -> tuple[list[str], list[str]]:
        """Return the keys of a worker's inputs and of its outputs, in one slot of a cluster."""
        tag = self._tag(f"w{worker}")
        return (
            [f"imageTensor{number}:{tag}" for number in _numbers(len(self.inputs))],
            [f"classificationTensor{number}:{tag}" for number in _numbers(self.output_count)],
        )

    def fetched_keys(self, worker: int) -> list[str]:
        """Return the keys of the outputs that are fetched."""
        _, targets = self.keys(worker)
        return [targets[place] for place in self.fetched]

    def placeholders(self, worker: int) -> list[Command]:
        """Return commands that make the outputs' keys exist before they are written to.

        While a slot is on its way, a node takes a command of several keys only if all are there.
        """
        _, targets = self.keys(worker)
        return [] if self.use_dag and not self.persist else [*map(_placeholder, targets)]

    def setup(self, worker: int) -> list[Command]:
        """Return the commands to send once before a worker's first request."""
        _, targets = self.keys(worker)
        if not self.use_dag or self.persist or self.dialect is Dialect.MODELRUN:
            return []
        return [["AI.TENSORSET", _anchor(targets), "FLOAT", 1, "VALUES", 0]]

    def run(self, worker: int) -> Command:
        """Return the command that runs the model on the tensors that were set before.

        RedisAI knows its time limit from 1.2.1; a step of a DAG has none of its own.
        """
        sources, targets = self.keys(worker)
        keys = named(self.dialect, "INPUTS", sources) + named(self.dialect, "OUTPUTS", targets)
        limit = [] if self.use_dag else self._time_limit()
        options = limit + keys if self.dialect is Dialect.MODELRUN else keys + limit
        return [self.dialect.model_run_command, self.model_key, *options]

    def _time_limit(self) -> Command:
        return [] if self.timeout_ms is None else ["TIMEOUT", self.timeout_ms]

    def commands(self, worker: int) -> list[Command]:
        """Return the commands of a worker's request, or one that runs them as a DAG.

        TENSOR_BLOB stands for a tensor's bytes. A DAG is answered by an array of the replies; its
        tensors exist within it alone, but for the outputs where `persist` is set.
        """
        sources, targets = self.keys(worker)
        sets: list[Command] = [
            ["AI.TENSORSET", key, dtype_of(one), *one.shape, "BLOB", TENSOR_BLOB]
            for key, one in zip(sources, self.inputs, strict=True)
        ]
        gets: list[Command] = [["AI.TENSORGET", key, "BLOB"] for key in self.fetched_keys(worker)]
        steps = [*sets, self.run(worker), *gets]
        if not self.use_dag:
            return steps
        # DAGEXECUTE wants LOAD, PERSIST or ROUTING, and what ROUTING is called changed between
        # 1.2.3 and 1.2.4. Loading a stored tensor of one value works in all of them, copies
        # nothing, writes nothing, and gives a cluster the slot.
        options: Command = []
        if self.persist:
            options = ["PERSIST", len(targets), *targets]
        elif self.dialect is Dialect.MODELEXECUTE:
            options = ["LOAD", 1, _anchor(targets)]
        words = (word for step in steps for word in ("|>", *step))
        return [[self.dialect.dag_command, *options, *self._time_limit(), *words]]

    def texts(self, worker: int, *, asking: bool = False) -> list[bytes]:
        """Return the bytes around the tensors of a worker's request; strings bring their lengths.

        `asking`: with an ASKING before each command, for a slot that is on its way to a node.
        """
        varies = any(one.dtype == STRINGS for one in self.inputs)
        sizes = iter(
            [None if varies else tensor_bytes(one.shape, one.dtype) for one in self.inputs]
        )
        texts = [b""]
        for command in self.commands(worker):
            first, *more = encode(command, *islice(sizes, command.count(TENSOR_BLOB)))
            texts[-1] += ASKING * asking + first
            texts += more
        return texts

    def probe(self, *, asking: bool = False) -> list[bytes]:
        """Commands that are answered by OK, by the node alone that takes the shard's requests."""
        (text,) = encode(_placeholder(self.probe_key))
        return [ASKING, text] if asking else [text]

    def plan(self, *, asking: bool = False) -> RespPlan:
        """Return the replies to it and to each ASKING of `texts`; the trial showed the outputs."""
        replies = [*([None] * len(self.inputs)), None, *self.output_bytes]
        if self.use_dag:
            return RespPlan([None] * asking + replies, in_array=len(replies))
        return RespPlan([one for reply in replies for one in ([None] * asking + [reply])])


def _anchor(targets: Sequence[str]) -> str:
    """Return the key of the one-value tensor that a DAG loads, in the slot of its outputs."""
    return f"{targets[0]}:dag"


def _placeholder(key: str) -> Command:
    return ["AI.TENSORSET", key, "UINT8", 1, "VALUES", 0]


def _numbers(count: int) -> list[str]:
    """Return the suffixes of the keys of one request's tensors; the first has none."""
    return ["", *(f"-{number}" for number in range(2, count + 1))]
