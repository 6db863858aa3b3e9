"""Loops over pixels as Python sees them; the headers in native/ say what they compute."""

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

def convert_u8_to_f32(
    src: NDArray[np.uint8], out: NDArray[np.float32], scale: float, offset: float
) -> None:
    """Fill `out` with `src * scale + offset`; both flat, ValueError where their lengths differ."""

def area_scale_rgb(src: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Fill `out` with `src` scaled by area averaging; both height x width x 3, or ValueError."""

def area_scale_image(image: Image, out: NDArray[np.uint8]) -> None:
    """Fill `out`, height x width x 3, with a Pillow image of mode RGB, read where it lies.

    What Pillow raises, where the image is not in one piece; ValueError where it is no RGB.
    """
