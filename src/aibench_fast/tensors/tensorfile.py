"""The tensor file: raw little-endian tensors, one after another, no header; images are float32.

The file does not state the shape or the number of its tensors, so only its size can be checked: it
must be a whole number of tensors.

It may consist of shards, used by the name of the whole: `tensors.out` in three shards is
`tensors-00001-of-00003.out` and so on. Joined they are the whole file. Their numbers of tensors
differ by at most one, the larger ones first. Each shard is a tensor file itself.
"""

import errno
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from aibench_fast.errors import ConfigError
from aibench_fast.files import replacing
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
MAX_SHARDS = 99_999


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
    for (before, count_before), (file, count) in pairwise(zip(files, counts, strict=True)):
        if not counts[0] - 1 <= count <= count_before:
            raise ConfigError(
                f"tensor file {whole}: {file.name} has {count:,} tensors and {before.name} "
                f"{count_before:,}, where shards differ by one at most, the larger ones first; was "
                "one cut short?"
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


@contextmanager
def create(path: Path, expected_bytes: int) -> Iterator[Callable[[Tensor], None]]:
    """Yield a function that appends a C-contiguous float32 tensor of any shape to a new file.

    The file gets its name only when the block ends without an error. It reserves `expected_bytes`
    at once, so that a full disk is found before the work is done, and returns unused space. Raises
    ConfigError if the file cannot be written.
    """
    with replacing(path) as file:
        place = os.fstatvfs(file.fileno())
        # Checked first, so that a request for too much does not fill the disk before it fails.
        if expected_bytes > place.f_bavail * place.f_frsize:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.posix_fallocate(file.fileno(), 0, expected_bytes)

        def append(tensor: Tensor) -> None:
            file.write(tensor.astype(DTYPE, copy=False).data)

        yield append
        file.truncate()


def shard_path(whole: Path, number: int, count: int) -> Path:
    """Return the file of shard `number` of `count`, counted from 1."""
    return whole.with_name(f"{whole.stem}-{number:05}-of-{count:05}{whole.suffix}")


def recipe_path(whole: Path, count: int) -> Path:
    """Return the file of the shards' recipe, beside them."""
    return whole.with_name(f"{whole.stem}-of-{count:05}.json")


def read_recipe(path: Path) -> dict[str, Any]:
    """Return a recipe; empty if there is none or it cannot be read."""
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def shard_sizes(tensor_count: int, shard_count: int) -> list[int]:
    """Return the number of tensors of each shard."""
    size, larger = divmod(tensor_count, shard_count)
    return [size + (number < larger) for number in range(shard_count)]


def files_of(whole: Path) -> list[Path]:
    """Return the file, or its shards in order; ConfigError if some shards are missing.

    The name itself if there is neither.
    """
    found = find_shards(whole)
    if not found:
        return [whole]
    if whole.exists():
        raise ConfigError(
            f"tensor file {whole}: is there as a whole and in shards ({next(iter(found.values()))}"
            "); remove what is not to be used"
        )
    totals = sorted({total for _, total in found})
    if len(totals) > 1:
        raise ConfigError(
            f"tensor file {whole}: there are shards of {' and of '.join(map(str, totals))}; remove "
            "those that are not to be used"
        )
    (total,) = totals
    files = [shard_path(whole, number, total) for number in range(1, total + 1)]
    missing = [file for number, file in enumerate(files, 1) if (number, total) not in found]
    if missing:
        also = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ConfigError(
            f"tensor file {whole}: of {total} shards {missing[0].name}{also} is missing; make it "
            "again by `aibench-fast prepare`"
        )
    return files


def check_place(whole: Path, shard_count: int | None = None) -> None:
    """Raise ConfigError if a new whole, or so many shards, would be mixed with others."""
    others = [path for (_, total), path in find_shards(whole).items() if total != shard_count]
    if shard_count is not None and whole.exists():
        others.append(whole)
    if others:
        raise ConfigError(
            f"--output {whole}: {others[0]} is there, and would be taken for a part of it or "
            "instead of it; remove it, or name another"
        )


def find_shards(whole: Path) -> dict[tuple[int, int], Path]:
    """Return the existing shards of a file, by number and total."""
    name = re.compile(rf"{re.escape(whole.stem)}-(\d{{5}})-of-(\d{{5}}){re.escape(whole.suffix)}")
    try:
        beside = list(whole.parent.iterdir())
    except OSError:  # whoever opens the file reports what is wrong with the folder
        return {}
    matches = ((name.fullmatch(path.name), path) for path in beside)
    found = {(int(match[1]), int(match[2])): path for match, path in matches if match}
    return {key: found[key] for key in sorted(found) if 1 <= key[0] <= key[1]}
