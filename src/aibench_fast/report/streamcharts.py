"""The report's plots of streams of tokens: against the load, and by percentile."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from aibench_fast.report.content import CellSummary, Content
from aibench_fast.report.plot import (
    FAINT_BETWEEN_DECADES,
    HEIGHT,
    LOG_LATENCY_FROM,
    Chart,
    Curve,
    Rows,
    Spec,
    base,
    percentile_chart,
    series_colour,
    tip,
)
from aibench_fast.results.files import Cell
from aibench_fast.results.runfigures import Figure, figures_of
from aibench_fast.results.streamnames import RATES, SHOWN_QUANTILES, TIMES

SPREAD_NOTE = "The median of each cell's runs; a bar reaches from the lowest to the highest."


@dataclass(frozen=True)
class _Axis:
    """What differs between cells: the load."""

    title: str
    load: Callable[[Cell], float]
    series: Callable[[Cell], str]
    """The rest of a cell, in words."""


_AXES = (
    _Axis("workers", lambda cell: cell.workers, lambda cell: cell.variant),
    _Axis("requests/s", lambda cell: cell.max_rps, lambda cell: str(cell._replace(max_rps=0))),
)


def stream_choices(content: Content) -> dict[str, list[str]]:
    """Return what can be chosen: settings, for the percentiles."""
    variants = [one.cell.variant for one in content.drawn if one.times]
    return {"stream": list(dict.fromkeys(variants))}


def stream_charts(
    content: Content, offered: Mapping[str, Sequence[str]], chosen: Spec
) -> Iterator[Chart]:
    """Yield the plots of streams of tokens; `offered` and `chosen` are of `stream_choices`."""
    steps = content.searched
    streams = [one for one in content.drawn if one.cell.streams]
    cells = [one for one in streams if not all(run.path in steps for run in one.runs)]
    for axis in _AXES:
        if len({load for one in cells if (load := axis.load(one.cell))}) > 1:
            loaded = [one for one in cells if axis.load(one.cell)]
            known = figures_of(run for one in loaded for run in one.runs)
            yield from _against(axis, loaded, {one.name: one for one in known})
    yield from _percentiles(streams, offered["stream"], chosen)


def _against(
    axis: _Axis, cells: Sequence[CellSummary], figures: Mapping[str, Figure]
) -> Iterator[Chart]:
    """Yield rates and times against the load."""
    for rate in RATES:
        if rate.name in figures:
            yield _chart(axis, cells, rate.name, {"": figures[rate.name]}, rate.words)
    for times in TIMES:
        names = {shown: f"{times.name}.{shown}" for shown in SHOWN_QUANTILES.values()}
        of_times = {shown: figures[name] for shown, name in names.items() if name in figures}
        if of_times:
            yield _chart(axis, cells, times.name, of_times, times.words)


def _chart(
    axis: _Axis,
    cells: Sequence[CellSummary],
    name: str,
    figures: Mapping[str, Figure],
    title: str,
) -> Chart:
    """Return figures, by what tells them apart, against the load."""
    rows: Rows = [
        {
            "load": axis.load(one.cell),
            "series": axis.series(one.cell),
            "figure": shown,
            "value": median(values),
            "low": min(values),
            "high": max(values),
            "runs": len(values),
        }
        for one in cells
        for shown, figure in figures.items()
        if (values := one.values(figure))
    ]
    series = list(dict.fromkeys(row["series"] for row in rows))
    unit = next(iter(figures.values())).unit
    values = [row["value"] for row in rows]
    is_wide = unit == "ms" and max(values) > LOG_LATENCY_FROM * min(values)
    apart = {
        "color": series_colour("", series) if len(series) > 1
        else series_colour("", list(figures), "figure"),
    }  # fmt: skip
    if len(series) > 1 and len(figures) > 1:
        apart["strokeDash"] = {
            "field": "figure", "type": "nominal", "legend": {"title": None, "orient": "bottom"},
        }  # fmt: skip
    y = {
        "type": "quantitative", "title": unit,
        "scale": {"type": "log", "nice": False, "padding": 16} if is_wide else {"zero": True},
        "axis": {"tickCount": 4, "gridOpacity": FAINT_BETWEEN_DECADES} if is_wide else {},
    }  # fmt: skip
    x = {
        "field": "load", "type": "quantitative", "title": axis.title,
        "axis": {"values": sorted({row["load"] for row in rows}), "grid": False},
        "scale": {"zero": False, "nice": False, "padding": 16},
    }  # fmt: skip
    spec = base(rows) | {
        "height": HEIGHT,
        "encoding": {"x": x, **apart},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {"y": y | {"field": "low"}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "line", "point": {"filled": True, "size": 55}},
                "encoding": {
                    "y": y | {"field": "value"},
                    "tooltip": [
                        tip("load", axis.title, ",.5~g"),
                        {"field": "series", "title": "settings"},
                        *([{"field": "figure", "title": "percentile"}] if len(figures) > 1 else []),
                        tip("value", unit, ",.2f"),
                        tip("low", "lowest run", ",.2f"),
                        tip("high", "highest run", ",.2f"),
                        tip("runs", "runs", "d"),
                    ],
                },
            },
        ],
    }
    against = "workers" if axis.title == "workers" else "rate"
    return Chart(
        f"streams-{name}-{against}".replace("_", "-"),
        f"{title[0].upper()}{title[1:]} against {against}",
        SPREAD_NOTE,
        spec,
    )


def _percentiles(
    cells: Sequence[CellSummary], variants: Sequence[str], chosen: Spec
) -> Iterator[Chart]:
    workers = sorted({one.cell.workers for one in cells})
    for times in TIMES:
        curves = [
            Curve(variants.index(one.cell.variant), one.cell.workers, one.times[times.name])
            for one in cells
            if times.name in one.times
        ]
        if curves:
            name = f"streams-{times.name}-percentiles"
            yield percentile_chart(name, chosen, curves, "workers", workers, times.words)
