"""The grid of a sweep: its cells, the files of their results, and which of them are done.

File names are aibench's, so that its scripts and readers find them.
"""

import itertools
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zlib import crc32

from aibench_fast.errors import ConfigError
from aibench_fast.load.config import RunConfig
from aibench_fast.load.outcome import described_arrivals
from aibench_fast.units import Range, described_range

MOST_NUMBERS = 1_000_000


@dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    autobatching: int
    """The model's batch size on the server; 0: one request at a time."""
    batch_size: int
    """Tensors a request."""
    limit_rps: float
    """Requests a second; 0: no limit."""
    prompt_tokens: Range | None
    """The length of drawn prompts."""
    output_tokens: Range | None
    """The most tokens of an answer."""
    workers: int
    run: int
    """The number of the repetition, from 1."""
    server_name: str | None = None
    """If several servers are compared."""

    @property
    def lengths(self) -> dict[str, str]:
        """Return the lengths that the cell has, by what they are of."""
        given = {"prompt tokens": self.prompt_tokens, "output tokens": self.output_tokens}
        return {name: described_range(one) for name, one in given.items() if one is not None}

    @property
    def number(self) -> int:
        """Return a number of the cell, the same in each sweep that has it, and on each server."""
        settings = (*self.lengths.values(), self.workers, self.limit_rps, self.run)
        return crc32(repr(settings).encode()) % MOST_NUMBERS

    def name(self, suffix: str, device: str) -> str:
        """Return the part of the file names that identifies the cell."""
        server = self.server_name or "redisai"
        return (
            f"{server}_{suffix}_{device}_run_{self.run}_workers_{self.workers}"
            f"_autobatching_{self.autobatching}_tensorbatchsize_{self.batch_size}"
            f"_rate_{self.limit_rps:g}"
            + "".join(f"_{of.replace(' ', '')}_{length}" for of, length in self.lengths.items())
        )

    def __str__(self) -> str:
        """Return the cell in words."""
        limit = f", {self.limit_rps:g} requests/s" if self.limit_rps else ""
        server = f"{self.server_name}, " if self.server_name else ""
        if self.lengths:
            kind = ", ".join(f"{of} {length}" for of, length in self.lengths.items())
        else:
            kind = f"auto-batching {self.autobatching}, tensor batch {self.batch_size}"
        return f"{server}{self.workers} workers, {kind}{limit}, run {self.run}"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The settings that a sweep combines: every combination, each `runs` times."""

    workers: Sequence[int] = (1,)
    batch_size: Sequence[int] = (1,)
    limit_rps: Sequence[float] = (0.0,)
    autobatching: Sequence[int] | None = None
    """Batch sizes on a RedisAI server; None: the model's own."""
    prompt_tokens: Sequence[Range | None] = (None,)
    """Lengths of drawn prompts; None: none are drawn."""
    output_tokens: Sequence[Range | None] = (None,)
    """The most tokens of an answer; None: as the server does."""
    runs: int = 1

    def __post_init__(self) -> None:
        """ConfigError if `runs` is wrong."""
        if self.runs < 1:
            raise ConfigError(f"`runs` {self.runs}: it has to be at least 1")

    @classmethod
    def of(cls, axes: Mapping[str, Sequence[Any]], config: RunConfig, runs: int) -> "Grid":
        """Return the grid of these axes, by their names here; others are the config's.

        ConfigError if one is unknown or empty.
        """
        known = [one.name for one in fields(cls) if one.name != "runs"]
        for name, values in axes.items():
            if name not in known:
                raise ConfigError(f"grid: unknown axis {name}; use {', '.join(known)}")
            if isinstance(values, str) or not len(values):
                raise ConfigError(f"grid: {name} has to be a list of at least one value")
        single = {name: (getattr(config, name),) for name in known if name != "autobatching"}
        return cls(**{**single, **axes}, runs=runs)

    def cells(
        self, own_batch_size: int, server_name: str | None = None, shuffle: int | None = None
    ) -> list[Cell]:
        """Return the cells in order, or in an order drawn from the seed `shuffle`.

        `own_batch_size` is the model's on the server. Cells whose workers can never fill a batch
        size of the grid are left out, as in aibench.
        """
        axes = (
            [own_batch_size] if self.autobatching is None else self.autobatching,
            self.batch_size,
            self.limit_rps,
            self.prompt_tokens,
            self.output_tokens,
            self.workers,
            range(1, self.runs + 1),
        )
        cells = [Cell(*values, server_name) for values in itertools.product(*axes)]
        if self.autobatching is not None:
            cells = [cell for cell in cells if cell.workers * cell.batch_size >= cell.autobatching]
        if shuffle is not None:
            random.Random(shuffle).shuffle(cells)
        return cells


def raw_file(result: Path) -> Path:
    """Return the file of the lines that a run prints, beside its result."""
    return result.with_name(f"RAW_{result.stem.removeprefix('JSON_')}.txt")


def is_done(file: Path, config: RunConfig) -> bool:
    """Whether a cell's result exists, is whole, without failures, and as expected.

    ConfigError if its settings are not those of `config`: the folder is another sweep's.
    """
    try:
        result = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(result, dict) or result.get("Interrupted"):
        return False
    found = {**(result.get("Facts") or {}), **result}
    for key, value in _unnamed_settings(config).items():
        if key in found and found[key] != value:
            raise ConfigError(
                f"{file} is of another sweep: its {key} is {found[key]}, this sweep's is {value}; "
                "choose another `folder` or `suffix`, or remove the file"
            )
    held = all(one.get("Held") for one in result.get("Expectations") or ())
    bad = ("Failures", "BurnInFailures", "OutageCount", "Overloaded")
    return held and not any(result.get(key) for key in bad)


def _unnamed_settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings that a file's name does not have, as its JSON or its facts have them."""
    # The number of requests of other warm-ups is not known beforehand.
    counts_burn_in = not (config.burn_in_s or config.burn_in_until_steady)
    if_given = {
        "Inputs": config.kinds[0].tensors if config.inputs else None,
        "Encoding": config.encoding,
        "Stream": config.stream or None,
        "SharedMemory": config.shared_memory or None,
        "BurnInRequests": config.burn_in if counts_burn_in else None,
    }
    return {
        "ServerName": config.server_name,
        "Model": config.model,
        "DataFile": config.data_file,
        "DataSeed": config.data_seed,
        "Shape": list(config.shape),
        "Dtype": config.dtype,
        "Pipeline": config.pipeline,
        "Limit": config.max_queries,
        "Arrivals": described_arrivals(config),
        **{name: value for name, value in if_given.items() if value is not None},
    }
