"""A search for the highest load that a server takes within targets."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from aibench_fast.cluster import DaskClient
from aibench_fast.errors import AibenchError, ConfigError, ServerError
from aibench_fast.files import check_outputs
from aibench_fast.load.config import MAX_OUTSTANDING, MAX_RPS, MAX_WORKERS, MIN_RPS, RunConfig
from aibench_fast.load.resolve import resolve
from aibench_fast.results.events import ignore
from aibench_fast.results.folder import Loaded, read_results
from aibench_fast.results.result import MAX_NOT_SENT, Result
from aibench_fast.results.search import UNITS, Search, SearchStep
from aibench_fast.studies.edge import Edge, OutOfTime, find_edge, longest
from aibench_fast.studies.events import Progress, StepFinished, StudyObserver
from aibench_fast.studies.runs import Run, check_run, run_and_save, source
from aibench_fast.studies.thresholds import Expectation, check_possible, split_slo
from aibench_fast.tensortype import MAX_TENSOR_BYTES
from aibench_fast.units import described_duration

SEARCH_FILE = "search.json"
PROBE_SHARE = 1 / 4
"""A search over the rate begins at this share of what the fewest workers reach in a closed loop."""
SPARE_REQUESTS = 1.2
"""Times as many requests as a percentile needs."""
MAX_FAILED = 0.01
"""The share of failed requests above which a load is not what the server served."""


@dataclass(frozen=True)
class Found:
    """The outcome of a search."""

    search: Search
    """Its targets, steps and edge, as `search.json` has them."""
    folder: Path
    """Of `search.json` and the results of the steps."""
    best: Result | None
    """The newest result of the highest value that held; None if none did."""
    out_of_time: bool = False
    """Whether the time limit ended it."""

    @property
    def value(self) -> float | None:
        """The highest value that held; None if none did."""
        return self.search.found

    @property
    def results(self) -> Loaded:
        """The results of the steps, as `read_results` returns them; ConfigError without any."""
        return read_results(self.folder / SEARCH_FILE)


def search(
    config: RunConfig,
    slo: Sequence[str | Expectation],
    folder: Path | str,
    *,
    over: str = "rate",
    lowest: float | None = None,
    highest: float | None = None,
    within_s: float | None = None,
    observe: StudyObserver = ignore,
    client: DaskClient | None = None,
    clients: int | None = None,
) -> Found:
    """Find the highest load at which every target holds.

    Values are doubled from `lowest` on until a run fails. Then the two sides of the edge are
    brought together, and run again to confirm it. Each run is a step, whose result is saved.

    Args:
        config: The settings of every step. `duration_s` is how long a step measures; a step that is
            too short to judge a target is repeated for longer.
        slo: The targets, such as `p99=50ms`, `errors=0.1%` or `rate=200`. All have to hold. A time
            of streams without a percentile, such as `ttft=200ms`, is a limit of each request, as
            in the config's `slo`, which `good=99%` and `goodput=5` are targets of.
        folder: For `search.json` and the steps' results; it must not have a search yet.
        over: What is raised. `rate` is requests per second by the config's `arrivals` and
            `max_lag_s`, with `workers` as the most requests under way. `workers`, `batch-size` and
            `pipeline` are raised in a closed loop.
        lowest: The first value (default: 1; of a rate a quarter of what one worker reaches).
        highest: The highest value to try (default: the most that a run can have).
        within_s: Seconds after which the search ends with what is known (default: no limit).
        observe: Called with every event, see `aibench_fast.studies.events`.
        client: A client of a Dask cluster whose workers send the load.
        clients: How many of its workers; None: all.

    Returns:
        The edge, the steps and the best result. `value` is the highest value that held.

    Raises:
        ConfigError: Values or targets are wrong, or no run of them can be made.
        ServerError: The server cannot be reached. The earlier steps are in `folder`.

    Ctrl-C ends the step under way and the search, which is returned with `search.interrupted` set.

    Example:
        >>> config = RunConfig(file=None, shape=(16,), model="m", workers=50, duration_s=10.0)
        >>> found = search(config, ["p99=50ms", "errors=0.1%"], "search")
        >>> print(f"{found.value:.0f} requests/s")
    """
    limits, targets = split_slo(slo)
    config = dataclasses.replace(config, slo=(*config.slo, *limits))
    check = partial(check_run, over_dask=client is not None, clients=clients)
    steps = Steps(config, targets, over, lowest, highest, within_s, Path(folder), observe, check)
    return steps.find(config, source(client, clients))


@dataclass
class Steps:
    """Makes the runs of a search, and keeps their results as files; see `search`."""

    config: RunConfig
    targets: Sequence[Expectation]
    over: str
    lowest: float | None
    highest: float | None
    within_s: float | None
    folder: Path
    observe: StudyObserver
    check: Callable[[RunConfig], None]
    """ConfigError for settings of which no run can be made."""
    longer_s: dict[float, float] = field(default_factory=dict)
    """How long a run of a value has to be whose first was too short to judge all targets."""
    runs: int = 0
    made: list[SearchStep] = field(default_factory=list)
    results: dict[float, Result] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Create the folder.

        ConfigError for settings that no model allows, and if the folder has a search already.
        """
        config, over, targets = self.config, self.over, self.targets
        if over not in UNITS:
            raise ConfigError(f"`over` {over!r}: it has to be {', '.join(UNITS)}")
        if over != "rate" and config.is_open_loop:
            raise ConfigError(f"over {over} it is a closed loop: leave out `limit_rps`")
        if not targets:
            given = ", such as good=99%, beside the limits of each request" if config.slo else ""
            raise ConfigError(f"`slo`: give at least one target{given or ', such as p99=50ms'}")
        check_possible(targets, config, "slo")
        self.judges_errors = any(target.figure == "errors" for target in targets)
        self.judging_requests = SPARE_REQUESTS * max(one.least_requests for one in targets)
        self._check_values()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"`folder` {self.folder}: {error.strerror}") from error
        if (self.folder / SEARCH_FILE).exists():
            raise ConfigError(
                f"`folder` {self.folder} has a search already: choose another, or remove it"
            )
        check_outputs([("`folder`", self.folder / SEARCH_FILE)])

    def _check_values(self) -> None:
        if self.config.is_resolved:
            for value in self._limits():
                if value is not None:
                    self.check(self._configured(value))

    def find(self, config: RunConfig, run: Run) -> Found:
        """Find the edge by such runs, and save what was found; errors as `search`.

        `config` is the one of the steps, with the address of a server that was started since.
        """
        self.run = run
        self.until_s = math.inf if self.within_s is None else time.monotonic() + self.within_s
        self.config = resolve(config)
        self.config.count_tensors()
        self._check_values()
        lowest, highest = self._limits()
        try:
            if lowest is None:
                lowest = min(self._probe() * PROBE_SHARE, highest)
            self._plan(lowest, highest)
            edge = find_edge(self._measure, lowest, highest, whole=self.over != "rate")
        except KeyboardInterrupt:
            return self._found(None)
        except AibenchError:  # such as a lost server: keep what was measured
            self._found(None)
            raise
        return self._found(edge)

    def _limits(self) -> tuple[float | None, float]:
        """Return the lowest value, None if it has to be found out, and the highest."""
        largest_bytes = max(one.tensor_bytes for one in self.config.kinds[0].inputs)
        most = {
            "rate": float(MAX_RPS),
            "workers": min(MAX_WORKERS, MAX_OUTSTANDING // self.config.pipeline),
            "batch-size": MAX_TENSOR_BYTES // largest_bytes,
            "pipeline": MAX_OUTSTANDING // self.config.workers,
        }[self.over]
        is_rate = self.over == "rate"
        least = MIN_RPS if is_rate else 1
        lowest, highest = self.lowest, self.highest
        for name, value in (("lowest", lowest), ("highest", highest)):
            if value is None or (least <= value <= most and (is_rate or value == int(value))):
                continue
            raise ConfigError(
                f"`{name}` {value:g}: over {self.over} it has to be a "
                f"{'number' if is_rate else 'whole number'} from {least:g} to {most:g}"
            )
        highest = highest or most
        if lowest is not None and lowest > highest:
            raise ConfigError(f"`lowest` {lowest:g} is above `highest` {highest:g}")
        return lowest or (None if is_rate else 1), highest

    def _configured(self, value: float) -> RunConfig:
        """Return the settings of a run of one value."""
        config = self.config
        duration_s = max(config.duration_s, self.longer_s.get(value, 0.0))
        if self.over == "rate":
            if config.duration_s or not config.max_queries:  # requests alone may end it
                duration_s = max(duration_s, self.judging_requests / value)
            return dataclasses.replace(config, limit_rps=value, duration_s=duration_s)
        number = int(value)
        changes: dict[str, Any] = {self.over.replace("-", "_"): number}
        if self.over == "workers" and config.threads:
            changes["threads"] = min(config.threads, number)
        return dataclasses.replace(config, duration_s=duration_s, **changes)

    def _probe(self) -> float:
        """Return the rate of a closed loop of one worker, or of as many as the model waits for."""
        workers = self.config.protocol.least_workers(self.config.kinds)
        fewest = dataclasses.replace(
            self.config,
            workers=workers,
            threads=None,
            duration_s=1.0,
            limit_rps=0.0,
            arrivals="even",
            max_lag_s=0.0,
            on_lag="stop",
        )
        result = self.run(fewest, self.observe)
        if result.interrupted:
            raise KeyboardInterrupt
        _check_clients(result)
        if not result.successes:
            raise ConfigError(
                "no request was answered within a second, so the search has no rate to begin "
                "with: give `lowest`"
            )
        rate = result.requests_per_s
        who = "one worker" if workers == 1 else f"{workers} workers"
        self.observe(Progress(f"{who} in a closed loop: {rate:.5g} requests/s"))
        return rate

    def _plan(self, lowest: float, highest: float) -> None:
        """Report how long the search may take; ConfigError if `within_s` is too short for a run."""
        within_s, one_s = self.within_s, self._seconds(lowest)
        if within_s is not None and one_s > self.until_s - time.monotonic():
            raise ConfigError(
                f"`within_s` {described_duration(within_s)}: a run of {self.over} {lowest:.5g} "
                f"takes {described_duration(one_s)}; allow more, or give a shorter `duration_s`"
            )
        whole = self.over != "rate"
        self.observe(longest(lowest, highest, whole=whole, seconds=self._seconds))

    def _measure(self, value: float) -> bool:
        """Make one run of a value; whether it held. KeyboardInterrupt if it was interrupted."""
        number = len(self.made) + 1
        file = self.folder / f"step-{number:02}-{self.over}-{value:.5g}.json"
        result = self._saved_run(value, file)
        if not self.config.max_queries and (too_few := self._too_few(result)):
            longer_s = self.judging_requests * result.measured_s / result.successes
            self.longer_s[value] = longer_s
            self._check_time(value)
            words = f"{too_few}: once more, for {longer_s:.3g} s"
            self.observe(Progress(f"step {number}: {self.over} {value:.5g}: {words}"))
            result = self._saved_run(value, file)
        if too_few := self._too_few(result):
            raise ConfigError(f"{too_few}: use a longer `duration_s`, or more `max_queries`")
        reason = self._why_not(result)
        held = result.held and reason is None
        self.results[value] = result
        self.made.append(SearchStep(value, held, file.name))
        self.observe(StepFinished(number, value, result, held, reason))
        return held

    def _found(self, edge: Edge | None) -> Found:
        """Save the search, if it had a step; `edge` is None if it did not finish."""
        known = edge or Edge(None, None, confirmed=False)
        search = Search(
            slo=[target.words for target in self.targets],
            over=self.over,
            steps=self.made,
            found=known.holds_at,
            fails_at=known.fails_at,
            confirmed=known.confirmed,
            interrupted=edge is None,
        )
        if self.made:
            search.save(self.folder / SEARCH_FILE)
        best = None if known.holds_at is None else self.results[known.holds_at]
        return Found(search, self.folder, best, known.out_of_time)

    def _seconds(self, value: float) -> float:
        """Return the duration of one run, warm-up included; 0 if only requests end it."""
        config = self._configured(value)
        requests = config.burn_in + config.max_queries
        by_requests_s = requests / config.limit_rps if config.limit_rps else 0.0
        return by_requests_s + (0.0 if config.max_queries else config.burn_in_s + config.duration_s)

    def _check_time(self, value: float) -> None:
        """OutOfTime if a run of this value would end too late."""
        if time.monotonic() + self._seconds(value) > self.until_s:
            raise OutOfTime

    def _why_not(self, result: Result) -> str | None:
        """Return why a run does not hold although its targets do; None if they decide."""
        if result.schedule.lag_exceeded:
            return "a request was later than `max_lag_s`"
        if result.not_sent_share > MAX_NOT_SENT:
            return f"{result.not_sent_share:.1%} of the requests that were due were not sent"
        failed = result.measured_failed
        # Latencies exclude failures, so few are allowed without a limit for errors.
        if not self.judges_errors and failed > MAX_FAILED * result.requests:
            return (
                f"{failed / result.requests:.1%} of the requests failed; `slo` errors=... allows it"
            )
        return None

    def _too_few(self, result: Result) -> str | None:
        """Return which targets need more requests; None if they do not decide."""
        unknown = [check.expected for check in result.expectations if check.value is None]
        if not unknown or not result.successes or self._why_not(result):
            return None
        return f"{result.requests} requests in a step are too few for {', '.join(unknown)}"

    def _saved_run(self, value: float, file: Path) -> Result:
        self._check_time(value)
        self.runs += 1
        config = self._configured(value).with_prompts_of(self.runs)
        name = f"{self.over} {value:.5g}"
        result = run_and_save(self.run, config, name, file, self.targets, self.observe, _save_step)
        if result.interrupted:
            raise KeyboardInterrupt
        return result


def _save_step(result: Result, file: Path) -> None:
    """Save a step that was not interrupted; ServerError as `_check_clients`."""
    if not result.interrupted:
        _check_clients(result)
        result.save(file)


def _check_clients(result: Result) -> None:
    """ServerError if a client was lost, because the load was not the configured one."""
    for client in result.clients:
        if client.lost is not None:
            raise ServerError(f"client {client.name} was lost in a step: {client.lost}")
