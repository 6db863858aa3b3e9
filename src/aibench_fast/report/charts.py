"""The report's plots as Vega-Lite specifications: data and marks, without a theme.

A plot's width is its container's; colours come from the theme that it is drawn with.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from aibench_fast.report import plot
from aibench_fast.report.content import CellSummary, Content
from aibench_fast.report.searchcharts import search_charts
from aibench_fast.report.servercharts import server_charts
from aibench_fast.report.streamcharts import stream_charts
from aibench_fast.results.record import Cell
from aibench_fast.results.runfigures import P50, P99

HEAT_ROW_HEIGHT = 34
MAX_NUMBERED = 16
"""Columns of a heat map with numbers in it: those of more would lie over each other."""
SHOWN_QUANTILES = {"q50": "p50", "q90": "p90", "q99": "p99"}


@dataclass(frozen=True)
class Panel:
    """Cells that differ in workers and in one more setting, the series."""

    name: str
    title: str
    """With {} for how the throughput is shown."""
    series_title: str
    series: Mapping[Cell, str]

    @property
    def domain(self) -> list[str]:
        """The series, each once."""
        return plot.unique(self.series.values())


def charts(content: Content) -> list[plot.Chart]:
    """Return all plots that the results have data for, in the report's order."""
    panels = [*_panels(content)]
    return [
        *search_charts(content),
        *server_charts(content),
        *stream_charts(content),
        *(_throughput(content, panel) for panel in panels),
        *(_heat_map(content, panel) for panel in panels if _is_grid(panel)),
        *_percentiles(content),
        *_over_time(content),
    ]


def _panels(content: Content) -> Iterator[Panel]:
    """Yield panels so that each cell is in one at least; none repeats another. Servers that are
    compared have panels only if other settings differ too.
    """
    if len(content.drawn) == 1:
        return  # one dot tells no more than the figure above it
    cells = [one.cell for one in content.swept if not one.cell.streams]
    for name in sorted({cell.server_name for cell in cells}):
        for panel in _panels_of([cell for cell in cells if cell.server_name == name]):
            if not name:
                yield panel
            elif len(panel.domain) > 1:
                yield replace(panel, name=f"{name}-{panel.name}", title=f"{panel.title}, {name}")


def _panels_of(cells: Sequence[Cell]) -> Iterator[Panel]:
    for max_rps in sorted({cell.max_rps for cell in cells}):
        limited = [cell for cell in cells if cell.max_rps == max_rps]
        suffix = f", limited to {max_rps:g} requests/s" if max_rps else ""
        name = f"-{max_rps:g}-rps".replace(".", "_") if max_rps else ""
        auto = {
            cell: "not known" if cell.autobatching < 0 else str(cell.autobatching)
            for cell in limited
            if cell.batch_size == 1
        }
        tensor = _by_tensor_batch([cell for cell in limited if cell.autobatching <= 0])
        rest = {cell: cell.variant for cell in limited if cell not in auto and cell not in tensor}
        for axis, series, is_new in (
            ("auto-batching", auto, not auto.keys() < tensor.keys()),
            ("tensor-batching", tensor, not tensor.keys() <= auto.keys()),
        ):
            if series and is_new:
                is_grid = len(set(series.values())) > 1
                words = f"{axis.capitalize()}: throughput" if is_grid else "Throughput"
                yield Panel(axis + name, f"{words}{{}}{suffix}", axis, series)
        if rest:
            yield Panel(f"other{name}", f"Other settings: throughput{{}}{suffix}", "settings", rest)


def _by_tensor_batch(cells: Sequence[Cell]) -> dict[Cell, str]:
    """Return the series by batch size, cells of unknown auto-batching apart from others."""
    some_known = any(cell.autobatching >= 0 for cell in cells)
    apart = " (auto-batching not known)" if some_known else ""
    return {cell: f"{cell.batch_size}{apart if cell.autobatching < 0 else ''}" for cell in cells}


def _is_grid(panel: Panel) -> bool:
    return len(panel.domain) > 1 and len({cell.workers for cell in panel.series}) > 1


