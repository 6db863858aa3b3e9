"""`aibench-fast sweep`."""

import argparse
import dataclasses
import shlex
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from aibench_fast.cli.options import (
    BurnIn,
    add_command,
    add_login,
    add_server_address,
    seconds,
)
from aibench_fast.cli.run import (
    EXIT_FAILURES,
    EXIT_INTERRUPTED,
    add_load_options,
    add_request_options,
    add_statistics_options,
    checked,
    end_in_order,
    run_config,
    write_junit,
)
from aibench_fast.cli.servers import loaded_server
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.load.config import RunConfig
from aibench_fast.load.events import Event
from aibench_fast.load.resolve import resolve
from aibench_fast.load.runner import run
from aibench_fast.load.sweep import Cell, Files, Grid, is_done, numbers
from aibench_fast.load.thresholds import Expectation, parse_expectation
from aibench_fast.models.load import ModelSpec, load_model, stored_model
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.report import text
from aibench_fast.results.result import BurnInComplete, Interval, Result, Started

Planned = list[tuple[Cell, RunConfig, Files]]


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "sweep",
        summary="Run every combination of settings, and save each result under its settings' name.",
        example="aibench-fast sweep --file /tmp/bulk_data/vision_tensors.out --workers 0:50:10 "
        "--autobatching 0:50:10 --runs 3 --burn-in 100 --max-queries 5000",
    )
    add_server_address(parser, http=True)
    add_login(parser)
    _add_grid_options(parser)
    add_request_options(parser)
    add_load_options(parser)
    parser.add_argument(
        "--burn-in-images", type=int, metavar="N",
        help="burn-in in images instead of requests: as many requests as hold them",
    )  # fmt: skip
    add_statistics_options(parser)
    _add_sweep_options(parser)
    parser.set_defaults(handler=lambda options: _sweep(_with_grid_file(parser, options)))


def _axis(least: int) -> Callable[[str], list[int]]:
    def axis(words: str) -> list[int]:
        return numbers(words, least=least)

    return axis


def _rates(words: str) -> list[float]:
    return [float(word) for word in words.split(",")]


def _add_grid_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "the grid", "numbers as 1,8,16 or as MIN:MAX:STEP, where 0:50:10 is 1,10,20,30,40,50"
    )
    group.add_argument(
        "--grid", type=Path, metavar="FILE",
        help="options from a TOML file, named as here; those typed beside it win",
    )  # fmt: skip
    group.add_argument(
        "--workers", type=_axis(1), default=[1], metavar="N,...",
        help="requests under way at a time (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--autobatching", type=_axis(0), metavar="N,...",
        help="batch sizes on the server: the model is read from it and stored again with each, and "
        "at last with its own (default: as it is)",
    )  # fmt: skip
    group.add_argument(
        "--batch-size", type=_axis(1), default=[1], metavar="B,...",
        help="tensors a request, sent as one with the batch before its shape (default: 1)",
    )  # fmt: skip
    group.add_argument(
        "--limit-rps", type=_rates, default=[0.0], metavar="N,...",
        help="requests a second of all workers (default: 0, no limit)",
    )  # fmt: skip
    group.add_argument(
        "--runs", type=int, default=1, metavar="N", help="times that each is run (default: 1)"
    )


def _add_sweep_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the sweep")
    group.add_argument(
        "--results-dir", type=Path, default=Path("results"), metavar="FOLDER",
        help="where JSON_... and RAW_... files go (default: results)",
    )  # fmt: skip
    group.add_argument(
        "--suffix", default="", metavar="TEXT", help="a part of the files' names, such as v1.2_"
    )
    group.add_argument(
        "--device", type=str.lower, choices=["cpu", "gpu"], default="cpu",
        help="what the files' names say that the model runs on (default: cpu)",
    )  # fmt: skip
    group.add_argument(
        "--shuffle", type=int, nargs="?", const=1, metavar="SEED",
        help="in random order, drawn from SEED (default: in order)",
    )  # fmt: skip
    group.add_argument(
        "--sleep", type=seconds, default=0.0, metavar="TIME",
        help="how long to wait between two runs (default: not)",
    )  # fmt: skip
    group.add_argument(
        "--keep-going", action="store_true",
        help="go on after a run that failed (default: stop there)",
    )  # fmt: skip
    group.add_argument(
        "--allow-flush", action="store_true",
        help="empty the whole server before each run, and store the model again",
    )  # fmt: skip
    group.add_argument(
        "--dry-run", action="store_true", help="tell which runs there are and do none"
    )
    group.add_argument("--quiet", action="store_true", help="no progress and no lines")


