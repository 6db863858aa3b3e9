"""`aibench-fast run`."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from aibench_fast.cli.commands import COMMANDS
from aibench_fast.cli.ending import EXIT_FAILURES, EXIT_INTERRUPTED
from aibench_fast.cli.events import shown
from aibench_fast.cli.expected import write_junit
from aibench_fast.cli.options.clients import Run, add_clients_options, check_clients, load_source
from aibench_fast.cli.options.load import add_load_options, add_statistics_options
from aibench_fast.cli.options.parser import add_command
from aibench_fast.cli.options.request import add_request_options, files_read, run_config
from aibench_fast.cli.options.server import add_login, add_server_address
from aibench_fast.cli.options.servers import loaded_server, resolved
from aibench_fast.cli.options.values import boolean
from aibench_fast.cli.output import is_refused
from aibench_fast.cli.saving import logged, run_and_save, save_or_print
from aibench_fast.errors import ConfigError
from aibench_fast.files import Named, check_outputs, partial_of, write_text
from aibench_fast.load.config import RunConfig
from aibench_fast.load.profile import parse_profile
from aibench_fast.load.thresholds import Expectation, parse_expectation
from aibench_fast.report import text
from aibench_fast.results.journal import journal_of
from aibench_fast.results.repeats import MOST_RUNS, Repeats, repeat
from aibench_fast.results.result import Result

HISTOGRAM_OPTION = "--output-file-stats-hdr-response-latency-hist"
HISTOGRAM_FILE = Path("stats-response-latency-hist.txt")
MIN_REPEATS = 3
MAX_REPEATS = 1000


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "run",
        summary=COMMANDS["run"],
        example="aibench-fast run --file /tmp/bulk_data/vision_tensors.out --workers 8 "
        "--burn-in 100 --max-queries 5000",
    )
    add_server_address(parser, several=True, http=True)
    add_login(parser)
    _add_size_options(parser)
    add_request_options(parser)
    add_load_options(parser)
    add_statistics_options(parser)
    add_clients_options(parser)
    _add_repeat_options(parser)
    _add_output_options(parser)
    parser.set_defaults(handler=_run)


def _add_size_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how many at a time")
    group.add_argument(
        "--workers", type=int, default=1, metavar="N",
        help="closed loops, each on its own connection; one for each server at least (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--batch-size", type=int, default=1, metavar="B",
        help="tensors a request, sent as one with the batch before its shape (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--limit-rps", type=float, default=0.0, metavar="N",
        help="requests a second of all workers; latencies then count from when a request was due "
        "(default: 0, no limit)",
    )  # fmt: skip
    group.add_argument(
        "--profile", metavar="STEPS",
        help="requests a second over time, such as '10/s for 30s, 20/s to 80/s over 1m'; the run "
        "ends with it",
    )  # fmt: skip
    group.add_argument(
        "--arrivals-file", type=Path, metavar="FILE",
        help="send at these offsets from the start, in seconds, one a line; the run ends with them",
    )  # fmt: skip


def _add_repeat_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("repeats")
    group.add_argument(
        "--repeats", type=_at_least_2, metavar="N",
        help="run N times, on fresh connections; medians and 95%% intervals at the end, and each "
        "result in a file of its own, numbered",
    )  # fmt: skip
    group.add_argument(
        "--until", type=_share, metavar="PERCENT",
        help="repeat until the rate's interval is this narrow on either side, such as 2%%, or "
        "50 runs are made",
    )  # fmt: skip


def _at_least_2(word: str) -> int:
    number = int(word) if word.isdecimal() else 0
    if not 2 <= number <= MAX_REPEATS:
        raise argparse.ArgumentTypeError(f"{word!r} is no number from 2 to {MAX_REPEATS}")
    return number


def _share(word: str) -> float:
    try:
        share = float(word.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no percentage above 0 and below 100")
    return share


def _path_or_none(word: str) -> Path | None:
    return Path(word) if word else None


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is shown and saved")
    group.add_argument(
        "--json-out-file", type=Path, metavar="FILE",
        help="save the result here, and keep FILE.journal until then, of which `aibench-fast "
        "recover` makes a result where the run is killed (default: not)",
    )  # fmt: skip
    group.add_argument(
        HISTOGRAM_OPTION, type=_path_or_none, default=HISTOGRAM_FILE,
        metavar="FILE", dest="histogram_file",
        help="save the latencies' percentile table here, or nowhere by an empty name "
        "(default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--hdr-log-file", type=Path, metavar="FILE",
        help="save every reporting period's latencies here, as HdrHistogram's log (microseconds); "
        "while the run goes on it is FILE.partial",
    )  # fmt: skip
    group.add_argument(
        "--metadata-autobatching", type=int, default=-1, metavar="N",
        help="the model's batch size on the server, noted in the result (default: as RedisAI tells "
        "it, otherwise -1, unknown)",
    )  # fmt: skip
    group.add_argument(
        "--print-responses", type=boolean, nargs="?", const=True, default=False,
        metavar="true|false",
        help="show the top classes of one reply a reporting period, on stderr",
    )  # fmt: skip
    group.add_argument(
        "--live", action="store_true",
        help="on a terminal, show the run as it goes: rate and latency over time, a histogram, "
        "failures, the server's CPU and memory (default: one line)",
    )  # fmt: skip
    group.add_argument("--quiet", action="store_true", help="no lines while it runs")


def _run(options: argparse.Namespace) -> int:
    config = dataclasses.replace(
        run_config(options),
        workers=options.workers,
        threads=options.threads,
        batch_size=options.batch_size,
        limit_rps=options.limit_rps,
        arrivals=options.arrivals,
        max_lag_s=options.max_lag,
        on_lag=options.on_lag,
        profile=() if options.profile is None else parse_profile(options.profile),
        arrivals_file=options.arrivals_file,
        sample_responses=options.print_responses,
        live_readings=options.live and not options.quiet and sys.stdout.isatty(),
        interval_latencies=options.hdr_log_file is not None,
        results_so_far=options.json_out_file is not None,
        metadata_autobatching=options.metadata_autobatching,
    )
    repeated = options.repeats is not None or options.until is not None
    check_outputs(
        _files_written(options, repeated),
        [*files_read(options, config), ("--arrivals-file", options.arrivals_file)],
    )
    config = resolved(config, options)
    check_clients(options, config)
    _check_shown(options)
    config.count_tensors()  # what is wrong with the file shows before a server is started
    expected = [parse_expectation(words) for words in options.expect]
    made: list[_Made] = []
    try:
        with load_source(options) as run, loaded_server(options) as where:
            made.append(_make(run, dataclasses.replace(config, **where), expected, options))
            if made[0].interrupted:
                raise KeyboardInterrupt  # so that an embedded server is not waited for
    except KeyboardInterrupt:
        if not made:
            raise
    return _concluded(made[0], options)


class _Made(NamedTuple):
    """The results of all runs, what they come to where they are repeats, and how they ended."""

    results: Sequence[Result]
    repeats: Repeats | None
    interrupted: bool


def _make(
    run: Run, config: RunConfig, expected: Sequence[Expectation], options: argparse.Namespace
) -> _Made:
    """Make the run, or all its repeats; show and save each."""
    repeated = options.repeats is not None or options.until is not None
    with shown(options) as show, logged(options.hdr_log_file, show) as observe:

        def run_once(number: int) -> Result:
            run_number = number if repeated else None
            saved_as = options.json_out_file and _numbered(options.json_out_file, run_number)
            return run_and_save(
                partial(run, config),
                expected,
                saved_as,
                observe,
                lambda result: _report(options, result, run_number),
            )

        if not repeated:
            result = run_once(1)
            return _Made([result], None, result.interrupted)
        repeats = repeat(run_once, options.repeats or MIN_REPEATS, options.until)
        return _Made(repeats.results, repeats, repeats.interrupted)


def _concluded(made: _Made, options: argparse.Namespace) -> int:
    """Save what all runs come to; return the exit code."""
    if made.repeats:
        _report_repeats(options, made.repeats)
    cases = [(f"run {n}", one) for n, one in enumerate(made.results, 1)]
    write_junit(options.junit, cases)
    if made.interrupted or made.results[-1].interrupted:
        return EXIT_INTERRUPTED
    gave_up = made.repeats is not None and made.repeats.gave_up
    well = all(one.went_well and one.held for one in made.results) and not gave_up
    return 0 if well else EXIT_FAILURES


def _files_written(options: argparse.Namespace, repeated: bool) -> list[Named]:
    """All that the run writes, what is there only meanwhile too."""
    written: list[Named] = []
    most = max(options.repeats or 0, MOST_RUNS if options.until else 0)
    numbers = [*range(1, most + 1)] if repeated else []
    if options.json_out_file:
        results = [_numbered(options.json_out_file, number) for number in numbers or [None]]
        written.append(("--json-out-file", options.json_out_file))
        written += [("--json-out-file", file) for file in results if numbers]
        written += [("the journal of --json-out-file", journal_of(file)) for file in results]
    if options.histogram_file:
        tables = [_numbered(options.histogram_file, number) for number in numbers or [None]]
        written += [(HISTOGRAM_OPTION, file) for file in tables]
    written += [("--hdr-log-file", options.hdr_log_file), ("--junit", options.junit)]
    if options.hdr_log_file:
        written.append(("what --hdr-log-file is meanwhile", partial_of(options.hdr_log_file)))
    return written


def _check_shown(options: argparse.Namespace) -> None:
    for option, given in (("--live", options.live), ("--print-responses", options.print_responses)):
        if given and options.dask:
            raise ConfigError(f"{option} with --dask: clients do not tell as much; leave it out")


def _report_repeats(options: argparse.Namespace, made: Repeats) -> None:
    """Print what all runs come to, and save it beside them."""
    print(text.format_repeats(made))
    if options.json_out_file:
        files = [_numbered(options.json_out_file, n).name for n in range(1, len(made.results) + 1)]
        write_text(options.json_out_file, json.dumps(made.to_json(files), indent=2) + "\n")


def _numbered(file: Path, number: int | None) -> Path:
    """Where a result goes: a repeated run's has its number before the ending."""
    return file if number is None else file.with_stem(f"{file.stem}-{number}")


def _report(options: argparse.Namespace, result: Result, number: int | None) -> None:
    """Save and print all that can be; then raise what could not be saved.

    `number` is a repeated run's.
    """
    failed: list[ConfigError] = []
    saves: list[Callable[[], None]] = []
    if options.json_out_file:
        saved_as = _numbered(options.json_out_file, number)
        saves.append(lambda: save_or_print(result, saved_as))
    if options.histogram_file:
        table = result.latencies.percentile_table()
        saves.append(lambda: write_text(_numbered(options.histogram_file, number), table))
    for save in saves:
        try:
            save()
        except ConfigError as error:
            failed.append(error)
    summary = text.format_summary(result)
    print(summary)
    if is_refused() and not options.json_out_file:
        print(summary, file=sys.stderr)  # or all of the run would be lost
    if options.histogram_file:
        file = _numbered(options.histogram_file, number)
        print(f"Saving Query Latencies HDR Histogram to {file}", flush=True)
    if failed:
        raise failed[0]
