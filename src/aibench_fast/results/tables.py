"""The summary tables of a folder of results, as aibench's own scripts print them."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, product
from statistics import median
from typing import Any

from aibench_fast.errors import ConfigError
from aibench_fast.results.cells import by_cell, by_server, grouped
from aibench_fast.results.details import read_details
from aibench_fast.results.notation import NOT_AVAILABLE
from aibench_fast.results.record import Cell, RunRecord
from aibench_fast.results.runfigures import FIGURES, P50, P99, THROUGHPUT, Figure, figures_of

RULE = "-------------------"
SETTING_COLUMNS = {
    "workers": "Workers",
    "autobatching": "Auto-batching",
    "batch_size": "Tensor-batching",
    "max_rps": "Limit (requests/s)",
}
"""Of tables by server: the first settings of a cell."""
NOT_KNOWN_NOTE = " (auto-batching not known)"
BEST_RUN_NOTE = (
    "Using the Overall inferences/sec to decide which result is the best per test variation"
)


class Stat(StrEnum):
    """The figure that represents the runs of a cell."""

    BEST = "best"
    """The highest rate or the lowest latency of any run, as in aibench; it ignores the spread."""
    MEDIAN = "median"
    """The median of the runs, with the least and the greatest beside it."""


METRICS = (
    replace(
        THROUGHPUT,
        name="throughput_inferences_per_s",
        title="overall throughput (inferences/sec) ((higher is better))",
    ),
    replace(
        P50,
        name="p50_latency_ms",
        title="p50 latency results (latency in ms including RTT) ((lower is better))",
    ),
)
STREAMS = "Streams of tokens"
REQUEST_FIGURES = (
    replace(THROUGHPUT, name="rate", title="requests per second", unit="requests/s"),
    P50,
    P99,
)
"""Of streams of tokens, beside their own: each request is one inference."""

Column = tuple[int, str]
"""Of a grid by batching: the auto-batching or the tensor batch size, and a note."""
Show = Callable[[Sequence[RunRecord]], str]
"""Returns the text for the runs of a cell, of which there may be none."""
Table = tuple[str, list[list[str]]]
"""The title; the header, and the rows."""


@dataclass(frozen=True)
class Grid:
    """Runs in rows and columns, of which there is a table for each figure."""

    title: str
    """Begins the titles of its tables."""
    figures: Mapping[str, Figure]
    """By the rest of their titles."""
    heads: Sequence[str]
    """Of the first cells of each row."""
    rows: Mapping[Any, Sequence[object]]
    """The first cells of each row, by what it is of."""
    columns: Mapping[Any, str]
    """The head of each column, by what it is of."""
    runs: Mapping[tuple[Any, Any], Sequence[RunRecord]]
    """By row and column."""
    named: Callable[[Any, Any, Figure], dict[str, Any]]
    """Returns the names of a cell of a table, for a program, from its row, column and figure."""

    def table(self, title: str, show: Show) -> Table:
        """Return a table of some text for the runs of each cell."""
        rows = [
            [
                *map(str, first),
                *(show(self.runs.get((row, column), ())) for column in self.columns),
            ]
            for row, first in self.rows.items()
        ]
        return self.title + title, [[*self.heads, *self.columns.values()], *rows]

    def cells(self) -> Iterator[tuple[dict[str, Any], Figure, Sequence[RunRecord]]]:
        """Yield the names, the figure and the runs of the cells of all tables."""
        for figure, row, column in product(self.figures.values(), self.rows, self.columns):
            if runs := self.runs.get((row, column)):
                yield self.named(row, column, figure), figure, runs


def _by_batching(records: Iterable[RunRecord]) -> list[Grid]:
    """Return the auto-batching results (tensor batch 1), and the tensor-batching ones
    (auto-batching 0), of servers without a name.

    Those that do not say their auto-batching have tensor-batching columns of their own. A result
    may be in both grids, and one that is in neither is in no table. Every worker count is a row.
    """
    unnamed = [run for run in records if not (run.cell.server_name or run.cell.streams)]
    of_batch_1 = [run for run in unnamed if run.cell.batch_size == 1]
    alone = [run for run in unnamed if run.cell.autobatching <= 0]
    workers = sorted({run.cell.workers for run in (*of_batch_1, *alone)})
    grids = [
        _grid("Auto-batching", workers, of_batch_1, lambda cell: (cell.autobatching, "")),
        _grid(
            "Tensor-batching", workers, alone,
            lambda cell: (cell.batch_size, NOT_KNOWN_NOTE if cell.autobatching < 0 else ""),
        ),
    ]  # fmt: skip
    return grids if unnamed else []


def _grid(
    name: str,
    workers: Iterable[int],
    records: Iterable[RunRecord],
    column_of: Callable[[Cell], Column],
) -> Grid:
    runs = grouped(((run.cell.workers, column_of(run.cell)), run) for run in records)
    columns = sorted({column for _, column in runs})
    return Grid(
        f"{name} ",
        {one.title: one for one in METRICS},
        ["Workers"],
        {number: [f"{number} workers"] for number in workers},
        {(batching, note): f"{name} {batching}{note}" for batching, note in columns},
        runs,
        lambda number, column, figure: {
            "table": name + column[1],
            "metric": figure.name,
            "workers": number,
            "batching": column[0],
        },
    )


def _by_servers(records: Sequence[RunRecord]) -> list[Grid]:
    """Return the results of servers that have a name: a row for each setting, if there are any."""
    runs = by_server(run for run in records if not run.cell.streams)
    grid = Grid(
        "By server: ",
        {f"{one.title} ({one.unit})": one for one in FIGURES},
        [*SETTING_COLUMNS.values()],
        {cell: cell[: len(SETTING_COLUMNS)] for cell in sorted({cell for cell, _ in runs})},
        {name: name for name in sorted({name for _, name in runs})},
        runs,
        lambda cell, name, figure: {
            "table": "By server",
            "server": name,
            "metric": figure.name,
            "unit": figure.unit,
            **dict(zip(SETTING_COLUMNS, cell, strict=False)),
        },
    )
    return [grid] if runs else []


def _of_streams(records: Iterable[RunRecord]) -> list[Grid]:
    """Return the results of streams of tokens: a row for each cell, if there are any."""
    streams = [run for run in records if run.cell.streams]
    cells = by_cell(streams)
    settings: dict[str, list[object]] = {
        "Server": [cell.server_name for cell in cells],
        "Workers": [cell.workers for cell in cells],
        "Limit (requests/s)": [f"{cell.max_rps:g}" for cell in cells],
        "Tokens": [cell.lengths for cell in cells],
    }
    settings = {head: values for head, values in settings.items() if any(values)}
    grid = Grid(
        STREAMS,
        {f"{one.name} ({one.unit})": one for one in (*REQUEST_FIGURES, *figures_of(streams))},
        [*settings],
        dict(zip(cells, zip(*settings.values(), strict=True), strict=False)),
        {"": ""},
        {(cell, ""): runs for cell, runs in cells.items()},
        lambda cell, _, figure: {
            "table": STREAMS,
            "server": cell.server_name or None,
            "metric": figure.name,
            "unit": figure.unit,
            "workers": cell.workers,
            "max_rps": cell.max_rps,
            **({"lengths": cell.lengths} if cell.lengths else {}),
        },
    )
    return [grid] if streams else []


def _groups(records: Sequence[RunRecord], stat: Stat) -> Iterator[list[Table]]:
    """Yield tables, those of one subject together."""
    for grid in (*_by_batching(records), *_by_servers(records)):
        yield [grid.table(title, _shown(one, stat)) for title, one in grid.figures.items()]
    for grid in _of_streams(records):
        yield [_stream_table(grid, stat)]


def _stream_table(grid: Grid, stat: Stat) -> Table:
    """Return a table that has a column for each figure."""
    shows = [_shown(one, stat) for one in grid.figures.values()]
    rows = [
        [*map(str, first), *(show(grid.runs[row, ""]) for show in shows)]
        for row, first in grid.rows.items()
    ]
    return grid.title, [[*grid.heads, *grid.figures], *rows]


def format_text(records: Sequence[RunRecord], stat: Stat) -> str:
    """Return the four tables of aibench's redisai_produce_results_table.py, byte for byte.

    Results of named servers have tables of their own, and those of streams of tokens one.
    """
    return "".join(_ruled(*group) for group in _groups(records, stat))


def _ruled(*tables: Table) -> str:
    lines = [RULE]
    for title, rows in tables:
        lines += [f"## {title}", *map(",".join, rows), ""]
    return "\n".join(lines) + "\n"


def format_markdown(records: Sequence[RunRecord], stat: Stat) -> str:
    """Return the tables in Markdown, under the same titles."""
    tables = chain.from_iterable(_groups(records, stat))
    return "\n".join(f"## {title}\n\n{_markdown(rows)}\n" for title, rows in tables)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    header, *others = rows
    rule = ["---", *("---:" for _ in header[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *others))


def _shown(figure: Figure, stat: Stat) -> Show:
    """Return what shows the values of a cell's runs."""

    def show(runs: Sequence[RunRecord]) -> str:
        values = figure.known(runs)
        if not values:
            return NOT_AVAILABLE
        if stat is Stat.BEST:
            return f"{figure.best(values):.3f}"
        spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
        return f"{median(values):.3f}{spread}"

    return show


