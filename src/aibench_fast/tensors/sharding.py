"""Makes the shards of a tensor file from photographs: the same bytes on one machine or on many.

A survey of all photographs (`loading.py`) finds where in the sequence of crops each shard begins.
Then each shard is made independently, and gets its name when it is complete. A repeated command
continues a stopped one, checked by the recipe beside the shards.
"""

import dataclasses
import json
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from aibench_fast import tensortype
from aibench_fast.cluster import DaskCluster
from aibench_fast.errors import ConfigError
from aibench_fast.files import check_writable, write_text
from aibench_fast.tensors import tensorfile
from aibench_fast.tensors.images import Crop
from aibench_fast.tensors.loading import Survey, batched, load_all, look, survey, usual_threads
from aibench_fast.tensors.photographs import Photograph, find, local_input, open_input
from aibench_fast.tensors.prepare import (
    PrepareConfig,
    Prepared,
    check_outcome,
    cut,
    drawing,
    planned,
)

Item = TypeVar("Item")
Made = TypeVar("Made")
Progress = Callable[[str, int, int], None]
"""Called with the name of the step, the items done and their total."""


@dataclass(frozen=True)
class Sharding:
    """The number of shards of a tensor file."""

    count: int = 0
    most_bytes: int = 0
    """Instead of a count: the largest size of a shard."""

    def shards(self, tensor_count: int, tensor_bytes: int) -> int:
        """Return the number for so many tensors; ConfigError if it is impossible."""
        count = self.count
        if self.most_bytes:
            count = -(-tensor_count // max(1, self.most_bytes // tensor_bytes))
        if not 1 <= count <= min(tensor_count, tensorfile.MAX_SHARDS):
            raise ConfigError(
                f"--shards: {count:,} shards of {tensor_count:,} tensors; each has at least one, "
                f"and there are {tensorfile.MAX_SHARDS:,} at most"
            )
        return count


class Cut(NamedTuple):
    """A tensor to make."""

    photograph: Photograph
    size: tuple[int, int]
    """Its scaled width and height from the survey."""
    crop: Crop


@dataclass(frozen=True)
class Shard:
    """A shard to make."""

    path: Path
    cuts: list[Cut]


def make_shard(shard: Shard, *, config: PrepareConfig, threads: int) -> None:
    """Write a shard. ConfigError if a photograph changed since the survey."""
    by_photograph: dict[Photograph, list[Cut]] = {}
    for one in shard.cuts:
        by_photograph.setdefault(one.photograph, []).append(one)
    with (
        tensorfile.create(shard.path, _bytes_of(len(shard.cuts), config)) as append,
        closing(load_all(by_photograph, config.size, threads, None)) as pictures,
    ):
        for photograph, picture in pictures:
            for _, size, crop in by_photograph[photograph]:
                if picture.shape[1::-1] != size:
                    raise ConfigError(f"{photograph.name}: was changed while tensors were made")
                append(cut(picture, crop, config))


def prepare_shards(
    config: PrepareConfig,
    sharding: Sharding,
    *,
    cluster: DaskCluster | None = None,
    on_progress: Progress = lambda what, done, total: None,
) -> Prepared:
    """Make the shards of the tensor file that `config` describes, on this machine or a cluster.

    Raises ConfigError as `prepare`, if there are shards of another recipe, and if a worker does not
    share the folders; ServerError if the cluster is lost.
    """
    # Workers may run in another folder.
    folder = local_input(config.input)
    where = config.input if folder is None else str(folder.absolute())
    config = dataclasses.replace(config, input=where, output=config.output.absolute())
    map_items = cluster.map if cluster else _map_here
    threads = 1 if cluster else usual_threads()  # on a cluster many tasks run at one time
    is_skipping = config.on_error == "skip"
    with open_input(config.input) as photographs:
        listed = sum(1 for _ in photographs)
        factor, expected = planned(config, listed)
        shard_count = sharding.shards(expected, tensortype.image_bytes(config.crop))
        tensorfile.check_place(config.output, shard_count)
        check_writable(config.output)
        if cluster is not None:
            _check_shared(cluster, config)

        look_at = partial(look, size=config.size, is_thorough=is_skipping, threads=threads)
        seen = survey(
            map_items(look_at, batched(photographs)),
            wanted=-(-config.limit // factor) if config.limit else None,
            is_skipping=is_skipping,
            on_progress=lambda done: on_progress("photographs", done, listed),
        )
        tensor_count = min(expected, seen.usable * factor)
        check_outcome(config, tensor_count, seen.skipped)
        _settle_recipe(config, factor, tensor_count, shard_count, seen)

        counts = {
            tensorfile.shard_path(config.output, number, shard_count): count
            for number, count in enumerate(tensorfile.shard_sizes(tensor_count, shard_count), 1)
        }
        there = {one for one in counts if _has_size(one, _bytes_of(counts[one], config))}
        on_progress("shards", len(there), shard_count)
        sizes = zip(seen.widths, seen.heights, strict=True)
        with drawing(config) as draw:
            cuts = (
                Cut(photograph, size, draw(photograph.name, *size))
                for photograph, size in zip(photographs, sizes, strict=False)
                for _ in range(factor if all(size) else 0)
            )
            made = map_items(
                partial(make_shard, config=config, threads=threads),
                _missing(config, counts, there, cuts),
            )
            with closing(made):
                for done, _ in enumerate(made, len(there) + 1):
                    on_progress("shards", done, shard_count)
        return Prepared(tensor_count, -(-tensor_count // factor), tuple(seen.skipped))


def _missing(
    config: PrepareConfig, counts: Mapping[Path, int], there: set[Path], cuts: Iterator[Cut]
) -> Iterator[Shard]:
    """Yield the shards that are not there; the cuts of all of them are in order."""
    for path, count in counts.items():
        found = list(islice(cuts, count))
        if len(found) < count:
            raise ConfigError(f"--input {config.input}: files went while it was read")
        if path not in there:
            yield Shard(path, found)


def _map_here(
    function: Callable[[Item], Made], items: Iterable[Item]
) -> Generator[Made, None, None]:
    for item in items:
        yield function(item)


def _bytes_of(tensor_count: int, config: PrepareConfig) -> int:
    return tensor_count * tensortype.image_bytes(config.crop)


def _has_size(path: Path, size_bytes: int) -> bool:
    return path.exists() and path.stat().st_size == size_bytes


def _settle_recipe(
    config: PrepareConfig, factor: int, tensor_count: int, shard_count: int, seen: Survey
) -> None:
    """Write the recipe; ConfigError if there are shards of another recipe."""
    path = tensorfile.recipe_path(config.output, shard_count)
    recipe = {
        "Package": version("aibench-fast"),
        "RandomSeed": config.random_seed,
        "ReUseFactor": factor,
        "Size": config.size,
        "Crop": config.crop,
        "Layout": config.layout,
        "Scale": config.scale,
        "Tensors": tensor_count,
        "Bytes": _bytes_of(tensor_count, config),
        "Photographs": seen.usable,
        "PhotographsSha256": seen.digest,
    }
    if not tensorfile.find_shards(config.output):
        write_text(path, json.dumps(recipe, indent=2) + "\n")
        return
    known = tensorfile.read_recipe(path)
    if not known:
        raise ConfigError(
            f"--output {config.output}: there are shards, but no {path.name} that says how "
            "they were made; remove them, or name another"
        )
    if known != recipe:
        differing = [
            f"{key} {value}, theirs {known.get(key)}"
            for key, value in recipe.items()
            if known.get(key) != value
        ]
        raise ConfigError(
            f"--output {config.output}: there are shards of another recipe: "
            f"{'; '.join(differing)}; remove them, or name another"
        )


def _check_shared(cluster: DaskCluster, config: PrepareConfig) -> None:
    """Raise ConfigError if a worker cannot read the input or write to the output's folder."""
    probe = config.output.with_name(f".{config.output.name}.{uuid.uuid4().hex}.probe")
    write_text(probe, probe.name)
    try:
        answers = cluster.on_each_worker(trouble_here, probe, config.input)
    finally:
        probe.unlink(missing_ok=True)
    for worker, trouble in answers.items():
        if trouble is not None:
            raise ConfigError(f"--dask: worker {worker}: {trouble}")


def trouble_here(probe: Path, where: str) -> str | None:
    """Return what keeps this process, a worker, from making shards."""
    try:
        is_seen = probe.read_text() == probe.name
    except OSError:
        is_seen = False
    if not is_seen:
        return f"does not see what is written to {probe.parent}, which all have to share"
    try:
        check_writable(probe)
        find(where)
    except ConfigError as error:
        return str(error)
    return None
