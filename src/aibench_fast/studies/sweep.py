"""A sweep runs every combination of settings, on one server or on several to compare."""

import dataclasses
import ipaddress
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from aibench_fast.cluster import DaskClient
from aibench_fast.errors import AibenchError, ConfigError, ServerError
from aibench_fast.files import Named, check_outputs, remove_written
from aibench_fast.load.config import RunConfig
from aibench_fast.load.resolve import resolve
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.results.events import ignore
from aibench_fast.results.folder import Loaded, read_results
from aibench_fast.results.journal import journal_of
from aibench_fast.results.result import Result
from aibench_fast.studies.events import Note, Planned, RunFailed, StudyObserver
from aibench_fast.studies.grid import Cell, Grid, is_done, raw_file
from aibench_fast.studies.runs import Run, check_run, run_and_save, source
from aibench_fast.studies.servers import Server, started
from aibench_fast.studies.sweptmodel import SweptModel
from aibench_fast.studies.thresholds import Expectation, expectations


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order of the runs of a sweep, and the names of their files."""

    folder: Path
    suffix: str = ""
    """A part of the files' names, such as `v1.2_`."""
    device: str = "cpu"
    """The device that the files' names say, `cpu` or `gpu`."""
    shuffle: int | None = None
    """The seed of a random order; None: in order."""
    pause_s: float = 0.0
    """Between two runs."""
    keep_going: bool = False
    """Continue after a failed run, and without a server that cannot be reached."""
    allow_flush: bool = False
    """Empty the whole server before each run, and store the model again."""
    burn_in_images: int | None = None
    """A warm-up in tensors instead of requests: as many requests as hold them."""


@dataclass(frozen=True)
class PlannedRun:
    """A cell with its settings."""

    cell: Cell
    config: RunConfig
    """Of an embedded server without its address, which is known when it has started."""
    file: Path
    """Where its result goes."""


@dataclass(frozen=True)
class SweptRun:
    """A run that a sweep made."""

    cell: Cell
    file: Path
    """Where its result is."""
    result: Result | None
    """None if the run did not start, or lost its server."""
    error: ServerError | None = None
    """Why there is no result."""

    @property
    def went_well(self) -> bool:
        """Whether no request failed and every expectation held."""
        return self.result is not None and self.result.went_well and self.result.held


@dataclass
class Sweep:
    """The outcome of a sweep."""

    files: Sequence[Path]
    """Of the results of all cells, existing or not."""
    done: int
    """Runs whose results an earlier sweep left."""
    runs: list[SweptRun] = field(default_factory=list)
    """The runs that this sweep made, in order."""
    left_out: list[str] = field(default_factory=list)
    """Servers that could not be reached, by name."""
    interrupted: bool = False
    """Whether Ctrl-C or a signal ended it."""

    @property
    def failed(self) -> int:
        """How many runs had failures or broke an expectation."""
        return sum(not run.went_well for run in self.runs)

    @property
    def unmade(self) -> int:
        """How many runs are still to be made; calling `sweep` again makes them."""
        return len(self.files) - self.done - len(self.runs)

    @property
    def results(self) -> Loaded:
        """The results of all cells that are there, as `read_results`; ConfigError without any."""
        return read_results([file for file in self.files if file.exists()] or self.files)


