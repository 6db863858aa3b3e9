"""What a run measured is kept though the run be killed, or the disk be full."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from aibench_fast.cli.ending import uninterrupted
from aibench_fast.cli.expected import checked
from aibench_fast.cli.output import is_refused
from aibench_fast.errors import ConfigError
from aibench_fast.files import growing, unwritable
from aibench_fast.load.thresholds import Expectation
from aibench_fast.results.events import Event, IntervalLatencies, Observer, SoFar
from aibench_fast.results.hdrlog import HdrLog
from aibench_fast.results.journal import Journal, journal_of
from aibench_fast.results.result import Result

Written = TypeVar("Written", SoFar, IntervalLatencies)


def run_and_save(
    run: Callable[[Observer], Result],
    expected: Sequence[Expectation],
    file: Path | None,
    observe: Observer,
    save: Callable[[Result], None],
) -> Result:
    """Run, check what is expected, and save the result, also where a signal comes after the run.

    A run whose result goes to `file` has a journal beside it meanwhile. The journal is removed when
    the result is saved, and stays where an error prevents that. `interrupted` is set in the result
    after a signal; KeyboardInterrupt where nothing was measured by then.
    """
    journal = file and Journal(journal_of(file))
    newest: list[Result] = []
    saved: list[Result] = []

    def write(event: SoFar) -> None:
        newest[:] = [event.result]
        if journal:
            journal.add(event.result)

    def keep(result: Result) -> None:
        with uninterrupted():
            result = checked(result, expected)
            save(result)
            saved.append(result)
            if journal:
                journal.remove()

    try:
        try:
            keep(run(_written(observe, SoFar, write, [])))
        except KeyboardInterrupt:
            # Signals are held back for a while now, so that this is the end of it.
            if not saved and newest:
                keep(dataclasses.replace(newest[0], interrupted=True))
            if not saved:
                if journal:
                    journal.remove()
                raise
            return dataclasses.replace(saved[0], interrupted=True)
    except BaseException:
        if journal:
            journal.close()
        raise
    return saved[0]


@contextmanager
def logged(file: Path | None, observe: Observer) -> Iterator[Observer]:
    """What `observe` does, and every reporting period's latencies into --hdr-log-file."""
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

        yield _written(observe, IntervalLatencies, append, errors)
        if errors:
            raise errors[0]


def _written(
    observe: Observer,
    kind: type[Written],
    write: Callable[[Written], None],
    errors: list[ConfigError],
) -> Observer:
    """Events of one type are written until that fails, which is told once and ends no run."""

    def observe_or_write(event: Event) -> None:
        if not isinstance(event, kind):
            observe(event)
        elif not errors:
            try:
                write(event)
            except ConfigError as error:
                errors.append(error)
                _tell_of(error)

    return observe_or_write


@contextmanager
def printed(file: Path) -> Iterator[Callable[[str], None]]:
    """What writes lines to a file, each at once; a full disk is told once, and ends no run.

    ConfigError where there can be no such file.
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
            _tell_of(unwritable(file, error))

    try:
        yield write
    finally:
        with suppress(OSError):  # which was told of
            opened.close()


def _tell_of(error: ConfigError) -> None:
    print(f"aibench-fast: the run goes on, but {error}", file=sys.stderr)


def save_or_print(result: Result, file: Path) -> None:
    """Save a result; where that fails print it, so that it is not lost, and raise ConfigError."""
    try:
        result.save(file)
    except ConfigError:
        print(
            "aibench-fast: the result cannot be saved: it is a line of standard output, as JSON",
            file=sys.stderr,
        )
        line = json.dumps(result.to_json())
        print(line, flush=True)
        if is_refused():
            print(line, file=sys.stderr)
        raise
