"""`aibench-fast run`."""

import argparse
import dataclasses
import json
import os
import signal
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from heapq import nlargest
from pathlib import Path
from types import FrameType
from typing import NoReturn

from aibench_fast.cli.options import (
    BurnIn,
    add_command,
    add_login,
    add_server_address,
    boolean,
    burn_in,
    http_urls,
    seconds,
    shape,
    size,
    tls_settings,
)
from aibench_fast.cli.saving import journaled, logged, save_or_print
from aibench_fast.cli.secrets import read_headers, told_command_line
from aibench_fast.cli.servers import EMBEDDED, EMBEDDED_TRITON_URL, loaded_server, resolved
from aibench_fast.errors import ConfigError
from aibench_fast.files import check_writable, write_text
from aibench_fast.load.config import (
    ARRIVALS,
    DEFAULT_JSON_BYTES,
    DEFAULT_MODEL,
    ON_DISCONNECT,
    ON_LAG,
    RunConfig,
)
from aibench_fast.load.events import Event
from aibench_fast.load.kinds import IMAGE_SHAPE, read_input, read_mix
from aibench_fast.load.profile import parse_profile
from aibench_fast.load.runner import run
from aibench_fast.load.thresholds import Expectation, parse_expectation
from aibench_fast.protocols.openinference.encoding import Encoding
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.report import text
from aibench_fast.report.junit import format_junit
from aibench_fast.results.repeats import Repeats, repeat
from aibench_fast.results.result import (
    BurnInComplete,
    Digesting,
    Formatting,
    Interval,
    Reading,
    Result,
    Sample,
    Started,
)
from aibench_fast.tensortype import DTYPE_BYTES, canonical
from aibench_fast.units import described_size

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_FAILURES = 1
EXIT_INTERRUPTED = 130
HISTOGRAM_OPTION = "--output-file-stats-hdr-response-latency-hist"
HISTOGRAM_FILE = Path("stats-response-latency-hist.txt")
TOP_CLASSES = 5
MIN_REPEATS = 3
MAX_REPEATS = 1000


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "run",
        summary="Send inference requests from many workers; report rates and latencies.",
        example="aibench-fast run --file /tmp/bulk_data/vision_tensors.out --workers 8 "
        "--burn-in 100 --max-queries 5000",
    )
    add_server_address(parser, several=True, http=True)
    add_login(parser)
    _add_size_options(parser)
    add_request_options(parser)
    add_load_options(parser)
    add_statistics_options(parser)
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


def add_request_options(parser: argparse.ArgumentParser) -> None:
    """What a request is, in a run and in a sweep."""
    group = parser.add_argument_group("what is asked")
    group.add_argument(
        "--file", type=Path,
        help="the tensor file: tensors of --shape and --dtype, one after another (default: with "
        "--shape, generated ones)",
    )  # fmt: skip
    group.add_argument(
        "--shape", type=shape, metavar="N,...",
        help="one tensor's shape without the batch, such as 16 or 224,224,3 (default with --file: "
        f"{','.join(map(str, IMAGE_SHAPE))})",
    )  # fmt: skip
    group.add_argument(
        "--dtype", type=canonical, default="",
        help=f"the type of a tensor's values: {', '.join(DTYPE_BYTES)} (default: FLOAT, or with "
        "--url the model's)",
    )  # fmt: skip
    group.add_argument(
        "--input", action="append", default=[], dest="inputs", metavar="NAME:DTYPE:SHAPE[=FILE]",
        help="one of a model's several inputs, from a file or generated; given for each",
    )  # fmt: skip
    group.add_argument(
        "--output", action="append", default=[], dest="outputs", metavar="NAME",
        help="with --url: an output that is asked for (default: all)",
    )  # fmt: skip
    group.add_argument(
        "--model", default=DEFAULT_MODEL,
        help="the model's key, or name (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--model-version", metavar="V", help="with --url: this version (default: the server's)"
    )
    group.add_argument(
        "--encoding", choices=["auto", *Encoding], default="auto",
        help="with --url: how tensors are sent; auto is binary, or JSON where the server refuses "
        "that (default: auto)",
    )  # fmt: skip
    group.add_argument(
        "--json-memory", type=size, default=DEFAULT_JSON_BYTES, metavar="SIZE",
        help="with --url: the most memory for tensors that are formatted as JSON, such as 2GiB; of "
        "more of them the first that fit are cycled (default: "
        f"{described_size(DEFAULT_JSON_BYTES)})",
    )  # fmt: skip
    group.add_argument(
        "--mix", type=Path, metavar="FILE",
        help="several kinds of request, drawn by their weights from --seed: [[request]] tables of "
        "model, file, shape, dtype, batch-size, weight or inputs, in TOML",
    )  # fmt: skip
    group.add_argument(
        "--use-dag", type=boolean, nargs="?", const=True, default=False, metavar="true|false",
        help="send a request as one DAG instead of three commands",
    )  # fmt: skip
    group.add_argument(
        "--persist-results", type=boolean, nargs="?", const=True, default=False,
        metavar="true|false", help="leave the outputs in the server",
    )  # fmt: skip
    group.add_argument(
        "--dialect", choices=["auto", *Dialect], default=Dialect.MODELRUN,
        help="run by AI.MODELRUN or AI.MODELEXECUTE; auto takes the newest that the server knows "
        "(default: modelrun, which every RedisAI knows)",
    )  # fmt: skip
    group.add_argument(
        "--timeout-ms", type=int, metavar="MS",
        help="the server's limit on the time a request waits in its queue (RedisAI 1.2.1 and up)",
    )  # fmt: skip
    group.add_argument(
        "--verify", type=Path, metavar="FILE", dest="reference_file",
        help="compare every output with its own in this file: float32, in the tensor file's order",
    )  # fmt: skip
    group.add_argument(
        "--tolerance", type=float, default=1e-4, metavar="X",
        help="the largest difference that --verify allows, absolute (default: 1e-4)",
    )  # fmt: skip
    group.add_argument(
        "--embedded", nargs="?", choices=EMBEDDED, const=EMBEDDED[0],
        help="start a server of our own with MobileNet V1 and stop it after the run (default "
        f"without a name: {EMBEDDED[0]})",
    )  # fmt: skip
    group.add_argument(
        "--seed", type=int, default=0, metavar="S",
        help="what generated tensors are drawn from; with --file, choose by this number which is "
        "sent first (default: 0, the file's first)",
    )  # fmt: skip


