"""Options of a sweep: its grid, and the order of its runs."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from aibench_fast.cli.options.streams import add_lengths
from aibench_fast.cli.options.values import number_range, seconds
from aibench_fast.units import Range

_RANGE = re.compile(r"(\d+):(\d+):(\d+)")


def axis(least: int) -> Callable[[str], list[int]]:
    """Return a reader of an axis: `1,8,16`, or `MIN:MAX:STEP` as aibench's scripts count.

    In a range a number below `least` is read as `least`: 0:50:10 is 1,10,20,... workers.
    """

    def read(words: str) -> list[int]:
        if match := _RANGE.fullmatch(words):
            first, last, step = map(int, match.groups())
            if step < 1 or last < first:
                raise argparse.ArgumentTypeError(f"{words!r} is empty: write MIN:MAX:STEP")
            return list(dict.fromkeys(max(n, least) for n in range(first, last + 1, step)))
        try:
            found = [int(word) for word in words.split(",")]
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"{words!r}: write numbers such as 1,8,16, or MIN:MAX:STEP"
            ) from None
        if min(found) < least:
            raise argparse.ArgumentTypeError(f"{words!r}: each has to be at least {least}")
        return found

    return read


def _rates(words: str) -> list[float]:
    try:
        return [float(word) for word in words.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{words!r}: write rates such as 50,100") from error


def _lengths(words: str) -> list[Range]:
    return [number_range(word) for word in words.split(",")]


def add_grid_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the grid."""
    group = parser.add_argument_group(
        "Grid", "Write numbers as 1,8,16 or MIN:MAX:STEP; 0:50:10 is 1,10,20,30,40,50."
    )
    group.add_argument(
        "--grid", type=Path, metavar="FILE",
        help="read options from a TOML file, by their names; typed options take precedence. "
        "[[server]] tables compare servers: name, model, and url, host, port, socket or embedded",
    )  # fmt: skip
    group.add_argument(
        "--workers", type=axis(1), default=[1], metavar="N,...",
        help="use so many workers, each on its own connection (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--autobatching", type=axis(0), metavar="N,...",
        help="store the model again with each batch size, and at the end with its own (default: do "
        "not change it)",
    )  # fmt: skip
    group.add_argument(
        "--batch-size", type=axis(1), default=[1], metavar="B,...",
        help="send B tensors per request (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--limit-rps", type=_rates, default=[0.0], metavar="N,...",
        help="send N requests per second from all workers (default: 0, no limit)",
    )  # fmt: skip
    add_lengths(group, _lengths, [None], ",...")
    group.add_argument(
        "--runs", type=int, default=1, metavar="N", help="run each combination N times (default: 1)"
    )


def add_sweep_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the order of the runs, and for their files."""
    group = parser.add_argument_group("Sweep")
    group.add_argument(
        "--results-dir", type=Path, default=Path("results"), metavar="FOLDER", dest="folder",
        help="write JSON_... and RAW_... files here (default: results)",
    )  # fmt: skip
    group.add_argument(
        "--suffix", default="", metavar="TEXT", help="put this into the file names, such as v1.2_"
    )
    group.add_argument(
        "--device", type=str.lower, choices=["cpu", "gpu"], default="cpu",
        help="put this device into the file names (default: cpu)",
    )  # fmt: skip
    group.add_argument(
        "--shuffle", type=int, nargs="?", const=1, metavar="SEED",
        help="run the cells in random order (default: in order)",
    )  # fmt: skip
    group.add_argument(
        "--sleep", type=seconds, default=0.0, metavar="TIME", dest="pause_s",
        help="pause between two runs (default: do not)",
    )  # fmt: skip
    group.add_argument(
        "--keep-going", action="store_true",
        help="continue after a failed run, and without a server that cannot be reached (default: "
        "stop)",
    )  # fmt: skip
    group.add_argument(
        "--allow-flush", action="store_true",
        help="empty the whole server before each run and store the model again",
    )  # fmt: skip
    group.add_argument("--dry-run", action="store_true", help="print the runs without making them")
    group.add_argument("--quiet", action="store_true", help="print no progress and no lines")