def summarise(records: Sequence[RunRecord], stat: Stat) -> list[dict[str, Any]]:
    """Return the tables' cells, one a row: the chosen value, and the spread of the runs."""
    grids = (*_by_batching(records), *_by_servers(records), *_of_streams(records))
    return [
        names
        | {
            "stat": str(stat),
            "value": figure.best(values) if stat is Stat.BEST else median(values),
            "min": min(values),
            "max": max(values),
            "runs": len(values),
        }
        for names, figure, runs in chain.from_iterable(grid.cells() for grid in grids)
        if (values := figure.known(runs))
    ]


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


def format_server_stat(records: Sequence[RunRecord], name: str) -> str:
    """Return one server statistic of each cell's fastest run, from its last reporting period, as
    aibench's redisai_produce_server_stats_results_table.py prints it; ConfigError if none has any.
    """

    def show(runs: Sequence[RunRecord]) -> str:
        fastest = max(runs, key=lambda run: run.inferences_per_s, default=None)
        return (fastest and read_details(fastest.path).server_value(name)) or NOT_AVAILABLE

    if all(run.cell.streams for run in records):
        raise ConfigError(f"--server-stat {name}: servers of streams of tokens report none")
    tables = [
        *(grid.table(name, show) for grid in _by_servers(records)),
        *(grid.table(f"{name} variation", show) for grid in _by_batching(records)),
    ]
    return "".join([f"{RULE}\n{BEST_RUN_NOTE}\n", *map(_ruled, tables)])
