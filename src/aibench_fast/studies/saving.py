"""Runs whose results are saved even if the program is killed or the disk is full."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from aibench_fast.errors import ConfigError
from aibench_fast.results.events import IntervalLatencies, SoFar
from aibench_fast.results.journal import Journal, journal_of
from aibench_fast.results.result import Result
from aibench_fast.studies.events import Note, RunFinished, RunStarted, StudyEvent, StudyObserver
from aibench_fast.studies.signals import uninterrupted
from aibench_fast.studies.thresholds import Expectation, checked

Written = TypeVar("Written", SoFar, IntervalLatencies)


def run_and_save(
    run: Callable[[StudyObserver], Result],
    name: str,
    file: Path | None,
    expected: Sequence[Expectation],
    observe: StudyObserver,
    save: Callable[[Result, Path], None] = Result.save,
) -> Result:
    """Make one run of a study, check what is expected, and save the result to `file`.

    Meanwhile there is a journal beside `file`. It is removed when the result is saved, and stays if
    an error prevents that. A signal, or Ctrl-C, ends the run: the result is saved all the same, and
    returned with `interrupted` set. KeyboardInterrupt if nothing was measured.
    """
    observe(RunStarted(name, file))
    journal = file and Journal(journal_of(file))
    newest: list[Result] = []
    kept: list[Result] = []

    def write(event: SoFar) -> None:
        newest[:] = [event.result]
        if journal:
            journal.add(event.result)

    def keep(result: Result) -> None:
        with uninterrupted():
            result = checked(result, expected)
            unsaved = None
            try:
                if file:
                    save(result, file)
            except ConfigError as error:
                unsaved = error
            observe(RunFinished(name, file, result, unsaved))
            if unsaved:
                raise unsaved
            kept.append(result)
            if journal:
                journal.remove()

    try:
        try:
            keep(run(written(observe, SoFar, write, [])))
        except KeyboardInterrupt:
            # The command line delays further signals for a while now.
            if not kept and newest:
                keep(dataclasses.replace(newest[0], interrupted=True))
            if not kept:
                if journal:
                    journal.remove()
                raise
            return dataclasses.replace(kept[0], interrupted=True)
    except BaseException:
        if journal:
            journal.close()
        raise
    return kept[0]


def written(
    observe: StudyObserver,
    kind: type[Written],
    write: Callable[[Written], None],
    errors: list[ConfigError],
) -> StudyObserver:
    """Return an observer that writes events of one type and hands on the others.

    The first error ends the writing, not the run. It is noted, and added to `errors`.
    """

    def observe_or_write(event: StudyEvent) -> None:
        if not isinstance(event, kind):
            observe(event)
        elif not errors:
            try:
                write(event)
            except ConfigError as error:
                errors.append(error)
                observe(Note(f"the run goes on, but {error}"))

    return observe_or_write
