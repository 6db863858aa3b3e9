"""`aibench-fast sweep`."""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from aibench_fast.cli.commands import COMMANDS
from aibench_fast.cli.comparedservers import compared_servers
from aibench_fast.cli.ending import EXIT_FAILURES, EXIT_INTERRUPTED
from aibench_fast.cli.expected import write_junit
from aibench_fast.cli.options.clients import Run, add_clients_options, check_clients, load_source
from aibench_fast.cli.options.load import add_load_options, add_statistics_options
from aibench_fast.cli.options.parser import add_command
from aibench_fast.cli.options.request import add_request_options, files_read, run_config
from aibench_fast.cli.options.server import add_login, add_server_address
from aibench_fast.cli.options.servers import check_one_server, loaded_server, resolved
from aibench_fast.cli.options.sweep import add_grid_options, add_sweep_options, with_grid_file
from aibench_fast.cli.options.values import BurnIn
from aibench_fast.cli.saving import printed, run_and_save, save_or_print
from aibench_fast.cli.sweptmodel import AnyModel, RedisAiModel, swept_model
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.files import Named, check_outputs, remove_written
from aibench_fast.load.config import RunConfig
from aibench_fast.load.outcome import arrivals_told
from aibench_fast.load.sweep import Cell, Files, Grid, is_done
from aibench_fast.load.thresholds import Expectation, parse_expectation
from aibench_fast.report import text
from aibench_fast.results.events import (
    BurnInComplete,
    Event,
    Formatting,
    Observer,
    SendingFile,
    Started,
    Waiting,
)
from aibench_fast.results.journal import journal_of
from aibench_fast.results.result import MAX_NOT_SENT, Interval, Result

PlannedRun = tuple[Cell, RunConfig, Files]
Planned = list[PlannedRun]


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "sweep",
        summary=COMMANDS["sweep"],
        example="aibench-fast sweep --file /tmp/bulk_data/vision_tensors.out --workers 0:50:10 "
        "--autobatching 0:50:10 --runs 3 --burn-in 100 --max-queries 5000",
    )
    add_server_address(parser, http=True, cluster=True)
    add_login(parser)
    add_grid_options(parser)
    add_request_options(parser)
    add_load_options(parser)
    parser.add_argument(
        "--burn-in-images", type=int, metavar="N",
        help="burn-in in images instead of requests: as many requests as hold them",
    )  # fmt: skip
    add_statistics_options(parser)
    add_clients_options(parser)
    add_sweep_options(parser)
    parser.set_defaults(handler=lambda options: _sweep(with_grid_file(parser, options)))


def _sweep(options: argparse.Namespace) -> int:
    expected = [parse_expectation(words) for words in options.expect]
    sweep = _Sweep(options, expected)
    servers = compared_servers(options)
    # Once before a server is asked, and again when the model says how its results are called.
    check_outputs([("--junit", options.junit)], _files_read(servers, options))
    planned = sweep.plan(servers)
    if options.dry_run:
        return _tell([item for _, items in _turns(planned) for item in items], options)
    _check_files(planned, options)
    return sweep.run_all(planned)


def _check_files(
    planned: Sequence[tuple[argparse.Namespace, Planned]], options: argparse.Namespace
) -> None:
    """ConfigError where what is read would be written over, or cannot be written."""
    writes: list[Named] = [("--junit", options.junit)]
    for _, items in planned:
        for _, _, files in items:
            writes += [("--results-dir", file) for file in (files.json, files.raw)]
            writes.append(("the journal of a result", journal_of(files.json)))
    servers = [server for server, _ in planned]
    check_outputs(dict.fromkeys(writes), _files_read(servers, options))


def _files_read(
    servers: Sequence[argparse.Namespace], options: argparse.Namespace
) -> Iterable[Named]:
    reads: list[Named] = [("--grid", options.grid)]
    for server in servers:
        reads += files_read(server, run_config(server))
    return dict.fromkeys(reads)


def _planned(options: argparse.Namespace) -> Planned:
    """The runs of one server, which is asked for its model where it is there already."""
    common = dataclasses.replace(
        run_config(options),
        server_name=options.server_name,
        servers_meanwhile=options.servers_meanwhile,
    )
    of_redisai = options.autobatching is not None or options.allow_flush
    if of_redisai and (common.url or options.embedded == "triton"):
        raise ConfigError("--autobatching and --allow-flush are of RedisAI alone")
    check_one_server(options)
    if options.embedded or (options.dry_run and options.autobatching):
        own = AnyModel.batch_size if options.embedded == "triton" else 0
        return _plan(common, options, AnyModel(), options.autobatching or [own])
    with loaded_server(options) as where:
        model = swept_model(where, options)
        common = dataclasses.replace(common, **where)
        return _plan(common, options, model, options.autobatching or [model.batch_size])


