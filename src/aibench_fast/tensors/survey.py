"""Surveys all photographs: the scaled size of each, on which the drawing of crops depends.

One generator draws the crops in the order of the names, and the numbers that a photograph takes
depend on its size. So a shard in the middle needs the sizes of all photographs before it.
"""

import hashlib
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from aibench_fast.errors import ConfigError
from aibench_fast.tensors import images
from aibench_fast.tensors.loading import Skipped, ahead, unusable
from aibench_fast.tensors.photographs import Photograph

BATCH = 256
"""Photographs of a batch."""


class Seen(NamedTuple):
    """The scaled size of a photograph, or why the file is not a photograph."""

    name: str
    width: int
    height: int
    reason: str
    """Empty for a photograph."""
    digest: bytes
    """SHA-256 of its name and bytes."""


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

    def add(self, seen: Seen) -> None:
        """Add the next one."""
        self.widths.append(seen.width)
        self.heights.append(seen.height)
        if seen.reason:
            self.skipped.append(Skipped(seen.name, seen.reason))
        else:
            self.usable += 1


def survey(
    photographs: Iterable[Photograph],
    *,
    is_skipping: bool,
    wanted: int | None,
    look_at: Callable[[Iterator[list[Photograph]]], Generator[list[Seen], None, None]],
    on_progress: Callable[[int], None],
) -> Survey:
    """Survey photographs in order until `wanted` are usable; None: all of them.

    `look_at` maps `look` over batches. ConfigError at the first file that is not a photograph,
    unless those are skipped.
    """
    found, digest = Survey(), hashlib.sha256()
    with closing(look_at(_batches(photographs))) as looked:
        for batch in looked:
            for seen in batch:
                if found.usable == wanted:
                    break
                if seen.reason and not is_skipping:
                    raise unusable(seen.name, seen.reason)
                found.add(seen)
                if not seen.reason:
                    digest.update(seen.digest)
            on_progress(len(found.widths))
            if found.usable == wanted:
                break
    found.digest = digest.hexdigest()
    return found


def _batches(photographs: Iterable[Photograph]) -> Iterator[list[Photograph]]:
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
            return Seen(name, 0, 0, str(error), b"")
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape") + b"\0" + data)
        return Seen(name, width, height, "", digest.digest())

    with closing(ahead(look_at, photographs, threads)) as looked:
        return [future.result() for _, future in looked]
