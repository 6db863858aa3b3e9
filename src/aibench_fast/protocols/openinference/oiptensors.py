"""Tensors as servers describe them, and the outputs that the reply to a trial request has."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from aibench_fast._core import ANY_LENGTH
from aibench_fast.coretypes import GrpcPlan, HttpPlan, OipOutput
from aibench_fast.errors import ConfigError, ServerError, misread
from aibench_fast.tensortype import DTYPE_BYTES, DTYPES, OPEN_BYTES_MAX, OPEN_TIMES_MAX, STRINGS

AnyPlan = TypeVar("AnyPlan", HttpPlan, GrpcPlan)
FREE = -1

THEIRS = {dtype: dtype for dtype in DTYPES} | {"FLOAT": "FP32", "DOUBLE": "FP64"}
"""The protocol's names of types, by ours."""
_OURS = {theirs: ours for ours, theirs in THEIRS.items()}
MAX_RANK = 64
"""Axes of an output; the product of very many takes minutes."""


def our_dtype(datatype: str, of: str) -> str:
    """Our name of a datatype; `of` names what has it. ConfigError where it is unknown."""
    if datatype not in _OURS:
        raise ConfigError(f"{of} is of {datatype}, which cannot be sent or judged here")
    return _OURS[datatype]


@dataclass(frozen=True)
class TensorMetadata:
    """An input or an output."""

    name: str
    datatype: str
    shape: Sequence[int]
    """FREE where any length will do."""

    def fits(self, shape: Sequence[int]) -> bool:
        """Return whether it may have this shape."""
        return len(shape) == len(self.shape) and all(
            wanted in (FREE, length) for length, wanted in zip(shape, self.shape, strict=True)
        )

    def __str__(self) -> str:
        """Return it in words."""
        lengths = " x ".join("any" if length == FREE else str(length) for length in self.shape)
        return f"{self.name} of {lengths} {self.datatype}"


def output_of(
    described: Mapping[str, Any], strings_bytes: Callable[[Mapping[str, Any]], int]
) -> OipOutput:
    """Return an output of the trial's reply; `strings_bytes` returns its size in binary.

    KeyError, TypeError or ValueError where it is none, ConfigError where it is of a type that
    cannot be judged.
    """
    name, datatype = str(described["name"]), str(described["datatype"])
    lengths = [int(length) for length in described["shape"]]
    name.encode()  # ValueError if that is not text
    if len(lengths) > MAX_RANK or any(length < 0 for length in lengths):
        raise ValueError(f"shape {lengths[:MAX_RANK]}")
    dtype = our_dtype(datatype, f"output {name}")
    if dtype == STRINGS:
        size_bytes = strings_bytes(described)
    else:
        size_bytes = math.prod(lengths) * DTYPE_BYTES[dtype]
    return OipOutput(name, datatype, dtype, lengths, size_bytes)


@contextmanager
def following_protocol(answer: str) -> Iterator[None]:
    """Raise ServerError if an answer, which messages call so, does not follow the protocol."""
    try:
        yield
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ServerError(f"{answer} does not follow the protocol: {misread(error)}") from error


def values_of(
    model: str, found: Sequence[OipOutput], reply_bytes: int, tensors_bytes: int | None
) -> int:
    """Return how many values the trial's outputs have; ServerError if so many did not come.

    `tensors_bytes` came as they are in memory; None: values are in another form.
    """
    total = sum(one.output_bytes for one in found)
    values = sum(math.prod(one.shape) for one in found)
    if not found or (values > reply_bytes if tensors_bytes is None else total != tensors_bytes):
        came = reply_bytes if tensors_bytes is None else tensors_bytes
        raise ServerError(
            f"the trial request of the model {model} was answered with {len(found)} outputs of "
            f"{total} bytes, and {came} bytes came"
        )
    return values


def check_judged(model: str, wrong: str | None) -> None:
    """ServerError if a run would take the trial's reply for a failure, as the judge says."""
    if wrong:
        raise ServerError(f"the trial request of the model {model} was answered wrongly: {wrong}")


def with_open_axes(
    plan: AnyPlan, metadata: Sequence[TensorMetadata] | None, batch_size: int
) -> AnyPlan:
    """Return the plan of the trial's reply with the axes open that may have another length.

    `metadata` is what the model's says of outputs: the axes that it leaves open. None: there is
    none, and every axis is open. A first axis that is as long as a batch of several is the batch,
    which stays.
    """
    outputs = [one._replace(shape=_open_shape(one, metadata, batch_size)) for one in plan.outputs]
    open_bytes = 0
    if any(ANY_LENGTH in one.shape or one.dtype == STRINGS for one in outputs):
        total = sum(one.output_bytes for one in outputs)
        open_bytes = max(OPEN_BYTES_MAX, OPEN_TIMES_MAX * max(total, plan.text_bytes))
    return plan._replace(outputs=outputs, open_bytes=open_bytes)


def _open_shape(
    output: OipOutput, metadata: Sequence[TensorMetadata] | None, batch_size: int
) -> Sequence[int]:
    lengths = output.shape
    if metadata is None:
        lengths = [ANY_LENGTH] * len(output.shape)
    for one in metadata or ():
        if one.name == output.name and one.fits(output.shape):
            lengths = [ANY_LENGTH if length == FREE else length for length in one.shape]
            break
    if batch_size > 1 and output.shape[:1] == [batch_size]:
        return [batch_size, *lengths[1:]]
    return lengths