def _throughput(content: Content, panel: Panel) -> plot.Chart:
    rows: plot.Rows = [
        {
            "workers": one.cell.workers,
            "series": panel.series[one.cell],
            **plot.spread("rate", one.rates),
            "p50": P50.median(one.runs),
            "p99": P99.median(one.runs),
        }
        for one in content.drawn
        if one.cell in panel.series
    ]
    tips = [
        plot.number("workers", "workers", format="d"),
        {"field": "series", "title": panel.series_title},
        *plot.spread_tips("rate", "inferences/s", "slowest", "fastest"),
        plot.number("p50", "p50 (ms)", format=",.2f"),
        plot.number("p99", "p99 (ms)", format=",.2f"),
    ]
    y = plot.number("rate", "inferences/s", scale={"zero": True})
    apart = {"color": plot.series_colour(panel.series_title, panel.domain)}
    return plot.Chart(
        f"throughput-{panel.name}",
        panel.title.format(" against workers"),
        "The median of each cell's runs; a bar reaches from the slowest to the fastest.",
        plot.against_load(
            rows, plot.number("workers", "workers"), y, plot.number("low"), apart, tips
        ),
    )


def _heat_map(content: Content, panel: Panel) -> plot.Chart:
    rows: plot.Rows = [
        {"workers": one.cell.workers, "series": panel.series[one.cell], "rate": one.rate}
        for one in content.drawn
        if one.cell in panel.series
    ]
    rates = [row["rate"] for row in rows]
    middle = (min(rates) + max(rates)) / 2
    form = ".3s" if max(rates) >= 1000 else ".1f"
    spec = plot.base(rows) | {
        "height": max(3, len({row["workers"] for row in rows})) * HEAT_ROW_HEIGHT,
        "encoding": {
            "x": {
                "field": "series", "type": "nominal", "title": panel.series_title,
                "sort": panel.domain, "axis": {"orient": "bottom", "labelAngle": 0},
            },
            "y": {"field": "workers", "type": "ordinal", "title": "workers"},
            "tooltip": [
                plot.number("workers", "workers", format="d"),
                {"field": "series", "title": panel.series_title},
                plot.number("rate", "inferences/s", format=",.2f"),
            ],
        },
        "layer": [
            {
                "mark": {"type": "rect", "cornerRadius": 3},
                "encoding": {"color": plot.number("rate", legend=None, scale={"zero": False})},
            },
            {
                "mark": {
                    "type": "text",
                    "opacity": 1 if len(panel.domain) <= MAX_NUMBERED else 0,
                    "color": {"expr": f"datum.rate > {middle!r} ? onHigh : onLow"},
                },
                "encoding": {"text": plot.number("rate", format=form)},
            },
        ],
    }  # fmt: skip
    return plot.Chart(
        f"heatmap-{panel.name}",
        panel.title.format(" of the sweep"),
        "Inferences a second, the median of each cell's runs.",
        spec,
    )


def _percentiles(content: Content) -> Iterator[plot.Chart]:
    curves = [
        plot.Curve(one.cell.variant, one.cell.workers, one.latencies)
        for one in content.drawn
        if one.latencies.count
    ]
    if curves:
        offered = plot.unique(one.shown for one in curves)
        choice = plot.Choice("variant", "Settings", offered, content.featured.cell.variant)
        workers = sorted({one.series for one in curves})
        yield plot.percentile_chart("latency-percentiles", choice, curves, "workers", workers)


class _Timed(NamedTuple):
    """Cells whose runs are shown over time, and the choice of one."""

    cells: Sequence[CellSummary]
    choice: plot.Choice


