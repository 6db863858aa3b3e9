"""Turns a folder of photographs into a tensor file: one pass on all cores, in bounded memory.

Threads decode and scale (`loading.py`) some photographs ahead. The calling thread takes them in
order, draws the crops, converts and writes. So one generator draws the crops in the order of the
names, whatever the number of cores.
"""

import codecs
import csv
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from aibench_fast import tensortype
from aibench_fast.errors import ConfigError
from aibench_fast.files import replacing
from aibench_fast.tensors import images, tensorfile
from aibench_fast.tensors.images import Crop, Picture
from aibench_fast.tensors.loading import Skipped, load_all, usual_threads
from aibench_fast.tensors.photographs import SAMPLE, open_input
from aibench_fast.tensors.tensorfile import Layout, Tensor, ValueRange

OnError = Literal["fail", "skip"]

SAMPLE_RE_USE_FACTOR = 20
SMALLER_SIDE = 256
RANDOM_SEED = 12345


@dataclass(frozen=True)
class PrepareConfig:
    """Settings of a tensor file, checked on creation."""

    input: str
    """A folder, a zip archive, an fsspec address such as s3://..., or `sample`."""
    output: Path
    random_seed: int = RANDOM_SEED
    re_use_factor: int | None = None
    """Crops per photograph. None: one (20 for the sample set), or as many as `limit` needs."""
    limit: int | None = None
    """The exact number of tensors. None: all."""
    size: int = SMALLER_SIDE
    """The smaller side after scaling, in pixels."""
    crop: int = tensortype.MODEL_SIDE
    """Height and width of a tensor, in pixels."""
    layout: Layout = "nhwc"
    scale: ValueRange = "0..1"
    crops_file: Path | None = None
    """A CSV file for the position of each crop."""
    on_error: OnError = "fail"

    def __post_init__(self) -> None:
        """Raise ConfigError if a number is out of its range."""
        for option, value in (
            ("--re-use-factor", self.re_use_factor),
            ("--limit", self.limit),
            ("--size", self.size),
            ("--crop", self.crop),
        ):
            if value is not None and value < 1:
                raise ConfigError(f"{option} {value}: must be at least 1")
        if self.crop > self.size:
            raise ConfigError(
                f"--crop {self.crop}: is larger than the scaled side (--size {self.size})"
            )
        if not 0 <= self.random_seed < 2**32:
            raise ConfigError(f"--random-seed {self.random_seed}: must be from 0 to 4294967295")


@dataclass(frozen=True)
class Prepared:
    """The outcome of `prepare`."""

    tensors: int
    photographs: int
    skipped: tuple[Skipped, ...]


def prepare(
    config: PrepareConfig, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Prepared:
    """Make the tensor file that `config` describes.

    After each tensor `on_progress` receives the tensors written and their total.
    Raises ConfigError for an input that is missing or (with `on_error="fail"`) not a photograph,
    for an output that cannot be written, and if there are fewer than `limit` tensors; a file that
    the output's name had before then stays.
    """
    tensorfile.check_place(config.output)
    with open_input(config.input) as found:
        photographs = list(found)
        factor, total = planned(config, len(photographs))
        skipped: list[Skipped] = []
        may_skip = config.on_error == "skip"
        pictures = load_all(
            photographs, config.size, usual_threads(), skipped if may_skip else None
        )
        done = used = 0
        with (
            drawing(config) as draw,
            tensorfile.create(config.output, total * tensortype.image_bytes(config.crop)) as append,
            closing(pictures),
        ):
            for photograph, picture in pictures:
                used += 1
                height, width, _ = picture.shape
                for _ in range(min(factor, total - done)):
                    append(cut(picture, draw(photograph.name, width, height), config))
                    done += 1
                    on_progress(done, total)
                if done == total:
                    break
            check_outcome(config, done, skipped)
        return Prepared(done, used, tuple(skipped))


def planned(config: PrepareConfig, photographs: int) -> tuple[int, int]:
    """Return the number of crops of each of `photographs`, and of tensors if all are usable.

    ConfigError if `limit` is larger.
    """
    usual = SAMPLE_RE_USE_FACTOR if config.input == SAMPLE else 1
    needed = -(-config.limit // photographs) if config.limit else usual
    factor = config.re_use_factor or needed
    total = photographs * factor
    if config.limit is not None and config.limit > total:
        raise ConfigError(
            f"--limit {config.limit}: {photographs} photographs with --re-use-factor {factor} make "
            f"{total} tensors; raise the factor or leave it out"
        )
    return factor, config.limit or total


def check_outcome(config: PrepareConfig, done: int, skipped: list[Skipped]) -> None:
    """Raise ConfigError if there are no tensors, or fewer than `limit`."""
    first = f"; the first: {skipped[0].name}: {skipped[0].reason}" if skipped else ""
    if done == 0:
        raise ConfigError(f"--input {config.input}: it has no photograph{first}")
    if config.limit is not None and done < config.limit:
        raise ConfigError(
            f"--limit {config.limit}: there are only {done} tensors: {len(skipped)} files were "
            f"skipped; raise --re-use-factor{first}"
        )


def cut(picture: Picture, crop: Crop, config: PrepareConfig) -> Tensor:
    """Return the tensor of one crop."""
    rows = slice(crop.y, crop.y + config.crop)
    columns = slice(crop.x, crop.x + config.crop)
    return images.to_tensor(picture[rows, columns], config.layout, config.scale)


@contextmanager
def drawing(config: PrepareConfig) -> Iterator[Callable[[str, int, int], Crop]]:
    """Yield a function that draws the next crop, and writes its position to `crops_file`.

    It takes a photograph's name, and its scaled width and height.
    """
    generator = np.random.RandomState(config.random_seed)
    path = config.crops_file
    with replacing(path) if path else Path(os.devnull).open("wb") as file:
        # A file name that is not UTF-8 is written as its original bytes.
        rows = csv.writer(codecs.getwriter("utf-8")(file, "surrogateescape"), lineterminator="\n")
        rows.writerow(("name", "x", "y", "scaled_width", "scaled_height"))

        def draw(name: str, width: int, height: int) -> Crop:
            crop = images.draw_crop(generator, width, height, config.crop)
            rows.writerow((name, crop.x, crop.y, width, height))
            return crop

        yield draw
