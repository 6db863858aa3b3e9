"""`aibench-fast report`."""

import argparse

from aibench_fast.cli.options.parser import QUIET, add_all
from aibench_fast.cli.options.resultfiles import add_results, load_results, note_mixed
from aibench_fast.cli.output import progress_bar
from aibench_fast.errors import ConfigError
from aibench_fast.files import check_folder
from aibench_fast.report.content import gather
from aibench_fast.report.output import write_pictures, write_report

EXAMPLE = "aibench-fast report results --out report.html"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_results(parser)
    add_all(
        parser,
        {
            "--out FILE": "write the HTML page to this file",
            "--png FOLDER": "write each chart to this folder as PNG",
            **QUIET,
        },
    )
    parser.set_defaults(handler=_report)


def _report(options: argparse.Namespace) -> int:
    if not options.out and not options.png:
        raise ConfigError("nothing to write: give --out for a page, or --png for pictures")
    if options.png:
        check_folder(options.png)
    loaded = load_results(options.results, options.prefix, quiet=options.quiet, out=options.out)
    note_mixed(loaded)
    source = ", ".join(map(str, options.results))
    if options.prefix:
        source += f", {options.prefix}*"
    with progress_bar(options.quiet, transient=True) as progress:
        reading = progress.add_task("adding up latencies", total=len(loaded.records))
        content = gather(source, loaded, lambda: progress.advance(reading))
    written = []
    if options.out:
        write_report(options.out, content)
        written.append(str(options.out))
    if options.png:
        written += map(str, write_pictures(options.png, content))
    if not options.quiet:
        print("\n".join(written))
    return 0
