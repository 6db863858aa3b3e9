"""`aibench-fast prepare`."""

import argparse
import re
import sys
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from aibench_fast.cli.options.parser import QUIET, add_all, by_name, size
from aibench_fast.cli.output import progress_bar
from aibench_fast.cluster import connect
from aibench_fast.errors import ConfigError
from aibench_fast.files import check_outputs
from aibench_fast.tensors.photographs import local_input
from aibench_fast.tensors.prepare import PrepareConfig, Prepared, prepare
from aibench_fast.tensors.sharding import Sharding, prepare_shards
from aibench_fast.tensors.tensorfile import LAYOUTS, VALUE_RANGES, files_of

OUTPUT = Path("/tmp/bulk_data/vision_tensors.out")


EXAMPLE = "aibench-fast prepare --input sample --limit 200"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    # Otherwise argparse reads the value -1..1 as an option, until Python 3.14.
    parser._negative_number_matcher = re.compile(r"-\d")
    add_all(
        parser,
        {
            "--input DIR|ZIP|ADDRESS|sample": "read photographs from a folder or zip archive, "
            "local or at an address such as s3://bucket/folder (fsspec extra), or use the sample "
            "photographs",
            "--output FILE": "write this file (default: %(default)s)",
            "--random-seed S": "draw the crops from this seed, as aibench does (default: "
            "%(default)s)",
            "--re-use-factor N": "take N crops of each photograph (default: as many as --limit "
            "needs, otherwise 1, or 20 of the sample photographs)",
            "--limit N": "make exactly N tensors",
            "--size PIXELS": "scale the smaller side of each photograph to this (default: "
            "%(default)s)",
            "--crop PIXELS": "set height and width of a tensor (default: %(default)s)",
            "--layout": "set the order of the axes (default: %(default)s)",
            "--scale": "set the range of the values (default: %(default)s)",
            "--crops-file CSV": "save the crop of each tensor: name, x, y, scaled width and height",
            "--on-error": "if a file is not a photograph, stop, or skip the file and list it "
            "(default: %(default)s)",
            "--shards N|SIZE": "write N files, or files of at most a size such as 4GiB: "
            "tensors-00001-of-00010.out and so on; `run --file` reads them by the name of --output",
            "--dask ADDRESS": "make the shards on the workers of this Dask scheduler, such as "
            "tcp://scheduler:8786; they must share the folders of --input and --output",
            **QUIET,
        },
        PrepareConfig,
        input={"required": True, "type": None},
        output={"default": OUTPUT},
        layout={"choices": LAYOUTS},
        scale={"choices": VALUE_RANGES},
        on_error={"choices": ("fail", "skip")},
        shards={"type": _sharding},
    )
    parser.set_defaults(handler=_prepare)


def _sharding(words: str) -> Sharding:
    """Return a number of shards, or the size of one."""
    return Sharding(count=int(words)) if words.isdecimal() else Sharding(most_bytes=size(words))


def _prepare(options: argparse.Namespace) -> int:
    config = by_name(PrepareConfig, options)
    if options.dask and not options.shards:
        raise ConfigError(
            f"--dask {options.dask}: each worker makes one shard at a time; add --shards"
        )
    check_outputs(
        [("--output", config.output), ("--crops-file", config.crops_file)],
        [("--input", local_input(config.input))],
    )
    if not options.quiet:
        print(
            f"Using random seed {config.random_seed} to take a random "
            f"{config.crop} x {config.crop} crop to the scaled image"
        )
    prepared = _prepare_shards(config, options) if options.shards else _prepare_one(config, options)
    for skipped in prepared.skipped:
        print(f"skipped {skipped.name}: {skipped.reason}", file=sys.stderr)
    if not options.quiet:
        print(f"{prepared.tensors:,} tensors from {prepared.photographs:,} photographs")
        shards = f", in {len(files_of(config.output))} shards" if options.shards else ""
        print(f"Data generated to file {config.output}{shards}")
    return 0


def _prepare_one(config: PrepareConfig, options: argparse.Namespace) -> Prepared:
    console = Console(stderr=True)
    with Progress(
        TextColumn("[progress.percentage]{task.percentage:>3.0f}%"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[rate]}"),
        console=console,
        disable=options.quiet or not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=None, rate="")

        def show(done: int, total: int) -> None:
            speed = progress.tasks[0].speed
            progress.update(
                task, completed=done, total=total, rate=f"{speed:.1f} tensors/s" if speed else ""
            )

        return prepare(config, show)


def _prepare_shards(config: PrepareConfig, options: argparse.Namespace) -> Prepared:
    connected = connect(options.dask) if options.dask else nullcontext()
    with connected as cluster, progress_bar(options.quiet) as progress:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what)
            progress.update(tasks[what], completed=done, total=total)

        return prepare_shards(config, options.shards, cluster=cluster, on_progress=show)
