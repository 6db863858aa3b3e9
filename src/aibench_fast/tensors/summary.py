"""Summarises the values of a tensor file, for people who look at one."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aibench_fast.tensors.tensorfile import DTYPE, Layout, Tensor, check, files_of, size_bytes
from aibench_fast.tensortype import CHANNELS, MODEL_SIDE, image_bytes, image_shape

USUAL_SIDES = (MODEL_SIDE, 192, 160, 128, 256, 299, 331)
"""Heights and widths that image models take, the likeliest first."""


class MappedTensors:
    """The flat tensors of a file or of its shards, as one read-only sequence."""

    def __init__(self, shards: Sequence[NDArray[np.float32]]) -> None:
        """Join files mapped as arrays of count x values."""
        self._shards = shards
        self._ends = list(accumulate(map(len, shards)))

    def __len__(self) -> int:
        """Return the number of tensors."""
        return self._ends[-1]

    def __getitem__(self, index: int) -> Tensor:
        """Return one tensor; IndexError beyond the last."""
        if not 0 <= index < len(self):
            raise IndexError(f"tensor {index} of {len(self)}")
        shard = bisect_right(self._ends, index)
        tensor: Tensor = self._shards[shard][index - self._ends[shard]]
        return tensor

    def __iter__(self) -> Iterator[Tensor]:
        """Yield all tensors in order."""
        return (tensor for shard in self._shards for tensor in shard)


def open_mapped(path: Path, side: int) -> MappedTensors:
    """Map the tensors of a file or of its shards, read-only, without reading them.

    Raises ConfigError as `check` does.
    """
    check(path, image_shape(side))
    values = side * side * CHANNELS
    return MappedTensors(
        [np.memmap(file, DTYPE, "r").reshape(-1, values) for file in files_of(path)]
    )


def guess_side(path: Path) -> int:
    """Return the side of square RGB tensors that fits the files' size, the usual ones first.

    Raises ConfigError if a file cannot be read.
    """
    total_bytes = size_bytes(path)
    for side in USUAL_SIDES:
        if total_bytes % image_bytes(side) == 0:
            return side
    return MODEL_SIDE  # `check` then reports the bytes left over


def guess_layout(tensor: Tensor, side: int) -> Layout:
    """Guess the order of a flat tensor's axes by comparing each value with the one below it.

    A picture changes least from row to row: `side * 3` values further in NHWC, `side` in NCHW.
    """
    row = tensor.astype(np.float64)

    def change(distance: int) -> float:
        return float(np.abs(row[distance:] - row[:-distance]).mean())

    return "nhwc" if change(side * CHANNELS) <= change(side) else "nchw"


@dataclass(frozen=True)
class Summary:
    """Figures of a file's tensors."""

    count: int
    side: int
    layout: Layout
    smallest: float
    largest: float
    mean: float


def summarise(path: Path, side: int, layout: Layout | None = None) -> Summary:
    """Read the whole file once, a tensor at a time. Raises ConfigError as `check` does."""
    tensors = open_mapped(path, side)
    smallest = largest = float(tensors[0][0])
    total = 0.0
    for tensor in tensors:
        # NumPy's minimum and maximum: unlike Python's they report a NaN.
        smallest = float(np.minimum(smallest, tensor.min()))
        largest = float(np.maximum(largest, tensor.max()))
        total += float(tensor.mean(dtype=np.float64))
    guessed = layout or guess_layout(tensors[0], side)
    return Summary(len(tensors), side, guessed, smallest, largest, total / len(tensors))
