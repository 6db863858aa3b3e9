"""The options of a sweep, typed or from a TOML file."""

import argparse
import shlex
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aibench_fast.cli.options.values import seconds
from aibench_fast.errors import ConfigError
from aibench_fast.files import read_text
from aibench_fast.load.sweep import numbers
from aibench_fast.load.toml import shown


def _axis(least: int) -> Callable[[str], list[int]]:
    def axis(words: str) -> list[int]:
        try:
            return numbers(words, least=least)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return axis


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
        "--workers", type=_axis(1), default=[1], metavar="N,...",
        help="requests under way at a time (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--autobatching", type=_axis(0), metavar="N,...",
        help="batch sizes on the server: the model is read from it and stored again with each, and "
        "at last with its own (default: as it is)",
    )  # fmt: skip
    group.add_argument(
        "--batch-size", type=_axis(1), default=[1], metavar="B,...",
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


def with_grid_file(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> argparse.Namespace:
    """The options with those of --grid under them, and its tables of servers."""
    typed = shlex.split(options.command_line)[2:]
    settings = {} if options.grid is None else _settings(options.grid)
    servers = settings.pop("server", [])
    both = parser.parse_args([*_words(parser, settings), *typed])
    both.command_line = options.command_line
    both.servers = servers
    return both


def _settings(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(file))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read --grid {file}: {error}") from error


_GIVEN_AGAIN = {"expect", "header", "input", "output", "url"}
"""Options that have several values by being given several times, and not by commas."""


def _words(parser: argparse.ArgumentParser, settings: Mapping[str, Any]) -> list[str]:
    """A TOML file's settings as options would be typed."""
    words = []
    for name, value in settings.items():
        default = parser.get_default(name.replace("-", "_"))
        if isinstance(value, bool) and (default is None or isinstance(default, bool)):
            if value != default:
                words.append(f"--{name}" if value else f"--{name}=false")
        elif isinstance(value, list) and name in _GIVEN_AGAIN:
            words += [f"--{name}={one}" for one in value]
        else:
            values = value if isinstance(value, list) else [value]
            words.append(f"--{name}={','.join(map(_word, values))}")
    return words


def _word(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)
