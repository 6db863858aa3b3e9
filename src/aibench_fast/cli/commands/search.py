"""`aibench-fast search`."""

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from aibench_fast.cli.commands import COMMANDS
from aibench_fast.cli.ending import EXIT_FAILURES, EXIT_INTERRUPTED
from aibench_fast.cli.events import print_preparing
from aibench_fast.cli.options.clients import add_clients_options, check_clients, load_source
from aibench_fast.cli.options.load import add_load_options, add_statistics_options
from aibench_fast.cli.options.parser import add_command
from aibench_fast.cli.options.request import add_request_options, files_read, run_config
from aibench_fast.cli.options.server import add_login, add_server_address
from aibench_fast.cli.options.servers import LoadedServers
from aibench_fast.cli.options.values import BurnIn, seconds
from aibench_fast.cli.saving import note, print_unsaved, write_junit
from aibench_fast.errors import ConfigError
from aibench_fast.files import check_outputs
from aibench_fast.load.config import RunConfig
from aibench_fast.load.resolve import resolve
from aibench_fast.results.result import Checked
from aibench_fast.results.search import UNITS, Search
from aibench_fast.studies import events
from aibench_fast.studies.events import StudyEvent, StudyObserver
from aibench_fast.studies.progress import progress_bar
from aibench_fast.studies.search import (
    SEARCH_FILE,
    Aim,
    Found,
    carry_out,
    prepare_folder,
    targets_of,
)
from aibench_fast.studies.servers import started
from aibench_fast.studies.thresholds import checked, expectations
from aibench_fast.units import described_duration