def add_load_options(parser: argparse.ArgumentParser) -> None:
    """How much is sent, in a run and in a sweep."""
    group = parser.add_argument_group("how much")
    group.add_argument(
        "--pipeline", type=int, default=1, metavar="N",
        help="requests outstanding on each connection, answered in order (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--threads", type=int, metavar="N",
        help="native I/O threads (default: one a core, eight where requests are of 256 KiB or "
        "more; at most as many as workers)",
    )  # fmt: skip
    group.add_argument(
        "--arrivals", choices=ARRIVALS, default="even",
        help="how requests are spread by --limit-rps or --profile; poisson is drawn from --seed "
        "(default: even)",
    )  # fmt: skip
    group.add_argument(
        "--max-lag", type=seconds, default=0.0, metavar="TIME",
        help="how late a request may start by the schedule (default: however late)",
    )  # fmt: skip
    group.add_argument(
        "--on-lag", choices=ON_LAG, default="stop",
        help="at a request that would be later than --max-lag: stop the run, or shed it, which is "
        "counted (default: stop)",
    )  # fmt: skip
    group.add_argument(
        "--burn-in", type=burn_in, default=BurnIn(), metavar="N|TIME|auto",
        help="requests at the start, or a time such as 5s, that count in no figure; auto: until "
        "rate and p50 are steady, for at most a minute (default: 0)",
    )  # fmt: skip
    group.add_argument(
        "--max-queries", type=int, default=0, metavar="N",
        help="tensors to send, burn-in included, in whole batches (default: 0, one pass of them, "
        "or no limit with --duration)",
    )  # fmt: skip
    group.add_argument(
        "--duration", type=seconds, default=0.0, metavar="TIME",
        help="how long to measure after the burn-in, such as 30s (default: no limit)",
    )  # fmt: skip
    group.add_argument(
        "--dial-read-timeout", type=seconds, default=90.0, metavar="TIME",
        help="how long the client waits for a request's last reply (default: 90s)",
    )  # fmt: skip
    group.add_argument(
        "--on-disconnect", choices=ON_DISCONNECT, default="reconnect",
        help="at a lost connection: make another, or stop the run (default: reconnect)",
    )  # fmt: skip
    group.add_argument(
        "--reconnect-for", type=seconds, default=30.0, metavar="TIME",
        help="how long a worker tries to get another connection before it gives up (default: 30s)",
    )  # fmt: skip
    group.add_argument(
        "--continue-on-error", type=boolean, nargs="?", const=True, default=True,
        metavar="true|false", help="false: stop at the first failure (default: true)",
    )  # fmt: skip


def _path_or_none(word: str) -> Path | None:
    return Path(word) if word else None


