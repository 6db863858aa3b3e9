"""`aibench-fast search`."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from aibench_fast.cli.ending import EXIT_FAILURES, EXIT_INTERRUPTED
from aibench_fast.cli.events import print_notice, print_preparing, write_junit
from aibench_fast.cli.options import runs
from aibench_fast.cli.options.parser import REPEATED, add_all
from aibench_fast.cli.options.server import add_server_options
from aibench_fast.cli.output import with_options
from aibench_fast.errors import ConfigError
from aibench_fast.files import check_outputs
from aibench_fast.load.config import RunConfig
from aibench_fast.results.search import UNITS, Search
from aibench_fast.studies import events
from aibench_fast.studies.events import StudyEvent, StudyObserver
from aibench_fast.studies.progress import progress_bar
from aibench_fast.studies.runs import check_run, source
from aibench_fast.studies.search import SEARCH_FILE, Found, Steps
from aibench_fast.studies.servers import started
from aibench_fast.studies.thresholds import checked, expectations, split_slo
from aibench_fast.units import described_duration

RATE_WORKERS = 50
ANY_RPS = 1.0
"""Stands for the rate of a search over it, so that the other settings of a schedule are checked."""


EXAMPLE = (
    "aibench-fast search --slo p99=50ms --slo errors=0.1% --over rate "
    "--file /tmp/bulk_data/vision_tensors.out"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_server_options(parser, several=True, any_protocol=True)
    add_all(
        parser.add_argument_group("Search"),
        {
            "--slo FIGURE=LIMIT": "set a target, such as p99=50ms, errors=0.1%% or rate=200; can "
            "be repeated, and all targets have to hold. ttft=200ms is a limit of each request: "
            "`good=99%%` and `goodput=5` are targets of those within all limits",
            "--over": "raise this: requests per second, or one of the others in a closed loop "
            "(default: rate)",
            "--from VALUE": "begin with this value (default: 1; for a rate, a quarter of what one "
            "worker reaches)",
            "--to VALUE": "end with this value (default: the largest that a run accepts)",
            "--within TIME": "end after this time, such as 10m, with what is known by then "
            "(default: when the edge is confirmed)",
            "--workers N": f"use N workers (default: 1; for a rate {RATE_WORKERS})",
            "--batch-size B": "send B tensors per request (default: 1)",
        },
        RunConfig,
        slo={**REPEATED, "required": True},
        over={"choices": UNITS, "default": "rate"},
        **{"from": {"dest": "lowest"}, "to": {"dest": "highest"}},
        workers={"default": None},
    )
    runs.add_request_options(parser)
    runs.add_load_options(parser.add_argument_group("Load"))
    runs.add_reporting_options(parser)
    add_all(
        parser,
        {
            "--results-dir FOLDER": f"write {SEARCH_FILE} and the result of each step here "
            "(default: search)",
            "--quiet": "print no progress, only the last line",
        },
        results_dir={"default": Path("search")},
    )
    parser.set_defaults(handler=_search, duration_s=10.0, burn_in={"burn_in_s": 1.0})


def _search(options: argparse.Namespace) -> int:
    if options.over != "rate" and (options.arrivals != "even" or options.max_lag_s):
        given = "--max-lag" if options.max_lag_s else f"--arrivals {options.arrivals}"
        raise ConfigError(f"{given} with --over {options.over}: only --over rate has a schedule")
    value = getattr(options, options.over.replace("-", "_"), None)
    if value is not None and (options.over == "workers" or value != 1):
        raise ConfigError(
            f"--{options.over} {value} with --over {options.over}: give --from and --to instead"
        )
    workers, rate = (RATE_WORKERS, ANY_RPS) if options.over == "rate" else (1, 0.0)
    if options.workers is not None:
        workers = options.workers
    limits, targets = split_slo(options.slo)
    config = runs.run_config(options, workers=workers, limit_rps=rate, slo=limits)
    expected = expectations(options.expect, config)
    others = [("--results-dir", options.results_dir / SEARCH_FILE)]  # which the search checks
    check_outputs([("--junit", options.junit)], [*runs.files_read(options, config), *others])
    with _shown(options) as show:
        steps = Steps(
            config,
            targets,
            options.over,
            options.lowest,
            options.highest,
            options.within_s,
            options.results_dir,
            observe=show,
            check=partial(check_run, over_dask=options.dask is not None, clients=options.clients),
        )
        with runs.dask_client(options) as client, started(config, options.embedded, show) as there:
            found = steps.find(there, source(client, options.clients))
    if found.search.interrupted:
        print(_so_far(found.search), flush=True)
        return EXIT_INTERRUPTED
    print(_last_line(found), flush=True)
    if found.best is None:
        write_junit(options.junit, [])
        return EXIT_FAILURES
    best = checked(found.best, expected)
    for check in best.expectations:
        print(check)
    write_junit(options.junit, [(f"{options.over} {found.value:.5g}", best)])
    return 0 if best.held and found.search.confirmed else EXIT_FAILURES


@contextmanager
def _shown(options: argparse.Namespace) -> Iterator[StudyObserver]:
    """Print a line for each step, and on a terminal a bar."""
    with progress_bar(quiet=options.quiet) as bar:

        def show(event: StudyEvent) -> None:
            bar(event)
            print_notice(event, quiet=options.quiet)
            if options.quiet:
                return
            match event:
                case events.Progress():
                    print(with_options(event.words), flush=True)
                case events.SearchPlanned():
                    print(f"the search: {_length(event, options.within_s)}", flush=True)
                case events.StepFinished():
                    print(_step(event, options.over), flush=True)
                case _:
                    print_preparing(event)

        yield show


def _length(planned: events.SearchPlanned, within_s: float | None) -> str:
    words = f"at most {planned.runs} runs, which take {described_duration(planned.seconds)}"
    if within_s is None:
        return f"{words}; --within TIME ends it sooner"
    if within_s < planned.seconds:
        return f"{words}, of which --within allows {described_duration(within_s)}"
    return words


def _step(step: events.StepFinished, over: str) -> str:
    checks, result = step.result.expectations, step.result
    words = ", ".join(f"{check.expected} {check.found}" for check in checks)
    if result.measured_failed and not any(check.figure == "errors" for check in checks):
        words += f", {result.measured_failed} of {result.requests} requests failed"
    reason = f": {with_options(step.reason)}" if step.reason else ""
    outcome = "held" if step.held else f"not held{reason}"
    return f"step {step.number}: {over} {step.value:.5g}: {words}: {outcome}"


def _so_far(search: Search) -> str:
    """Return what is known of a search that was ended before it knew."""
    held = max((step.value for step in search.steps if step.held), default=None)
    broken = min((step.value for step in search.steps if not step.held), default=None)
    known = [
        f"{words} at {value:.5g} {UNITS[search.over]}"
        for words, value in (("it held", held), ("it did not hold", broken))
        if value is not None
    ]
    words = f": {', and '.join(known)}" if known else ""
    return f"Interrupted after {len(search.steps)} steps{words}"


def _last_line(found: Found) -> str:
    search, unit = found.search, UNITS[found.search.over]
    wanted = " and ".join(search.slo)
    why = "--within is over" if found.out_of_time else "runs vary too much"
    unsure = "" if search.confirmed else f"; the edge could not be confirmed: {why}"
    if search.found is None:
        if search.fails_at is None:
            return f"Found none: no run was long enough to judge {wanted}{unsure}"
        return (
            f"Found none: {wanted} does not hold at {search.fails_at:.5g} {unit}, the lowest "
            f"value{unsure}: try a lower --from, or another target"
        )
    line = f"Found: {wanted} holds up to {search.found:.5g} {unit}"
    if search.fails_at is None:
        tried = " that was tried" if found.out_of_time else ""
        return f"{line}, the highest value{tried}{unsure}"
    return f"{line}, and not at {search.fails_at:.5g}{unsure}"
