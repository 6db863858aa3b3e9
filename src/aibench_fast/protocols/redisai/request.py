"""A request as bytes: what a worker sends around the tensor, and what is to come back."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from aibench_fast.protocols.redisai import commands
from aibench_fast.protocols.redisai.commands import Dialect


@dataclass(frozen=True, kw_only=True)
class Request:
    """The inference request of every worker: three pipelined commands, or one DAG.

    Every worker has keys of its own, which its next request overwrites, so that a run's memory on
    the server does not grow with its length. No two runs share a key.
    """

    dialect: Dialect
    model: str
    dtype: str
    shape: Sequence[int]
    use_dag: bool = False
    persist: bool = False
    """Whether a DAG stores its output in the server."""
    timeout_ms: int | None = None
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

    def keys(self, worker: int) -> tuple[str, str]:
        """The keys of a worker's input and output, in one slot of a cluster."""
        tag = f"{{{self.run_id}-w{worker}}}"
        return f"imageTensor:{tag}", f"classificationTensor:{tag}"

    def setup(self, worker: int) -> list[commands.Command]:
        """What is sent once before a worker's first request."""
        if not self.use_dag:
            return []
        return commands.dag_setup(self.dialect, self.keys(worker)[1], persist=self.persist)

    def commands(self, worker: int) -> list[commands.Command]:
        """The commands of one request of a worker; TENSOR_BLOB stands for the tensor's bytes."""
        source, target = self.keys(worker)
        if self.use_dag:
            return [
                commands.dag_run(
                    self.dialect,
                    self.model,
                    source,
                    target,
                    self.dtype,
                    self.shape,
                    persist=self.persist,
                    timeout_ms=self.timeout_ms,
                )
            ]
        return [
            commands.tensor_set(source, self.dtype, self.shape),
            commands.model_run(self.dialect, self.model, [source], [target], self.timeout_ms),
            commands.tensor_get(target),
        ]

    def text(self, worker: int, tensor_bytes: int) -> tuple[bytes, bytes]:
        """The bytes before and after the tensor of a worker's request, by RESP."""
        before, after = b"", b""
        for command in self.commands(worker):
            head, tail = commands.encode(command, tensor_bytes)
            if commands.TENSOR_BLOB in command:
                before, after = before + head, after + tail
            else:
                after += head + tail
        return before, after

    def expected_replies(self, output_bytes: int) -> list[int | None]:
        """The size in bytes of each reply that is a bulk; None for one that is OK.

        Those of a DAG are the elements of one array.
        """
        return [None, None, output_bytes]
