"""Makes the shards of a tensor file from photographs: the same bytes on one machine or on many.

A survey of all photographs (`loading.py`) finds where in the sequence of crops each shard begins.
Then each shard is made independently, and gets its name when it is complete. A repeated command
continues a stopped one, checked by the recipe beside the shards.
"""

import dataclasses
import json
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from aibench_fast import tensortype
from aibench_fast.cluster import DaskCluster
from aibench_fast.errors import ConfigError
from aibench_fast.files import check_writable, write_text
from aibench_fast.tensors import images, tensorfile
from aibench_fast.tensors.loading import Survey, load_all, look, survey, usual_threads
from aibench_fast.tensors.photographs import (
    Photograph,
    Photographs,
    find,
    local_input,
    open_input,
)
from aibench_fast.tensors.prepare import (
    CropWriter,
    PrepareConfig,
    Prepared,
    check_outcome,
    count_tensors,
    crops_per_photograph,
    crops_writer,
    cut,
)
from aibench_fast.tensors.tensorfile import (
    MAX_SHARDS,
    check_place,
    find_shards,
    read_recipe,
    recipe_path,
    shard_bounds,
    shard_path,
)

Item = TypeVar("Item")
Made = TypeVar("Made")
Progress = Callable[[str, int, int], None]
"""Called with the name of the step, the items done and their total."""
_Measured = tuple[Photograph, tuple[int, int]]
"""A photograph, and its scaled width and height from the survey."""


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
        if not 1 <= count <= min(tensor_count, MAX_SHARDS):
            raise ConfigError(
                f"--shards: {count:,} shards of {tensor_count:,} tensors; each has at least one, "
                f"and there are {MAX_SHARDS:,} at most"
            )
        return count


@dataclass(frozen=True)
class ShardTask:
    """The inputs of one shard."""

    path: Path
    tensor_count: int
    photographs: list[_Measured]
    first_crops: int
    """Tensors of the first photograph; each of the others gives all of its crops."""
    generator_state: Any
    """State of the generator of crops at the begin of the shard."""


