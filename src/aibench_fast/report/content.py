"""A report's content, gathered from result files: one summary for each cell of the sweep."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any, TypeVar

from aibench_fast.errors import ConfigError
from aibench_fast.results.cells import by_cell, grouped, median_run, setting_of
from aibench_fast.results.details import Part, RunDetails, TimelinePoint, read_details
from aibench_fast.results.folder import FoundSearch, Loaded, Skipped
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.record import Cell, RunRecord
from aibench_fast.results.runfigures import shown_times
from aibench_fast.results.serverperiods import CpuPeriod, cpu_periods
from aibench_fast.results.streamnames import NamedTimes

Read = TypeVar("Read")

MAX_PERIODS = 200
"""Of a run over time: more points than a plot has pixels for would only make the page large."""
MAX_DRAWN = 300
"""Cells in plots: nobody can distinguish more, and no browser opens such a page."""
MAX_TIMED = 100
"""Cells that are shown over time, some 100 kB each."""


@dataclass(frozen=True)
class CellSummary:
    """The runs of one cell."""

    cell: Cell
    runs: Sequence[RunRecord]
    latencies: LatencyHistogram
    """Of all runs together; empty if no result has its histogram, or it is not drawn."""
    start_unix_ms: float | None
    """Of the run whose rate is the median, as are the next three, which may not be shown either."""
    timeline: Sequence[TimelinePoint]
    cpu: Sequence[CpuPeriod]
    parts: Sequence[Part]
    times: Mapping[str, LatencyHistogram]
    """Of streams of tokens, by name, of all runs together; those that are shown over time have
    them."""

    @property
    def rates(self) -> list[float]:
        """Inferences a second of each run."""
        return [run.inferences_per_s for run in self.runs]

    @property
    def rate(self) -> float:
        """The median of the runs' inferences a second."""
        return median(self.rates)

    @property
    def failed(self) -> int:
        """Failed requests of all runs."""
        return sum(run.failed for run in self.runs)


@dataclass(frozen=True)
class Content:
    """The content of a report."""

    source: str
    """The files and folders that were read."""
    cells: Sequence[CellSummary]
    skipped: Sequence[Skipped]
    searches: Sequence[FoundSearch]
    drawn: Sequence[CellSummary]
    """Those of the cells that plots are of: all of them, unless they are very many."""
    timed: int
    """How many cells have a run shown over time."""

    @property
    def runs(self) -> list[RunRecord]:
        """All results, cell by cell."""
        return [run for cell in self.cells for run in cell.runs]

    @property
    def searched(self) -> set[Path]:
        """The results that are steps of a search, and make no cells of a sweep."""
        return {file for found in self.searches for file in found.files}

    @property
    def swept(self) -> list[CellSummary]:
        """Those of the drawn cells that are not made of steps of a search alone."""
        searched = self.searched
        return [one for one in self.drawn if not all(run.path in searched for run in one.runs)]

    @property
    def featured(self) -> CellSummary:
        """The cell that is shown first: a search's answer, or the fastest."""
        for found in self.searches:
            files = files_at(found, found.search.found)
            for cell in self.drawn:
                if any(run.path in files for run in cell.runs):
                    return cell
        return max(self.cells, key=lambda cell: cell.rate)


def files_at(found: FoundSearch, value: float | None) -> set[Path]:
    """Return the results of a search's steps at a value."""
    steps = zip(found.search.steps, found.files, strict=True)
    return {file for step, file in steps if step.value == value}


