"""What the commands that read results have in common."""

import argparse
from collections.abc import Iterable
from pathlib import Path

from aibench_fast.cli.output import note
from aibench_fast.cli.progress import progress_bar
from aibench_fast.files import Named
from aibench_fast.results.autobatching import batching_doubts
from aibench_fast.results.files import mixed
from aibench_fast.results.folder import Loaded, load


def add_prefix(parser: argparse.ArgumentParser) -> None:
    """--prefix, which chooses among a folder's results."""
    parser.add_argument(
        "--prefix",
        default="",
        metavar="NAME",
        help="take only the results of a folder whose file names begin so (default: all)",
    )


def load_results(paths: Iterable[Path], prefix: str, quiet: bool = False) -> Loaded:
    """Read results, and name on stderr each file that is skipped, and each doubtful result.

    ConfigError where nothing usable is left.
    """
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
            note(f"{run.path} was interrupted: its figures are of the part that was measured")
        if run.failed:
            note(f"{run.path} has {run.failed} failed requests, in no latency")
        if run.not_sent:
            note(
                f"{run.path} has {run.not_sent} requests that were due and not sent, in no latency"
            )
    return loaded


def results_read(loaded: Loaded) -> list[Named]:
    """The files that hold results, so that no output replaces one."""
    files = [one.path for one in loaded.records] + [one.path for one in loaded.searches]
    return [("a result", file) for file in files]


def note_mixed(loaded: Loaded) -> None:
    """Say on stderr where runs that are summarised together are of unlike set-ups."""
    for name, values in mixed(loaded.records).items():
        note(
            f"unlike runs are taken together: {name} is {' or '.join(values)}; keep them apart by "
            "--prefix or folder"
        )
    for words in batching_doubts(loaded.records):
        note(words)
