"""Shards: a tensor file in several parts, used by the name of the whole.

`tensors.out` in three shards is `tensors-00001-of-00003.out` and so on. Joined they are the whole
file. Their numbers of tensors differ by at most one, the larger ones first. Each shard is a tensor
file itself.
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


def bounds(tensor_count: int, shard_count: int) -> list[int]:
    """Return the index of the first tensor of each shard, and of the end of the last one."""
    size, larger = divmod(tensor_count, shard_count)
    return [number * size + min(number, larger) for number in range(shard_count + 1)]


def is_even(counts: Sequence[int]) -> bool:
    """Return whether shards with these numbers of tensors can form one file."""
    return counts[0] - counts[-1] <= 1 and all(
        one >= next_one for one, next_one in pairwise(counts)
    )


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
    if missing or len(found) > total:
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
