"""The outputs of a model, as the reply to a trial request has them, and as every reply has to."""

import math
from collections.abc import Callable, Iterable, Sequence

from aibench_fast._core import ANY_LENGTH
from aibench_fast.coretypes import OipOutput
from aibench_fast.protocols.openinference.datatypes import FREE, TensorMetadata, our_dtype
from aibench_fast.tensortype import DTYPE_BYTES, OPEN_BYTES_MAX, OPEN_TIMES_MAX, STRINGS

MAX_RANK = 64
"""Axes of an output; the product of very many takes minutes."""


def output_of(
    name: str, datatype: str, shape: Iterable[int | str], strings_bytes: Callable[[], int]
) -> OipOutput:
    """Return an output of the trial's reply; `strings_bytes` is asked for its size in binary.

    ValueError where it is none, ConfigError where it is of a type that cannot be judged.
    """
    lengths = [int(length) for length in shape]
    name.encode()  # ValueError if that is not text
    if len(lengths) > MAX_RANK or any(length < 0 for length in lengths):
        raise ValueError(f"shape {lengths[:MAX_RANK]}")
    dtype = our_dtype(datatype, f"output {name}")
    size_bytes = strings_bytes() if dtype == STRINGS else math.prod(lengths) * DTYPE_BYTES[dtype]
    return OipOutput(name, datatype, dtype, lengths, size_bytes)


def opened(
    found: Sequence[OipOutput],
    metadata: Sequence[TensorMetadata] | None,
    batch_size: int,
    text_bytes: int,
) -> tuple[list[OipOutput], int]:
    """Return the outputs of the trial's reply with the axes open that may have another length.

    `metadata` is what the model's says of them: the axes that it leaves open. None: there is none,
    and every axis is open. A first axis that is as long as a batch of several is the batch, which
    stays. Also return the most bytes of outputs of any length, 0 where all lengths are fixed;
    `text_bytes` is the size of the reply beside them.
    """
    outputs = [one._replace(shape=_open_shape(one, metadata, batch_size)) for one in found]
    if not any(ANY_LENGTH in one.shape or one.dtype == STRINGS for one in outputs):
        return outputs, 0
    total = sum(one.output_bytes for one in found)
    return outputs, max(OPEN_BYTES_MAX, OPEN_TIMES_MAX * max(total, text_bytes))


def _open_shape(
    output: OipOutput, metadata: Sequence[TensorMetadata] | None, batch_size: int
) -> Sequence[int]:
    lengths = [ANY_LENGTH] * len(output.shape) if metadata is None else _described(output, metadata)
    if batch_size > 1 and output.shape[:1] == [batch_size]:
        return [batch_size, *lengths[1:]]
    return lengths


def _described(output: OipOutput, metadata: Sequence[TensorMetadata]) -> Sequence[int]:
    for one in metadata:
        pairs = list(zip(output.shape, one.shape, strict=False))
        fits = len(one.shape) == len(output.shape) and all(
            wanted in (FREE, length) for length, wanted in pairs
        )
        if one.name == output.name and fits:
            return [ANY_LENGTH if wanted == FREE else length for length, wanted in pairs]
    return output.shape
