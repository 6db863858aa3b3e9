"""Turns one photograph into a scaled picture, and its crops into tensors."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from aibench_fast.errors import ConfigError
from aibench_fast.tensors._pixels import area_scale_image, area_scale_rgb, convert_u8_to_f32
from aibench_fast.tensors.scans import lacks_scans
from aibench_fast.tensors.tensorfile import Layout, Tensor, ValueRange
from aibench_fast.tensortype import CHANNELS

Picture = NDArray[np.uint8]
"""Height x width x 3, RGB."""

MAX_PIXELS = 50_000_000
"""Larger pictures are refused before they are decoded."""
MAX_SCALED_PIXELS = 10_000_000
"""Pictures that scaling would make larger than this, such as very thin ones, are refused too."""

# Formats of cameras and the web. Some of Pillow's other readers run other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM")

# A large picture is first reduced by cheaper means, to this many times the scaled size.
# Four times keeps the mean difference from plain area averaging below 0.5/255; twice, below 2/255.
ROUGH_FACTOR = 4

_JPEGS = ("JPEG", "MPO")
"""One JPEG, and several in one file, of which the first is used."""
_DAMAGES = (
    "premature end",
    "Premature end",
    "bad Huffman code",
    "bad arithmetic",
    "instead of RST",
)
"""libjpeg's words for incomplete data; extra bytes do no harm."""

LYING = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""

# malloc returns blocks above 32 MB to the system when they are freed. Of Pillow's own 16 MB blocks
# each thread would keep as many as its largest picture needed.
Image.core.set_block_size(64 << 20)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Crop:
    """The upper left corner of a square crop in a scaled picture, in pixels."""

    x: int
    y: int


def scaled_size(width: int, height: int, smaller_side: int) -> tuple[int, int]:
    """Return width and height scaled to `smaller_side`, the larger one rounded down."""
    smaller = min(width, height)
    return int(width * smaller_side / smaller), int(height * smaller_side / smaller)


def draw_crop(generator: np.random.RandomState, width: int, height: int, side: int) -> Crop:
    """Draw a crop of side x side pixels like aibench, so that a seed gives the same crops.

    First x below `width - side`, then y below `height - side`. Without room it is 0, and no number
    is drawn: randint has no such range.
    """
    x = generator.randint(0, width - side) if width > side else 0
    y = generator.randint(0, height - side) if height > side else 0
    return Crop(int(x), int(y))


class PixelBudget:
    """Limits the pixels that all threads decode at one time, and so their memory."""

    def __init__(self, pixels: int = MAX_PIXELS) -> None:
        """Allow `pixels` at one time; larger pictures are decoded alone."""
        self._allowed = pixels
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        """Wait until this many pixels are free, and hold them during the block."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._taken == 0 or self._taken + pixels <= self._allowed
            )
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()


def load_scaled(data: bytes, smaller_side: int, budget: PixelBudget) -> Picture:
    """Decode a photograph, turn it upright, and scale its smaller side by area averaging.

    Raises ConfigError with the reason, without a name, if it cannot be read as a photograph.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        _check_pixels(width, height, MAX_PIXELS, "")
        _check_pixels(*scaled_size(width, height, smaller_side), MAX_SCALED_PIXELS, " once scaled")
        rough_side = ROUGH_FACTOR * smaller_side
        # Only JPEG can be decoded smaller; this leaves other and small images unchanged.
        image.draft(None, (rough_side, rough_side))
        with budget.take(image.width * image.height):
            pixels: Picture | Image.Image | None = _usual_jpeg(image, data, (width, height))
            if pixels is None:
                lying = image.size
                image.load()
                _check_whole(image, data)
                ImageOps.exif_transpose(image, in_place=True)
                if image.size != lying:
                    width, height = height, width
                pixels = _to_rgb(image, rough_side)
            columns, rows = scaled_size(width, height, smaller_side)
            picture = np.empty((rows, columns, CHANNELS), np.uint8)
            _scale(pixels, picture)
            # Free their memory before another thread takes its share.
            del pixels
            image.close()
    except ConfigError:
        raise
    except UnidentifiedImageError as error:
        raise ConfigError(f"is not an image of a supported kind ({', '.join(FORMATS)})") from error
    except Exception as error:  # Pillow's readers raise nearly anything on broken bytes
        raise ConfigError(f"cannot be decoded: {error}") from error
    return picture


