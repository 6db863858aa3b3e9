"""`aibench-fast run`."""

import argparse
import sys
from functools import partial
from pathlib import Path

from aibench_fast.cli.ending import EXIT_FAILURES, EXIT_INTERRUPTED
from aibench_fast.cli.events import logged, shown, write_junit
from aibench_fast.cli.options import runs
from aibench_fast.cli.options.parser import add_all, refuse, typed
from aibench_fast.cli.options.server import add_server_options
from aibench_fast.cli.output import is_refused
from aibench_fast.errors import ConfigError
from aibench_fast.files import Named, check_outputs, partial_of, write_text
from aibench_fast.load.config import RunConfig
from aibench_fast.load.profile import parse_profile
from aibench_fast.load.resolve import resolve
from aibench_fast.report import text
from aibench_fast.results.repeats import Repeats
from aibench_fast.studies import repeat
from aibench_fast.studies.events import RunFinished, StudyEvent, StudyObserver
from aibench_fast.studies.runs import check_run, run_and_save, source
from aibench_fast.studies.servers import started
from aibench_fast.studies.thresholds import expectations

HISTOGRAM_OPTION = "--output-file-stats-hdr-response-latency-hist"
MAX_REPEATS = 1000


EXAMPLE = (
    "aibench-fast run --file /tmp/bulk_data/vision_tensors.out --workers 8 "
    "--burn-in 100 --max-queries 5000"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_server_options(parser, several=True, any_protocol=True)
    runs.add_request_options(parser)
    add_all(
        parser.add_argument_group("Traces"),
        {
            "--trace FILE.jsonl": "with --url .../v1/chat/completions or .../v1/completions: send "
            "recorded requests, each line with timestamp (ms), input_length, output_length and "
            "hash_ids, as Mooncake's: when, how long and with which shared beginnings",
            "--speed X": "go through --trace X times as fast, such as 2 (default: 1)",
        },
        RunConfig,
    )
    load = parser.add_argument_group("Load")
    add_all(
        load,
        {
            "--workers N": "use N workers, each on its own connection; at least one per server "
            "(default: 1)",
            "--batch-size B": "send B tensors per request, as one tensor with a batch dimension "
            "(default: 1)",
            "--limit-rps N": "send N requests per second from all workers; latencies then start "
            "when a request was due (default: 0, no limit)",
            "--profile STEPS": "change the rate over time, such as '10/s for 30s, 20/s to 80/s "
            "over 1m'; the run ends with the profile",
            "--arrivals-file FILE": "send requests at these seconds after the start, one per line; "
            "the run ends with the last",
        },
        RunConfig,
        limit_rps={"type": float},
        profile={"default": None},
    )
    runs.add_load_options(load)
    runs.add_slo_option(parser)
    runs.add_reporting_options(parser)
    add_all(
        parser.add_argument_group("Repeats"),
        {
            "--repeats N": "run N times on fresh connections, print medians with 95%% intervals, "
            "and number the result files",
            "--until PERCENT": "repeat until the interval of the rate is this narrow on either "
            f"side, such as 2%%, at most {repeat.MOST_RUNS} times",
        },
        repeats={"type": typed(_repeats, f" is not a number from 2 to {MAX_REPEATS}")},
        until={"type": typed(_share, " is not a percentage above 0 and below 100")},
    )
    add_all(
        parser.add_argument_group("Output"),
        {
            "--json-out-file FILE": "save the result; until then FILE.journal holds it, for "
            "`aibench-fast recover` (default: do not)",
            f"{HISTOGRAM_OPTION} FILE": "save the percentile table of latencies, as aibench does "
            "(default: do not)",
            "--hdr-log-file FILE": "save the latencies of every reporting period as an "
            "HdrHistogram log (microseconds); FILE.partial during the run",
            "--metadata-autobatching N": "record this as the model's batch size on the server "
            "(default: what RedisAI reports, otherwise -1, unknown)",
            "--print-responses true|false": "print the top classes of one reply per reporting "
            "period to stderr",
            "--live": "on a terminal, draw rate and latency over time, a histogram, failures, and "
            "the server's CPU and memory (default: one line)",
            "--quiet": "print no lines during the run",
        },
        RunConfig,
        output_file_stats_hdr_response_latency_hist={
            "dest": "histogram_file",
            "type": lambda word: Path(word) if word else None,
        },
        print_responses={"dest": "sample_responses"},
    )
    parser.set_defaults(handler=_run)


def _repeats(word: str) -> int:
    number = int(word) if word.isdecimal() else 0
    if not 2 <= number <= MAX_REPEATS:
        raise ValueError
    return number


def _share(word: str) -> float:
    share = float(word.removesuffix("%")) / 100
    if not 0 < share < 1:
        raise ValueError
    return share


def _run(options: argparse.Namespace) -> int:
    config = runs.run_config(
        options,
        profile=() if options.profile is None else parse_profile(options.profile),
        live_readings=options.live and not options.quiet and sys.stdout.isatty(),
        interval_latencies=options.hdr_log_file is not None,
    )
    check_outputs(
        _files_written(options),
        [*runs.files_read(options, config), ("--arrivals-file", options.arrivals_file)],
    )
    if not options.embedded:
        config = resolve(config)
    check_run(config, over_dask=options.dask is not None, clients=options.clients)
    if options.dask:
        live = {"--live": options.live, "--print-responses": options.sample_responses}
        refuse(live, "with --dask: clients do not report this; leave it out")
    config.count_tensors()  # what is wrong with the file shows before a cluster is asked
    expected = expectations(options.expect, config)
    made: Repeats | None = None
    try:
        with (
            shown(options) as show,
            runs.dask_client(options) as client,
            started(config, options.embedded, show) as config,
            logged(options.hdr_log_file, partial(_report, options, show)) as observe,
        ):
            if _is_repeated(options):
                made = repeat.repeat(
                    config,
                    options.repeats or repeat.LEAST_RUNS,
                    until=options.until,
                    file=options.json_out_file,
                    expect=expected,
                    observe=observe,
                    client=client,
                    clients=options.clients,
                )
            else:
                run = source(client, options.clients)
                result = run_and_save(run, config, "run", options.json_out_file, expected, observe)
                made = Repeats([result], interrupted=result.interrupted)
            if made.interrupted:
                raise KeyboardInterrupt  # so that an embedded server is not waited for
    except KeyboardInterrupt:
        if made is None:
            raise
    return _concluded(made, options)


def _is_repeated(options: argparse.Namespace) -> bool:
    return options.repeats is not None or options.until is not None


def _concluded(made: Repeats, options: argparse.Namespace) -> int:
    """Print what all runs come to; return the exit code."""
    if _is_repeated(options):
        print(text.format_repeats(made))
    write_junit(options.junit, [(f"run {n}", one) for n, one in enumerate(made.results, 1)])
    if made.interrupted:
        return EXIT_INTERRUPTED
    well = all(one.went_well and one.held for one in made.results) and not made.gave_up
    return 0 if well else EXIT_FAILURES


def _files_written(options: argparse.Namespace) -> list[Named]:
    """Return all files that the run writes, temporary ones included."""
    most = max(options.repeats or 0, repeat.MOST_RUNS if options.until else 0)
    file, histogram = options.json_out_file, options.histogram_file
    written = repeat.files_written(file, most, "--json-out-file")
    if histogram:
        tables = [repeat.numbered(histogram, n) for n in range(1, most + 1)] or [histogram]
        written += [(HISTOGRAM_OPTION, one) for one in tables]
    written += [("--hdr-log-file", options.hdr_log_file), ("--junit", options.junit)]
    if options.hdr_log_file:
        written.append(("the temporary file of --hdr-log-file", partial_of(options.hdr_log_file)))
    return written


def _report(options: argparse.Namespace, show: StudyObserver, event: StudyEvent) -> None:
    """Show an event; print a result and save its histogram, then raise why one is not saved."""
    show(event)
    if not isinstance(event, RunFinished):
        return
    unsaved = event.unsaved
    histogram: Path | None = options.histogram_file
    if histogram and _is_repeated(options):
        histogram = repeat.numbered(histogram, int(event.name.split()[-1]))
    if histogram:
        try:
            write_text(histogram, event.result.latencies.percentile_table())
        except ConfigError as error:
            unsaved = unsaved or error
    summary = text.format_summary(event.result)
    print(summary)
    if is_refused() and not options.json_out_file:
        print(summary, file=sys.stderr)  # or all of the run would be lost
    if histogram:
        print(f"Saving Query Latencies HDR Histogram to {histogram}", flush=True)
    if unsaved:
        raise unsaved