def gather(source: str, loaded: Loaded, read_one: Callable[[], None] = lambda: None) -> Content:
    """Read what the report needs of each result; `read_one` is called once for each. A result whose
    histogram or periods cannot be read keeps its figures and is named.
    """
    unreadable: dict[Path, Skipped] = {}
    nothing = LatencyHistogram.empty()  # which is large: one for all

    def readable(run: RunRecord, read: Callable[[], Read], instead: Read) -> Read:
        try:
            return read()
        except ConfigError as error:
            reason = f"of its details, not its figures: {error}"
            unreadable[run.path] = Skipped(run.path, reason)
            return instead

    def latencies(run: RunRecord) -> LatencyHistogram:
        read_one()
        return readable(run, run.latencies, nothing)

    def stream_times(times: NamedTimes, run: RunRecord) -> LatencyHistogram:
        return readable(run, partial(times.histogram, run.stream or {}), nothing)

    cells = by_cell(loaded.records)
    drawn = _drawn(cells)
    timed = set(_fastest_first(cells, drawn)[:MAX_TIMED])
    summaries = []
    for cell, runs in cells.items():
        typical = median_run(runs)
        merged = LatencyHistogram.merged(map(latencies, runs)) if cell in drawn else nothing
        times = {
            one.name: LatencyHistogram.merged(map(partial(stream_times, one), runs))
            for one in (shown_times(runs) if cell in timed else ())
        }
        details = RunDetails((), {}, {})
        if cell in timed:
            details = readable(typical, partial(read_details, typical.path), details)
        # The rate of a partial period is not the load's.
        whole = [point for point in details.timeline if not point.is_partial]
        summaries.append(
            CellSummary(
                cell=cell,
                runs=runs,
                latencies=merged,
                start_unix_ms=typical.start_unix_ms,
                timeline=_thinned(whole or details.timeline),
                cpu=cpu_periods(details.server_stats, typical.start_unix_ms),
                parts=details.parts,
                times={name: one for name, one in times.items() if one.count},
            )
        )
    return Content(
        source,
        summaries,
        [*loaded.skipped, *unreadable.values()],
        loaded.searches,
        [one for one in summaries if one.cell in drawn],
        len(timed),
    )


def _drawn(cells: Mapping[Cell, Sequence[RunRecord]]) -> set[Cell]:
    """At most MAX_DRAWN, so that a series that is drawn is whole: the fastest settings' cells."""
    series = grouped((setting_of(cell).variant, cell) for cell in _fastest_first(cells, cells))
    found: list[Cell] = []
    for one in series.values():
        if found and len(found) + len(one) > MAX_DRAWN:
            break
        found += one[:MAX_DRAWN]
    return set(found)


def _fastest_first(cells: Mapping[Cell, Sequence[RunRecord]], wanted: Iterable[Cell]) -> list[Cell]:
    rates = {cell: median(run.inferences_per_s for run in cells[cell]) for cell in wanted}
    return sorted(rates, key=lambda cell: rates[cell], reverse=True)


def _thinned(points: Sequence[TimelinePoint]) -> list[TimelinePoint]:
    """Return at most MAX_PERIODS points. Those that are joined keep their mean rate, all failures,
    and the highest of each percentile: a stall that lasted one of them is what one looks for.
    """
    step = -(-len(points) // MAX_PERIODS)
    groups = [points[first : first + step] for first in range(0, len(points), step or 1)]
    return [
        replace(
            group[-1],
            rate=fmean(point.rate for point in group),
            failed=sum(point.failed for point in group),
            tokens_per_s=fmean(known)
            if (known := [one.tokens_per_s for one in group if one.tokens_per_s is not None])
            else None,
            quantiles_ms={
                name: max(point.quantiles_ms.get(name, 0.0) for point in group)
                for name in dict.fromkeys(name for point in group for name in point.quantiles_ms)
            },
        )
        for group in groups
    ]


def facts(runs: Sequence[RunRecord]) -> Mapping[str, list[Any]]:
    """Return the set-up of all runs: each fact with its different values, in order."""
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        server, things = run.server, run.facts.get("StringsAre", "tensors")
        values = {
            "Client": run.client,
            "Server": server and f"{server.kind} {server.version}",
            "Address": server and server.address,
            "Model": run.model,
            "Request": run.query_label,
            "Tensor": run.tensor if things == "tensors" else None,
            things.capitalize(): run.data_file
            or (None if run.data_seed is None else f"generated from seed {run.data_seed}"),
            **{name: value for name, value in run.facts.items() if name != "CommandLine"},
        }
        for name, value in values.items():
            if value not in (None, ""):
                found.setdefault(name, {})[str(value)] = value
    return {name: list(values.values()) for name, values in found.items()}


def commands(runs: Sequence[RunRecord]) -> list[str]:
    """Return the different command lines, in the order of the runs' start."""
    by_start = sorted(runs, key=lambda run: run.start_unix_ms or 0)
    typed = [line for run in by_start if (line := run.facts.get("CommandLine"))]
    words = (shlex.join(map(str, one)) if isinstance(one, list) else str(one) for one in typed)
    return list(dict.fromkeys(words))
