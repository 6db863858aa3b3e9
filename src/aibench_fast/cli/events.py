"""Shows the events of a run: as lines, a live line or a live view."""

import argparse
import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from heapq import nlargest
from typing import TYPE_CHECKING

from aibench_fast.cli.output import note
from aibench_fast.report import text
from aibench_fast.results.events import (
    BurnInComplete,
    Digesting,
    Drawing,
    Formatting,
    Reading,
    Sample,
    SendingFile,
    Started,
    Waiting,
)
from aibench_fast.results.result import Interval
from aibench_fast.studies.events import Note, ServerStarted, StudyEvent, StudyObserver
from aibench_fast.tensortype import STRINGS, split_strings

if TYPE_CHECKING:
    from rich.live import Live

TOP_CLASSES = 5
SHOWN_BYTES = 60
"""Of each string in a reply."""


@contextmanager
def shown(options: argparse.Namespace) -> Iterator[StudyObserver]:
    """Show the events of runs: a live line on a terminal, CSV into a pipe."""
    with _runs_shown(options) as show:

        def show_all(event: StudyEvent) -> None:
            match event:
                case Note():
                    note(event.words)
                case ServerStarted():
                    if not options.quiet:
                        print(event.description, file=sys.stderr)
                case _:
                    show(event)

        yield show_all


@contextmanager
def _runs_shown(options: argparse.Namespace) -> Iterator[StudyObserver]:
    if options.quiet:
        yield _print_sample
    elif sys.stdout.isatty() and options.live:
        with _live_view() as show:
            yield show
    elif sys.stdout.isatty():
        with _live_line() as show:
            yield show
    else:
        yield _print_event


def line_of(event: StudyEvent) -> str | None:
    """Return the line that an event is in a file; None if it is none."""
    match event:
        case Started():
            return text.CSV_HEADER
        case Interval():
            return text.format_interval(event)
        case BurnInComplete():
            return text.format_burn_in(event)
        case Formatting(done=0):  # before it is done: how much memory tensors as JSON take
            return text.format_formatting(event)
        case SendingFile(done_bytes=0):
            return text.format_sending(event)
        case Waiting():
            return text.format_waiting(event)
    return None


def _print_event(event: StudyEvent) -> None:
    if isinstance(event, Sample):
        _print_sample(event)
    elif line := line_of(event):
        is_figure = isinstance(event, Started | Interval | BurnInComplete)
        print(line, file=sys.stdout if is_figure else sys.stderr, flush=True)


def print_preparing(event: StudyEvent) -> None:
    """Print once what takes time before a run: formatting, and sending files to clients."""
    if isinstance(event, Formatting | SendingFile) and (line := line_of(event)):
        print(line, file=sys.stderr, flush=True)


def _print_sample(event: StudyEvent) -> None:
    """Print the classes with the highest values to stderr, so that stdout stays CSV."""
    if not isinstance(event, Sample):
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
    texts = [one[:SHOWN_BYTES].decode(errors="replace") for one in strings[:TOP_CLASSES]]
    words = [
        repr(text) + ("..." if len(one) > SHOWN_BYTES else "")
        for text, one in zip(texts, strings, strict=False)
    ]
    more = len(strings) - len(words)
    return f"{', '.join(words) or 'no string'}{f' and {more} more' if more else ''}"


@contextmanager
def _live_line() -> Iterator[StudyObserver]:
    # Imported here to save memory in runs into a pipe.
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(), transient=True, auto_refresh=False) as live:

        def show(event: StudyEvent) -> None:
            match event:
                case SendingFile():
                    print_preparing(event)
                    live.update(text.format_sent(event), refresh=True)
                case Interval():
                    live.update(text.format_live(event), refresh=True)
                case _:
                    _show_on(live, event)

        yield show


def _show_on(live: "Live", event: StudyEvent) -> None:
    """Show what the live line and the live view have in common."""
    match event:
        case Digesting():
            live.update(text.format_digesting(event), refresh=True)
        case Drawing():
            live.update(text.format_drawing(event), refresh=True)
        case Formatting():
            print_preparing(event)
            live.update(text.format_formatted(event), refresh=True)
        case BurnInComplete():
            live.console.print(text.format_burn_in(event), highlight=False)
        case Sample():
            _print_sample(event)
        case Waiting():
            live.console.print(text.format_waiting(event), highlight=False)


@contextmanager
def _live_view() -> Iterator[StudyObserver]:
    from rich.console import Console
    from rich.live import Live

    from aibench_fast.report.live import LiveView

    with Live(console=Console(), transient=True, auto_refresh=False) as live:
        view = LiveView()

        def show(event: StudyEvent) -> None:
            match event:
                case Reading():
                    drawn = view.updated(event, live.console.width, live.console.height)
                    live.update(drawn, refresh=True)
                case _:
                    _show_on(live, event)

        yield show
