"""Outputs of a command that keep what was measured when a file cannot be written."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aibench_fast.cli.output import is_refused, note
from aibench_fast.errors import ConfigError
from aibench_fast.files import growing, unwritable, write_text
from aibench_fast.report.junit import format_junit
from aibench_fast.results.events import IntervalLatencies
from aibench_fast.results.hdrlog import HdrLog
from aibench_fast.results.result import Result
from aibench_fast.studies.events import StudyObserver
from aibench_fast.studies.runs import written


@contextmanager
def logged(file: Path | None, observe: StudyObserver) -> Iterator[StudyObserver]:
    """Write every reporting period's latencies to --hdr-log-file, and hand on the other events."""
    if file is None:
        yield observe
        return
    errors: list[ConfigError] = []
    with growing(file) as opened:
        log = HdrLog(opened)

        def append(event: IntervalLatencies) -> None:
            try:
                log.append(event)
            except OSError as error:
                raise unwritable(file, error) from error

        yield written(observe, IntervalLatencies, append, errors)
        if errors:
            raise errors[0]


@contextmanager
def printed(file: Path) -> Iterator[Callable[[str], None]]:
    """Open a file and yield a function that writes a line to it at once.

    A full disk is reported once and does not end the run. ConfigError if the file cannot be
    created.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        opened = file.open("w", 1, "utf-8", "backslashreplace")
    except OSError as error:
        raise unwritable(file, error) from error
    is_full = False

    def write(line: str) -> None:
        nonlocal is_full
        try:
            if not is_full:
                print(line, file=opened)
        except OSError as error:
            is_full = True
            note(f"the run goes on, but {unwritable(file, error)}")

    try:
        yield write
    finally:
        with suppress(OSError):  # already reported
            opened.close()


def print_unsaved(result: Result) -> None:
    """Print a result that cannot be saved, as a line of JSON, so that it is not lost."""
    note("the result cannot be saved: it is a line of standard output, as JSON")
    line = json.dumps(result.to_json())
    print(line, flush=True)
    if is_refused():
        print(line, file=sys.stderr)


def write_junit(file: Path | None, runs: Iterable[tuple[str, Result]]) -> None:
    """Write the expectations of runs to --junit, if given; ConfigError as `write_text`."""
    if file is not None:
        write_text(file, format_junit((name, result.expectations) for name, result in runs))
