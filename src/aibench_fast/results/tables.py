"""The summary tables of a folder of results, as aibench's own scripts print them."""

import csv
import io
import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any, NamedTuple, TypeVar

from aibench_fast.errors import ConfigError
from aibench_fast.results.files import Cell, RunDetails, RunRecord, by_cell
from aibench_fast.results.notation import NOT_AVAILABLE
from aibench_fast.results.servers import FIGURES, Figure, ServerGrid, by_server
from aibench_fast.results.streamfigures import figures_of

Key = TypeVar("Key", bound=Hashable)

RULE = "-------------------"
SETTING_COLUMNS = ("Workers", "Auto-batching", "Tensor-batching", "Limit (requests/s)")
"""Of tables by server: the fields of Setting."""
BEST_RUN_NOTE = (
    "Using the Overall inferences/sec to decide which result is the best per test variation"
)


class Stat(StrEnum):
    """The figure that represents the runs of a cell."""

    BEST = "best"
    """The highest rate or the lowest latency of any run, as in aibench; it ignores the spread."""
    MEDIAN = "median"
    """The median of the runs, with the least and the greatest beside it."""


class Column(NamedTuple):
    """A column of a grid."""

    batching: int
    """The auto-batching or the tensor batch size, whichever the axis varies."""
    autobatching_unknown: bool = False
    """Whether the auto-batching of its results is unknown; in other columns it is 0."""

    @property
    def note(self) -> str:
        """A note after its name."""
        return " (auto-batching not known)" if self.autobatching_unknown else ""


@dataclass(frozen=True)
class Axis:
    """The setting that a group of tables varies along its columns, and the one that it fixes."""

    name: str
    column: Callable[[Cell], Column]
    holds: Callable[[Cell], bool]

    def title(self, column: Column) -> str:
        """Return the heading of a column."""
        return f"{self.name} {column.batching}{column.note}"


AUTO_BATCHING = Axis(
    "Auto-batching", lambda cell: Column(cell.autobatching), lambda cell: cell.batch_size == 1
)
TENSOR_BATCHING = Axis(
    "Tensor-batching",
    lambda cell: Column(cell.batch_size, cell.autobatching < 0),
    lambda cell: cell.autobatching <= 0,
)
AXES = (AUTO_BATCHING, TENSOR_BATCHING)


THROUGHPUT = Figure(
    "throughput_inferences_per_s",
    "overall throughput (inferences/sec) ((higher is better))",
    "inferences/s",
    lambda run: run.inferences_per_s,
    max,
)
P50_LATENCY = Figure(
    "p50_latency_ms",
    "p50 latency results (latency in ms including RTT) ((lower is better))",
    "ms",
    lambda run: run.quantiles_ms["q50"],
    min,
)
METRICS = (THROUGHPUT, P50_LATENCY)
STREAMS = "Streams of tokens"
REQUEST_FIGURES = (
    Figure("rate", "requests per second", "requests/s", THROUGHPUT.value, max),
    *(figure for figure in FIGURES if figure.name in ("p50", "p99")),
)
"""Of streams of tokens, beside their own: each request is one inference."""

Show = Callable[[Sequence[RunRecord]], str]
"""Returns the text for the runs of a cell."""


@dataclass(frozen=True)
class Grid:
    """The runs of an axis by workers and column; every worker count of the results is a row."""

    axis: Axis
    workers: Sequence[int]
    columns: Sequence[Column]
    runs: Mapping[tuple[int, Column], Sequence[RunRecord]]


def grids(records: Sequence[RunRecord]) -> list[Grid]:
    """The auto-batching results (tensor batch 1), and the tensor-batching ones (auto-batching 0).

    Those that do not say their auto-batching have tensor-batching columns of their own. A result
    may be in both grids, and one that is in neither is in no table.
    """
    in_any = [run for run in records if any(axis.holds(run.cell) for axis in AXES)]
    workers = sorted({run.cell.workers for run in in_any})
    return [_grid(axis, workers, in_any) for axis in AXES]


def _grid(axis: Axis, workers: Sequence[int], records: Iterable[RunRecord]) -> Grid:
    runs: dict[tuple[int, Column], list[RunRecord]] = {}
    for run in records:
        if axis.holds(run.cell):
            runs.setdefault((run.cell.workers, axis.column(run.cell)), []).append(run)
    return Grid(axis, workers, sorted({column for _, column in runs}), runs)


