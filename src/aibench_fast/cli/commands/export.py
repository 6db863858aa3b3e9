"""`aibench-fast export`."""

import argparse
from pathlib import Path

from aibench_fast.cli.options.resultfiles import add_results, load_results, results_read
from aibench_fast.files import check_outputs, write_text
from aibench_fast.results import export

FORMATS = {"csv": export.format_csv, "openmetrics": export.format_openmetrics}


EXAMPLE = "aibench-fast export results --format openmetrics --out results.prom"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_results(parser)
    parser.add_argument("--format", choices=FORMATS, required=True, help="write this format")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write to this file (default: standard output)"
    )
    parser.set_defaults(handler=_export)


def _export(options: argparse.Namespace) -> int:
    check_outputs([("--out", options.out)])
    loaded = load_results(options.results, options.prefix)
    check_outputs([("--out", options.out)], results_read(loaded))
    text = FORMATS[options.format](loaded.records)
    if options.out:
        write_text(options.out, text)
    else:
        print(text, end="")
    return 0
