"""`aibench-fast compare`."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from aibench_fast.cli.options.parser import add_all, typed
from aibench_fast.cli.options.resultfiles import load_results
from aibench_fast.cli.output import note
from aibench_fast.errors import ConfigError
from aibench_fast.report.comparison import comparison_json, format_comparison
from aibench_fast.results.cells import SERVER_FACTS, of_server
from aibench_fast.results.compare import (
    MIN_RUNS,
    RECOMMENDED_RUNS,
    ComparisonReport,
    ComparisonVerdict,
    compare,
)
from aibench_fast.results.record import RunRecord

EXIT_WORSE = 1
PERCENT = 100


EXAMPLE = "aibench-fast compare results/before results/after --threshold 5"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "a", type=Path, metavar="A", help="the base: a result or a folder of results"
    )
    parser.add_argument(
        "b", type=Path, metavar="B", help="what is compared with it: a result or a folder"
    )
    add_all(
        parser,
        {
            "--prefix-a NAME": "read only files of folder A whose names begin with NAME",
            "--prefix-b NAME": "read only files of folder B whose names begin with NAME",
            "--server-a NAME": "read only results of this server from A",
            "--server-b NAME": "read only results of this server from B; A and B can be the same "
            "folder",
            "--threshold PERCENT": "ignore changes of up to this percentage (default: 5)",
            "--force": "compare even if host, server, model, data or settings differ",
            "--format": "print in this format (default: text)",
        },
        prefix_a={"default": ""},
        prefix_b={"default": ""},
        threshold={"type": typed(_percent, " is not a percentage from 0 to 100"), "default": 5.0},
        format={"choices": ["text", "json"], "default": "text"},
    )
    parser.set_defaults(handler=_compare)


def _percent(word: str) -> float:
    value = float(word.removesuffix("%"))
    if not 0 <= value < PERCENT:
        raise ValueError
    return value


def _side(path: Path, prefix: str, server: str | None) -> tuple[Sequence[RunRecord], str]:
    """Return the results of a side, and its name."""
    records = load_results([path], prefix).records
    if server is None:
        return records, str(path)
    return of_server(records, server), f"{path}, server {server}"


def _compare(options: argparse.Namespace) -> int:
    a, words_a = _side(options.a, options.prefix_a, options.server_a)
    b, words_b = _side(options.b, options.prefix_b, options.server_b)
    report = compare(a, b, options.threshold / PERCENT)
    of_servers = SERVER_FACTS if options.server_a and options.server_b else ()
    unlike = [str(one) for one in report.differences if one.name not in of_servers]
    if unlike and not options.force:
        raise ConfigError(
            f"A and B differ, so their figures are not comparable: "
            f"{'; '.join(unlike)}. --force compares them anyway"
        )
    if options.format == "json":
        print(json.dumps(comparison_json(report), indent=2))
    else:
        print(format_comparison(report, words_a, words_b), end="")
    for words in _advice(report):
        note(words)
    return EXIT_WORSE if report.worse else 0


def _advice(report: ComparisonReport) -> Iterator[str]:
    """Yield what would lead to more verdicts."""
    if any(one.verdict is ComparisonVerdict.TOO_FEW_RUNS for one in report.comparisons):
        yield (
            f"no verdict on cells with fewer than {MIN_RUNS} runs on a side: make "
            f"{RECOMMENDED_RUNS} of each"
        )
    of_few = [
        one.interval
        for one in report.comparisons
        if one.verdict is ComparisonVerdict.UNCLEAR
        and min(one.runs_a, one.runs_b) < RECOMMENDED_RUNS
        and one.interval
    ]
    if of_few:
        low, high = max(of_few, key=lambda interval: interval[1] / interval[0])
        yield (
            f"few runs give intervals as wide as {low:.3f} to {high:.3f}: make {RECOMMENDED_RUNS} "
            "runs on each side, or more"
        )
    unknown = {
        one.metric.name: one.metric.least_requests
        for one in report.comparisons
        if one.verdict is ComparisonVerdict.NOT_KNOWN
    }
    for name, least_requests in unknown.items():
        yield (
            f"no verdict on {name} of runs with fewer than {least_requests} requests: measure more"
        )