def _plan(
    common: RunConfig,
    options: argparse.Namespace,
    model: RedisAiModel | AnyModel,
    autobatching: Sequence[int],
) -> Planned:
    """Every cell with its settings and files; ConfigError where one of them cannot be run."""
    counts = resolved(common, options).count_tensors()
    grid = Grid(
        workers=options.workers,
        autobatching=autobatching,
        batch_sizes=options.batch_size,
        limits_rps=options.limit_rps,
        runs=options.runs,
        only_batches_that_fill=options.autobatching is not None,
        server_name=options.server_name,
    )
    planned = []
    for cell in grid.cells(options.shuffle):
        burn_in = options.burn_in
        if options.burn_in_images is not None:
            burn_in = BurnIn(-(-options.burn_in_images // cell.batch_size))
        config = dataclasses.replace(
            common,
            workers=cell.workers,
            threads=options.threads and min(options.threads, cell.workers),
            batch_size=cell.batch_size,
            limit_rps=cell.limit_rps,
            arrivals=options.arrivals,
            max_lag_s=options.max_lag,
            on_lag=options.on_lag,
            burn_in=burn_in.requests,
            burn_in_s=burn_in.seconds,
            burn_in_until_steady=burn_in.until_steady,
            metadata_autobatching=cell.autobatching,
            results_so_far=True,
        )
        config = resolved(config, options)
        check_clients(options, config)
        model.check(cell, config.max_requests(counts[0]))
        files = Files.of(cell, options.results_dir, options.suffix, options.device)
        planned.append((cell, config, files))
    if not planned:
        raise ConfigError("no run is left: no number of --workers can fill --autobatching")
    return planned


def _is_done(config: RunConfig, files: Files) -> bool:
    asked: dict[str, Any] = {
        "ServerName": config.server_name,
        "Model": config.model,
        "DataFile": config.data_file,
        "DataSeed": config.data_seed,
        "Shape": list(config.shape),
        "Dtype": config.dtype,
        "Pipeline": config.pipeline,
        "Limit": config.max_queries,
        "Arrivals": arrivals_told(config),
    }
    if config.inputs:
        asked["Inputs"] = config.kinds[0].tensors
    if config.encoding is not None:
        asked["Encoding"] = config.encoding
    if not (
        config.burn_in_s or config.burn_in_until_steady
    ):  # or how many requests it was is not known beforehand
        asked["BurnInRequests"] = config.burn_in
    return is_done(files.json, asked)


def _tell(planned: Planned, options: argparse.Namespace) -> int:
    done = [_is_done(config, files) for _, config, files in planned]
    for (cell, _, _), is_there in zip(planned, done, strict=True):
        print(f"{'done' if is_there else 'run '} {cell.name(options.suffix, options.device)}")
    print(f"{len(planned)} runs: {sum(done)} done, {len(planned) - sum(done)} to do")
    return 0


class _Sweep:
    """Makes the runs of a sweep, and knows how they went."""

    def __init__(self, options: argparse.Namespace, expected: Sequence[Expectation]) -> None:
        self._options = options
        self._expected = expected
        self._results: list[tuple[str, Result]] = []
        self._ended = 0
        self._failed = 0
        self._servers_gone: list[str] = []
        """Those that were left out, by name."""

    def plan(
        self, servers: Sequence[argparse.Namespace]
    ) -> list[tuple[argparse.Namespace, Planned]]:
        """All runs, server by server; with --keep-going without those of a server that is gone."""
        planned = []
        for server in servers:
            try:
                planned.append((server, _planned(server)))
            except ServerError as error:
                if not self._options.keep_going or len(self._servers_gone) == len(servers) - 1:
                    raise
                self._leave_out(server.server_name, error)
        return planned

    def _leave_out(self, name: str, error: ServerError) -> None:
        self._servers_gone.append(name)
        print(f"aibench-fast: {name} is left out: {error}", file=sys.stderr)

    def run_all(self, planned: Sequence[tuple[argparse.Namespace, Planned]]) -> int:
        """Make what is not done yet; return the exit code. What was made is in --junit."""
        options = self._options
        runs = [item for _, items in planned for item in items]
        done = {files.json for _, config, files in runs if _is_done(config, files)}
        for file in done:  # left by a sweep that was killed just after it saved the result
            remove_written(journal_of(file))
        try:
            with _shown(len(runs), len(done), options) as show, load_source(options) as run:
                self._take_turns(planned, done, run, show)
        except KeyboardInterrupt:
            write_junit(options.junit, self._results)
            return EXIT_INTERRUPTED
        write_junit(options.junit, self._results)
        if self._failed or self._servers_gone:
            self._tell_of_failures(len(runs), len(runs) - len(done) - self._ended)
            return EXIT_FAILURES
        return 0

    def _take_turns(
        self,
        planned: Sequence[tuple[argparse.Namespace, Planned]],
        done: Set[Path],
        run: Run,
        show: Callable[[Cell, str], None],
    ) -> None:
        """Make each run that is not done, while its server is there."""
        for server, items in _turns(planned):
            left = [item for item in items if item[2].json not in done]
            if not left:
                continue
            try:
                with loaded_server(server) as where, swept_model(where, server) as model:
                    for cell, config, files in left:
                        one = cell, dataclasses.replace(config, **where), files
                        if not self._run_one(model, one, run, show):
                            return
            except ServerError as error:
                if not self._options.keep_going or len(planned) == 1:
                    raise
                self._leave_out(server.server_name, error)

    def _run_one(
        self,
        model: RedisAiModel | AnyModel,
        planned: PlannedRun,
        run: Run,
        show: Callable[[Cell, str], None],
    ) -> bool:
        """Make one run; False where it is the last. KeyboardInterrupt where it was ended."""
        cell, config, files = planned
        keep_going = self._options.keep_going
        if self._ended:
            time.sleep(self._options.sleep)
        self._ended += 1
        try:
            model.prepare(cell.autobatching)
            result = _run_cell(run, config, files, self._expected)
        except ServerError as error:
            if not keep_going:
                raise
            self._failed += 1
            show(cell, f"failed: {error}")
            return True
        self._results.append((_described(cell), result))
        if result.interrupted:
            raise KeyboardInterrupt
        show(cell, _outcome(result))
        if result.went_well and result.held:
            return True
        self._failed += 1
        return bool(keep_going)

    def _tell_of_failures(self, runs: int, left: int) -> None:
        again = "them" if self._options.keep_going else "it"
        print(
            f"aibench-fast: {self._failed} of {runs} runs had failures or broke an --expect"
            f"{f', and {left} were not made' if left else ''}; see {self._options.results_dir}, "
            f"and type the command again to repeat {again}"
            f"{', or with --keep-going to make the others too' if left else ''}",
            file=sys.stderr,
        )


def _turns(
    planned: Sequence[tuple[argparse.Namespace, Planned]],
) -> Iterator[tuple[argparse.Namespace, Planned]]:
    """Whose turn it is, with which runs.

    Servers that are compared take turns, with one run of each cell at a time: what changes on the
    machine in the course of the sweep is then in the figures of all.
    """
    if len(planned) == 1:
        yield from planned
        return
    for number in sorted({cell.run for _, items in planned for cell, _, _ in items}):
        for options, items in planned:
            yield options, [item for item in items if item[0].run == number]


def _run_cell(run: Run, config: RunConfig, files: Files, expected: Sequence[Expectation]) -> Result:
    """Run one cell; its lines go to the RAW file as they come, its result to the JSON at last."""
    with printed(files.raw) as write:

        def save(result: Result) -> None:
            write(text.format_summary(result))
            save_or_print(result, files.json)

        return run_and_save(partial(run, config), expected, files.json, _writer(write), save)


def _writer(write: Callable[[str], None]) -> Observer:
    def observe(event: Event) -> None:
        match event:
            case Started():
                write(text.CSV_HEADER)
            case Formatting(done=0):
                write(text.format_formatting(event))
            case SendingFile(done_bytes=0):
                write(text.format_sending(event))
            case Interval():
                write(text.format_interval(event))
            case BurnInComplete():
                write(text.format_burn_in(event))
            case Waiting():
                write(text.format_waiting(event))

    return observe


def _outcome(result: Result) -> str:
    (p50,) = result.latencies.known_quantiles_ms([0.5])
    failures = f", {result.failed} failures" if result.failed else ""
    if result.not_sent_share > MAX_NOT_SENT:
        failures += f", {result.not_sent_share:.1%} of the due requests were not sent"
    expected = "".join(f"\n    {one}" for one in result.expectations)
    told = text.format_ms(p50, ".3f")
    return f"{result.inferences_per_s:.3f} inferences/s, p50 {told}{failures}{expected}"


@contextmanager
def _shown(
    total: int, done: int, options: argparse.Namespace
) -> Iterator[Callable[[Cell, str], None]]:
    """Lines on stdout as cells end, and on a terminal a bar with the time left."""
    console = Console(stderr=True)
    progress = Progress(
        MofNCompleteColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=2,  # a run is measured meanwhile
        redirect_stdout=sys.stdout.isatty(),  # or the lines would not get into a file
        disable=options.quiet or not console.is_terminal,
    )
    if done and not options.quiet:
        print(f"{done} of {total} runs are done already", flush=True)
    ended = done
    with progress:
        # What was done before took no time of this sweep, and says nothing about the time left.
        task = progress.add_task("", total=total - done)

        def show(cell: Cell, outcome: str) -> None:
            nonlocal ended
            ended += 1
            progress.advance(task)
            if not options.quiet:
                print(f"{ended}/{total} {_described(cell)}: {outcome}", flush=True)

        yield show


def _described(cell: Cell) -> str:
    limit = f", {cell.limit_rps:g} requests/s" if cell.limit_rps else ""
    server = f"{cell.server_name}, " if cell.server_name else ""
    return (
        f"{server}{cell.workers} workers, auto-batching {cell.autobatching}, tensor batch "
        f"{cell.batch_size}{limit}, run {cell.run}"
    )