def make_shard(task: ShardTask, *, config: PrepareConfig, factor: int, threads: int) -> None:
    """Write a shard. ConfigError if a photograph changed since the survey."""
    generator = np.random.RandomState()
    generator.set_state(task.generator_state)
    room_bytes = task.tensor_count * tensortype.image_bytes(config.crop)
    left, crops = task.tensor_count, task.first_crops
    photographs, sizes = zip(*task.photographs, strict=True)
    with (
        tensorfile.create(task.path, room_bytes) as append,
        closing(load_all(photographs, config.size, threads, None)) as pictures,
    ):
        for (photograph, picture), size in zip(pictures, sizes, strict=True):
            height, width, _ = picture.shape
            if (width, height) != size:
                raise ConfigError(f"{photograph.name}: was changed while tensors were made")
            for _ in range(min(crops, left)):
                crop = images.draw_crop(generator, width, height, config.crop)
                append(cut(picture, crop, config))
            left, crops = max(0, left - crops), factor


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
        expected = count_tensors(config, listed)
        shard_count = sharding.shards(expected, tensortype.image_bytes(config.crop))
        check_place(config.output, shard_count)
        check_writable(config.output)
        if cluster is not None:
            _check_shared(cluster, config)

        factor = crops_per_photograph(config, listed)
        seen = survey(
            photographs,
            wanted=-(-config.limit // factor) if config.limit else None,
            is_skipping=is_skipping,
            look_at=partial(
                map_items,
                partial(look, size=config.size, is_thorough=is_skipping, threads=threads),
            ),
            on_progress=lambda done: on_progress("photographs", done, listed),
        )
        tensor_count = min(expected, seen.usable * factor)
        check_outcome(config, tensor_count, seen.skipped)
        plan = _Plan(config, factor, shard_bounds(tensor_count, shard_count), seen)
        _settle_recipe(plan)

        wanted = plan.missing()
        on_progress("shards", shard_count - len(wanted), shard_count)
        with ExitStack() as opened:
            file = config.crops_file
            write_crop = opened.enter_context(crops_writer(file)) if file else lambda *_: None
            made = map_items(
                partial(make_shard, config=config, factor=factor, threads=threads),
                plan.tasks(photographs, wanted, write_crop),
            )
            first_made = shard_count - len(wanted) + 1
            for done, _ in enumerate(opened.enter_context(closing(made)), first_made):
                on_progress("shards", done, shard_count)
        return Prepared(tensor_count, -(-tensor_count // factor), tuple(seen.skipped))


@dataclass(frozen=True)
class _Plan:
    """The tensors of each shard, and the photographs they are cut from."""

    config: PrepareConfig
    factor: int
    """Crops per photograph."""
    bounds: list[int]
    """The index of the first tensor of each shard, and of the end of the last one."""
    seen: Survey

    @property
    def shard_count(self) -> int:
        return len(self.bounds) - 1

    def path(self, number: int) -> Path:
        """Return the file of a shard; they count from 1."""
        return shard_path(self.config.output, number, self.shard_count)

    def missing(self) -> set[int]:
        """Return the shards that are missing or have the wrong length."""
        one_bytes = tensortype.image_bytes(self.config.crop)
        return {
            number
            for number, (begin, end) in enumerate(pairwise(self.bounds), 1)
            if not _has_size(self.path(number), (end - begin) * one_bytes)
        }

    def tasks(
        self, photographs: Photographs, wanted: set[int], write_crop: CropWriter
    ) -> Iterator[ShardTask]:
        """Yield the tasks of the wanted shards; draws all crops in order."""
        generator = np.random.RandomState(self.config.random_seed)
        usable = self._usable(photographs)
        held: list[_Measured] = []
        for number, (begin, end) in enumerate(pairwise(self.bounds), 1):
            state = generator.get_state()
            first, behind = begin // self.factor, -(-end // self.factor)
            held = held[-1:] if begin % self.factor else []  # the shard before has its first crops
            held += islice(usable, behind - first - len(held))
            if len(held) < behind - first:
                raise ConfigError(f"--input {self.config.input}: files went while it was read")
            for tensor in range(begin, end):
                photograph, (width, height) = held[tensor // self.factor - first]
                crop = images.draw_crop(generator, width, height, self.config.crop)
                write_crop(photograph.name, crop, width, height)
            if number in wanted:
                yield ShardTask(
                    path=self.path(number),
                    tensor_count=end - begin,
                    photographs=held,
                    first_crops=self.factor - begin % self.factor,
                    generator_state=state,
                )

    def _usable(self, photographs: Photographs) -> Iterator[_Measured]:
        sizes = zip(self.seen.widths, self.seen.heights, strict=True)
        return (one for one in zip(photographs, sizes, strict=False) if one[1][0] > 0)


def _map_here(
    function: Callable[[Item], Made], items: Iterable[Item]
) -> Generator[Made, None, None]:
    for item in items:
        yield function(item)


def _has_size(path: Path, size_bytes: int) -> bool:
    return path.exists() and path.stat().st_size == size_bytes


def _settle_recipe(plan: _Plan) -> None:
    """Write the recipe; ConfigError if there are shards of another recipe."""
    path = recipe_path(plan.config.output, plan.shard_count)
    recipe = {
        "Package": version("aibench-fast"),
        "RandomSeed": plan.config.random_seed,
        "ReUseFactor": plan.factor,
        "Size": plan.config.size,
        "Crop": plan.config.crop,
        "Layout": plan.config.layout,
        "Scale": plan.config.scale,
        "Tensors": plan.bounds[-1],
        "Bytes": plan.bounds[-1] * tensortype.image_bytes(plan.config.crop),
        "Photographs": plan.seen.usable,
        "PhotographsSha256": plan.seen.digest,
    }
    if not find_shards(plan.config.output):
        write_text(path, json.dumps(recipe, indent=2) + "\n")
        return
    known = read_recipe(path)
    if not known:
        raise ConfigError(
            f"--output {plan.config.output}: there are shards, but no {path.name} that says how "
            "they were made; remove them, or name another"
        )
    if known != recipe:
        differing = [
            f"{key} {value}, theirs {known.get(key)}"
            for key, value in recipe.items()
            if known.get(key) != value
        ]
        raise ConfigError(
            f"--output {plan.config.output}: there are shards of another recipe: "
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
