"""Shards: a tensor file in several, which are taken as one by the name that the whole would have.

`tensors.out` in three is `tensors-00001-of-00003.out` and so on. Joined they are the whole; their
counts of tensors differ by one at most, the larger ones first. Each is a tensor file by itself.
"""

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from aibench_fast.errors import ConfigError

MAX_SHARDS = 99_999


def shard_path(whole: Path, number: int, count: int) -> Path:
    """The file of shard `number`, from 1 on, of `count`."""
    return whole.with_name(f"{whole.stem}-{number:05}-of-{count:05}{whole.suffix}")


def recipe_path(whole: Path, count: int) -> Path:
    """What the shards are made by, beside them."""
    return whole.with_name(f"{whole.stem}-of-{count:05}.json")


def read_recipe(path: Path) -> dict[str, Any]:
    """What a recipe says; nothing where there is none that can be read."""
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def bounds(tensor_count: int, shard_count: int) -> list[int]:
    """Where each shard begins among the tensors, and where the last one ends."""
    size, larger = divmod(tensor_count, shard_count)
    return [number * size + min(number, larger) for number in range(shard_count + 1)]


def is_even(counts: Sequence[int]) -> bool:
    """Whether shards of so many tensors can be all of one file."""
    return counts[0] - counts[-1] <= 1 and all(
        one >= next_one for one, next_one in pairwise(counts)
    )


def files_of(whole: Path) -> list[Path]:
    """The file of this name, or its shards in order; ConfigError where they are not all there.

    Where there is neither, the name itself.
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
    if missing or len(found) > total:
        also = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ConfigError(
            f"tensor file {whole}: of {total} shards {missing[0].name}{also} is missing; make it "
            "again by `aibench-fast prepare`"
        )
    return files


def check_place(whole: Path, shard_count: int | None = None) -> None:
    """ConfigError where writing a whole, or so many shards, would leave a mixture with others."""
    others = [path for (_, total), path in find_shards(whole).items() if total != shard_count]
    if shard_count is not None and whole.exists():
        others.append(whole)
    if others:
        raise ConfigError(
            f"--output {whole}: {others[0]} is there, and would be taken for a part of it or "
            "instead of it; remove it, or name another"
        )


def find_shards(whole: Path) -> dict[tuple[int, int], Path]:
    """What shards of a file there are, by number and total; files of no such name are left out."""
    name = re.compile(rf"{re.escape(whole.stem)}-(\d{{5}})-of-(\d{{5}}){re.escape(whole.suffix)}")
    try:
        beside = list(whole.parent.iterdir())
    except OSError:  # what is wrong with the folder is told by whoever opens the file
        return {}
    matches = ((name.fullmatch(path.name), path) for path in beside)
    found = {(int(match[1]), int(match[2])): path for match, path in matches if match}
    return {key: found[key] for key in sorted(found) if 1 <= key[0] <= key[1]}
