"""Decodes and scales photographs in order, a few ahead of their consumer, in bounded memory.

The decoders release the GIL, so threads are enough.
"""

import os
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from aibench_fast.errors import ConfigError
from aibench_fast.tensors import images
from aibench_fast.tensors.images import Picture
from aibench_fast.tensors.photographs import Photograph

Made = TypeVar("Made")


@dataclass(frozen=True)
class Skipped:
    """A file without tensors, and the reason."""

    name: str
    reason: str


def usual_threads() -> int:
    """Return one more than cores: now and then a thread waits for the GIL or for a file."""
    return len(os.sched_getaffinity(0)) + 1


def load_all(
    photographs: Iterable[Photograph], size: int, threads: int, skipped: list[Skipped] | None
) -> Generator[tuple[Photograph, Picture], None, None]:
    """Yield the pictures in order, their smaller side scaled to `size`.

    Files that are not photographs are added to `skipped`; without that list, ConfigError.
    """
    budget = images.PixelBudget()

    def load(photograph: Photograph) -> Picture:
        return images.load_scaled(photograph.read(), size, budget)

    with closing(ahead(load, photographs, threads)) as loaded:
        for photograph, future in loaded:
            try:
                picture = future.result()
            except ConfigError as error:
                if skipped is None:
                    raise unusable(photograph.name, str(error)) from error
                skipped.append(Skipped(photograph.name, str(error)))
            else:
                yield photograph, picture


def ahead(
    function: Callable[[Photograph], Made], photographs: Iterable[Photograph], threads: int
) -> Generator[tuple[Photograph, Future[Made]], None, None]:
    """Call `function` with each item, in so many threads; yield the results in order."""
    with ThreadPoolExecutor(threads) as pool, warnings.catch_warnings():
        # Pillow warns about odd metadata, and about large pictures, which have our own limit.
        warnings.simplefilter("ignore")
        waiting = iter(photographs)
        begun: deque[tuple[Photograph, Future[Made]]] = deque()
        try:
            while True:
                for photograph in islice(waiting, 3 * threads - len(begun)):
                    begun.append((photograph, pool.submit(function, photograph)))
                if not begun:
                    return
                yield begun.popleft()
        finally:
            pool.shutdown(cancel_futures=True)


def unusable(name: str, reason: str) -> ConfigError:
    """Return the error for a file that is not a photograph."""
    return ConfigError(f"{name}: {reason}; --on-error skip leaves such files out")
