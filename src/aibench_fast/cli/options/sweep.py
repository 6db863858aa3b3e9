"""Options of a sweep: its grid, and the order of its runs."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from aibench_fast.cli.options.values import seconds

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


def add_grid_options(parser: argparse.ArgumentParser) -> None:
    """What is gone through."""
    group = parser.add_argument_group(
        "the grid", "numbers as 1,8,16 or as MIN:MAX:STEP, where 0:50:10 is 1,10,20,30,40,50"
    )
    group.add_argument(
        "--grid", type=Path, metavar="FILE",
        help="options from a TOML file, named as here; those typed beside it win; with [[server]] "
        "tables of name and url, host, port, socket or embedded, and model, servers are compared",
    )  # fmt: skip
    group.add_argument(
        "--workers", type=axis(1), default=[1], metavar="N,...",
        help="requests under way at a time (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--autobatching", type=axis(0), metavar="N,...",
        help="batch sizes on the server: the model is read from it and stored again with each, and "
        "at last with its own (default: as it is)",
    )  # fmt: skip
    group.add_argument(
        "--batch-size", type=axis(1), default=[1], metavar="B,...",
        help="tensors a request, sent as one with the batch before its shape (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--limit-rps", type=_rates, default=[0.0], metavar="N,...",
        help="requests a second of all workers (default: 0, no limit)",
    )  # fmt: skip
    group.add_argument(
        "--runs", type=int, default=1, metavar="N", help="times that each is run (default: 1)"
    )


def add_sweep_options(parser: argparse.ArgumentParser) -> None:
    """How the runs follow each other, and where their results go."""
    group = parser.add_argument_group("the sweep")
    group.add_argument(
        "--results-dir", type=Path, default=Path("results"), metavar="FOLDER",
        help="where JSON_... and RAW_... files go (default: results)",
    )  # fmt: skip
    group.add_argument(
        "--suffix", default="", metavar="TEXT", help="a part of the files' names, such as v1.2_"
    )
    group.add_argument(
        "--device", type=str.lower, choices=["cpu", "gpu"], default="cpu",
        help="what the files' names say that the model runs on (default: cpu)",
    )  # fmt: skip
    group.add_argument(
        "--shuffle", type=int, nargs="?", const=1, metavar="SEED",
        help="in random order, drawn from SEED (default: in order)",
    )  # fmt: skip
    group.add_argument(
        "--sleep", type=seconds, default=0.0, metavar="TIME",
        help="how long to wait between two runs (default: not)",
    )  # fmt: skip
    group.add_argument(
        "--keep-going", action="store_true",
        help="go on after a run that failed, and without a server that is gone (default: stop "
        "there)",
    )  # fmt: skip
    group.add_argument(
        "--allow-flush", action="store_true",
        help="empty the whole server before each run, and store the model again",
    )  # fmt: skip
    group.add_argument(
        "--dry-run", action="store_true", help="tell which runs there are and do none"
    )
    group.add_argument("--quiet", action="store_true", help="no progress and no lines")