def sweep(
    config: RunConfig,
    grid: Mapping[str, Sequence[Any]],
    folder: Path | str,
    *,
    runs: int = 1,
    servers: Mapping[str, Mapping[str, Any]] | None = None,
    expect: Sequence[str | Expectation] = (),
    shuffle: int | None = None,
    keep_going: bool = False,
    observe: StudyObserver = ignore,
    client: DaskClient | None = None,
    clients: int | None = None,
) -> Sweep:
    """Run every combination of settings, and save each result in `folder`.

    A sweep that was interrupted is resumed by calling it again: results that are there, whole,
    without failures and as expected, are not made again.

    Args:
        config: The settings of every run.
        grid: Values of `workers`, `batch_size`, `limit_rps` (requests per second), `prompt_tokens`
            and `output_tokens` (numbers, or ranges such as `(256, 768)`), and `autobatching` (batch
            sizes on a RedisAI server; the model is stored again with each, and at the end with its
            own). Other settings are the config's.
        folder: For the results. File names are aibench's.
        runs: How often each combination is run.
        servers: Servers to compare, by the names that results call them: for each the fields of
            RunConfig that differ, such as `url`, `address` or `model`, or `embedded`, `"redisai"`
            or `"triton"`, for one that is started when its turn comes. They take turns, one run of
            each cell at a time.
        expect: Expectations of every run, such as `p99<50ms` or `errors<0.1%`.
        shuffle: The seed of a random order of the cells.
        keep_going: Continue after a failed run, and without a server that cannot be reached.
        observe: Called with every event, see `aibench_fast.studies.events`.
        client: A client of a Dask cluster whose workers send the load.
        clients: How many of its workers; None: all.

    Returns:
        What was done. `results` are the results, for `compare` and `read_results`.

    Raises:
        ConfigError: A cell cannot be run, or `folder` has the results of another sweep. Nothing
            was run.
        ServerError: A server cannot be reached, unless `keep_going` is set and others are left.

    Ctrl-C ends the run under way and the sweep, which is returned with `interrupted` set.

    Example:
        >>> config = RunConfig(file=None, shape=(16,), model="m", duration_s=10.0)
        >>> done = sweep(config, {"workers": [1, 8, 64]}, "results", runs=3)
        >>> done.results.to_pandas().groupby("workers").inferences_per_s.median()
    """
    if servers is None:
        swept = [Server(config=config)]
    else:
        swept = [Server.of(config, name, settings) for name, settings in servers.items()]
    expected = expectations(expect, *(one.config for one in swept))
    plan = Plan(
        swept,
        Grid.of(grid, config, runs),
        Order(folder=Path(folder), shuffle=shuffle, keep_going=keep_going),
        observe,
        check=partial(check_run, over_dask=client is not None, clients=clients),
    )
    check_outputs(plan.files_written())
    return plan.carry_out(source(client, clients), expected)


def compared(servers: Sequence[Server]) -> list[Server]:
    """Return the servers with their names, and those of others on this machine, in the config.

    A server without a name is not compared and stays as it is.
    """
    stay = [one.name for one in servers if one.name and not one.embedded and _is_here(one.config)]
    named = []
    for one in servers:
        config = one.config
        if one.name:
            meanwhile = tuple(name for name in stay if name != one.name)
            config = dataclasses.replace(config, server_name=one.name, servers_meanwhile=meanwhile)
        named.append(dataclasses.replace(one, config=config))
    return named


def _is_here(config: RunConfig) -> bool:
    """Whether the address of the server is on this machine."""
    address = config.protocol.addresses[0]
    if (isinstance(address, ServerAddress) and address.socket) or address.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.host).is_loopback
    except ValueError:  # a name
        return False


