"""`aibench-fast prepare`."""

import argparse
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from aibench_fast.cli.options import add_command
from aibench_fast.tensors.prepare import RANDOM_SEED, SMALLER_SIDE, PrepareConfig, prepare
from aibench_fast.tensors.tensorfile import LAYOUTS, VALUE_RANGES
from aibench_fast.tensortype import MODEL_SIDE

OUTPUT = Path("/tmp/bulk_data/vision_tensors.out")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "prepare",
        summary="Make a tensor file from photographs: scaled, cropped, float32 RGB.",
        example="aibench-fast prepare --input sample --limit 200",
    )
    parser.add_argument(
        "--input",
        required=True,
        metavar="DIR|ZIP|sample",
        help="a folder or zip archive of photographs, or the sample photographs",
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="FILE", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--random-seed",
        type=int,
        default=RANDOM_SEED,
        metavar="S",
        help="seed of the crops, the same as aibench's (default: %(default)s)",
    )
    parser.add_argument(
        "--re-use-factor",
        type=int,
        metavar="N",
        help="crops of each photograph (default: as many as --limit needs; without it 1, and 20 "
        "of the sample photographs)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="make exactly N tensors")
    parser.add_argument(
        "--size",
        type=int,
        default=SMALLER_SIDE,
        metavar="PIXELS",
        help="scale each photograph's smaller side to this (default: %(default)s)",
    )
    parser.add_argument(
        "--crop",
        type=int,
        default=MODEL_SIDE,
        metavar="PIXELS",
        help="height and width of a tensor (default: %(default)s)",
    )
    parser.add_argument(
        "--layout", choices=LAYOUTS, default="nhwc", help="order of the axes (default: %(default)s)"
    )
    # Or the value -1..1 is taken for an option; from Python 3.14 on argparse knows better.
    parser._negative_number_matcher = re.compile(r"-\d")
    parser.add_argument(
        "--scale",
        choices=VALUE_RANGES,
        default="0..1",
        help="range of the values (default: %(default)s)",
    )
    parser.add_argument(
        "--crops-file",
        type=Path,
        metavar="CSV",
        help="write where each tensor was cut: name, x, y, scaled width and height",
    )
    parser.add_argument(
        "--on-error",
        choices=("fail", "skip"),
        default="fail",
        help="at a file that is no photograph: stop, or leave it out and list it "
        "(default: %(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress and no closing line")
    parser.set_defaults(handler=_prepare)


def _prepare(options: argparse.Namespace) -> int:
    config = PrepareConfig(
        input=options.input,
        output=options.output,
        random_seed=options.random_seed,
        re_use_factor=options.re_use_factor,
        limit=options.limit,
        size=options.size,
        crop=options.crop,
        layout=options.layout,
        scale=options.scale,
        crops_file=options.crops_file,
        on_error=options.on_error,
    )
    if not options.quiet:
        print(
            f"Using random seed {config.random_seed} to take a random "
            f"{config.crop} x {config.crop} crop to the scaled image"
        )
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("[progress.percentage]{task.percentage:>3.0f}%"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[rate]}"),
        console=console,
        disable=options.quiet or not console.is_terminal,
    )
    with progress:
        task = progress.add_task("", total=None, rate="")

        def show(done: int, total: int) -> None:
            speed = progress.tasks[0].speed
            progress.update(
                task, completed=done, total=total, rate=f"{speed:.1f} tensors/s" if speed else ""
            )

        prepared = prepare(config, show)
    for skipped in prepared.skipped:
        print(f"skipped {skipped.name}: {skipped.reason}", file=sys.stderr)
    if not options.quiet:
        print(f"{prepared.tensors:,} tensors from {prepared.photographs:,} photographs")
        print(f"Data generated to file {config.output}")
    return 0
