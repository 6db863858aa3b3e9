"""A request as bytes: what a worker sends around the tensor, and what is to come back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aibench_fast import commands
from aibench_fast.commands import Dialect


@dataclass(frozen=True)
class Request:
    """The inference request of every worker: three pipelined commands.

    Every worker has keys of its own, which its next request overwrites, so that a run's memory on
    the server does not grow with its length.
    """

    dialect: Dialect
    model: str
    dtype: str
    shape: Sequence[int]

    @property
    def label(self) -> str:
        """Names the model, without the device, and the command that runs it, as aibench does."""
        name = self.model.removesuffix("_cpu").removesuffix("_gpu")
        return f"RedisAI Query - {name} :{self.dialect.model_run_command}"

    def commands(self, worker: int) -> list[commands.Command]:
        """The commands of one request of a worker; TENSOR_BLOB stands for the tensor's bytes."""
        source, target = self.keys(worker)
        return [
            commands.tensor_set(source, self.dtype, self.shape),
            commands.model_run(self.dialect, self.model, [source], [target]),
            commands.tensor_get(target),
        ]

    def keys(self, worker: int) -> tuple[str, str]:
        """The keys of a worker's input and output, in one slot of a cluster."""
        return f"imageTensor:{{w{worker}}}", f"classificationTensor:{{w{worker}}}"

    def text(self, worker: int, tensor_bytes: int) -> tuple[bytes, bytes]:
        """The bytes before and after the tensor of a worker's request, by RESP."""
        before, after = b"", b""
        for command in self.commands(worker):
            head, tail = commands.encode(command, tensor_bytes)
            if commands.TENSOR_BLOB in command:
                before, after = after + head, tail
            else:
                after += head + tail
        return before, after

    def expected_replies(self, output_bytes: int) -> Iterator[int | None]:
        """The size in bytes of each reply that is a bulk; None for one that is OK."""
        yield from (None, None, output_bytes)
