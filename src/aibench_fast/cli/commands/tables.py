"""`aibench-fast tables`."""

import argparse
from pathlib import Path

from aibench_fast.cli.options.parser import add_all
from aibench_fast.cli.options.resultfiles import add_prefix, load_results, note_mixed
from aibench_fast.errors import ConfigError
from aibench_fast.results import tables
from aibench_fast.results.details import read_details
from aibench_fast.results.files import read_record
from aibench_fast.results.serverperiods import cpu_periods, format_cpu
from aibench_fast.results.tables import Stat

FORMATS = {
    "text": tables.format_text,
    "csv": tables.format_csv,
    "markdown": tables.format_markdown,
    "json": tables.format_json,
}


EXAMPLE = "aibench-fast tables --dir results --prefix JSON_redisai_v1.0"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    source = parser.add_mutually_exclusive_group(required=True)
    add_all(
        source,
        {
            "--dir FOLDER": "read the results in this folder",
            "--cpu RESULT": "print the server's CPU use by reporting period of this result",
        },
        cpu={"type": Path},
    )
    add_prefix(parser)
    add_all(
        parser,
        {
            "--stat": "summarize repeated runs by the best, as aibench does, or by median, least "
            "and greatest (default: best)",
            "--format": "print in this format: text as aibench's script does, csv and json with "
            "one cell per row (default: text)",
            "--server-stat NAME": "print this server statistic of each cell's fastest run, such as "
            "used_memory_human",
        },
        stat={"choices": Stat, "default": Stat.BEST},
        format={"choices": FORMATS, "default": "text"},
    )
    parser.set_defaults(handler=_tables)


def _tables(options: argparse.Namespace) -> int:
    if options.cpu:
        print(_cpu(options.cpu), end="")
        return 0
    if options.server_stat and options.format != "text":
        raise ConfigError(
            f"--server-stat with --format {options.format}: server statistics are text only"
        )
    loaded = load_results([options.dir], options.prefix)
    note_mixed(loaded)
    records = loaded.records
    if options.server_stat:
        shown = tables.format_server_stat(records, options.server_stat)
    else:
        shown = FORMATS[options.format](records, options.stat)
    print(shown, end="")
    return 0


def _cpu(path: Path) -> str:
    try:
        start_unix_ms = read_record(path).start_unix_ms
        periods = cpu_periods(read_details(path).server_stats, start_unix_ms)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if not periods:
        raise ConfigError(f"{path} has no CPU time of the server by reporting period")
    return format_cpu(periods)
