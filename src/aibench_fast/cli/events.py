"""What runs show and save: events as lines, a live line or a live view; logs and results.

What was measured is kept when a file cannot be written.
"""

import argparse
import json
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from heapq import nlargest
from pathlib import Path

from aibench_fast.cli.output import is_refused, note
from aibench_fast.errors import ConfigError
from aibench_fast.files import growing, unwritable, write_text
from aibench_fast.report import text
from aibench_fast.report.junit import format_junit
from aibench_fast.results import events
from aibench_fast.results.hdrlog import HdrLog
from aibench_fast.results.result import Interval, Result
from aibench_fast.studies.events import Note, RunFinished, ServerStarted, StudyEvent, StudyObserver
from aibench_fast.studies.runs import written
from aibench_fast.tensortype import STRINGS, split_strings

TOP_CLASSES = 5
SHOWN_BYTES = 60
"""Of each string in a reply."""


@contextmanager
def shown(options: argparse.Namespace) -> Iterator[StudyObserver]:
    """Show the events of runs: a live line on a terminal, CSV into a pipe."""
    with ExitStack() as opened:
        show: StudyObserver = _print_event
        if options.quiet:
            show = _print_sample
        elif sys.stdout.isatty():
            show = opened.enter_context(_live(full=options.live))

        def show_all(event: StudyEvent) -> None:
            print_notice(event, quiet=options.quiet)
            show(event)

        yield show_all


def print_notice(event: StudyEvent, *, quiet: bool) -> None:
    """Print a note, a result that cannot be saved, and unless `quiet` which server was started."""
    match event:
        case RunFinished() if event.unsaved:
            print_unsaved(event.result)
        case Note():
            note(event.words)
        case ServerStarted() if not quiet:
            print(event.description, file=sys.stderr)


def _print_event(event: StudyEvent) -> None:
    _print_sample(event)
    if line := text.line_of(event):
        is_figure = isinstance(event, events.Started | Interval | events.BurnInComplete)
        print(line, file=sys.stdout if is_figure else sys.stderr, flush=True)


def print_preparing(event: StudyEvent) -> None:
    """Print once what takes time before a run: formatting, and sending files to clients."""
    if isinstance(event, events.Formatting | events.SendingFile) and (line := text.line_of(event)):
        print(line, file=sys.stderr, flush=True)


def _print_sample(event: StudyEvent) -> None:
    """Print the classes with the highest values to stderr, so that stdout stays CSV."""
    if not isinstance(event, events.Sample):
        return
    if event.dtype == "FLOAT":
        values = array("f", event.output)
        best = nlargest(TOP_CLASSES, range(len(values)), key=values.__getitem__)
        shown = "classes " + ", ".join(f"{index} ({values[index]:.4f})" for index in best)
    elif event.dtype == STRINGS:
        shown = _shown_strings(split_strings(event.output))
    else:
        shown = f"{len(event.output)} bytes of {event.dtype}"
    print(f"reply to tensor {event.tensor}: {shown}", file=sys.stderr)


def _shown_strings(strings: Sequence[bytes]) -> str:
    """Return the beginnings of the first strings, escaped to fit on a line."""
    words = [
        repr(one[:SHOWN_BYTES].decode(errors="replace")) + ("..." if len(one) > SHOWN_BYTES else "")
        for one in strings[:TOP_CLASSES]
    ]
    more = len(strings) - len(words)
    return f"{', '.join(words) or 'no string'}{f' and {more} more' if more else ''}"


@contextmanager
def _live(*, full: bool) -> Iterator[StudyObserver]:
    """Show events as a line that changes, or with `full` as a view of charts and figures."""
    # Imported here to save memory in runs into a pipe.
    from rich.console import Console
    from rich.live import Live

    from aibench_fast.report.live import LiveView

    with Live(console=Console(), transient=True, auto_refresh=False) as live:
        view = LiveView()

        def show(event: StudyEvent) -> None:
            print_preparing(event)
            _print_sample(event)
            match event:
                case events.BurnInComplete() | events.Waiting():
                    live.console.print(text.line_of(event), highlight=False)
                case events.Reading():
                    drawn = view.updated(event, live.console.width, live.console.height)
                    live.update(drawn, refresh=True)
                case Interval() if full:
                    pass  # the readings have it
                case _ if line := text.live_line(event):
                    live.update(line, refresh=True)

        yield show


@contextmanager
def logged(file: Path | None, observe: StudyObserver) -> Iterator[StudyObserver]:
    """Write every reporting period's latencies to --hdr-log-file, and hand on the other events."""
    if file is None:
        yield observe
        return
    errors: list[ConfigError] = []
    with growing(file) as opened:
        log = HdrLog(opened)

        def append(event: events.IntervalLatencies) -> None:
            try:
                log.append(event)
            except OSError as error:
                raise unwritable(file, error) from error

        yield written(observe, events.IntervalLatencies, append, errors)
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
