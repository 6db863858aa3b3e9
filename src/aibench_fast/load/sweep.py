"""A sweep: the cells of a grid, the files that their results go to, and which are done.

File names are aibench's, so that its scripts and its readers find what they look for.
"""

import itertools
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aibench_fast.errors import ConfigError

_RANGE = re.compile(r"(\d+):(\d+):(\d+)")


@dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    workers: int
    autobatching: int
    """The model's batch size on the server; 0: every request by itself."""
    batch_size: int
    """Images a request."""
    limit_rps: float
    """Requests a second; 0: no limit."""
    run: int
    """Which of the repeated runs, from 1."""
    server_name: str | None = None
    """Of several that are compared; None where there is one."""

    @property
    def can_fill_a_batch(self) -> bool:
        """Whether so many workers can ever have enough images under way for the server's batch."""
        return self.workers * self.batch_size >= self.autobatching

    def name(self, suffix: str, device: str) -> str:
        """The part of the file names that tells the cells of a folder apart."""
        server = self.server_name or "redisai"
        return (
            f"{server}_{suffix}_{device}_run_{self.run}_workers_{self.workers}"
            f"_autobatching_{self.autobatching}_tensorbatchsize_{self.batch_size}"
            f"_rate_{self.limit_rps:g}"
        )


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The settings that a sweep goes through: every combination, each `runs` times."""

    workers: Sequence[int] = (1,)
    autobatching: Sequence[int] = (0,)
    batch_sizes: Sequence[int] = (1,)
    limits_rps: Sequence[float] = (0.0,)
    runs: int = 1
    only_batches_that_fill: bool = True
    """Leave out cells whose workers can never fill the server's batch, as aibench does."""
    server_name: str | None = None

    def __post_init__(self) -> None:
        """Check what no single run would find; ConfigError."""
        if self.runs < 1:
            raise ConfigError(f"--runs {self.runs}: it has to be at least 1")

    def cells(self, shuffle_seed: int | None = None) -> list[Cell]:
        """The cells in order, or in an order drawn from the seed."""
        cells = [
            Cell(workers, autobatching, batch_size, limit, run, self.server_name)
            for autobatching, batch_size, limit, workers, run in itertools.product(
                self.autobatching,
                self.batch_sizes,
                self.limits_rps,
                self.workers,
                range(1, self.runs + 1),
            )
        ]
        if self.only_batches_that_fill:
            cells = [cell for cell in cells if cell.can_fill_a_batch]
        if shuffle_seed is not None:
            random.Random(shuffle_seed).shuffle(cells)
        return cells


def numbers(words: str, *, least: int = 0) -> list[int]:
    """Read an axis: `1,8,16`, or `MIN:MAX:STEP` as aibench's scripts count.

    In a range a number below `least` is taken as `least`: 0:50:10 is 1,10,20,... workers.
    ValueError where it is neither.
    """
    if match := _RANGE.fullmatch(words):
        first, last, step = map(int, match.groups())
        if step < 1 or last < first:
            raise ValueError(f"{words!r} counts nothing; write MIN:MAX:STEP")
        return list(dict.fromkeys(max(n, least) for n in range(first, last + 1, step)))
    try:
        found = [int(word) for word in words.split(",")]
    except ValueError:
        raise ValueError(f"{words!r}: write numbers such as 1,8,16, or MIN:MAX:STEP") from None
    if min(found) < least:
        raise ValueError(f"{words!r}: each has to be at least {least}")
    return found


@dataclass(frozen=True)
class Files:
    """Where a cell's result and its printed output go."""

    json: Path
    raw: Path

    @classmethod
    def of(cls, cell: Cell, folder: Path, suffix: str, device: str) -> "Files":
        """The files of a cell in a folder of results."""
        name = cell.name(suffix, device)
        return cls(folder / f"JSON_{name}.json", folder / f"RAW_{name}.txt")


def is_done(file: Path, asked: dict[str, Any]) -> bool:
    """Whether a cell's result is there, whole, without failures and as expected.

    `asked` has what the result must say of the settings that its name does not tell, by the keys of
    the JSON or of its facts. ConfigError where it says something else: the folder is another
    sweep's.
    """
    try:
        result = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(result, dict) or result.get("Interrupted"):
        return False
    told = {**(result.get("Facts") or {}), **result}
    for key, value in asked.items():
        if key in told and told[key] != value:
            raise ConfigError(
                f"{file} is of another sweep: its {key} is {told[key]}, asked for is {value}; "
                "choose another --results-dir or --suffix, or remove the file"
            )
    held = all(one.get("Held") for one in result.get("Expectations") or ())
    bad = ("Failures", "BurnInFailures", "OutageCount", "Overloaded")
    return held and not any(result.get(key) for key in bad)