def _with_grid_file(
    parser: argparse.ArgumentParser, options: argparse.Namespace
) -> argparse.Namespace:
    """The options with those of --grid under them."""
    typed = shlex.split(options.command_line)[2:]
    words = [] if options.grid is None else _words(parser, options.grid)
    both = parser.parse_args([*words, *typed])
    both.command_line = options.command_line
    return both


def _words(parser: argparse.ArgumentParser, file: Path) -> list[str]:
    """A TOML file's settings as options would be typed."""
    try:
        settings = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read --grid {file}: {error}") from error
    words = []
    for name, value in settings.items():
        if isinstance(value, bool):
            if value != parser.get_default(name.replace("-", "_")):
                words.append(f"--{name}" if value else f"--{name}=false")
        else:
            values = value if isinstance(value, list) else [value]
            words.append(f"--{name}={','.join(map(str, values))}")
    return words


def _sweep(options: argparse.Namespace) -> int:
    end_in_order()
    common = run_config(options)
    expected = [parse_expectation(words) for words in options.expect]
    if options.dry_run and (options.autobatching or options.embedded):
        return _tell(_plan(common, options, options.autobatching or [0]), options)
    of_redisai = options.autobatching is not None or options.allow_flush
    if of_redisai and (common.url or options.embedded == "triton"):
        raise ConfigError("--autobatching and --allow-flush are of RedisAI alone")
    with loaded_server(options) as where:
        model = _Model(where["address"], options) if "address" in where else _AnyModel()
        common = dataclasses.replace(common, **where)
        planned = _plan(common, options, options.autobatching or [model.batch_size])
        if options.dry_run:
            return _tell(planned, options)
        with model:
            return _run_all(planned, model, expected, options)


def _plan(common: RunConfig, options: argparse.Namespace, autobatching: Sequence[int]) -> Planned:
    """Every cell with its settings and files; ConfigError where one of them cannot be run."""
    counts = resolve(common).count_tensors()
    grid = Grid(
        workers=options.workers,
        autobatching=autobatching,
        batch_sizes=options.batch_size,
        limits_rps=options.limit_rps,
        runs=options.runs,
        only_batches_that_fill=options.autobatching is not None,
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
        )
        config = resolve(config)
        config.max_requests(counts[0])
        files = Files.of(cell, options.results_dir, options.suffix, options.device)
        planned.append((cell, config, files))
    if not planned:
        raise ConfigError("no run is left: no number of --workers can fill --autobatching")
    return planned


def _is_done(config: RunConfig, files: Files) -> bool:
    asked: dict[str, Any] = {
        "Model": config.model,
        "DataFile": config.data_file,
        "DataSeed": config.data_seed,
        "Shape": list(config.shape),
        "Dtype": config.dtype,
        "Pipeline": config.pipeline,
        "Limit": config.max_queries,
    }
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


