"""`aibench-fast search`."""

import argparse
import dataclasses
import math
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from aibench_fast.cli.commands import COMMANDS
from aibench_fast.cli.ending import EXIT_FAILURES, EXIT_INTERRUPTED
from aibench_fast.cli.events import print_preparing
from aibench_fast.cli.expected import checked, write_junit
from aibench_fast.cli.options.clients import Run, add_clients_options, check_clients, load_source
from aibench_fast.cli.options.load import add_load_options, add_statistics_options
from aibench_fast.cli.options.parser import add_command
from aibench_fast.cli.options.request import add_request_options, files_read, run_config
from aibench_fast.cli.options.server import add_login, add_server_address
from aibench_fast.cli.options.servers import loaded_server, resolved
from aibench_fast.cli.options.values import BurnIn, seconds
from aibench_fast.cli.progress import progress_bar
from aibench_fast.cli.saving import run_and_save, save_or_print
from aibench_fast.clients.runner import run
from aibench_fast.errors import AibenchError, ConfigError, ServerError
from aibench_fast.files import check_outputs
from aibench_fast.load.config import MAX_OUTSTANDING, MAX_RPS, MAX_WORKERS, MIN_RPS, RunConfig
from aibench_fast.load.leastworkers import least_workers
from aibench_fast.load.search import Edge, OutOfTime, find_edge, longest, parse_target
from aibench_fast.load.thresholds import Expectation, parse_expectation
from aibench_fast.results.events import Event
from aibench_fast.results.result import MAX_NOT_SENT, Checked, Result
from aibench_fast.results.search import UNITS, Search, SearchStep
from aibench_fast.tensortype import MAX_TENSOR_BYTES
from aibench_fast.units import described_duration

SEARCH_FILE = "search.json"
RATE_WORKERS = 50
PROBE_SHARE = 1 / 4
"""Of what the fewest workers reach in a closed loop: where a search over the rate begins."""
SPARE_REQUESTS = 1.2
"""Times as many as a quantile takes to be known."""
MAX_FAILED = 0.01
"""The share of failed requests above which a load is not what the server served."""


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
    config = dataclasses.replace(
        run_config(options),
        workers=_workers(options),
        threads=options.threads,
        batch_size=options.batch_size,
        results_so_far=True,
    )
    targets = [parse_target(words) for words in options.slo]
    expected = [parse_expectation(words) for words in options.expect]
    if config.is_resolved:  # what cannot be searched shows before a folder is made
        _Steps(config, options, targets, run).check(*_limits(options, config))
    _prepare_folder(options.results_dir)
    check_outputs(
        [("--results-dir", options.results_dir / SEARCH_FILE), ("--junit", options.junit)],
        files_read(options, config),
    )
    config = resolved(config, options)
    config.count_tensors()
    lowest, highest = _limits(options, config)
    _Steps(config, options, targets, run).check(lowest, highest)
    with (
        load_source(options) as source,
        loaded_server(options) as where,
        progress_bar(options.quiet, "", transient=True) as bar,
    ):
        task = bar.add_task("searching", total=None)
        steps = _Steps(dataclasses.replace(config, **where), options, targets, source)
        steps.check(lowest, highest)  # again, for what an embedded server does not know

        def measure(value: float) -> bool:
            bar.update(task, description=f"{options.over} {value:.5g}")
            return steps.measure(value)

        try:
            if lowest is None:
                bar.update(task, description="asking the fewest workers for their rate")
                lowest = min(steps.probe() * PROBE_SHARE, highest)
            steps.tell_length(lowest, highest)
            edge = find_edge(measure, lowest, highest, whole=options.over != "rate")
        except KeyboardInterrupt:
            steps.save(None)
            print(steps.so_far(), flush=True)
            return EXIT_INTERRUPTED
        except AibenchError:  # as where the server goes: what was measured until then is kept
            steps.save(None)
            raise
    steps.save(edge)
    print(_last_line(options.over, targets, edge, out_of_time=steps.is_out_of_time), flush=True)
    if edge.holds_at is None:
        write_junit(options.junit, [])
        return EXIT_FAILURES
    best = checked(steps.last_result(edge.holds_at), expected)
    for check in best.expectations:
        print(check)
    write_junit(options.junit, [(f"{options.over} {edge.holds_at:.5g}", best)])
    return 0 if best.held and edge.confirmed else EXIT_FAILURES


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


