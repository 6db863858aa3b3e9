"""Repeated runs of one setting, and how far their figures vary."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from aibench_fast.cluster import DaskClient
from aibench_fast.errors import ConfigError
from aibench_fast.files import Named, check_outputs, write_text
from aibench_fast.load.config import RunConfig
from aibench_fast.results.events import ignore
from aibench_fast.results.journal import journal_of
from aibench_fast.results.repeats import Repeats
from aibench_fast.results.result import Result
from aibench_fast.studies.events import Planned, StudyObserver
from aibench_fast.studies.runs import run_and_save, source
from aibench_fast.studies.thresholds import Expectation, expectations

LEAST_RUNS = 3
"""Of runs that are repeated until an interval is narrow."""
MOST_RUNS = 50


def repeat(
    config: RunConfig,
    runs: int = LEAST_RUNS,
    *,
    until: float | None = None,
    most: int = MOST_RUNS,
    file: Path | str | None = None,
    expect: Sequence[str | Expectation] = (),
    observe: StudyObserver = ignore,
    client: DaskClient | None = None,
    clients: int | None = None,
) -> Repeats:
    """Run one setting several times, on fresh connections.

    Args:
        config: The settings of each run.
        runs: How many runs.
        until: Make more runs until the 95 % interval of the rate is this narrow on either side, as
            a share of the median: 0.02 is 2 %.
        most: The most runs that `until` makes.
        file: Save the results beside this file, numbered (`r-1.json` for `r.json`), and a summary
            in it.
        expect: Expectations of every run, such as `p99<50ms`.
        observe: Called with every event, see `aibench_fast.studies.events`.
        client: A client of a Dask cluster whose workers send the load.
        clients: How many of its workers; None: all.

    Returns:
        The results, with medians and intervals by `spreads`.

    Raises:
        ConfigError: The settings cannot be run, or a file cannot be written.
        ServerError: The server cannot be reached.

    Ctrl-C ends the run under way. What is returned has `interrupted` set, and the runs before.

    Example:
        >>> config = RunConfig(file=None, shape=(16,), model="m", duration_s=5.0)
        >>> made = repeat(config, 10)
        >>> made.rate.median, made.rate.interval
    """
    if not runs >= 1:
        raise ConfigError(f"runs {runs}: it has to be at least 1")
    expected = expectations(expect, config)
    saved_as = None if file is None else Path(file)
    check_outputs(files_written(saved_as, max(runs, most if until else 0)))
    send = source(client, clients)
    observe(Planned(None if until else runs))

    def run_once(number: int) -> Result:
        result_file = saved_as and numbered(saved_as, number)
        config_of_run = config.with_prompts_of(number - 1)
        return run_and_save(send, config_of_run, f"run {number}", result_file, expected, observe)

    made = repeated(run_once, runs, until, most)
    if saved_as:
        names = [numbered(saved_as, number).name for number in range(1, len(made.results) + 1)]
        write_text(saved_as, json.dumps(made.to_json(names), indent=2) + "\n")
    return made


def repeated(
    run_once: Callable[[int], Result], runs: int, until: float | None = None, most: int = MOST_RUNS
) -> Repeats:
    """Make `runs` runs, numbered from 1; with `until` more, up to `most`, until it is reached.

    An interrupted run ends it; KeyboardInterrupt if nothing was measured.
    """
    results: list[Result] = []
    while len(results) < max(runs, most):
        try:
            result = run_once(len(results) + 1)
        except KeyboardInterrupt:  # before that run had measured anything
            if not results:
                raise
            return Repeats(results, until, interrupted=True)
        if result.interrupted:
            return Repeats(results or [result], until, interrupted=True)
        results.append(result)
        if len(results) >= runs and not Repeats(results, until).gave_up:
            break
    return Repeats(results, until)


def numbered(file: Path, number: int) -> Path:
    """Return the file of a repeated run: its number is before the suffix."""
    return file.with_stem(f"{file.stem}-{number}")


def files_written(file: Path | None, most: int, name: str = "`file`") -> list[Named]:
    """Return the files that up to `most` repeated runs write, or a single one if that is 0.

    `name` is how `file` is called.
    """
    if file is None:
        return []
    results = [numbered(file, number) for number in range(1, most + 1)]
    return [
        (name, file),
        *((name, one) for one in results),
        *((f"the journal of {name}", journal_of(one)) for one in results or [file]),
    ]
