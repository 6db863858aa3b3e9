"""Turns tensors back into pictures, many on one sheet, for people to look at."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from aibench_fast.tensors.tensorfile import Layout, Tensor
from aibench_fast.tensortype import CHANNELS

GAP_PIXELS = 4


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
