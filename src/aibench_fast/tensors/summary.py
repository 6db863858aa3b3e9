"""Shows people what a tensor file holds: figures of its values, and its tensors as pictures."""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from aibench_fast.tensors.tensorfile import DTYPE, Layout, Tensor, check, files_of, size_bytes
from aibench_fast.tensortype import CHANNELS, MODEL_SIDE, image_bytes, image_shape

USUAL_SIDES = (MODEL_SIDE, 192, 160, 128, 256, 299, 331)
"""Heights and widths that image models take, the likeliest first."""
GAP_PIXELS = 4
"""Between the pictures of a sheet."""


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
    # Of a size that fits none, `check` reports the bytes left over.
    return next((one for one in USUAL_SIDES if total_bytes % image_bytes(one) == 0), MODEL_SIDE)


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


def black_and_white(smallest: float, largest: float) -> tuple[float, float]:
    """Return the values of black and white, judged by the range of the values."""
    if smallest < 0:
        return -1.0, 1.0
    return (0.0, 1.0) if largest <= 1 else (0.0, 255.0)


def to_picture(tensor: Tensor, side: int, layout: Layout) -> Image.Image:
    """Return the picture of a flat tensor of side * side * 3 values, clipped to the range."""
    black, white = black_and_white(float(tensor.min()), float(tensor.max()))
    bytes_ = np.nan_to_num((tensor - black) * (255 / (white - black))).clip(0, 255).round()
    if layout == "nhwc":
        pixels = bytes_.reshape(side, side, CHANNELS)
    else:
        pixels = bytes_.reshape(CHANNELS, side, side).transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(pixels, dtype=np.uint8))


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Lay out pictures of one size, at least one, in rows on a roughly square grey sheet."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    width, height = (side + GAP_PIXELS for side in pictures[0].size)
    sheet = Image.new("RGB", (columns * width + GAP_PIXELS, rows * height + GAP_PIXELS), "grey")
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        sheet.paste(picture, (column * width + GAP_PIXELS, row * height + GAP_PIXELS))
    return sheet
