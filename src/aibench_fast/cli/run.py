"""`aibench-fast run`."""

import argparse
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import nlargest
from pathlib import Path

from aibench_fast.cli.options import add_command, add_server_address, boolean, seconds
from aibench_fast.config import DEFAULT_MODEL, RunConfig
from aibench_fast.control import ServerAddress
from aibench_fast.errors import ConfigError
from aibench_fast.files import check_writable, write_text
from aibench_fast.report import text
from aibench_fast.result import BurnInComplete, Interval, Result, Sample, Started
from aibench_fast.runner import Event, run

EXIT_FAILURES = 1
EXIT_INTERRUPTED = 130
HISTOGRAM_FILE = Path("stats-response-latency-hist.txt")
TOP_CLASSES = 5


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "run",
        summary="Send inference requests from many workers; report rates and latencies.",
        example="aibench-fast run --file /tmp/bulk_data/vision_tensors.out --workers 8 "
        "--burn-in 100 --max-queries 5000",
    )
    add_server_address(parser)
    _add_request_options(parser)
    _add_load_options(parser)
    _add_output_options(parser)
    parser.set_defaults(handler=_run)


def _add_request_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is asked")
    group.add_argument("--file", type=Path, required=True, help="the tensor file")
    group.add_argument(
        "--model", default=DEFAULT_MODEL, help="the model's key (default: %(default)s)"
    )
    group.add_argument(
        "--batch-size", type=int, default=1, metavar="B",
        help="images a request, sent as one 4D tensor (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--embedded", action="store_true",
        help="start a server of our own with MobileNet V1 and stop it after the run",
    )  # fmt: skip
    group.add_argument(
        "--seed", type=int, default=0, metavar="S",
        help="choose by this number which tensor is sent first (default: 0, the file's first)",
    )  # fmt: skip


def _add_load_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how much")
    group.add_argument(
        "--workers", type=int, default=1, metavar="N",
        help="requests under way at a time, each on its own connection (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--threads", type=int, metavar="N",
        help="native I/O threads (default: the smaller of workers and cores)",
    )  # fmt: skip
    group.add_argument(
        "--burn-in", type=int, default=0, metavar="N",
        help="requests at the start that count in no figure (default: 0)",
    )  # fmt: skip
    group.add_argument(
        "--max-queries", type=int, default=0, metavar="N",
        help="images to send, burn-in included (default: 0, one pass of the file, "
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
        "--continue-on-error", type=boolean, nargs="?", const=True, default=True,
        metavar="true|false", help="false: stop at the first failure (default: true)",
    )  # fmt: skip


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is shown and saved")
    group.add_argument(
        "--reporting-period", type=seconds, default=1.0, metavar="TIME",
        help="time between two lines, such as 1000ms (default: 1s)",
    )  # fmt: skip
    group.add_argument(
        "--json-out-file", type=Path, metavar="FILE", help="save the result here (default: not)"
    )
    group.add_argument(
        "--output-file-stats-hdr-response-latency-hist", type=Path, default=HISTOGRAM_FILE,
        metavar="FILE", dest="histogram_file",
        help="save the latencies' percentile table here (default: %(default)s)",
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
    group.add_argument("--quiet", action="store_true", help="no lines while it runs")


def _run(options: argparse.Namespace) -> int:
    for path in filter(None, (options.json_out_file, options.histogram_file)):
        check_writable(path)
    with _server(options) as address:
        config = _config(options, address)
        with _shown(options) as show:
            result = run(config, show)
    _report(options, result)
    if result.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_FAILURES if result.failed else 0


def _config(options: argparse.Namespace, address: ServerAddress) -> RunConfig:
    return RunConfig(
        file=options.file,
        address=address,
        model=options.model,
        workers=options.workers,
        threads=options.threads,
        batch_size=options.batch_size,
        burn_in=options.burn_in,
        max_queries=options.max_queries,
        duration_s=options.duration,
        continue_on_error=options.continue_on_error,
        reporting_period_s=options.reporting_period,
        reply_timeout_s=options.dial_read_timeout,
        sample_responses=options.print_responses,
        metadata_autobatching=options.metadata_autobatching,
        seed=options.seed,
    )


@contextmanager
def _server(options: argparse.Namespace) -> Iterator[ServerAddress]:
    """The address of the server to load: the given one, or an embedded one for this run."""
    if not options.embedded:
        yield ServerAddress(options.host, options.port, options.socket)
        return
    raise ConfigError("--embedded is not there yet")


@contextmanager
def _shown(options: argparse.Namespace) -> Iterator[Callable[[Event], None]]:
    """What to do with the events of a run: a live line on a terminal, CSV into a pipe."""
    if options.quiet:
        yield _print_sample
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
        case Sample():
            _print_sample(event)


def _print_sample(event: Event) -> None:
    """Show the classes with the highest values; on stderr, so that stdout stays CSV."""
    if isinstance(event, Sample) and event.dtype == "FLOAT":
        values = array("f", event.output)
        best = nlargest(TOP_CLASSES, range(len(values)), key=values.__getitem__)
        classes = ", ".join(f"{index} ({values[index]:.4f})" for index in best)
        print(f"reply to tensor {event.tensor}: classes {classes}", file=sys.stderr)


@contextmanager
def _live_line() -> Iterator[Callable[[Event], None]]:
    # A run into a pipe does without rich's memory.
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(), transient=True, auto_refresh=False) as live:

        def show(event: Event) -> None:
            match event:
                case Interval():
                    live.update(text.format_live(event), refresh=True)
                case BurnInComplete():
                    live.console.print(text.format_burn_in(event), highlight=False)
                case Sample():
                    _print_sample(event)

        yield show


def _report(options: argparse.Namespace, result: Result) -> None:
    """Save first, so that nothing is lost where printing fails."""
    if options.json_out_file:
        result.save(options.json_out_file)
    write_text(options.histogram_file, result.latencies.percentile_table())
    print(text.format_summary(result))
    print(f"Saving Query Latencies HDR Histogram to {options.histogram_file}", flush=True)
