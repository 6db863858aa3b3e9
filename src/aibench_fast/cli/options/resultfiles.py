"""The option and the notes of commands that read results."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from aibench_fast.cli.options.parser import add_all
from aibench_fast.cli.output import note, progress_bar
from aibench_fast.files import check_outputs
from aibench_fast.results.cells import batching_doubts, mixed
from aibench_fast.results.folder import Loaded, load


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the files and folders to read, and --prefix."""
    parser.add_argument(
        "results", type=Path, nargs="+", metavar="RESULT",
        help="read these result files, or folders of results",
    )  # fmt: skip
    add_prefix(parser)


def add_prefix(parser: argparse.ArgumentParser) -> None:
    """Add --prefix, which selects results of a folder."""
    add_all(
        parser,
        {"--prefix NAME": "read only files of a folder whose names begin with NAME (default: all)"},
        prefix={"default": ""},
    )


def load_results(
    paths: Iterable[Path], prefix: str, *, quiet: bool = False, out: Path | None = None
) -> Loaded:
    """Read results; note skipped files and doubtful results on stderr.

    ConfigError if no usable result is left, or if the output `--out` would replace one.
    """
    check_outputs([("--out", out)])
    with progress_bar(quiet, transient=True) as progress:
        reading = progress.add_task("reading files", total=None)
        loaded = load(
            paths,
            prefix,
            lambda done, total: progress.update(reading, advance=done, total=total),
        )
    for skipped in loaded.skipped:
        note(str(skipped))
    for run in loaded.records:
        if run.interrupted:
            note(f"{run.path} was interrupted: its figures cover the part that was measured")
        if run.failed:
            note(f"{run.path} has {run.failed} failed requests, excluded from latencies")
        if run.not_sent:
            note(
                f"{run.path} has {run.not_sent} due requests that were not sent, excluded from "
                "latencies"
            )
    files = [one.path for one in loaded.records] + [one.path for one in loaded.searches]
    check_outputs([("--out", out)], [("a result", file) for file in files])
    return loaded


def note_mixed(loaded: Loaded) -> None:
    """Note on stderr if runs of different set-ups are summarized together."""
    for name, values in mixed(loaded.records).items():
        note(
            f"different runs are summarized together: {name} is {' or '.join(values)}; separate "
            "them by --prefix or folder"
        )
    for words in batching_doubts(loaded.records):
        note(words)
