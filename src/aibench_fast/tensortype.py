"""Shape, data type and size of a tensor."""

import math
from collections.abc import Iterable, Sequence

from aibench_fast.errors import ConfigError

VALUE_BYTES = 4
CHANNELS = 3
MODEL_SIDE = 224
"""Height and width that MobileNet V1 takes."""
DTYPE_BYTES = {
    "FLOAT": 4,
    "DOUBLE": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "UINT8": 1,
    "UINT16": 2,
    "BOOL": 1,
    "FP16": 2,
    "BF16": 2,
    "UINT32": 4,
    "UINT64": 8,
}
"""The types of a tensor's values, by RedisAI's names where it has them, and a value's bytes."""
REDISAI_DTYPES = tuple(DTYPE_BYTES)[:9]
STRINGS = "BYTES"
"""The type of strings, whose lengths vary: in memory each is its length as 4 little-endian bytes,
then its bytes."""
DTYPES = (*DTYPE_BYTES, STRINGS)
PREFIX_BYTES = 4
TYPICAL_STRING_BYTES = 128
"""With its length, about as generated ones are: for what has to be settled before they are read."""
_SAME = {"FP32": "FLOAT", "FP64": "DOUBLE", "STRING": STRINGS}


def canonical(dtype: str) -> str:
    """Return the name of a type here; servers may have another."""
    return _SAME.get(dtype.upper(), dtype.upper())


OPEN_BYTES_MAX = 64 << 20
"""The largest outputs of any length, if those of the trial were much smaller."""
OPEN_TIMES_MAX = 4
"""Or as many times the size of the trial's."""
MAX_TENSOR_BYTES = 512 << 20
"""The largest argument that servers accept by default."""


def tensor_bytes(shape: Sequence[int], dtype: str = "FLOAT") -> int:
    """Bytes of one tensor; `dtype` is one of DTYPES. Of strings it is an estimate."""
    return math.prod(shape) * DTYPE_BYTES.get(dtype, TYPICAL_STRING_BYTES)


def joined_strings(strings: Iterable[bytes]) -> bytes:
    """Return strings as they lie in a tensor's memory: each behind its length."""
    return b"".join(len(one).to_bytes(PREFIX_BYTES, "little") + one for one in strings)


def split_strings(tensor: bytes) -> list[bytes]:
    """The strings of a tensor; ValueError where a length reaches beyond its end."""
    strings: list[bytes] = []
    place = 0
    while place < len(tensor):
        begin = place + PREFIX_BYTES
        place = begin + int.from_bytes(tensor[place:begin], "little")
        if begin > len(tensor) or place > len(tensor):
            raise ValueError(f"string {len(strings) + 1} reaches beyond the end")
        strings.append(tensor[begin:place])
    return strings


def check(shape: Sequence[int], dtype: str, where: str = "") -> None:
    """ConfigError where there can be no such tensor; `where` says which of several it is."""
    named_dtype, named_shape = (where + one if where else f"`{one}`" for one in ("dtype", "shape"))
    if dtype not in DTYPES:
        known = ", ".join(DTYPES)
        raise ConfigError(f"{named_dtype} {dtype}: it has to be one of {known}")
    words = ",".join(map(str, shape))
    if not shape or min(shape) < 1:
        raise ConfigError(
            f"{named_shape} {words}: it has to be numbers from 1 on, such as 224,224,3"
        )
    size_bytes = tensor_bytes(shape, dtype)
    if size_bytes > MAX_TENSOR_BYTES:
        raise ConfigError(
            f"{named_shape} {words} of {dtype} is {size_bytes:,} bytes; a tensor has at most "
            f"{MAX_TENSOR_BYTES:,}"
        )


def image_shape(side: int = MODEL_SIDE) -> tuple[int, int, int]:
    """The shape of a square RGB image: height, width, channels."""
    return side, side, CHANNELS


def image_bytes(side: int = MODEL_SIDE) -> int:
    """Bytes of one tensor of side x side x 3 float32 values."""
    return tensor_bytes(image_shape(side))


def describe(shape: Sequence[int], dtype: str = "FLOAT") -> str:
    """Words for a tensor: `224 x 224 x 3 FLOAT`."""
    return f"{' x '.join(map(str, shape))} {dtype}"