def _limits(options: argparse.Namespace, config: RunConfig) -> tuple[float | None, float]:
    """The lowest value, None where it is to be found out, and the highest."""
    most = {
        "rate": float(MAX_RPS),
        "workers": min(MAX_WORKERS, MAX_OUTSTANDING // config.pipeline),
        "batch-size": MAX_TENSOR_BYTES // max(one.tensor_bytes for one in config.kinds[0].inputs),
        "pipeline": MAX_OUTSTANDING // config.workers,
    }[options.over]
    is_rate = options.over == "rate"
    least = MIN_RPS if is_rate else 1
    for name, value in (("--from", options.lowest), ("--to", options.highest)):
        if value is None:
            continue
        if not least <= value <= most or not (is_rate or value == int(value)):
            raise ConfigError(
                f"{name} {value:g}: over {options.over} it has to be a "
                f"{'number' if is_rate else 'whole number'} from {least:g} to {most:g}"
            )
    lowest = options.lowest or (None if is_rate else 1)
    highest = options.highest or most
    if lowest is not None and lowest > highest:
        raise ConfigError(f"--from {lowest:g} is above --to {highest:g}")
    return lowest, highest


def _prepare_folder(folder: Path) -> None:
    """Have a folder that no search is in yet; ConfigError where there can be none."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--results-dir {folder}: {error.strerror}") from error
    if (folder / SEARCH_FILE).exists():
        raise ConfigError(
            f"--results-dir {folder} has a search already: choose another, or remove it"
        )


class _Steps:
    """Makes the runs of a search, keeps their results as files and tells of each in a line."""

    def __init__(
        self,
        config: RunConfig,
        options: argparse.Namespace,
        targets: Sequence[Expectation],
        run: Run,
    ) -> None:
        self._config = config
        self._options = options
        self._over = options.over
        self._folder = options.results_dir
        self._quiet = options.quiet
        self._targets = targets
        self._judges_errors = any(target.figure == "errors" for target in targets)
        least = max(target.least_requests for target in targets)
        self._telling_requests = SPARE_REQUESTS * least
        self._longer_s: dict[float, float] = {}
        """How long a run of a value has to be whose first was too short to tell all targets."""
        self._run = run
        self._until_s = math.inf
        if options.within is not None:
            self._until_s = time.monotonic() + options.within
        self.is_out_of_time = False
        """Whether --within ended the search."""
        self._steps: list[SearchStep] = []
        self._results: dict[float, Result] = {}

    def check(self, lowest: float | None, highest: float) -> None:
        """ConfigError where there can be no run of one of the two; None is not known yet."""
        for value in (lowest, highest):
            if value is not None:
                check_clients(self._options, self._configured(value))

    def probe(self) -> float:
        """The rate of one worker in a closed loop, or of as many as the model waits for."""
        workers = least_workers(self._config)
        fewest = dataclasses.replace(
            self._config, workers=workers, threads=None, duration_s=1.0, results_so_far=False
        )
        result = self._run(fewest, self._tell)
        if result.interrupted:
            raise KeyboardInterrupt
        _check_clients(result)
        if not result.successes:
            raise ConfigError(
                "no request was answered within a second, so there is no rate to begin with: give "
                "--from"
            )
        if not self._quiet:
            who = "one worker" if workers == 1 else f"{workers} workers"
            print(f"{who} in a closed loop: {result.requests_per_s:.5g} requests/s", flush=True)
        return result.requests_per_s

    def tell_length(self, lowest: float, highest: float) -> None:
        """Say how long the search may take; ConfigError where --within allows no single run."""
        within_s, one_s = self._options.within, self._seconds(lowest)
        if within_s is not None and one_s > self._until_s - time.monotonic():
            raise ConfigError(
                f"--within {described_duration(within_s)}: a run of {self._over} {lowest:.5g} "
                f"takes {described_duration(one_s)}; allow more, or give a shorter --duration"
            )
        length = longest(lowest, highest, whole=self._over != "rate", seconds=self._seconds)
        words = f"at most {length.runs} runs, which take {described_duration(length.seconds)}"
        if within_s is None:
            words += "; --within TIME ends it sooner"
        elif within_s < length.seconds:
            words += f", of which --within allows {described_duration(within_s)}"
        if not self._quiet:
            print(f"the search: {words}", flush=True)

    def _seconds(self, value: float) -> float:
        """How long one run of a value takes, burn-in included; 0 where requests alone end it."""
        config = self._configured(value)
        requests = config.burn_in + config.max_queries
        by_requests_s = requests / config.limit_rps if config.limit_rps else 0.0
        if config.max_queries:
            return by_requests_s
        return by_requests_s + config.burn_in_s + config.duration_s

    def _check_time(self, seconds: float) -> None:
        """OutOfTime where a run of so many seconds would end too late."""
        if time.monotonic() + seconds > self._until_s:
            self.is_out_of_time = True
            raise OutOfTime

    def _tell(self, event: Event) -> None:
        if not self._quiet:
            print_preparing(event)

    def measure(self, value: float) -> bool:
        """Make one run of a value; whether it held. KeyboardInterrupt where it was ended."""
        self._check_time(self._seconds(value))
        number = len(self._steps) + 1
        file = self._folder / f"step-{number:02}-{self._over}-{value:.5g}.json"
        result = self._saved_run(value, file)
        if not self._config.max_queries and (too_few := self._too_few(result)):
            longer_s = self._telling_requests * result.measured_s / result.successes
            self._longer_s[value] = longer_s
            self._check_time(self._seconds(value))
            if not self._quiet:
                print(
                    f"step {number}: {self._over} {value:.5g}: {too_few}: once more, for "
                    f"{longer_s:.3g} s",
                    flush=True,
                )
            result = self._saved_run(value, file)
        if too_few := self._too_few(result):
            raise ConfigError(f"{too_few}: use a longer --duration, or more --max-queries")
        why = self._why_not(result)
        held = result.held and why is None
        self._results[value] = result
        self._steps.append(SearchStep(value, held, file.name))
        if not self._quiet:
            told = ", ".join(map(_told, result.expectations))
            if not self._judges_errors and result.measured_failed:
                told += f", {result.measured_failed} of {result.requests} requests failed"
            outcome = "held" if held else f"not held{f': {why}' if why else ''}"
            print(f"step {number}: {self._over} {value:.5g}: {told}: {outcome}", flush=True)
        return held

    def _why_not(self, result: Result) -> str | None:
        """Why a run does not hold whatever its figures are; None where they decide."""
        if result.lag_exceeded:
            return "a request was later than --max-lag"
        if result.not_sent_share > MAX_NOT_SENT:
            return f"{result.not_sent_share:.1%} of the requests that were due were not sent"
        failed = result.measured_failed
        # Who names no limit for errors means none to speak of: failures are in no latency.
        if not self._judges_errors and failed > MAX_FAILED * result.requests:
            return (
                f"{failed / result.requests:.1%} of the requests failed; --slo errors=... allows it"
            )
        return None

    def _too_few(self, result: Result) -> str | None:
        """Which targets so many requests do not tell; None where that is not what decides."""
        unknown = [check.expected for check in result.expectations if check.value is None]
        if not unknown or not result.successes or self._why_not(result):
            return None
        return f"{result.requests} requests in a step do not tell {', '.join(unknown)}"

    def _saved_run(self, value: float, file: Path) -> Result:
        def save(result: Result) -> None:
            if not result.interrupted:
                _check_clients(result)
                save_or_print(result, file)

        run = partial(self._run, self._configured(value))
        result = run_and_save(run, self._targets, file, self._tell, save)
        if result.interrupted:
            raise KeyboardInterrupt
        return result

    def last_result(self, value: float) -> Result:
        """The newest result of a value."""
        return self._results[value]

    def so_far(self) -> str:
        """What is known where the search was ended before it knew."""
        held = max((step.value for step in self._steps if step.held), default=None)
        broken = min((step.value for step in self._steps if not step.held), default=None)
        known = [
            f"{words} at {value:.5g} {UNITS[self._over]}"
            for words, value in (("it held", held), ("it did not hold", broken))
            if value is not None
        ]
        told = f": {', and '.join(known)}" if known else ""
        return f"Interrupted after {len(self._steps)} steps{told}"

    def save(self, edge: Edge | None) -> None:
        """Save the search, if it had a step; `edge` is None where it did not come to its end."""
        if not self._steps:
            return
        known = edge or Edge(None, None, confirmed=False)
        Search(
            slo=[target.words for target in self._targets],
            over=self._over,
            steps=self._steps,
            found=known.holds_at,
            fails_at=known.fails_at,
            confirmed=known.confirmed,
            interrupted=edge is None,
        ).save(self._folder / SEARCH_FILE)

    def _configured(self, value: float) -> RunConfig:
        duration_s = self._longer_s.get(value, self._config.duration_s)
        if self._over == "rate":
            return dataclasses.replace(
                self._config,
                limit_rps=value,
                arrivals=self._options.arrivals,
                max_lag_s=self._options.max_lag,
                on_lag=self._options.on_lag,
                duration_s=max(duration_s, self._telling_requests / value),
            )
        config = dataclasses.replace(self._config, duration_s=duration_s)
        if self._over == "workers":
            threads = config.threads and min(config.threads, int(value))
            return dataclasses.replace(config, workers=int(value), threads=threads)
        if self._over == "batch-size":
            return dataclasses.replace(config, batch_size=int(value))
        return dataclasses.replace(config, pipeline=int(value))


def _check_clients(result: Result) -> None:
    """ServerError where one was lost: the load was not the one that was asked for."""
    for client in result.clients:
        if client.lost is not None:
            raise ServerError(f"client {client.name} was lost in a step: {client.lost}")


def _told(check: Checked) -> str:
    return f"{check.expected} {check.found}"


def _last_line(over: str, targets: Sequence[Expectation], edge: Edge, *, out_of_time: bool) -> str:
    wanted = " and ".join(target.words for target in targets)
    why = "--within is over" if out_of_time else "runs vary too much"
    unsure = "" if edge.confirmed else f"; the edge could not be confirmed: {why}"
    if edge.holds_at is None:
        if edge.fails_at is None:
            return f"Found none: no run told whether {wanted} holds{unsure}"
        return (
            f"Found none: {wanted} does not hold at {edge.fails_at:.5g} {UNITS[over]}, the lowest "
            f"value{unsure}: try a lower --from, or another target"
        )
    found = f"Found: {wanted} holds up to {edge.holds_at:.5g} {UNITS[over]}"
    if edge.fails_at is None:
        return f"{found}, the highest value{' that was tried' if out_of_time else ''}{unsure}"
    return f"{found}, and not at {edge.fails_at:.5g}{unsure}"
