"""`aibench-fast compare`."""

import argparse
import json
import sys
from pathlib import Path

from aibench_fast.cli.options import add_command
from aibench_fast.cli.resultfiles import load_results
from aibench_fast.errors import ConfigError
from aibench_fast.report.comparison import comparison_json, format_comparison
from aibench_fast.results.compare import MIN_RUNS, Verdict, compare

EXIT_WORSE = 1
PERCENT = 100


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "compare",
        summary="Compare two sets of results: ratios, confidence intervals and a verdict; the exit "
        "code is 1 where B is worse.",
        example="aibench-fast compare results/before results/after --threshold 5",
    )
    parser.add_argument("a", type=Path, metavar="A", help="a result or a folder: the base")
    parser.add_argument("b", type=Path, metavar="B", help="a result or a folder: compared with it")
    parser.add_argument(
        "--prefix-a", default="", metavar="NAME", help="of folder A only names that begin so"
    )
    parser.add_argument(
        "--prefix-b", default="", metavar="NAME", help="of folder B only names that begin so"
    )
    parser.add_argument(
        "--threshold", type=_percent, default=5.0, metavar="PERCENT",
        help="a change up to this does not matter (default: 5)",
    )  # fmt: skip
    parser.add_argument(
        "--force", action="store_true",
        help="compare although host, server, model, data or settings differ",
    )  # fmt: skip
    parser.add_argument("--format", choices=["text", "json"], default="text", help="default: text")
    parser.set_defaults(handler=_compare)


def _percent(word: str) -> float:
    try:
        value = float(word.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value < PERCENT:
        raise argparse.ArgumentTypeError(f"{word!r} is no percentage from 0 up to 100")
    return value


def _compare(options: argparse.Namespace) -> int:
    a = load_results([options.a], options.prefix_a).records
    b = load_results([options.b], options.prefix_b).records
    threshold = options.threshold / PERCENT
    report = compare(a, b, threshold)
    if report.differences and not options.force:
        raise ConfigError(
            f"A and B are not alike, so their figures are not comparable: "
            f"{'; '.join(map(str, report.differences))}. --force compares them all the same"
        )
    if options.format == "json":
        print(json.dumps(comparison_json(report, threshold), indent=2))
    else:
        print(format_comparison(report, str(options.a), str(options.b), threshold), end="")
    if any(one.verdict is Verdict.TOO_FEW_RUNS for one in report.comparisons):
        print(
            f"aibench-fast: no verdict where a side has fewer than {MIN_RUNS} runs of a cell: "
            "repeat the runs",
            file=sys.stderr,
        )
    return EXIT_WORSE if report.worse else 0