def format_text(records: Sequence[RunRecord], stat: Stat) -> str:
    """Return the four tables of aibench's redisai_produce_results_table.py, byte for byte.

    Results of named servers have tables of their own, and those of streams of tokens one.
    """
    unnamed, servers, streams = _apart(records)
    groups = [_metric_tables(grid, stat) for grid in _shown_grids(unnamed)]
    if servers.names:
        groups.append(_server_tables(servers, stat))
    if streams:
        groups.append(iter([(STREAMS, _stream_cells(streams, stat))]))
    return "".join(f"{RULE}\n{''.join(_titled(*one) for one in group)}" for group in groups)


def _apart(
    records: Sequence[RunRecord],
) -> tuple[list[RunRecord], ServerGrid, list[RunRecord]]:
    """Return the records of one server, which has no name, those of several, and those of streams
    of tokens.
    """
    others = [run for run in records if not run.cell.streams]
    return (
        [run for run in others if not run.cell.server_name],
        by_server(others),
        [run for run in records if run.cell.streams],
    )


Rows = list[list[str]]
"""The header, and the rows."""


def _metric_tables(grid: Grid, stat: Stat) -> Iterator[tuple[str, Rows]]:
    for metric in METRICS:
        yield f"{grid.axis.name} {metric.title}", _cells(grid, _shown(metric, stat))


def _server_tables(servers: ServerGrid, stat: Stat) -> Iterator[tuple[str, Rows]]:
    for figure in FIGURES:
        title = f"By server: {figure.title} ({figure.unit})"
        yield title, _server_cells(servers, _shown(figure, stat))


def _stream_cells(records: Sequence[RunRecord], stat: Stat) -> Rows:
    """Return a row for each cell, a column for each figure."""
    figures = [*REQUEST_FIGURES, *figures_of(records)]
    cells = by_cell(records)
    settings = [_stream_setting(cell) for cell in cells]
    heads = [name for name in settings[0] if any(one[name] for one in settings)]
    rows = [
        [*(str(setting[name]) for name in heads), *(_shown(one, stat)(runs) for one in figures)]
        for setting, runs in zip(settings, cells.values(), strict=True)
    ]
    return [[*heads, *(f"{one.name} ({one.unit})" for one in figures)], *rows]


def _stream_setting(cell: Cell) -> dict[str, Any]:
    """Return the settings of a cell that apply to streams, by their heads."""
    return {
        "Server": cell.server_name,
        "Workers": cell.workers,
        "Limit (requests/s)": f"{cell.max_rps:g}",
        "Tokens": cell.lengths,
    }


def _titled(title: str, rows: Rows) -> str:
    return "\n".join([f"## {title}", *(",".join(row) for row in rows)]) + "\n\n"


def _server_cells(servers: ServerGrid, show: Show) -> Rows:
    """Return a row for each setting, a column for each server."""
    rows = [
        [
            *map(str, setting.of_tensors.values()),
            *(_cell(servers.runs, (setting, name), show) for name in servers.names),
        ]
        for setting in servers.settings
    ]
    return [[*SETTING_COLUMNS, *servers.names], *rows]


def _cells(grid: Grid, show: Show) -> Rows:
    rows = [
        [f"{workers} workers", *(_cell(grid.runs, (workers, one), show) for one in grid.columns)]
        for workers in grid.workers
    ]
    return [["Workers", *map(grid.axis.title, grid.columns)], *rows]


def _cell(runs: Mapping[Key, Sequence[RunRecord]], key: Key, show: Show) -> str:
    return show(runs[key]) if key in runs else NOT_AVAILABLE


def _values(runs: Sequence[RunRecord], figure: Figure) -> list[float]:
    return [value for run in runs if (value := figure.value(run)) is not None]


def _shown(figure: Figure, stat: Stat) -> Show:
    return lambda runs: _summarised(_values(runs, figure), figure.best, stat)


def _summarised(
    values: Sequence[float], best: Callable[[Iterable[float]], float], stat: Stat
) -> str:
    """Return the text for the values of a cell's runs."""
    if not values:
        return NOT_AVAILABLE
    if stat is Stat.BEST:
        return f"{best(values):.3f}"
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{median(values):.3f}{spread}"


