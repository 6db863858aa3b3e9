"""Kinds of request: which model is asked, with which tensors."""

from dataclasses import dataclass
from pathlib import Path

from aibench_fast import tensortype
from aibench_fast.errors import ConfigError
from aibench_fast.tensors import tensorfile

MAX_INPUTS = 14
MAX_GENERATED_TENSORS = 2000
MAX_GENERATED_BYTES = 256 << 20
"""Of all generated tensors of an input together, unless a single one is larger."""


@dataclass(frozen=True, kw_only=True)
class TensorInput:
    """One input of a model: where its tensors come from, and what one of them is."""

    name: str = "input"
    file: Path | None = None
    """None: generated ones."""
    shape: tuple[int, ...] = tensortype.image_shape()
    """Of one tensor, without the batch."""
    dtype: str = "FLOAT"

    def __post_init__(self) -> None:
        """Check what can be checked without the file; ConfigError."""
        tensortype.check(self.shape, self.dtype)

    @property
    def tensor_bytes(self) -> int:
        """The size of one tensor, without the batch, in bytes."""
        return tensortype.tensor_bytes(self.shape, self.dtype)

    def count(self) -> int:
        """How many tensors there are: those of the file, which is looked into, or generated ones.

        ConfigError where it is no tensor file.
        """
        if self.file is not None:
            return tensorfile.check(self.file, self.shape, self.dtype)
        return max(1, min(MAX_GENERATED_TENSORS, MAX_GENERATED_BYTES // self.tensor_bytes))

    def __str__(self) -> str:
        """Return the tensor in words."""
        return tensortype.describe(self.shape, self.dtype)


@dataclass(frozen=True, kw_only=True)
class RequestKind:
    """One kind of request: the model it asks, with which tensors, how often."""

    model: str
    inputs: tuple[TensorInput, ...]
    batch_size: int = 1
    """Tensors of each input a request."""
    weight: float = 1.0
    """Its share of the requests, relative to the other kinds'."""

    def __post_init__(self) -> None:
        """Check what can be checked without files and server; ConfigError."""
        if not self.model:
            raise ConfigError("a request without a model: name the key that it is stored under")
        if not 1 <= len(self.inputs) <= MAX_INPUTS:
            raise ConfigError(
                f"model {self.model}: {len(self.inputs)} inputs; there are from 1 to {MAX_INPUTS}"
            )
        names = [one.name for one in self.inputs]
        if len(set(names)) < len(names):
            raise ConfigError(f"model {self.model}: two inputs have one name: {', '.join(names)}")
        tensors = max(one.tensor_bytes for one in self.inputs)
        if not 1 <= self.batch_size <= tensortype.MAX_TENSOR_BYTES // tensors:
            raise ConfigError(
                f"model {self.model}: a batch size of {self.batch_size}; it has to be from 1 to "
                f"{tensortype.MAX_TENSOR_BYTES // tensors} for tensors of {tensors:,} bytes"
            )
        if not 0 < self.weight < 1e9:
            raise ConfigError(
                f"model {self.model}: a weight of {self.weight:g}; it has to be above 0"
            )

    @property
    def input_bytes(self) -> int:
        """The size of all tensors of a request, in bytes."""
        return self.batch_size * sum(one.tensor_bytes for one in self.inputs)

    def count(self) -> int:
        """How many tensors there are of each input that has a file, or of the generated ones.

        ConfigError where a file is no tensor file, or files have different numbers of tensors.
        """
        counts = {one: one.count() for one in self.inputs}
        of_files = {one: count for one, count in counts.items() if one.file is not None}
        if len(set(of_files.values())) > 1:
            told = ", ".join(f"{one.file} has {count}" for one, count in of_files.items())
            raise ConfigError(
                f"model {self.model}: the files of its inputs belong together, and so have to have "
                f"equal numbers of tensors: {told}"
            )
        return min((of_files or counts).values())

    def __str__(self) -> str:
        """Return the kind in words."""
        tensors = " and ".join(map(str, self.inputs))
        batch = f", batches of {self.batch_size}" if self.batch_size > 1 else ""
        return f"{self.model}: {tensors}{batch}"