def scaled_size_of(data: bytes, smaller_side: int) -> tuple[int, int] | None:
    """Return the size of the picture that `load_scaled` makes of a JPEG, from its header alone.

    None for other formats, which have to be decoded: their orientation may come at the end.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=("JPEG",))
        if image.format != "JPEG":  # or several of them in one file
            return None
        width, height = image.size
        is_lying = image.getexif().get(ExifTags.Base.Orientation, 1) in LYING
    except Exception:  # `load_scaled` reports it
        return None
    return scaled_size(*((height, width) if is_lying else (width, height)), smaller_side)


def _usual_jpeg(image: Image.Image, data: bytes, size: tuple[int, int]) -> Picture | None:
    """Return the pixels of an upright colour JPEG of `size`; None if Pillow has to decode it.

    Pillow uses the same library and gets the same pixels, but takes a third longer: it decodes line
    by line and stores four bytes per pixel.
    """
    usual = image.format == "JPEG" and image.mode == "RGB" and image.size == size
    if not usual or image.getexif().get(ExifTags.Base.Orientation, 1) != 1 or lacks_scans(data):
        return None
    try:
        pixels: Picture = simplejpeg.decode_jpeg(data, "RGB")
    except ValueError:  # Pillow explains errors better, and forgives harmless ones
        return None
    return pixels


def _check_whole(image: Image.Image, data: bytes) -> None:
    """Raise ConfigError if a JPEG has damage that Pillow silently fills with grey.

    Decoding the smallest picture is enough: it reads all of the data.
    """
    if image.format not in _JPEGS:
        return
    if lacks_scans(data):
        raise ConfigError("is damaged, so that a part is missing: scans of a progressive JPEG")
    try:
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1)
    except ValueError as error:
        if any(words in str(error) for words in _DAMAGES):
            words = str(error).removeprefix("Corrupt JPEG data: ")
            raise ConfigError(f"is damaged, so that a part is missing: {words}") from error


def _scale(pixels: Picture | Image.Image, picture: Picture) -> None:
    if isinstance(pixels, Image.Image):
        try:
            area_scale_image(pixels, picture)
            return
        except ValueError:  # a large one consists of several blocks, which are copied into one
            pixels = np.asarray(pixels)
    area_scale_rgb(pixels, picture)


def _check_pixels(width: int, height: int, most: int, when: str) -> None:
    if width * height > most:
        raise ConfigError(
            f"is {width:,} x {height:,}{when}, more than the {most:,} pixels that are allowed"
        )


def _to_rgb(image: Image.Image, rough_side: int) -> Image.Image:
    """Return the image as a viewer shows it, roughly reduced to `rough_side` if it is far larger.

    Transparent parts are put over white; 16 bits per channel are reduced to the upper 8. All steps
    use one name, which frees the memory of the step before.
    """
    if image.mode == "F":
        raise ConfigError("has floating-point pixels, whose range is unknown")
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow's own conversion would clip them
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("1", "P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    factor = min(image.size) // rough_side
    if factor > 1:
        image = image.reduce(factor)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    return image if image.mode == "RGB" else image.convert("RGB")


def to_tensor(picture: Picture, layout: Layout, value_range: ValueRange) -> Tensor:
    """Return a picture as float32 values, H x W x 3 or 3 x H x W, in 0..1 or -1..1."""
    pixels = np.ascontiguousarray(picture if layout == "nhwc" else picture.transpose(2, 0, 1))
    scale, offset = (1 / 255, 0.0) if value_range == "0..1" else (2 / 255, -1.0)
    tensor = np.empty(pixels.shape, np.float32)
    convert_u8_to_f32(pixels.reshape(-1), tensor.reshape(-1), scale, offset)
    return tensor
