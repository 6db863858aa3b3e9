"""One photograph to a scaled picture, and its crops to tensors."""

import io
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from aibench_fast.errors import ConfigError
from aibench_fast.tensorfile import Tensor

Picture = NDArray[np.uint8]
"""Height x width x 3, RGB, C-contiguous."""

Layout = Literal["nhwc", "nchw"]
ValueRange = Literal["0..1", "-1..1"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
VALUE_RANGES: tuple[ValueRange, ...] = get_args(ValueRange)

MAX_PIXELS = 50_000_000
"""A larger picture, or one that scaling would make larger, is refused before it is decoded."""

# What cameras and the web make. Pillow's other readers are left out: some run other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")


@dataclass(frozen=True)
class Crop:
    """Where a square crop's upper left corner is in a scaled picture, in pixels."""

    x: int
    y: int


def scaled_size(width: int, height: int, smaller_side: int) -> tuple[int, int]:
    """Width and height once the smaller side is `smaller_side`; the other side is cut to whole."""
    smaller = min(width, height)
    return int(width * smaller_side / smaller), int(height * smaller_side / smaller)


def draw_crop(generator: np.random.RandomState, width: int, height: int, side: int) -> Crop:
    """Draw a crop of side x side from a picture as aibench does, so that a seed gives its crops.

    x comes first, then y; each is below `width - side` and `height - side`. A side without room
    takes 0 and draws no number: randint has no such range.
    """
    x = generator.randint(0, width - side) if width > side else 0
    y = generator.randint(0, height - side) if height > side else 0
    return Crop(int(x), int(y))


def load_scaled(data: bytes, smaller_side: int) -> Picture:
    """Decode a photograph, turn it upright, and scale its smaller side by area averaging.

    Raises ConfigError with the reason, and no name, for what is not a photograph that can be read.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            _check_pixels(width, height, "")
            _check_pixels(*scaled_size(width, height, smaller_side), " once scaled")
            upright = ImageOps.exif_transpose(image)
            size = scaled_size(*upright.size, smaller_side)
            return np.asarray(_to_rgb(upright).resize(size, Image.Resampling.HAMMING))
    except ConfigError:
        raise
    except UnidentifiedImageError as error:
        raise ConfigError(f"is no image of a known kind ({', '.join(FORMATS)})") from error
    except Exception as error:  # Pillow's readers raise nearly anything on broken bytes
        raise ConfigError(f"cannot be decoded: {error}") from error


def _check_pixels(width: int, height: int, when: str) -> None:
    if width * height > MAX_PIXELS:
        raise ConfigError(
            f"is {width:,} x {height:,}{when}, more than the {MAX_PIXELS:,} pixels a picture may be"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    """What a viewer shows: transparency over white, 16 bits a channel cut to the upper 8."""
    if image.mode == "RGB":
        return image
    if image.mode == "F":
        raise ConfigError("has floating-point pixels, whose range is not known")
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion would clip them
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)).convert(
            "RGB"
        )
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def to_tensor(picture: Picture, layout: Layout, value_range: ValueRange) -> Tensor:
    """Float32 values of a picture: H x W x 3 or 3 x H x W, in 0..1 or -1..1."""
    pixels = picture if layout == "nhwc" else picture.transpose(2, 0, 1)
    unit = pixels.astype(np.float32) * np.float32(1 / 255)
    return np.ascontiguousarray(unit if value_range == "0..1" else unit * 2 - 1)