def _over_time(content: Content) -> Iterator[plot.Chart]:
    # At least two points in time make a line.
    cells = [one for one in content.drawn if len(one.timeline) > 1 or len(one.cpu) > 1]
    streams = [one for one in cells if one.cell.streams]
    featured = str(content.featured.cell)
    timed = _Timed(cells, plot.Choice("cell", "Cell", [str(one.cell) for one in cells], featured))
    yield from _timeline(
        timed,
        "throughput-over-time",
        "Throughput over time",
        "By reporting period, of the run whose rate is the cell's median. Shaded: the warm-up, "
        "excluded from every figure. Red: periods in which requests failed.",
        plot.number("rate", "inferences/s"),
        lambda one: (
            (point.unix_ms, {"rate": point.rate, "failed": point.failed}) for point in one.timeline
        ),
    )
    # Beside cells of tensors, which have no tokens, they have a choice of their own.
    own = plot.Choice("streamed", "Cell", [str(one.cell) for one in streams], featured)
    yield from _timeline(
        timed if len(streams) == len(cells) else _Timed(streams, own),
        "tokens-over-time",
        "Output tokens over time",
        "Tokens that came in each period, of the same run.",
        plot.number("tokens", "output tokens/s"),
        lambda one: (
            (point.unix_ms, {"tokens": point.tokens_per_s})
            for point in one.timeline
            if point.tokens_per_s is not None
        ),
    )
    yield from _timeline(
        timed,
        "latency-over-time",
        "Latency over time",
        "Percentiles of each period's latencies, of the same run. A point that stands for "
        "several periods has the highest. Results older than format 1.1 have those of all "
        "latencies up to then.",
        plot.number("ms", "latency (ms)"),
        lambda one: (
            (point.unix_ms, {"ms": point.quantiles_ms[name], "quantile": shown})
            for point in one.timeline
            for name, shown in SHOWN_QUANTILES.items()
            if name in point.quantiles_ms
        ),
        "quantile",
        [*SHOWN_QUANTILES.values()],
    )
    yield from _timeline(
        timed,
        "server-cpu",
        "Server CPU",
        "In percent of one core, by reporting period, of the same run.",
        plot.number("percent", "% of a core"),
        lambda one: (
            (period.start_unix_ms + period.seconds * 1000, {"percent": percent, "part": part})
            for period in one.cpu
            for part, percent in (
                ("whole server", period.total),
                ("main thread", period.main_thread),
                *((f"queue {name}", percent) for name, percent in period.queues.items()),
            )
            if percent is not None
        ),
        "part",
    )


def _seconds(one: CellSummary, unix_ms: float) -> float:
    start = one.start_unix_ms or (one.timeline[0].unix_ms if one.timeline else unix_ms)
    return round((unix_ms - start) / 1000, 3)


def _timeline(
    timed: _Timed,
    name: str,
    title: str,
    note: str,
    figure: plot.Spec,
    points: Callable[[CellSummary], Iterable[tuple[float, dict[str, Any]]]],
    series: str = "",
    domain: Sequence[str] = (),
) -> Iterator[plot.Chart]:
    """Yield a figure over a cell's points, with their times in Unix milliseconds; `series` is the
    field that tells them apart.

    `domain` has the values of that field in order, unless they are in order already.
    """
    field = figure["field"]
    rows: plot.Rows = [
        {"cell": place, "s": _seconds(one, unix_ms), **point, field: round(point[field], 3)}
        for place, one in enumerate(timed.cells)
        for unix_ms, point in points(one)
    ]
    if not rows:
        return
    # A cell without a burn-in has one of no width: a scale of a layer without a row has no extent.
    burn_in = [
        {"cell": place, "from": 0, "to": max(unmeasured, default=0)}
        for place, one in enumerate(timed.cells)
        for unmeasured in [[_seconds(one, p.unix_ms) for p in one.timeline if not p.measured]]
    ]
    chosen = [{"filter": f"datum.cell == {timed.choice.name}"}]
    seconds = {"scale": {"zero": True, "nice": False}, "axis": {"tickCount": 10}}
    x = plot.number("s", "seconds since the start", **seconds)
    y = figure | {"scale": {"zero": True}}
    tips = [plot.number("s", "second", format=",.1f"), figure | {"format": ",.2f"}]
    line: plot.Spec = {"x": x, "y": y, "tooltip": tips}
    if series:
        domain = domain or plot.unique(row[series] for row in rows)
        line["color"] = plot.series_colour("", domain, series)
        tips.insert(1, {"field": series, "title": "series"})
    layers: plot.Rows = [
        {
            "data": {"values": burn_in},
            "transform": chosen,
            "mark": {"type": "rect", "style": "burn-in"},
            "encoding": {
                "x": plot.number("from"),
                "x2": {"field": "to"},
                "tooltip": {"value": "warm-up, excluded from every figure"},
            },
        }
    ]
    if any(row.get("failed") for row in rows):
        tips.append(plot.number("failed", "failed requests", format=",d"))
        # Shown or not by opacity, for the same reason.
        seen = {"condition": {"test": "datum.failed > 0", "value": 1}, "value": 0}
        layers.append(
            {
                "transform": chosen,
                "mark": {"type": "point", "style": "failed"},
                "encoding": {"x": x, "y": y, "opacity": seen},
            }
        )
    dots = {"filled": True, "size": 22}
    layers.append({"transform": chosen, "mark": {"type": "line", "point": dots}, "encoding": line})
    shown = {"height": 240, "params": [timed.choice.parameter], "layer": layers}
    yield plot.Chart(name, title, note, plot.base(rows) | shown, timed.choice)