class Plan:
    """The runs of a sweep: all of them, and what is done."""

    def __init__(
        self,
        servers: Sequence[Server],
        grid: Grid,
        order: Order,
        observe: StudyObserver,
        *,
        check: Callable[[RunConfig], None],
        dry: bool = False,
    ) -> None:
        """Read the models of the servers, and check every cell, also by `check`.

        A `dry` plan visits servers only if it has to. ConfigError and ServerError as `sweep`.
        """
        self._grid = grid
        self._order = order
        self._observe = observe
        self._check = check
        self._planned: list[tuple[Server, list[PlannedRun]]] = []
        self._left_out: list[str] = []
        for server in compared(servers):
            try:
                self._planned.append((server, self._runs_of(server, dry=dry)))
            except ServerError as error:
                if not order.keep_going or len(self._left_out) == len(servers) - 1:
                    raise
                self._leave_out(server, error)
        self.done = {run.file for run in self.runs if is_done(run.file, run.config)}
        """The files of the results that an earlier sweep left."""

    @property
    def runs(self) -> list[PlannedRun]:
        """All runs, in the order in which they are made."""
        return [run for _, runs in self._turns() for run in runs]

    def files_written(self) -> list[Named]:
        """Return the files that the sweep may write, by what they are."""
        writes: list[Named] = []
        for run in self.runs:
            writes += [("`folder`", file) for file in (run.file, raw_file(run.file))]
            writes.append(("the journal of a result", journal_of(run.file)))
        return list(dict.fromkeys(writes))

    def carry_out(self, run: Run, expected: Sequence[Expectation]) -> Sweep:
        """Make the runs that are not done; errors as `sweep`."""
        made = Sweep([one.file for one in self.runs], len(self.done), [], self._left_out)

        def make(one: PlannedRun, config: RunConfig, model: SweptModel | None) -> SweptRun:
            cell, file = one.cell, one.file
            try:
                if model:
                    model.prepare(cell.autobatching)
                result = run_and_save(run, config, str(cell), file, expected, self._observe)
                return SweptRun(cell, file, result)
            except ServerError as error:
                if not self._order.keep_going:
                    raise
                self._observe(RunFailed(str(cell), error))
                return SweptRun(cell, file, None, error)

        for file in self.done:  # of a sweep that was killed just after it saved the result
            remove_written(journal_of(file))
        self._observe(Planned(len(made.files), made.done))
        try:
            for server, runs in self._turns():
                left = [one for one in runs if one.file not in self.done]
                if left and not self._take_turn(server, left, make, made):
                    break
        except KeyboardInterrupt:
            made.interrupted = True
        return made

    def _leave_out(self, server: Server, error: AibenchError) -> None:
        self._left_out.append(str(server.name))
        self._observe(Note(f"{server.name} is left out: {error}"))

    def _runs_of(self, server: Server, *, dry: bool) -> list[PlannedRun]:
        """Return the runs of one server; ConfigError if one of them cannot be made."""
        batches = self._grid.autobatching
        of_redisai = batches is not None or self._order.allow_flush
        if of_redisai and server.config.url:
            raise ConfigError("`autobatching` and `allow_flush` are for RedisAI only")
        if of_redisai and server.config.others and not server.config.cluster_mode:
            raise ConfigError("`autobatching` and `allow_flush` change one server: name one")
        is_asked = not (server.embedded or (dry and batches))
        model = self._model(server.config) if is_asked else None
        own = 0 if server.embedded == "redisai" else -1
        if model:
            own = model.batch_size

        @cache
        def described(batch_size: int) -> RunConfig:
            """Return the server's settings, with what it says of the model for such batches."""
            config = dataclasses.replace(server.config, batch_size=batch_size)
            return config if server.embedded else resolve(config)

        (count, *_) = described(server.config.batch_size).count_tensors()
        runs = []
        for cell in self._grid.cells(own, server.name, self._order.shuffle):
            config = self._configured(described(cell.batch_size), cell)
            config = config.with_prompts_of(cell.number)
            self._check(config)
            if model:
                model.check(cell, config.max_requests(count))
            name = cell.name(self._order.suffix, self._order.device)
            runs.append(PlannedRun(cell, config, self._order.folder / f"JSON_{name}.json"))
        if not runs:
            raise ConfigError("no run is left: no number of `workers` can fill `autobatching`")
        return runs

    def _model(self, config: RunConfig) -> SweptModel | None:
        """Read the model, of a RedisAI; other servers' models stay as they are."""
        if config.url is not None:
            return None
        return SweptModel(
            config,
            has_to_batch=any(self._grid.autobatching or ()),
            allow_flush=self._order.allow_flush,
            observe=self._observe,
        )

    def _configured(self, config: RunConfig, cell: Cell) -> RunConfig:
        warm_up: dict[str, Any] = {}
        if (images := self._order.burn_in_images) is not None:
            requests = -(-images // cell.batch_size)
            warm_up = {"burn_in": requests, "burn_in_s": 0.0, "burn_in_until_steady": False}
        return dataclasses.replace(
            config,
            **warm_up,
            workers=cell.workers,
            threads=config.threads and min(config.threads, cell.workers),
            batch_size=cell.batch_size,
            limit_rps=cell.limit_rps,
            prompt_tokens=cell.prompt_tokens,
            output_tokens=cell.output_tokens,
            metadata_autobatching=cell.autobatching,
        )

    def _turns(self) -> Iterator[tuple[Server, list[PlannedRun]]]:
        """Yield the servers in turns, each with its runs of that turn.

        Compared servers take turns, one run of each cell at a time, so that changes of the machine
        during the sweep affect all of them alike.
        """
        if len(self._planned) == 1:
            yield from self._planned
            return
        for number in sorted({one.cell.run for _, runs in self._planned for one in runs}):
            for server, runs in self._planned:
                yield server, [one for one in runs if one.cell.run == number]

    def _take_turn(
        self,
        server: Server,
        runs: Sequence[PlannedRun],
        make: Callable[[PlannedRun, RunConfig, SweptModel | None], SweptRun],
        made: Sweep,
    ) -> bool:
        """Make runs on one server; whether the sweep continues."""
        try:
            with (
                started(server.config, server.embedded, self._observe) as there,
                self._model(there) or nullcontext() as model,
            ):
                names = ("address", "url", "server_pid") if server.embedded else ()
                where = {name: getattr(there, name) for name in names}
                for one in runs:
                    if made.runs:
                        time.sleep(self._order.pause_s)
                    config = dataclasses.replace(one.config, **where)
                    made.runs.append(done := make(one, config, model))
                    if done.result and done.result.interrupted:
                        raise KeyboardInterrupt
                    if not (done.went_well or self._order.keep_going):
                        return False
        except ServerError as error:
            if not self._order.keep_going or len(self._planned) == 1:
                raise
            self._leave_out(server, error)
        return True