def format_markdown(records: Sequence[RunRecord], stat: Stat) -> str:
    """Return the tables in Markdown, under the same titles."""
    unnamed, servers, streams = _apart(records)
    tables = [
        *(one for grid in _shown_grids(unnamed) for one in _metric_tables(grid, stat)),
        *(_server_tables(servers, stat) if servers.names else ()),
        *([(STREAMS, _stream_cells(streams, stat))] if streams else ()),
    ]
    return "\n".join(f"## {title}\n\n{_markdown(rows)}\n" for title, rows in tables)


def _shown_grids(unnamed: Sequence[RunRecord]) -> list[Grid]:
    """Return the grids, none if all servers are named or all replies are streams of tokens."""
    return grids(unnamed) if unnamed else []


def _markdown(rows: Rows) -> str:
    header, *others = rows
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *others))


def summarise(records: Sequence[RunRecord], stat: Stat) -> list[dict[str, Any]]:
    """Return the tables' cells, one a row: the chosen value, and the spread of the runs."""
    unnamed, servers, streams = _apart(records)
    rows: list[dict[str, Any]] = []
    for grid in grids(unnamed):
        for metric in METRICS:
            for (workers, column), runs in sorted(grid.runs.items()):
                values = _values(runs, metric)
                rows.append(
                    {
                        "table": grid.axis.name + column.note,
                        "metric": metric.name,
                        "workers": workers,
                        "batching": column.batching,
                        **_summary(values, metric.best, stat),
                    }
                )
    for figure in FIGURES:
        for (setting, name), runs in sorted(servers.runs.items(), key=lambda item: item[0]):
            if values := _values(runs, figure):
                rows.append(
                    {"table": "By server", "server": name, "metric": figure.name}
                    | {"unit": figure.unit, **setting.of_tensors}
                    | _summary(values, figure.best, stat)
                )
    for figure in (*REQUEST_FIGURES, *figures_of(streams)):
        for cell, runs in by_cell(streams).items():
            if values := _values(runs, figure):
                rows.append(
                    {"table": STREAMS, "server": cell.server_name or None}
                    | {"metric": figure.name, "unit": figure.unit, "workers": cell.workers}
                    | {"max_rps": cell.max_rps}
                    | ({"lengths": cell.lengths} if cell.lengths else {})
                    | _summary(values, figure.best, stat)
                )
    return rows


def _summary(
    values: Sequence[float], best: Callable[[Iterable[float]], float], stat: Stat
) -> dict[str, Any]:
    return {
        "stat": str(stat),
        "value": best(values) if stat is Stat.BEST else median(values),
        "min": min(values),
        "max": max(values),
        "runs": len(values),
    }


def format_csv(records: Sequence[RunRecord], stat: Stat) -> str:
    """Return all cells as one CSV table with a header, without empty cells."""
    return to_csv(summarise(records, stat))


def format_json(records: Sequence[RunRecord], stat: Stat) -> str:
    """Return all cells as a JSON list."""
    return json.dumps(summarise(records, stat), indent=2) + "\n"


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header of all their keys; empty if a row lacks one."""
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(out, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def format_server_stat(
    records: Sequence[RunRecord],
    name: str,
    read: Callable[[RunRecord], RunDetails],
) -> str:
    """Return one server statistic of each cell's fastest run, from its last reporting period.

    As aibench's redisai_produce_server_stats_results_table.py prints it. `read` returns a
    run's details; only the fastest runs are asked for theirs. ConfigError if none can have one.
    """

    def show(runs: Sequence[RunRecord]) -> str:
        fastest = max(runs, key=lambda run: run.inferences_per_s)
        return read(fastest).server_value(name) or NOT_AVAILABLE

    unnamed, servers, streams = _apart(records)
    if len(streams) == len(records):
        raise ConfigError(f"--server-stat {name}: servers of streams of tokens report none")
    parts = [f"{RULE}\n{BEST_RUN_NOTE}\n"]
    if servers.names:
        parts.append(f"{RULE}\n{_titled(f'By server: {name}', _server_cells(servers, show))}")
    for grid in _shown_grids(unnamed):
        table = _titled(f"{grid.axis.name} {name} variation", _cells(grid, show))
        parts.append(f"{RULE}\n{table}")
    return "".join(parts)
