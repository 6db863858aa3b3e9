"""Commands of each server dialect, as lists of arguments, and as bytes; nothing here does I/O.

Where a tensor's bytes belong, a list holds TENSOR_BLOB, so that a client can format the rest once
and send the bytes from where they lie.
"""

from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import Literal

from aibench_fast.errors import InternalError


class TensorBlob(Enum):
    """The type of TENSOR_BLOB, the mark for a tensor's bytes in a command."""

    TENSOR_BLOB = "<tensor>"


TENSOR_BLOB: Literal[TensorBlob.TENSOR_BLOB] = TensorBlob.TENSOR_BLOB

Argument = str | bytes | int | Literal[TensorBlob.TENSOR_BLOB]
Command = list[Argument]


class Dialect(StrEnum):
    """A family of commands, by the name of the one that runs a model.

    RedisAI knows MODELRUN in every version, and MODELEXECUTE beside it from 1.2.3.
    """

    MODELRUN = "modelrun"
    MODELEXECUTE = "modelexecute"

    @property
    def model_set_command(self) -> str:
        """Return the command that stores a model."""
        return "AI.MODELSET" if self is Dialect.MODELRUN else "AI.MODELSTORE"

    @property
    def model_run_command(self) -> str:
        """Return the command that runs a model."""
        return "AI.MODELRUN" if self is Dialect.MODELRUN else "AI.MODELEXECUTE"

    @property
    def dag_command(self) -> str:
        """Return the command that runs several commands as one."""
        return "AI.DAGRUN" if self is Dialect.MODELRUN else "AI.DAGEXECUTE"


def named(dialect: Dialect, keyword: str, names: Sequence[str]) -> Command:
    """Return INPUTS or OUTPUTS with its names, which the newer dialect counts."""
    if dialect is Dialect.MODELRUN:
        return [keyword, *names]
    return [keyword, len(names), *names]


def encode(arguments: Command, *blobs_bytes: int | None) -> list[bytes]:
    """Return a command as RESP: the texts before, between and after its tensors.

    `blobs_bytes` are the sizes of what each TENSOR_BLOB stands for, None of one that is sent by
    `bulk_length` and its bytes; InternalError where there are not as many.
    """
    parts = [bytearray(b"*%d\r\n" % len(arguments))]
    sizes = iter(blobs_bytes)
    for argument in arguments:
        part = parts[-1]
        if argument is TENSOR_BLOB:
            size = next(sizes, 0)
            part += b"" if size is None else bulk_length(size)
            parts.append(bytearray(b"\r\n"))
            continue
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        part += bulk_length(len(data)) + data + b"\r\n"
    if len(parts) != len(blobs_bytes) + 1:
        raise InternalError(
            f"a command with {len(parts) - 1} tensors, sizes of {len(blobs_bytes)} were given"
        )
    return [bytes(part) for part in parts]


def bulk_length(size_bytes: int) -> bytes:
    """Return the length that RESP has before an argument."""
    return b"$%d\r\n" % size_bytes
