"""The tensor file: raw little-endian tensors, one after another, no header; images are float32.

The file does not state the shape or the number of its tensors, so only its size can be checked: it
must be a whole number of tensors. It may consist of shards (`shards.py`).
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias, get_args

from aibench_fast.errors import ConfigError
from aibench_fast.files import replacing
from aibench_fast.tensors.shards import files_of, is_even, read_recipe, recipe_path
from aibench_fast.tensortype import describe, tensor_bytes

if TYPE_CHECKING:  # a run only counts tensors and saves NumPy's memory
    import numpy as np
    from numpy.typing import NDArray

DTYPE = "<f4"
Tensor: TypeAlias = "NDArray[np.float32]"

Layout = Literal["nhwc", "nchw"]
"""The order of a tensor's axes: height, width, channels; or channels first."""
ValueRange = Literal["0..1", "-1..1"]
"""The values of black and white."""
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
VALUE_RANGES: tuple[ValueRange, ...] = get_args(ValueRange)


def check(path: Path, shape: Sequence[int], dtype: str = "FLOAT") -> int:
    """Count the whole tensors of this shape in the file, or in all its shards.

    Raises ConfigError if one is missing, unreadable, empty, or has bytes left over, and if a shard
    is shorter than the others.
    """
    files = files_of(path)
    counts = [_count(file, shape, dtype) for file in files]
    if files != [path]:
        _check_shards(path, files, counts, tensor_bytes(shape, dtype))
    return sum(counts)


def _check_shards(whole: Path, files: list[Path], counts: list[int], one_bytes: int) -> None:
    if not is_even(counts):
        odd = next(n for n in range(1, len(counts) + 1) if not is_even(counts[: n + 1]))
        raise ConfigError(
            f"tensor file {whole}: {files[odd].name} has {counts[odd]:,} tensors and "
            f"{files[odd - 1].name} {counts[odd - 1]:,}, where shards differ by one at most, the "
            "larger ones first; was one cut short?"
        )
    total_bytes = sum(counts) * one_bytes
    recipe = recipe_path(whole, len(files))
    made_bytes = read_recipe(recipe).get("Bytes", total_bytes)
    if made_bytes != total_bytes:
        raise ConfigError(
            f"tensor file {whole}: its shards have {total_bytes:,} bytes together, and "
            f"{recipe.name} says {made_bytes}; were they changed, or not made by it?"
        )


def size_bytes(path: Path) -> int:
    """Return the size of the file, or of all its shards; ConfigError as `check`."""
    return sum(_size_bytes(file) for file in files_of(path))


def _size_bytes(path: Path) -> int:
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
    return size_bytes


def _count(path: Path, shape: Sequence[int], dtype: str) -> int:
    size_bytes = _size_bytes(path)
    one_bytes = tensor_bytes(shape, dtype)
    count, over_bytes = divmod(size_bytes, one_bytes)
    if over_bytes:
        raise ConfigError(
            f"tensor file {path}: {size_bytes:,} bytes are {count:,} whole tensors and "
            f"{over_bytes:,} bytes over, where one tensor is {describe(shape, dtype)} = "
            f"{one_bytes:,} bytes; was it cut short, or made for another shape?"
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
    """Open a new tensor file, which gets its name only when the block ends without an error.

    It reserves `expected_bytes` at once, so that a full disk is found before the work is done, and
    returns unused space. Raises ConfigError if the file cannot be written.
    """
    with replacing(path) as file:
        place = os.fstatvfs(file.fileno())
        # Checked first, so that a request for too much does not fill the disk before it fails.
        if expected_bytes > place.f_bavail * place.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.posix_fallocate(file.fileno(), 0, expected_bytes)
        yield Writer(file)
        file.truncate()
