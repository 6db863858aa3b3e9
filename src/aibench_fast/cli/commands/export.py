"""`aibench-fast export`."""

import argparse

from aibench_fast.cli.options.parser import add_all
from aibench_fast.cli.options.resultfiles import add_results, load_results
from aibench_fast.cli.output import note
from aibench_fast.errors import ConfigError
from aibench_fast.files import write_text
from aibench_fast.results import export
from aibench_fast.results.folder import Loaded

FORMATS = {"csv": export.format_csv, "openmetrics": export.format_openmetrics}


EXAMPLE = "aibench-fast export results --format openmetrics --out results.prom"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_results(parser)
    form = parser.add_mutually_exclusive_group(required=True)
    add_all(
        form,
        {
            "--format": "write this format",
            "--like": "write streams of tokens as JSON with the names and definitions of this "
            "tool: vLLM's benchmark or AIPerf; of several results one in each line",
        },
        format={"choices": FORMATS},
        like={"choices": export.TOOLS},
    )
    add_all(parser, {"--out FILE": "write to this file (default: standard output)"})
    parser.set_defaults(handler=_export)


def _export(options: argparse.Namespace) -> int:
    loaded = load_results(options.results, options.prefix, out=options.out)
    text = _like(options.like, loaded) if options.like else FORMATS[options.format](loaded.records)
    if options.out:
        write_text(options.out, text)
    else:
        print(text, end="")
    return 0


def _like(tool: str, loaded: Loaded) -> str:
    """Return the results with streams of tokens; note the others on stderr."""
    streams = [run for run in loaded.records if run.stream]
    if not streams:
        raise ConfigError(f"--like {tool}: none of the results has streams of tokens")
    if others := len(loaded.records) - len(streams):
        note(f"{others} results are left out: they have no streams of tokens")
    return export.like(tool, streams)
