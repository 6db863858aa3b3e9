"""A folder of photographs to a tensor file: one pass on all cores, in order, in bounded memory.

The cores decode and scale, some photographs ahead of the one being written; the calling thread
takes them in order, draws the crops, converts and writes. So the crops come from one generator in
the order of the names, whatever the number of cores.
"""

import codecs
import csv
import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from aibench_fast import tensortype
from aibench_fast.errors import ConfigError
from aibench_fast.files import replacing
from aibench_fast.tensors import images, tensorfile
from aibench_fast.tensors.images import Crop, Picture
from aibench_fast.tensors.photographs import SAMPLE, Photograph, open_input
from aibench_fast.tensors.tensorfile import Layout, Tensor, ValueRange

OnError = Literal["fail", "skip"]

SAMPLE_RE_USE_FACTOR = 20
SMALLER_SIDE = 256
RANDOM_SEED = 12345


@dataclass(frozen=True)
class PrepareConfig:
    """What to make; checked when it is made."""

    input: str
    """A folder, a zip archive, or `sample`."""
    output: Path
    random_seed: int = RANDOM_SEED
    re_use_factor: int | None = None
    """Crops of each photograph. None: one (of the sample set, 20), or as many as `limit` needs."""
    limit: int | None = None
    """Exactly so many tensors. None: all."""
    size: int = SMALLER_SIDE
    """The smaller side once scaled, in pixels."""
    crop: int = tensortype.MODEL_SIDE
    """Height and width of a tensor, in pixels."""
    layout: Layout = "nhwc"
    scale: ValueRange = "0..1"
    crops_file: Path | None = None
    """A CSV file that is to say where each tensor was cut."""
    on_error: OnError = "fail"

    def __post_init__(self) -> None:
        """Raise ConfigError where a number is out of its range."""
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
class Skipped:
    """A file that gave no tensors, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Prepared:
    """What was made."""

    tensors: int
    photographs: int
    skipped: tuple[Skipped, ...]


def prepare(
    config: PrepareConfig, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Prepared:
    """Make the tensor file that `config` describes.

    `on_progress` gets the tensors written and the tensors to come in all, after each tensor.
    Raises ConfigError for an input that is not there or (with `on_error="fail"`) not a photograph,
    for an output that cannot be written, and where fewer than `limit` tensors come out; then
    nothing is under the output's name that was not there before.
    """
    with open_input(config.input) as photographs, ExitStack() as outputs:
        factor = _crops_per_photograph(config, len(photographs))
        total = len(photographs) * factor
        if config.limit is not None and config.limit > total:
            raise ConfigError(
                f"--limit {config.limit}: {len(photographs)} photographs with --re-use-factor "
                f"{factor} make {total} tensors; raise the factor or leave it out"
            )
        total = config.limit or total

        crops_file = config.crops_file and outputs.enter_context(_crops_writer(config.crops_file))
        tensors = outputs.enter_context(
            tensorfile.create(config.output, total * tensortype.image_bytes(config.crop))
        )
        generator = np.random.RandomState(config.random_seed)
        skipped: list[Skipped] = []
        done = used = 0
        loaded = outputs.enter_context(closing(_load_all(photographs, config, skipped)))
        for photograph, picture in loaded:
            used += 1
            height, width, _ = picture.shape
            for _ in range(min(factor, total - done)):
                crop = images.draw_crop(generator, width, height, config.crop)
                tensors.append(_cut(picture, crop, config))
                if crops_file:
                    crops_file(photograph.name, crop, width, height)
                done += 1
                on_progress(done, total)
            if done == total:
                break
        _check_outcome(config, done, skipped)
        return Prepared(done, used, tuple(skipped))


def _crops_per_photograph(config: PrepareConfig, photographs: int) -> int:
    if config.re_use_factor:
        return config.re_use_factor
    usual = SAMPLE_RE_USE_FACTOR if config.input == SAMPLE else 1
    return -(-config.limit // photographs) if config.limit else usual


def _check_outcome(config: PrepareConfig, done: int, skipped: list[Skipped]) -> None:
    first = f"; the first: {skipped[0].name}: {skipped[0].reason}" if skipped else ""
    if done == 0:
        raise ConfigError(f"--input {config.input}: none of its files is a photograph{first}")
    if config.limit is not None and done < config.limit:
        raise ConfigError(
            f"--limit {config.limit}: only {done} tensors came out, for {len(skipped)} files were "
            f"skipped; raise --re-use-factor{first}"
        )


def _load_all(
    photographs: list[Photograph], config: PrepareConfig, skipped: list[Skipped]
) -> Generator[tuple[Photograph, Picture], None, None]:
    """Yield the scaled pictures in order, decoded a few ahead on all cores.

    The decoders let go of Python's lock, so threads are enough: one more than cores, for now and
    then one waits for the lock or for a file.
    """
    threads = len(os.sched_getaffinity(0)) + 1

    budget = images.PixelBudget()

    def load(photograph: Photograph) -> Picture:
        return images.load_scaled(photograph.read(), config.size, budget)

    with ThreadPoolExecutor(threads) as pool, warnings.catch_warnings():
        # Pillow warns about odd metadata and about large pictures, for which we have our own bound.
        warnings.simplefilter("ignore")
        waiting = iter(photographs)
        ahead: deque[tuple[Photograph, Future[Picture]]] = deque()
        try:
            while True:
                for photograph in islice(waiting, 3 * threads - len(ahead)):
                    ahead.append((photograph, pool.submit(load, photograph)))
                if not ahead:
                    return
                photograph, future = ahead.popleft()
                try:
                    picture = future.result()
                except ConfigError as error:
                    if config.on_error == "fail":
                        raise ConfigError(
                            f"{photograph.name}: {error}; --on-error skip leaves such files out"
                        ) from error
                    skipped.append(Skipped(photograph.name, str(error)))
                else:
                    yield photograph, picture
        finally:
            pool.shutdown(cancel_futures=True)


def _cut(picture: Picture, crop: Crop, config: PrepareConfig) -> Tensor:
    rows = slice(crop.y, crop.y + config.crop)
    columns = slice(crop.x, crop.x + config.crop)
    return images.to_tensor(picture[rows, columns], config.layout, config.scale)


@contextmanager
def _crops_writer(path: Path) -> Iterator[Callable[[str, Crop, int, int], None]]:
    with replacing(path) as file:
        # A file name that is not UTF-8 is written back as the bytes it was.
        rows = csv.writer(codecs.getwriter("utf-8")(file, "surrogateescape"), lineterminator="\n")
        rows.writerow(("name", "x", "y", "scaled_width", "scaled_height"))

        def write(name: str, crop: Crop, width: int, height: int) -> None:
            rows.writerow((name, crop.x, crop.y, width, height))

        yield write
