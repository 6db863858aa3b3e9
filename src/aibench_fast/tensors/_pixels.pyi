"""Loops over pixels; the headers in tensors/native/ describe what they compute."""

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

def convert_u8_to_f32(
    src: NDArray[np.uint8], out: NDArray[np.float32], scale: float, offset: float
) -> None:
    """Fill `out` with `src * scale + offset`; both flat. ValueError if their lengths differ."""

def area_scale_rgb(src: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Fill `out` with `src` scaled by area averaging.

    Both are height x width x 3; ValueError otherwise, or if one is empty.
    """

def area_scale_image(image: Image, out: NDArray[np.uint8]) -> None:
    """Fill `out`, height x width x 3, with a Pillow image of mode RGB, without a copy of it.

    Raises what Pillow raises if the image is not contiguous; ValueError if it is not RGB.
    """