class _AnyModel:
    """A model of a server that we store nothing in."""

    batch_size = -1
    """It does not tell."""

    def prepare(self, batch_size: int) -> None:
        """It stays as it is."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class _Model:
    """The model under test, which is stored again where a cell wants another batch size.

    At the end of a `with` block it has its own batch size again.
    """

    def __init__(self, address: ServerAddress, options: argparse.Namespace) -> None:
        self.address = address
        self._flush = options.allow_flush
        with Connection(address) as connection:
            self._spec = stored_model(connection, options.model)
        self._stored = self._spec
        if any(options.autobatching or ()) and not _batched(self._spec, 1).batches:
            raise ConfigError(
                f"--autobatching: the model {options.model} runs on {self._spec.backend}, which "
                "does not batch requests; leave it out"
            )

    @property
    def batch_size(self) -> int:
        """The batch size that the model was found with."""
        return self._spec.batch_size

    def prepare(self, batch_size: int) -> None:
        """Have the server hold the model with this batch size, and nothing else if it may."""
        own = batch_size == self.batch_size
        self._store(self._spec if own else _batched(self._spec, batch_size))

    def _store(self, wanted: ModelSpec) -> None:
        if wanted == self._stored and not self._flush:
            return
        # A cell may take hours, after which a connection that nothing was asked on may be cut.
        with Connection(self.address) as connection:
            if self._flush:
                connection.call("FLUSHALL")
            load_model(connection, wanted)
        self._stored = wanted

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._flush = False
        try:
            self._store(self._spec)
        except ServerError as error:
            print(f"aibench-fast: the model keeps its last batch size: {error}", file=sys.stderr)


def _batched(spec: ModelSpec, batch_size: int) -> ModelSpec:
    """The same model with another batch size, and waiting for no more than that."""
    least = min(spec.min_batch_size, batch_size)
    return dataclasses.replace(
        spec,
        batch_size=batch_size,
        min_batch_size=least,
        min_batch_timeout_ms=spec.min_batch_timeout_ms if least else 0,
    )


def _run_all(
    planned: Planned,
    model: _Model | _AnyModel,
    expected: Sequence[Expectation],
    options: argparse.Namespace,
) -> int:
    to_do = [item for item in planned if not _is_done(item[1], item[2])]
    results: list[tuple[str, Result]] = []
    failed = 0
    ran = False
    with _shown(len(planned), len(planned) - len(to_do), options) as show:
        for cell, config, files in to_do:
            if ran:
                time.sleep(options.sleep)
            ran = True
            try:
                model.prepare(cell.autobatching)
                result = _run_cell(config, files, expected)
            except ServerError as error:
                if not options.keep_going:
                    raise
                failed += 1
                show(cell, f"failed: {error}")
                continue
            if result.interrupted:
                return EXIT_INTERRUPTED
            show(cell, _outcome(result))
            results.append((_described(cell), result))
            if not (result.went_well and result.held):
                failed += 1
                if not options.keep_going:
                    break
    write_junit(options.junit, results)
    if failed:
        print(
            f"aibench-fast: {failed} of {len(planned)} runs had failures or broke an --expect; see "
            f"{options.results_dir}, and type the command again to repeat "
            f"{'them' if options.keep_going else 'it and go on'}",
            file=sys.stderr,
        )
        return EXIT_FAILURES
    return 0


def _run_cell(config: RunConfig, files: Files, expected: Sequence[Expectation]) -> Result:
    """Run one cell; its lines go to the RAW file as they come, its result to the JSON at last."""
    try:
        files.raw.parent.mkdir(parents=True, exist_ok=True)
        raw = files.raw.open("w", buffering=1)
    except OSError as error:
        raise ConfigError(f"cannot write {files.raw}: {error.strerror}") from error
    with raw:
        result = checked(run(config, _writer(raw)), expected)
        print(text.format_summary(result), file=raw)
    result.save(files.json)
    return result


def _writer(raw: TextIO) -> Callable[[Event], None]:
    def write(event: Event) -> None:
        match event:
            case Started():
                print(text.CSV_HEADER, file=raw)
            case Interval():
                print(text.format_interval(event), file=raw)
            case BurnInComplete():
                print(text.format_burn_in(event), file=raw)

    return write


def _outcome(result: Result) -> str:
    (p50,) = result.latencies.quantiles_ms([0.5])
    failures = f", {result.failed} failures" if result.failed else ""
    broken = "".join(
        f", {one.expected} broken: {one.found}" for one in result.expectations if not one.held
    )
    return f"{result.inferences_per_s:.3f} inferences/s, p50 {p50:.3f} ms{failures}{broken}"


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
    return (
        f"{cell.workers} workers, auto-batching {cell.autobatching}, tensor batch "
        f"{cell.batch_size}{limit}, run {cell.run}"
    )
