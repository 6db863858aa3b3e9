"""The summary tables of a folder of results, as aibench's own scripts print them."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any

from aibench_fast.results.files import Cell, RunDetails, RunRecord

RULE = "-------------------"
NOT_AVAILABLE = "n/a"
BEST_RUN_NOTE = (
    "Using the Overall inferences/sec to decide which result is the best per test variation"
)


class Stat(StrEnum):
    """Which figure stands for the runs of a cell."""

    BEST = "best"
    """The highest rate or the lowest latency of any run: aibench's, and blind to spread."""
    MEDIAN = "median"
    """The median of the runs, with the least and the greatest beside it."""


@dataclass(frozen=True)
class Axis:
    """What a group of tables varies along its columns, and what it holds still."""

    name: str
    column: Callable[[Cell], int]
    holds: Callable[[Cell], bool]


AUTO_BATCHING = Axis("Auto-batching", lambda cell: cell.autobatching, lambda c: c.batch_size == 1)
TENSOR_BATCHING = Axis(
    "Tensor-batching", lambda cell: cell.batch_size, lambda c: c.autobatching == 0
)
AXES = (AUTO_BATCHING, TENSOR_BATCHING)


@dataclass(frozen=True)
class Metric:
    """A figure of a run that a table shows."""

    name: str
    title: str
    value: Callable[[RunRecord], float]
    best: Callable[[Iterable[float]], float]


THROUGHPUT = Metric(
    "throughput_inferences_per_s",
    "overall throughput (inferences/sec) ((higher is better))",
    lambda run: run.inferences_per_s,
    max,
)
P50_LATENCY = Metric(
    "p50_latency_ms",
    "p50 latency results (latency in ms including RTT) ((lower is better))",
    lambda run: run.quantiles_ms["q50"],
    min,
)
METRICS = (THROUGHPUT, P50_LATENCY)


@dataclass(frozen=True)
class Grid:
    """The runs of an axis by workers and column; every worker count of the results is a row."""

    axis: Axis
    workers: Sequence[int]
    columns: Sequence[int]
    runs: Mapping[tuple[int, int], Sequence[RunRecord]]


def grids(records: Sequence[RunRecord]) -> list[Grid]:
    """The auto-batching results (tensor batch 1), and the tensor-batching ones (auto-batching 0).

    A result may be in both, and one that is in neither is in no table.
    """
    in_any = [run for run in records if any(axis.holds(run.cell) for axis in AXES)]
    workers = sorted({run.cell.workers for run in in_any})
    return [_grid(axis, workers, in_any) for axis in AXES]


def _grid(axis: Axis, workers: Sequence[int], records: Iterable[RunRecord]) -> Grid:
    runs: dict[tuple[int, int], list[RunRecord]] = {}
    for run in records:
        if axis.holds(run.cell):
            runs.setdefault((run.cell.workers, axis.column(run.cell)), []).append(run)
    return Grid(axis, workers, sorted({column for _, column in runs}), runs)


def format_text(records: Sequence[RunRecord], stat: Stat) -> str:
    """The four tables as aibench's redisai_produce_results_table.py prints them, byte for byte."""
    return "".join(
        f"{RULE}\n" + "".join(_text_table(grid, metric, stat) for metric in METRICS)
        for grid in grids(records)
    )


def _text_table(grid: Grid, metric: Metric, stat: Stat) -> str:
    lines = [f"## {grid.axis.name} {metric.title}", *_rows(grid, _shown(metric, stat))]
    return "\n".join(lines) + "\n\n"


def _rows(grid: Grid, show: Callable[[Sequence[RunRecord]], str]) -> list[str]:
    header = ["Workers", *(f"{grid.axis.name} {column}" for column in grid.columns)]
    return [",".join(row) for row in (header, *_cells(grid, show))]


def _cells(grid: Grid, show: Callable[[Sequence[RunRecord]], str]) -> list[list[str]]:
    return [
        [f"{workers} workers"]
        + [
            show(runs) if (runs := grid.runs.get((workers, column))) else NOT_AVAILABLE
            for column in grid.columns
        ]
        for workers in grid.workers
    ]


def _shown(metric: Metric, stat: Stat) -> Callable[[Sequence[RunRecord]], str]:
    def show(runs: Sequence[RunRecord]) -> str:
        values = [metric.value(run) for run in runs]
        if stat is Stat.BEST:
            return f"{metric.best(values):.3f}"
        spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
        return f"{median(values):.3f}{spread}"

    return show


def format_markdown(records: Sequence[RunRecord], stat: Stat) -> str:
    """The four tables in Markdown, under the same titles."""
    parts = []
    for grid in grids(records):
        for metric in METRICS:
            header = ["Workers", *(f"{grid.axis.name} {column}" for column in grid.columns)]
            rule = ["---", *("---:" for _ in grid.columns)]
            rows = (header, rule, *_cells(grid, _shown(metric, stat)))
            table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
            parts.append(f"## {grid.axis.name} {metric.title}\n\n{table}\n")
    return "\n".join(parts)


def summarise(records: Sequence[RunRecord], stat: Stat) -> list[dict[str, Any]]:
    """The tables' cells, one a row: the chosen value, and all that says how far to trust it."""
    rows = []
    for grid in grids(records):
        for metric in METRICS:
            for (workers, column), runs in sorted(grid.runs.items()):
                values = [metric.value(run) for run in runs]
                rows.append(
                    {
                        "table": grid.axis.name,
                        "metric": metric.name,
                        "workers": workers,
                        "batching": column,
                        "stat": str(stat),
                        "value": metric.best(values) if stat is Stat.BEST else median(values),
                        "min": min(values),
                        "max": max(values),
                        "runs": len(values),
                    }
                )
    return rows


def format_csv(records: Sequence[RunRecord], stat: Stat) -> str:
    """All cells as one CSV table with a header; empty cells are left out."""
    return to_csv(summarise(records, stat))


def format_json(records: Sequence[RunRecord], stat: Stat) -> str:
    """All cells as a JSON list."""
    return json.dumps(summarise(records, stat), indent=2) + "\n"


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of equal keys as CSV with a header."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def format_server_stat(
    records: Sequence[RunRecord],
    name: str,
    read: Callable[[RunRecord], RunDetails],
) -> str:
    """One server statistic of each cell's fastest run, from its last reporting period.

    As aibench's redisai_produce_server_stats_results_table.py prints it. `read` returns a
    run's details; only the fastest runs are asked for theirs.
    """

    def show(runs: Sequence[RunRecord]) -> str:
        fastest = max(runs, key=THROUGHPUT.value)
        return read(fastest).server_value(name) or NOT_AVAILABLE

    parts = [f"{RULE}\n{BEST_RUN_NOTE}\n"]
    for grid in grids(records):
        lines = [RULE, f"## {grid.axis.name} {name} variation", *_rows(grid, show)]
        parts.append("\n".join(lines) + "\n\n")
    return "".join(parts)
