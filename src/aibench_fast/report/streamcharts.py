"""The report's plots of streams of tokens: against the load, and by percentile."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from aibench_fast.report import plot
from aibench_fast.report.content import CellSummary, Content
from aibench_fast.results.record import Cell
from aibench_fast.results.runfigures import Figure, figures_of
from aibench_fast.results.streamnames import RATES, TIMES, Named


class _Axis(NamedTuple):
    """The load, in which cells differ."""

    name: str
    unit: str
    load: Callable[[Cell], float]
    series: Callable[[Cell], str]
    """The rest of a cell, in words."""


_AXES = (
    _Axis("workers", "workers", lambda cell: cell.workers, lambda cell: cell.variant),
    _Axis(
        "rate", "requests/s", lambda cell: cell.max_rps, lambda cell: str(cell._replace(max_rps=0))
    ),
)


def stream_charts(content: Content) -> Iterator[plot.Chart]:
    """Yield the plots of streams of tokens."""
    for axis in _AXES:
        cells = [one for one in content.swept if one.cell.streams and axis.load(one.cell)]
        if len({axis.load(one.cell) for one in cells}) > 1:
            figures = figures_of(run for one in cells for run in one.runs)
            for named in (*RATES, *TIMES):
                shown = {
                    one.name.partition(".")[2]: one
                    for one in figures
                    if one.name.partition(".")[0] == named.name
                }
                if shown:
                    yield _chart(axis, cells, named, shown)
    yield from _percentiles(content)


def _chart(
    axis: _Axis, cells: Sequence[CellSummary], named: Named, figures: Mapping[str, Figure]
) -> plot.Chart:
    """Return figures of one name, by what tells them apart, against the load."""
    rows: plot.Rows = [
        {
            "load": axis.load(one.cell),
            "series": axis.series(one.cell),
            "figure": shown,
            **plot.spread("value", values),
        }
        for one in cells
        for shown, figure in figures.items()
        if (values := figure.known(one.runs))
    ]
    series = plot.unique(row["series"] for row in rows)
    unit = next(iter(figures.values())).unit
    apart = {
        "color": plot.series_colour("", series) if len(series) > 1
        else plot.series_colour("", list(figures), "figure"),
    }  # fmt: skip
    if len(series) > 1 and len(figures) > 1:
        apart["strokeDash"] = {
            "field": "figure", "type": "nominal", "legend": {"title": None, "orient": "bottom"},
        }  # fmt: skip
    medians = [row["value"] for row in rows]
    scale = plot.from_zero_or_log(medians, **plot.PADDED) if unit == "ms" else plot.FROM_ZERO
    y, low = plot.number("value", unit, **scale), plot.number("low", unit, **scale)
    tips = [
        plot.number("load", axis.unit, format=",.5~g"),
        {"field": "series", "title": "settings"},
        *([{"field": "figure", "title": "percentile"}] if len(figures) > 1 else []),
        *plot.spread_tips("value", unit),
    ]
    return plot.Chart(
        f"streams-{named.name}-{axis.name}".replace("_", "-"),
        f"{named.words.capitalize()} against {axis.name}",
        "The median of each cell's runs; a bar reaches from the lowest to the highest.",
        plot.against_load(rows, plot.number("load", axis.unit), y, low, apart, tips),
    )


def _percentiles(content: Content) -> Iterator[plot.Chart]:
    cells = [one for one in content.drawn if one.cell.streams]
    workers = sorted({one.cell.workers for one in cells})
    variants = plot.unique(one.cell.variant for one in cells if one.times)
    choice = plot.Choice("stream", "Settings", variants, content.featured.cell.variant)
    for times in TIMES:
        curves = [
            plot.Curve(one.cell.variant, one.cell.workers, one.times[times.name])
            for one in cells
            if times.name in one.times
        ]
        if curves:
            name = f"streams-{times.name}-percentiles"
            yield plot.percentile_chart(name, choice, curves, "workers", workers, times.words)
