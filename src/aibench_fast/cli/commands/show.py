"""`aibench-fast show`."""

import argparse
import re
from pathlib import Path

from PIL import Image

from aibench_fast.cli.options.parser import add_all
from aibench_fast.errors import ConfigError
from aibench_fast.files import check_outputs, replacing
from aibench_fast.tensors import summary as tensorsummary
from aibench_fast.tensors import tensorfile

INDEX = "0:16"
MAX_PICTURES = 1024
"""Viewers refuse larger sheets."""


EXAMPLE = "aibench-fast show /tmp/bulk_data/vision_tensors.out --index 0:16 --out sheet.png"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", type=Path, metavar="FILE", help="show this tensor file")
    add_all(
        parser,
        {
            "--summary": "print count, shape, and the least, greatest and mean value (default "
            "without --out)",
            "--index A:B": f"draw tensors A to B-1, or one (default: {INDEX})",
            "--out IMAGE": "write the drawn tensors as one picture, such as .png",
            "--crop PIXELS": "set height and width of a tensor (default: guessed from the file "
            "size)",
            "--layout": "set the order of the axes (default: guessed from the values)",
        },
        layout={"choices": tensorfile.LAYOUTS},
    )
    parser.set_defaults(handler=_show)


def _show(options: argparse.Namespace) -> int:
    if options.crop is not None and options.crop < 1:
        raise ConfigError(f"--crop {options.crop}: must be at least 1")
    if options.index and not options.out:
        raise ConfigError(f"--index {options.index}: needs --out, the picture to write")
    check_outputs([("--out", options.out)], [("the tensor file", options.file)])
    side = options.crop or tensorsummary.guess_side(options.file)
    if options.summary or not options.out:
        _print_summary(tensorsummary.summarise(options.file, side, options.layout))
    if options.out:
        _write_sheet(options, side)
    return 0


def _print_summary(summary: tensorsummary.Summary) -> None:
    side = summary.side
    shape = f"{side} x {side} x 3" if summary.layout == "nhwc" else f"3 x {side} x {side}"
    print(f"tensors:  {summary.count:,}")
    print(f"shape:    {shape} float32 ({summary.layout.upper()})")
    print(f"least:    {summary.smallest:.6f}")
    print(f"greatest: {summary.largest:.6f}")
    print(f"mean:     {summary.mean:.6f}")


def _write_sheet(options: argparse.Namespace, side: int) -> None:
    Image.init()
    form = Image.EXTENSION.get(options.out.suffix.lower())
    if form not in Image.SAVE:
        raise ConfigError(f"--out {options.out}: its suffix is not a picture format; use .png")
    tensors = tensorsummary.open_mapped(options.file, side)
    layout = options.layout or tensorsummary.guess_layout(tensors[0], side)
    chosen = _chosen(options.index or INDEX, len(tensors))
    sheet = tensorsummary.contact_sheet(
        [tensorsummary.to_picture(tensors[one], side, layout) for one in chosen]
    )
    with replacing(options.out) as file:
        sheet.save(file, form)
    print(f"{len(chosen)} tensors drawn in {options.out}")


def _chosen(index: str, count: int) -> range:
    """Return the tensors of A:B, :B, A: or A; B may lie beyond the last."""
    match = re.fullmatch(r"(\d*):(\d*)|(\d+)", index)
    if not match:
        raise ConfigError(f"--index {index}: write A:B, such as 0:16, or one number")
    first, end, one = match.groups()
    start = int(one or first or 0)
    stop = start + 1 if one else min(int(end or count), count)
    if not start < stop <= count:
        raise ConfigError(f"--index {index}: the file has tensors 0 to {count - 1}")
    if stop - start > MAX_PICTURES:
        raise ConfigError(f"--index {index}: {stop - start} tensors; at most {MAX_PICTURES} fit")
    return range(start, stop)