def add_statistics_options(parser: argparse.ArgumentParser) -> None:
    """When statistics are taken, in a run and in a sweep."""
    group = parser.add_argument_group("statistics")
    group.add_argument(
        "--reporting-period", type=seconds, default=1.0, metavar="TIME",
        help="time between two lines, such as 1000ms (default: 1s)",
    )  # fmt: skip
    group.add_argument(
        "--expect", action="append", default=[], metavar="FIGURE<LIMIT",
        help="what a figure has to be, such as 'p99<50ms', 'errors<0.1%%' or 'rate>200'; the exit "
        "code is 1 where it is not; may be given again",
    )  # fmt: skip
    group.add_argument(
        "--junit",
        type=Path,
        metavar="FILE",
        help="save what held here, as JUnit XML (default: not)",
    )
    group.add_argument(
        "--reset-stats", action="store_true",
        help="set the server's statistics to 0 before the run, for everyone (default: leave them)",
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
        help="the model's batch size on the server, noted in the result (default: -1, unknown)",
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
    config = resolved(config, options)
    config.count_tensors()  # what is wrong with the file shows before a server is started
    expected = [parse_expectation(words) for words in options.expect]
    repeated = options.repeats is not None or options.until is not None
    _check_outputs(options)
    end_in_order()
    with (
        loaded_server(options) as where,
        _shown(options) as show,
        logged(options.hdr_log_file, _while_read(show)) as observe,
    ):
        config = dataclasses.replace(config, **where)

        def run_once(number: int) -> Result:
            run_number = number if repeated else None
            saved_as = options.json_out_file and _numbered(options.json_out_file, run_number)
            with journaled(saved_as, observe) as observe_and_keep:
                result = checked(run(config, observe_and_keep), expected)
                _report(options, result, run_number)
            return result

        made = repeat(run_once, options.repeats or MIN_REPEATS, options.until) if repeated else None
        results = made.results if made else [run_once(1)]
    if made:
        _report_repeats(options, made)
    write_junit(options.junit, [(f"run {n}", one) for n, one in enumerate(results, 1)])
    if results[-1].interrupted:
        return EXIT_INTERRUPTED
    gave_up = made is not None and made.gave_up
    well = all(one.went_well and one.held for one in results) and not gave_up
    return 0 if well else EXIT_FAILURES


def _report_repeats(options: argparse.Namespace, made: Repeats) -> None:
    """Print what all runs come to, and save it beside them."""
    print(text.format_repeats(made))
    if options.json_out_file:
        files = [_numbered(options.json_out_file, n).name for n in range(1, len(made.results) + 1)]
        write_text(options.json_out_file, json.dumps(made.to_json(files), indent=2) + "\n")


def _numbered(file: Path, number: int | None) -> Path:
    """Where a result goes: a repeated run's has its number before the ending."""
    return file if number is None else file.with_stem(f"{file.stem}-{number}")


def checked(result: Result, expected: Sequence[Expectation]) -> Result:
    """The result with what was expected of it."""
    return dataclasses.replace(result, expectations=[one.check(result) for one in expected])


def write_junit(file: Path | None, runs: Iterable[tuple[str, Result]]) -> None:
    """Save what held and what did not where --junit asks for it; ConfigError as `write_text`."""
    if file is not None:
        write_text(file, format_junit((name, result.expectations) for name, result in runs))


def end_in_order() -> None:
    """Have a run that is told to end keep what it measured, whoever tells it, and however often."""
    for number in ENDING_SIGNALS:
        signal.signal(number, _interrupt_once)


def _interrupt_once(number: int, frame: FrameType | None) -> NoReturn:
    """End the run and keep what it measured, whoever asks; what follows is short, and is let be."""
    for ending in ENDING_SIGNALS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def _check_outputs(options: argparse.Namespace) -> None:
    for option, path in (
        ("--json-out-file", options.json_out_file),
        (HISTOGRAM_OPTION, options.histogram_file),
        ("--hdr-log-file", options.hdr_log_file),
        ("--junit", options.junit),
    ):
        try:
            if path:
                check_writable(path)
        except ConfigError as error:
            raise ConfigError(f"{option}: {error}") from error


def _while_read(show: Callable[[Event], None]) -> Callable[[Event], None]:
    """Show events as long as anyone reads them: a closed pipe is no reason to lose a run."""

    def show_or_not(event: Event) -> None:
        try:
            show(event)
        except BrokenPipeError:
            _stop_printing()

    return show_or_not


def _stop_printing() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_config(options: argparse.Namespace) -> RunConfig:
    """The settings of a run that the runs of a sweep have in common.

    ConfigError where they cannot be run, or do not say which tensors to send.
    """
    mix = () if options.mix is None else read_mix(options.mix)
    if mix and (options.shape is not None or options.dtype or options.model != DEFAULT_MODEL):
        raise ConfigError(
            "--mix with --shape, --dtype or --model: the mix says them for each request"
        )
    if options.inputs and options.shape is not None:
        raise ConfigError("--input with --shape: each input has its own")
    urls = [EMBEDDED_TRITON_URL] if options.embedded == "triton" else http_urls(options)
    known = mix or options.inputs or urls or options.embedded
    if not known and options.file is None and options.shape is None:
        raise ConfigError(
            "which tensors? give --file FILE, or --shape such as 224,224,3 for generated ones"
        )
    return RunConfig(
        file=options.file,
        mix=mix,
        shape=options.shape or (IMAGE_SHAPE if options.embedded else ()),
        dtype=options.dtype or ("FLOAT" if options.embedded else ""),
        inputs=tuple(read_input(words) for words in options.inputs),
        url=urls[0] if urls else None,
        others=tuple(urls[1:]),
        all_addresses=options.all_addresses,
        cluster_mode=options.cluster_mode,
        tls=tls_settings(options) if urls else None,
        headers=read_headers(options),
        metrics_url=options.metrics_url,
        model_version=options.model_version,
        outputs=tuple(options.outputs),
        encoding=None if options.encoding == "auto" else Encoding(options.encoding),
        json_memory_bytes=options.json_memory,
        model=options.model,
        use_dag=options.use_dag,
        persist_results=options.persist_results,
        dialect=None if options.dialect == "auto" else Dialect(options.dialect),
        timeout_ms=options.timeout_ms,
        reference_file=options.reference_file,
        tolerance=options.tolerance,
        pipeline=options.pipeline,
        burn_in=options.burn_in.requests,
        burn_in_s=options.burn_in.seconds,
        burn_in_until_steady=options.burn_in.until_steady,
        max_queries=options.max_queries,
        duration_s=options.duration,
        continue_on_error=options.continue_on_error,
        reporting_period_s=options.reporting_period,
        reply_timeout_s=options.dial_read_timeout,
        on_disconnect=options.on_disconnect,
        reconnect_for_s=options.reconnect_for,
        reset_stats=options.reset_stats,
        seed=options.seed,
        command_line=told_command_line(options.command_line),
    )


@contextmanager
def _shown(options: argparse.Namespace) -> Iterator[Callable[[Event], None]]:
    """What to do with the events of a run: a live line on a terminal, CSV into a pipe."""
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


def _print_event(event: Event) -> None:
    match event:
        case Started():
            print(text.CSV_HEADER, flush=True)
        case Interval():
            print(text.format_interval(event), flush=True)
        case BurnInComplete():
            print(text.format_burn_in(event), flush=True)
        case Formatting():
            print_formatting(event)
        case Sample():
            _print_sample(event)


def print_formatting(event: Event) -> None:
    """Say once, before it is taken, how much memory tensors as JSON take."""
    if isinstance(event, Formatting) and event.done == 0:
        print(text.format_formatting(event), file=sys.stderr, flush=True)


def _print_sample(event: Event) -> None:
    """Show the classes with the highest values; on stderr, so that stdout stays CSV."""
    if not isinstance(event, Sample):
        return
    if event.dtype == "FLOAT":
        values = array("f", event.output)
        best = nlargest(TOP_CLASSES, range(len(values)), key=values.__getitem__)
        shown = "classes " + ", ".join(f"{index} ({values[index]:.4f})" for index in best)
    else:
        shown = f"{len(event.output)} bytes of {event.dtype}"
    print(f"reply to tensor {event.tensor}: {shown}", file=sys.stderr)


@contextmanager
def _live_line() -> Iterator[Callable[[Event], None]]:
    # A run into a pipe does without rich's memory.
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(), transient=True, auto_refresh=False) as live:

        def show(event: Event) -> None:
            match event:
                case Digesting():
                    live.update(text.format_digesting(event), refresh=True)
                case Formatting():
                    print_formatting(event)
                    live.update(text.format_formatted(event), refresh=True)
                case Interval():
                    live.update(text.format_live(event), refresh=True)
                case BurnInComplete():
                    live.console.print(text.format_burn_in(event), highlight=False)
                case Sample():
                    _print_sample(event)

        yield show


@contextmanager
def _live_view() -> Iterator[Callable[[Event], None]]:
    from rich.console import Console
    from rich.live import Live

    from aibench_fast.report.live import LiveView

    with Live(console=Console(), transient=True, auto_refresh=False) as live:
        view = LiveView()

        def show(event: Event) -> None:
            match event:
                case Digesting():
                    live.update(text.format_digesting(event), refresh=True)
                case Formatting():
                    print_formatting(event)
                    live.update(text.format_formatted(event), refresh=True)
                case Reading():
                    live.update(view.updated(event, live.console.width), refresh=True)
                case BurnInComplete():
                    live.console.print(text.format_burn_in(event), highlight=False)
                case Sample():
                    _print_sample(event)

        yield show


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
    try:
        print(text.format_summary(result))
        if options.histogram_file:
            file = _numbered(options.histogram_file, number)
            print(f"Saving Query Latencies HDR Histogram to {file}", flush=True)
    except BrokenPipeError:
        _stop_printing()
    if failed:
        raise failed[0]