RATE_WORKERS = 50
ANY_RPS = 1.0
"""Stands for the rate of a search over it, so that the other settings of a schedule are checked."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "search",
        summary=COMMANDS["search"],
        example="aibench-fast search --slo p99=50ms --slo errors=0.1% --over rate "
        "--file /tmp/bulk_data/vision_tensors.out",
    )
    add_server_address(parser, several=True, http=True)
    add_login(parser)
    group = parser.add_argument_group("what is searched for")
    group.add_argument(
        "--slo", action="append", required=True, metavar="FIGURE=LIMIT",
        help="the target, such as p99=50ms, errors=0.1%% or rate=200; may be given again, and all "
        "have to hold",
    )  # fmt: skip
    group.add_argument(
        "--over", choices=UNITS, default="rate",
        help="what is raised: requests a second by a schedule, or in a closed loop one of the "
        "others (default: rate)",
    )  # fmt: skip
    group.add_argument(
        "--from", type=float, metavar="VALUE", dest="lowest",
        help="the lowest value (default: 1; of a rate a quarter of what one worker reaches)",
    )  # fmt: skip
    group.add_argument(
        "--to", type=float, metavar="VALUE", dest="highest",
        help="the highest value (default: what can be asked for)",
    )  # fmt: skip
    group.add_argument(
        "--within", type=seconds, metavar="TIME",
        help="end after this time, such as 10m, with what is known by then (default: when the edge "
        "is confirmed)",
    )  # fmt: skip
    group.add_argument(
        "--workers", type=int, metavar="N",
        help=f"how many requests may be under way (default: 1, and over rate {RATE_WORKERS})",
    )  # fmt: skip
    group.add_argument(
        "--batch-size", type=int, default=1, metavar="B", help="tensors a request (default: 1)"
    )
    add_request_options(parser)
    add_load_options(parser)
    add_statistics_options(parser)
    add_clients_options(parser)
    parser.add_argument(
        "--results-dir", type=Path, default=Path("search"), metavar="FOLDER",
        help=f"where {SEARCH_FILE} and each step's result go (default: search)",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="no progress, and the last line alone")
    parser.set_defaults(handler=_search, duration=10.0, burn_in=BurnIn(seconds=1.0))


def _search(options: argparse.Namespace) -> int:
    if options.over != "rate" and (options.arrivals != "even" or options.max_lag):
        given = "--max-lag" if options.max_lag else f"--arrivals {options.arrivals}"
        raise ConfigError(f"{given}: over {options.over} it is a closed loop")
    _check_not_fixed(options)
    server = LoadedServers.of(options)
    config = _config(options, server)
    targets = targets_of(options.slo)
    aim = Aim(targets, options.over, options.lowest, options.highest, options.within)
    expected = expectations(options.expect)
    check = partial(check_clients, options)
    aim.check(config, check)  # what cannot be searched shows before a folder is made
    prepare_folder(options.results_dir)
    check_outputs(
        [("--results-dir", options.results_dir / SEARCH_FILE), ("--junit", options.junit)],
        files_read(options, server, config),
    )
    if not server.embedded:
        config = resolve(config)
    config.count_tensors()
    aim.check(config, check)
    with (
        load_source(options) as run,
        _shown(aim, quiet=options.quiet) as show,
        started(config, server.embedded, show) as config,
    ):
        found = carry_out(config, aim, options.results_dir, run, show, check)
    if found.search.interrupted:
        print(_so_far(found.search), flush=True)
        return EXIT_INTERRUPTED
    print(_last_line(found), flush=True)
    if found.best is None:
        write_junit(options.junit, [])
        return EXIT_FAILURES
    best = checked(found.best, expected)
    for check_made in best.expectations:
        print(check_made)
    write_junit(options.junit, [(f"{options.over} {found.value:.5g}", best)])
    return 0 if best.held and found.search.confirmed else EXIT_FAILURES


def _config(options: argparse.Namespace, server: LoadedServers) -> RunConfig:
    config = dataclasses.replace(
        run_config(options, server),
        workers=_workers(options),
        threads=options.threads,
        batch_size=options.batch_size,
    )
    if options.over != "rate":
        return config
    return dataclasses.replace(
        config,
        limit_rps=ANY_RPS,
        arrivals=options.arrivals,
        max_lag_s=options.max_lag,
        on_lag=options.on_lag,
    )


def _check_not_fixed(options: argparse.Namespace) -> None:
    """ConfigError where what is searched over is given as one value."""
    values = {
        "workers": options.workers,
        "batch-size": options.batch_size,
        "pipeline": options.pipeline,
    }
    value = values.get(options.over)
    if value is not None and (options.over == "workers" or value != 1):
        raise ConfigError(
            f"--{options.over} {value} with --over {options.over}: give --from and --to instead"
        )


def _workers(options: argparse.Namespace) -> int:
    if options.workers is not None:
        return int(options.workers)
    return RATE_WORKERS if options.over == "rate" else 1


@contextmanager
def _shown(aim: Aim, *, quiet: bool) -> Iterator[StudyObserver]:
    """Print a line for each step, and on a terminal a bar."""
    with progress_bar(quiet=quiet) as bar:

        def show(event: StudyEvent) -> None:
            bar(event)
            match event:
                case events.Note():
                    note(event.words)
                case events.RunFinished(unsaved=error) if error:
                    print_unsaved(event.result)
                case _ if not quiet:
                    _print_event(aim, event)

        yield show


def _print_event(aim: Aim, event: StudyEvent) -> None:
    match event:
        case events.ServerStarted():
            print(event.description, file=sys.stderr)
        case events.Probed(workers=workers, requests_per_s=rate):
            who = "one worker" if workers == 1 else f"{workers} workers"
            print(f"{who} in a closed loop: {rate:.5g} requests/s", flush=True)
        case events.SearchPlanned(runs=runs, seconds=length_s):
            print(f"the search: {_length(aim, runs, length_s)}", flush=True)
        case events.StepRepeated():
            print(
                f"step {event.number}: {aim.over} {event.value:.5g}: {event.reason}: once more, "
                f"for {event.longer_s:.3g} s",
                flush=True,
            )
        case events.StepFinished():
            print(_step(aim, event), flush=True)
        case _:
            print_preparing(event)


def _length(aim: Aim, runs: int, length_s: float) -> str:
    words = f"at most {runs} runs, which take {described_duration(length_s)}"
    if aim.within_s is None:
        return f"{words}; --within TIME ends it sooner"
    if aim.within_s < length_s:
        return f"{words}, of which --within allows {described_duration(aim.within_s)}"
    return words


def _step(aim: Aim, step: events.StepFinished) -> str:
    result = step.result
    words = ", ".join(map(_check, result.expectations))
    if not aim.judges_errors and result.measured_failed:
        words += f", {result.measured_failed} of {result.requests} requests failed"
    outcome = "held" if step.held else f"not held{f': {step.reason}' if step.reason else ''}"
    return f"step {step.number}: {aim.over} {step.value:.5g}: {words}: {outcome}"


def _check(check: Checked) -> str:
    return f"{check.expected} {check.found}"


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
            return f"Found none: no run told whether {wanted} holds{unsure}"
        return (
            f"Found none: {wanted} does not hold at {search.fails_at:.5g} {unit}, the lowest "
            f"value{unsure}: try a lower --from, or another target"
        )
    line = f"Found: {wanted} holds up to {search.found:.5g} {unit}"
    if search.fails_at is None:
        tried = " that was tried" if found.out_of_time else ""
        return f"{line}, the highest value{tried}{unsure}"
    return f"{line}, and not at {search.fails_at:.5g}{unsure}"
