"""A progress bar for studies, on a terminal and in a notebook."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from aibench_fast.results.events import ignore
from aibench_fast.studies import events
from aibench_fast.studies.events import StudyEvent, StudyObserver


@contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[StudyObserver]:
    """Show how many runs of a study are done, and the time left; yield its observer.

    On a terminal the bar is on standard error and disappears at the end of the block. With `quiet`,
    and where standard error is not a terminal, nothing is shown.

    Example:
        >>> with progress_bar() as observe:
        ...     made = aibench_fast.repeat(config, 10, observe=observe)
    """
    from rich.console import Console

    console = Console(stderr=True)
    if quiet:
        yield ignore
    elif console.is_jupyter:
        yield _NotebookBar()
    elif console.is_terminal:
        with _terminal_bar(console) as observe:
            yield observe
    else:
        yield ignore


@contextmanager
def _terminal_bar(console: Any) -> Iterator[StudyObserver]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    progress = Progress(
        MofNCompleteColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=console,
        refresh_per_second=2,  # a run is measured meanwhile
        redirect_stdout=sys.stdout.isatty(),  # or lines would not get into a file
        transient=True,
    )
    task = progress.add_task("", total=None, visible=False)

    def show(event: StudyEvent) -> None:
        match event:
            case events.Planned():
                # What was done before took no time of this study.
                total = None if event.runs is None else event.runs - event.done
                progress.update(task, total=total, visible=True)
            case events.RunStarted():
                progress.update(task, description=event.name, visible=True)
            case events.RunFinished() | events.RunFailed():
                progress.advance(task)

    with progress:
        yield show


class _NotebookBar:
    """HTML that needs no widgets: rich's bar in a notebook does."""

    def __init__(self) -> None:
        self._total: int | None = None
        self._ended = 0
        self._shown: Any = None

    def __call__(self, event: StudyEvent) -> None:
        match event:
            case events.Planned():
                self._total = None if event.runs is None else event.runs - event.done
                self._show("")
            case events.RunStarted():
                self._show(event.name)
            case events.RunFinished() | events.RunFailed():
                self._ended += 1
                self._show("")

    def _show(self, name: str) -> None:
        from IPython import display

        of, bar = "", ""
        if self._total is not None:
            of = f" of {self._total}"
            bar = f'<progress value="{self._ended}" max="{self._total}"></progress> '
        words = f"{self._ended}{of} runs{f': {name}' if name else ''}"
        html = display.HTML(f"{bar}{escape(words)}")
        if self._shown is None:
            self._shown = display.display(html, display_id=True)
        else:
            self._shown.update(html)
