"""The runs of a study: where their load comes from, and how their results are saved.

Results are saved even if the program is killed or the disk is full.
"""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TypeVar

from aibench_fast.cluster import DaskClient
from aibench_fast.errors import ConfigError
from aibench_fast.load.config import RunConfig
from aibench_fast.results.events import IntervalLatencies, Observer, SoFar
from aibench_fast.results.journal import Journal, journal_of
from aibench_fast.results.result import Result
from aibench_fast.studies.events import Note, RunFinished, RunStarted, StudyEvent, StudyObserver
from aibench_fast.studies.signals import uninterrupted
from aibench_fast.studies.thresholds import Expectation, checked

Run = Callable[[RunConfig, Observer], Result]
"""Makes one run."""
Written = TypeVar("Written", SoFar, IntervalLatencies)


def source(client: DaskClient | None, clients: int | None) -> Run:
    """Return what makes runs, as `aibench_fast.run` does with this `client` and `clients`.

    A run with fewer workers than `clients` has one worker on each client.
    """
    # The native core is imported when there is a run to make.
    from aibench_fast.clients.runner import run

    def run_there(config: RunConfig, observe: Observer) -> Result:
        count = clients and min(clients, config.workers)
        return run(config, observe, client=client, clients=count)

    return run_there


def check_run(config: RunConfig, *, over_dask: bool, clients: int | None) -> None:
    """ConfigError if a run cannot be made, or not over so many clients; None is not known yet."""
    config.check_conversations()
    if over_dask:
        from aibench_fast.clients.split import split

        split(config, 1 if clients is None else clients)


def run_and_save(
    run: Run,
    config: RunConfig,
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
    config = dataclasses.replace(config, results_so_far=file is not None)
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

    with closing(journal) if journal else nullcontext():
        try:
            keep(run(config, written(observe, SoFar, write, [])))
        except KeyboardInterrupt:
            # The command line delays further signals for a while now.
            if not kept and newest:
                keep(dataclasses.replace(newest[0], interrupted=True))
            if not kept:
                if journal:
                    journal.remove()
                raise
            return dataclasses.replace(kept[0], interrupted=True)
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
