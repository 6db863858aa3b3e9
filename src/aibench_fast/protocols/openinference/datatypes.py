"""The protocol's names for the types of values, and ours; tensors as servers describe them."""

from collections.abc import Sequence
from dataclasses import dataclass

from aibench_fast.errors import ConfigError

FREE = -1

_OURS = {"FP32": "FLOAT", "FP64": "DOUBLE"}
"""The others have one name."""
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}
_SAME = (
    "FP16", "BF16", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64",
    "BOOL", "BYTES",
)  # fmt: skip


def our_dtype(datatype: str, of: str) -> str:
    """Our name of a datatype; `of` names what has it. ConfigError where it is unknown."""
    if datatype in _OURS or datatype in _SAME:
        return _OURS.get(datatype, datatype)
    raise ConfigError(f"{of} is of {datatype}, which cannot be sent or judged here")


def their_datatype(dtype: str) -> str:
    """Return the protocol's name of one of tensortype.DTYPES."""
    return _THEIRS.get(dtype, dtype)


@dataclass(frozen=True)
class TensorMetadata:
    """An input or an output."""

    name: str
    datatype: str
    shape: Sequence[int]
    """FREE where any length will do."""

    def __str__(self) -> str:
        """Return it in words."""
        lengths = " x ".join("any" if length == FREE else str(length) for length in self.shape)
        return f"{self.name} of {lengths} {self.datatype}"
