"""The tensor file: raw little-endian float32 tensors, one after another, no header.

Nothing in the file says the tensors' shape or how many there are, so its size is all there is to
check: it must be a whole number of tensors.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from aibench_fast.errors import ConfigError
from aibench_fast.files import replacing

DTYPE = np.dtype("<f4")
CHANNELS = 3
MODEL_SIDE = 224
"""Height and width that MobileNet V1 takes."""
USUAL_SIDES = (MODEL_SIDE, 192, 160, 128, 256, 299, 331)
"""Heights and widths that image models take, the likeliest first."""

Tensor = NDArray[np.float32]

Layout = Literal["nhwc", "nchw"]
"""The order of a tensor's axes: height, width, channels; or channels first."""
ValueRange = Literal["0..1", "-1..1"]
"""What black and white become."""
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
VALUE_RANGES: tuple[ValueRange, ...] = get_args(ValueRange)


def image_bytes(side: int = MODEL_SIDE) -> int:
    """Bytes of one tensor of side x side x 3 values."""
    return side * side * CHANNELS * DTYPE.itemsize


def describe(tensor_bytes: int) -> str:
    """Words for a tensor of so many bytes: `224 x 224 x 3 float32 = 602,112 bytes`."""
    side = math.isqrt(tensor_bytes // (CHANNELS * DTYPE.itemsize))
    if side and image_bytes(side) == tensor_bytes:
        return f"{side} x {side} x {CHANNELS} float32 = {tensor_bytes:,} bytes"
    return f"{tensor_bytes:,} bytes"


def check(path: Path, tensor_bytes: int) -> int:
    """Count the whole tensors of `tensor_bytes` bytes each in the file.

    Raises ConfigError where the file is missing, unreadable, empty, or has bytes over.
    """
    try:
        with path.open("rb") as file:
            size_bytes = file.seek(0, 2)
    except FileNotFoundError as error:
        raise ConfigError(
            f"tensor file {path}: there is no such file; `aibench-fast prepare` makes one"
        ) from error
    except OSError as error:
        raise ConfigError(f"tensor file {path}: cannot be read: {error.strerror}") from error
    if size_bytes == 0:
        raise ConfigError(
            f"tensor file {path}: is empty; make it again with `aibench-fast prepare`"
        )
    count, over_bytes = divmod(size_bytes, tensor_bytes)
    if over_bytes:
        raise ConfigError(
            f"tensor file {path}: {size_bytes:,} bytes are {count:,} whole tensors and "
            f"{over_bytes:,} bytes over, where one tensor is {describe(tensor_bytes)}; "
            "was it cut short, or made for another shape?"
        )
    return count


class Writer:
    """Appends tensors to an open file; `create` makes one."""

    def __init__(self, file: BinaryIO) -> None:
        """Write to `file`, which the caller opens and closes."""
        self._file = file

    def append(self, tensor: Tensor) -> None:
        """Append one C-contiguous float32 tensor of any shape."""
        self._file.write(tensor.astype(DTYPE, copy=False).data)


@contextmanager
def create(path: Path, expected_bytes: int) -> Iterator[Writer]:
    """Open a new tensor file, which takes its name only when the block ends without an error.

    Room for `expected_bytes` is taken at once, so that a full disk shows before the work is done;
    what is not used is given back. Raises ConfigError where the file cannot be written.
    """
    with replacing(path) as file:
        os.posix_fallocate(file.fileno(), 0, expected_bytes)
        yield Writer(file)
        file.truncate()


def open_mapped(path: Path, side: int) -> NDArray[np.float32]:
    """Map the file's tensors, read-only: count x (side * side * 3) values, none read yet.

    Raises ConfigError as `check` does.
    """
    count = check(path, image_bytes(side))
    return np.memmap(path, DTYPE, "r", shape=(count, side * side * CHANNELS))


def guess_side(path: Path) -> int:
    """The side of square RGB tensors that fits the file's size, the usual ones first.

    Raises ConfigError where none fits, or the file cannot be read.
    """
    size_bytes = check(path, 1)
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
