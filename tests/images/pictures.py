"""Pictures to test with."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture of random pixels, which no two ways of scaling agree on by chance."""
    generator = np.random.default_rng(seed)
    return Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))


def encode(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    """The bytes of the picture's file."""
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def large_in_name(width: int, height: int) -> bytes:
    """A PNG file that claims to have this many pixels, and has one."""
    small = encode(Image.new("1", (1, 1)))
    size = b"IHDR" + struct.pack(">II", width, height) + small[24:29]
    return small[:12] + size + struct.pack(">I", zlib.crc32(size)) + small[33:]
