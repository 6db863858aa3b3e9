"""What is in a tensor file, as far as its values tell: for people who look at one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aibench_fast.tensors.tensorfile import (
    DTYPE,
    Layout,
    Tensor,
    check,
)
from aibench_fast.tensortype import CHANNELS, MODEL_SIDE, image_bytes, image_shape

USUAL_SIDES = (MODEL_SIDE, 192, 160, 128, 256, 299, 331)
"""Heights and widths that image models take, the likeliest first."""


def open_mapped(path: Path, side: int) -> NDArray[np.float32]:
    """Map the file's tensors, read-only: count x (side * side * 3) values, none read yet.

    Raises ConfigError as `check` does.
    """
    count = check(path, image_shape(side))
    return np.memmap(path, DTYPE, "r", shape=(count, side * side * CHANNELS))


def guess_side(path: Path) -> int:
    """The side of square RGB tensors that fits the file's size, the usual ones first.

    Raises ConfigError where none fits, or the file cannot be read.
    """
    size_bytes = check(path, (1,), "UINT8")
    for side in USUAL_SIDES:
        if size_bytes % image_bytes(side) == 0:
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
    smallest = largest = float(tensors[0, 0])
    total = 0.0
    for tensor in tensors:
        # min() and max() of numpy, and not of Python: NaN is to be seen, wherever it is.
        smallest = float(np.minimum(smallest, tensor.min()))
        largest = float(np.maximum(largest, tensor.max()))
        total += float(tensor.mean(dtype=np.float64))
    guessed = layout or guess_layout(tensors[0], side)
    return Summary(len(tensors), side, guessed, smallest, largest, total / len(tensors))
