"""Reads photographs in order, a few ahead of their consumer, in bounded memory.

The decoders release the GIL, so threads are enough. A survey only finds the scaled size of each
photograph, on which the drawing of crops depends: one generator draws them in the order of the
names, and the numbers that a photograph takes depend on its size. So a shard in the middle needs
the sizes of all photographs before it.
"""

import hashlib
import os
import warnings
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import NamedTuple, TypeVar

from aibench_fast.errors import ConfigError
from aibench_fast.tensors import images
from aibench_fast.tensors.images import Picture
from aibench_fast.tensors.photographs import Photograph

Made = TypeVar("Made")
BATCH = 256
"""Photographs that a survey looks at in one call."""


class Skipped(NamedTuple):
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

    with closing(_ahead(load, photographs, threads)) as loaded:
        for photograph, future in loaded:
            try:
                picture = future.result()
            except ConfigError as error:
                if skipped is None:
                    raise _unusable(photograph.name, str(error)) from error
                skipped.append(Skipped(photograph.name, str(error)))
            else:
                yield photograph, picture


class Seen(NamedTuple):
    """The scaled size of a photograph, or why the file is not a photograph."""

    name: str
    width: int = 0
    height: int = 0
    digest: bytes = b""
    """SHA-256 of its name and bytes."""
    reason: str = ""


@dataclass
class Survey:
    """Properties of the photographs, as far as they are needed."""

    widths: "array[int]" = field(default_factory=lambda: array("i"))
    """Scaled sizes in the order of the names; 0 for a file that is left out."""
    heights: "array[int]" = field(default_factory=lambda: array("i"))
    usable: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    digest: str = ""
    """SHA-256 of the names and bytes of the files that are used."""


def survey(
    batches: Generator[list[Seen], None, None],
    *,
    is_skipping: bool,
    wanted: int | None,
    on_progress: Callable[[int], None],
) -> Survey:
    """Survey photographs in order until `wanted` are usable; None: all of them.

    `batches` is what `look` returns for each of `batched`. ConfigError at the first file that is
    not a photograph, unless those are skipped.
    """
    found, digest = Survey(), hashlib.sha256()
    with closing(batches) as looked:
        for seen in chain.from_iterable(looked):
            found.widths.append(seen.width)
            found.heights.append(seen.height)
            if not seen.reason:
                found.usable += 1
                digest.update(seen.digest)
            elif is_skipping:
                found.skipped.append(Skipped(seen.name, seen.reason))
            else:
                raise _unusable(seen.name, seen.reason)
            on_progress(len(found.widths))
            if found.usable == wanted:
                break
    found.digest = digest.hexdigest()
    return found


def batched(photographs: Iterable[Photograph]) -> Iterator[list[Photograph]]:
    """Yield the photographs, BATCH at a time."""
    waiting = iter(photographs)
    while batch := list(islice(waiting, BATCH)):
        yield batch


def look(
    photographs: list[Photograph], *, size: int, is_thorough: bool, threads: int
) -> list[Seen]:
    """Read photographs; decode them all if `is_thorough`, else trust the headers of JPEGs."""
    budget = images.PixelBudget()

    def look_at(photograph: Photograph) -> Seen:
        name = photograph.name
        try:
            data = photograph.read()
            known = None if is_thorough else images.scaled_size_of(data, size)
            width, height = known or images.load_scaled(data, size, budget).shape[1::-1]
        except ConfigError as error:
            return Seen(name, reason=str(error))
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape") + b"\0" + data)
        return Seen(name, width, height, digest.digest())

    with closing(_ahead(look_at, photographs, threads)) as looked:
        return [future.result() for _, future in looked]


def _ahead(
    function: Callable[[Photograph], Made], photographs: Iterable[Photograph], threads: int
) -> Generator[tuple[Photograph, Future[Made]], None, None]:
    """Call `function` with each item, in so many threads; yield the results in order."""
    # Pillow warns about odd metadata, and about large pictures, which have our own limit.
    with ThreadPoolExecutor(threads) as pool, warnings.catch_warnings(action="ignore"):
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


def _unusable(name: str, reason: str) -> ConfigError:
    return ConfigError(f"{name}: {reason}; --on-error skip leaves such files out")
