"""What is in a tensor file, as far as its values tell: for people who look at one."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aibench_fast.tensors.shards import files_of
from aibench_fast.tensors.tensorfile import DTYPE, Layout, Tensor, check, size_bytes
from aibench_fast.tensortype import CHANNELS, MODEL_SIDE, image_bytes, image_shape

USUAL_SIDES = (MODEL_SIDE, 192, 160, 128, 256, 299, 331)
"""Heights and widths that image models take, the likeliest first."""


class MappedTensors:
    """The tensors of a file or of its shards, each flat, as one read-only array."""

    def __init__(self, shards: Sequence[NDArray[np.float32]]) -> None:
        """Of files mapped as count x values each."""
        self._shards = shards
        self._ends = list(accumulate(map(len, shards)))

    def __len__(self) -> int:
        """How many there are."""
        return self._ends[-1]

    def __getitem__(self, index: int) -> Tensor:
        """One tensor; IndexError where there is none."""
        if not 0 <= index < len(self):
            raise IndexError(f"tensor {index} of {len(self)}")
        shard = bisect_right(self._ends, index)
        tensor: Tensor = self._shards[shard][index - self._ends[shard]]
        return tensor

    def __iter__(self) -> Iterator[Tensor]:
        """All of them, in order."""
        return (tensor for shard in self._shards for tensor in shard)


def open_mapped(path: Path, side: int) -> MappedTensors:
    """Map the tensors of a file or of its shards, read-only: none is read yet.

    Raises ConfigError as `check` does.
    """
    check(path, image_shape(side))
    values = side * side * CHANNELS
    return MappedTensors(
        [np.memmap(file, DTYPE, "r").reshape(-1, values) for file in files_of(path)]
    )


def guess_side(path: Path) -> int:
    """The side of square RGB tensors that fits the files' size, the usual ones first.

    Raises ConfigError where none fits, or a file cannot be read.
    """
    total_bytes = size_bytes(path)
    for side in USUAL_SIDES:
        if total_bytes % image_bytes(side) == 0:
            return side
    return MODEL_SIDE  # for `check` to say by how much it does not fit


def guess_layout(tensor: Tensor, side: int) -> Layout:
    """Tell the order of a flat tensor's axes by what lies one row below each value.

    That is `side * 3` values further on in NHWC, `side` in NCHW, and there a picture changes least.
    """
    row = tensor.astype(np.float64)

    def change(distance: int) -> float:
        return float(np.abs(row[distance:] - row[:-distance]).mean())

    return "nhwc" if change(side * CHANNELS) <= change(side) else "nchw"


@dataclass(frozen=True)
class Summary:
    """What a file's tensors hold."""

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
        # min() and max() of numpy, and not of Python: NaN is to be seen, wherever it is.
        smallest = float(np.minimum(smallest, tensor.min()))
        largest = float(np.maximum(largest, tensor.max()))
        total += float(tensor.mean(dtype=np.float64))
    guessed = layout or guess_layout(tensors[0], side)
    return Summary(len(tensors), side, guessed, smallest, largest, total / len(tensors))
