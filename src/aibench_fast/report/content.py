"""What a report shows, gathered from result files: one summary for each cell of the sweep."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from aibench_fast.errors import ConfigError
from aibench_fast.results.files import (
    Cell,
    FoundSearch,
    Loaded,
    RunDetails,
    RunRecord,
    Skipped,
    TimelinePoint,
    by_cell,
    median_run,
    read_details,
)
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.serverperiods import CpuPeriod, cpu_periods
from aibench_fast.results.servers import Figure

MAX_PERIODS = 200
"""Of a run over time: more points than a plot has pixels for would only make the page large."""


@dataclass(frozen=True)
class CellSummary:
    """The runs of one cell."""

    cell: Cell
    runs: Sequence[RunRecord]
    latencies: LatencyHistogram
    """Of all runs together; empty where no result has its histogram."""
    start_unix_ms: float | None
    """Of the run whose rate is the median, as are the next two."""
    timeline: Sequence[TimelinePoint]
    cpu: Sequence[CpuPeriod]

    @property
    def rates(self) -> list[float]:
        """Inferences a second of each run."""
        return [run.inferences_per_s for run in self.runs]

    @property
    def rate(self) -> float:
        """The median of the runs' inferences a second."""
        return median(self.rates)

    def quantile_ms(self, name: str) -> float | None:
        """The median of the runs' latencies at q50, q95 or q99; None where no run tells."""
        told = [run.quantile_ms(name) for run in self.runs]
        values = [value for value in told if value is not None]
        return median(values) if values else None

    def values(self, figure: Figure) -> list[float]:
        """A figure of each run that tells it."""
        return [value for run in self.runs if (value := figure.value(run)) is not None]

    def median(self, figure: Figure) -> float | None:
        """Its median; None where no run tells."""
        values = self.values(figure)
        return median(values) if values else None

    @property
    def failed(self) -> int:
        """Failed requests of all runs."""
        return sum(run.failed for run in self.runs)


@dataclass(frozen=True)
class Content:
    """All that a report shows."""

    source: str
    """What the results were read from."""
    cells: Sequence[CellSummary]
    skipped: Sequence[Skipped]
    searches: Sequence[FoundSearch] = ()

    @property
    def runs(self) -> list[RunRecord]:
        """All results, cell by cell."""
        return [run for cell in self.cells for run in cell.runs]

    @property
    def searched(self) -> set[Path]:
        """The results that are steps of a search, and make no cells of a sweep."""
        return {file for found in self.searches for file in found.files}

    @property
    def fastest(self) -> CellSummary:
        """The cell with the highest throughput."""
        return max(self.cells, key=lambda cell: cell.rate)


def _nothing() -> None:
    pass


def gather(source: str, loaded: Loaded, read_one: Callable[[], None] = _nothing) -> Content:
    """Read what the report needs of each result; `read_one` is called once for each.

    A result whose histogram or periods cannot be read keeps its figures and is named.
    """
    unreadable: list[Skipped] = []

    def details(run: RunRecord) -> RunDetails:
        try:
            found = read_details(run.path)
        except ConfigError as error:
            unreadable.append(Skipped(run.path, f"of its details, not its figures: {error}"))
            found = RunDetails(LatencyHistogram.empty(), (), {}, {})
        read_one()
        return found

    cells = []
    for cell, runs in by_cell(loaded.records).items():
        read = {run.path: details(run) for run in runs}
        typical = median_run(runs)
        cells.append(
            CellSummary(
                cell=cell,
                runs=runs,
                latencies=LatencyHistogram.merged(one.latencies for one in read.values()),
                start_unix_ms=typical.start_unix_ms,
                timeline=_thinned(read[typical.path].timeline),
                cpu=cpu_periods(read[typical.path].server_stats, typical.start_unix_ms),
            )
        )
    return Content(source, cells, [*loaded.skipped, *unreadable], loaded.searches)


def _thinned(points: Sequence[TimelinePoint]) -> list[TimelinePoint]:
    """At most MAX_PERIODS points; those that are joined keep their mean rate and all failures."""
    step = -(-len(points) // MAX_PERIODS)
    groups = [points[first : first + step] for first in range(0, len(points), step or 1)]
    return [
        TimelinePoint(
            unix_ms=group[-1].unix_ms,
            rate=fmean(point.rate for point in group),
            measured=group[-1].measured,
            failed=sum(point.failed for point in group),
            quantiles_ms=group[-1].quantiles_ms,
        )
        for group in groups
    ]


def facts(runs: Sequence[RunRecord]) -> Mapping[str, list[Any]]:
    """The set-up of all runs: each fact with the different values that it has, in order."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        server = run.server
        told = {
            "Client": run.client,
            "Server": server and f"{server.kind} {server.version}",
            "Address": server and server.address,
            "Model": run.model,
            "Request": run.query_label,
            "Tensor": run.tensor,
            "Tensors": run.data_file or _generated(run.data_seed),
            **{name: value for name, value in run.facts.items() if name != "CommandLine"},
        }
        for name, value in told.items():
            if value not in (None, ""):
                found.setdefault(name, {})[str(value)] = value
    return {name: list(values.values()) for name, values in found.items()}


def _generated(seed: int | None) -> str | None:
    return None if seed is None else f"generated from seed {seed}"


def commands(runs: Sequence[RunRecord]) -> list[str]:
    """The different command lines, in the order of the runs' start."""
    lines: dict[str, None] = {}
    for run in sorted(runs, key=lambda run: run.start_unix_ms or 0):
        command = run.facts.get("CommandLine")
        if command:
            lines[command if isinstance(command, str) else shlex.join(command)] = None
    return list(lines)
