"""The report's plots as Vega-Lite specifications: data and marks, without a theme.

A plot's width is its container's; colours come from the theme that it is drawn with.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from aibench_fast.report.content import CellSummary, Content
from aibench_fast.report.plot import (
    FAINT_BETWEEN_DECADES,
    HEIGHT,
    Chart,
    Curve,
    Rows,
    Spec,
    base,
    percentile_chart,
    series_colour,
    tip,
)
from aibench_fast.report.servercharts import server_charts, server_choices
from aibench_fast.report.streamcharts import stream_charts, stream_choices
from aibench_fast.results.cells import setting_of
from aibench_fast.results.files import Cell, RunRecord
from aibench_fast.results.forms import QUANTILES
from aibench_fast.results.runfigures import time_ms
from aibench_fast.results.search import UNITS
from aibench_fast.results.streamnames import TIMES
from aibench_fast.units import duration_s

HEAT_ROW_HEIGHT = 34
MS_PER_S = 1000
MAX_NUMBERED = 16
"""Columns of a heat map with numbers in it: those of more would lie over each other."""
SEARCH_QUANTILES = {"q50": "p50", "q99": "p99"}
"""Of a search's steps, beside those that its targets name."""
_TARGET_QUANTILES = {"p95": "q95", "p99.9": "q999", "max": "q100", "min": "q0"}
_STREAM_QUANTILES = {"p50": "q50", "p90": "q90", "p99": "q99", "mean": "mean", **_TARGET_QUANTILES}
_LATENCY_TARGET = re.compile(r"((?:[a-z]+\.)?(?:p[\d.]+|mean|max|min))\s*<=?\s*(\S+)")
SHOWN_QUANTILES = {"q50": "p50", "q90": "p90", "q99": "p99"}


@dataclass(frozen=True)
class Panel:
    """Cells that differ in workers and in one more setting, the series."""

    name: str
    title: str
    """With {} for how the throughput is shown."""
    series_title: str
    series: Mapping[Cell, str]


def choices(content: Content) -> dict[str, list[str]]:
    """Return what can be chosen: a variant for the percentiles, a cell for the run over time.

    A plot's data and its parameter hold the place in this list, which is shorter than the words.
    """
    return {
        "variant": list(dict.fromkeys(one.cell.variant for one in _with_latencies(content))),
        "cell": [str(one.cell) for one in _timed(content)],
        "streamed": [str(one.cell) for one in _timed(content, "streamed")],
        **server_choices(content),
        **stream_choices(content),
    }


def defaults(content: Content) -> dict[str, int]:
    """Return the places of what is shown first: the featured cell's, if it has any."""
    shown = content.featured.cell
    wanted = {
        "variant": shown.variant,
        "cell": str(shown),
        "streamed": str(shown),
        "setting": setting_of(shown).variant,
        "place": str(setting_of(shown)),
        "stream": shown.variant,
    }
    return {
        name: offered.index(wanted[name]) if wanted[name] in offered else 0
        for name, offered in choices(content).items()
    }


def charts(content: Content) -> list[Chart]:
    """Return all plots that the results have data for, in the report's order."""
    return [
        *(_search(content, place) for place in range(len(content.searches))),
        *_servers(content),
        *stream_charts(content, choices(content), _choice("stream", content)),
        *(_throughput(content, panel) for panel in _panels(content)),
        *(_heat_map(content, panel) for panel in _panels(content) if _is_grid(panel)),
        *_percentiles(content),
        *_over_time(content),
    ]


def _servers(content: Content) -> Iterator[Chart]:
    chosen = {name: _choice(name, content) for name in ("setting", "place")}
    yield from server_charts(content, choices(content), chosen)


def _panels(content: Content) -> Iterator[Panel]:
    """Yield panels so that each cell is in one at least; none repeats another.

    If servers are compared, they have panels only if other settings differ too.
    """
    if len(content.drawn) == 1:
        return  # one dot tells no more than the figure above it
    steps = content.searched
    cells = [
        one.cell
        for one in content.drawn
        if not one.cell.streams and not all(run.path in steps for run in one.runs)
    ]
    for name in sorted({cell.server_name for cell in cells}):
        panels = _panels_of([cell for cell in cells if cell.server_name == name])
        for panel in panels:
            if not name:
                yield panel
            elif len(set(panel.series.values())) > 1:
                yield replace(panel, name=f"{name}-{panel.name}", title=f"{panel.title}, {name}")


def _panels_of(cells: Sequence[Cell]) -> Iterator[Panel]:
    """Yield the panels of one server's cells."""
    shown: list[set[Cell]] = []
    for max_rps in sorted({cell.max_rps for cell in cells}):
        limited = [cell for cell in cells if cell.max_rps == max_rps]
        suffix = f", limited to {max_rps:g} requests/s" if max_rps else ""
        name = f"-{max_rps:g}-rps".replace(".", "_") if max_rps else ""
        axes = {
            "auto-batching": {
                cell: _known(cell.autobatching) for cell in limited if cell.batch_size == 1
            },
            "tensor-batching": _by_tensor_batch(
                [cell for cell in limited if cell.autobatching <= 0]
            ),
        }
        for axis, series in axes.items():
            others = [set(other) for other in axes.values() if other is not series]
            repeats = set(series) in shown or any(set(series) < other for other in others)
            if series and not repeats:
                shown.append(set(series))
                words = f"{axis.capitalize()}: throughput"
                if len(set(series.values())) == 1:
                    words = "Throughput"
                yield Panel(axis + name, f"{words}{{}}{suffix}", axis, series)
        rest = {cell: cell.variant for cell in limited if not any(cell in one for one in shown)}
        if rest:
            shown.append(set(rest))
            yield Panel(f"other{name}", f"Other settings: throughput{{}}{suffix}", "settings", rest)


def _by_tensor_batch(cells: Sequence[Cell]) -> dict[Cell, str]:
    """Return the series by batch size, cells of unknown auto-batching apart from others."""
    some_known = any(cell.autobatching >= 0 for cell in cells)
    return {
        cell: f"{cell.batch_size}"
        + (" (auto-batching not known)" if some_known and cell.autobatching < 0 else "")
        for cell in cells
    }


def _known(autobatching: int) -> str:
    return "not known" if autobatching < 0 else str(autobatching)


def _is_grid(panel: Panel) -> bool:
    return len(set(panel.series.values())) > 1 and len({cell.workers for cell in panel.series}) > 1


class Target(NamedTuple):
    """A latency limit of a search."""

    figure: str
    ms: float
    words: str


def _latency_targets(slo: Sequence[str]) -> Iterator[Target]:
    for words in slo:
        if match := _LATENCY_TARGET.fullmatch(words):
            with suppress(ValueError):  # of a file that someone else wrote
                yield Target(match[1], duration_s(match[2]) * MS_PER_S, words)


def _target_layers(targets: Sequence[Target]) -> Rows:
    """Return a line at each target, with its words."""
    if not targets:
        return []
    data = {"values": [one._asdict() for one in targets]}
    y = {"field": "ms", "type": "quantitative"}
    text = {"type": "text", "style": "target", "align": "left", "dx": 6, "dy": -7, "x": 0}
    words = {"field": "words", "type": "nominal"}
    return [
        {
            "data": data,
            "mark": {"type": "rule", "style": "target"},
            "encoding": {"y": y, "tooltip": words | {"title": "the target"}},
        },
        {"data": data, "mark": text, "encoding": {"y": y, "text": words}},
    ]


def _searched(targets: Sequence[Target]) -> dict[str, Callable[[RunRecord], float | None]]:
    """Return what a search's chart has lines of: latencies, or the times of its targets."""
    named = {times.name: times for times in TIMES}
    of_streams: dict[str, Callable[[RunRecord], float | None]] = {}
    for target in targets:
        of, _, quantile = target.figure.partition(".")
        if of in named and quantile in _STREAM_QUANTILES:
            name = _STREAM_QUANTILES[quantile]
            of_streams[target.figure] = partial(time_ms, times=named[of], quantile=name)
    if of_streams:
        return of_streams
    several = SEARCH_QUANTILES | {
        _TARGET_QUANTILES[one.figure]: one.figure
        for one in targets
        if one.figure in _TARGET_QUANTILES
    }
    return {
        several[name]: partial(_quantile_ms, name=name) for name in QUANTILES if name in several
    }


def _quantile_ms(run: RunRecord, name: str) -> float | None:
    return run.quantile_ms(name)


def _search(content: Content, place: int) -> Chart:
    """Return latency against load: every step of a search, and the edge that it found."""
    found = content.searches[place]
    search = found.search
    records = {run.path: run for run in content.runs}
    targets = list(_latency_targets(search.slo))
    quantiles = _searched(targets)
    rows: Rows = [
        {
            "value": step.value,
            "quantile": shown,
            "ms": value_ms,
            "rate": records[file].inferences_per_s,
            "outcome": "held" if step.held else "did not hold",
        }
        for step, file in zip(search.steps, found.files, strict=True)
        if file in records
        for shown, value in quantiles.items()
        if (value_ms := value(records[file])) is not None
    ]
    unit = UNITS[search.over]
    x = {
        "field": "value", "type": "quantitative", "title": unit,
        "scale": {"type": "log", "nice": False, "padding": 16},
    }  # fmt: skip
    y = {
        "field": "ms", "type": "quantitative", "title": "latency (ms)",
        "scale": {"type": "log", "nice": False, "padding": 16},
        "axis": {"tickCount": 4, "gridOpacity": FAINT_BETWEEN_DECADES},
    }  # fmt: skip
    colour = series_colour("", list(quantiles), "quantile")
    shape = {
        "field": "outcome", "type": "nominal", "legend": {"title": None, "orient": "bottom"},
        "scale": {"domain": ["held", "did not hold"], "range": ["circle", "cross"]},
    }  # fmt: skip
    tips = [
        tip("value", unit, ",.5~g"),
        {"field": "quantile", "title": "percentile"},
        tip("ms", "latency (ms)", ",.3f"),
        tip("rate", "inferences/s", ",.2f"),
        {"field": "outcome", "title": "target"},
    ]
    # A search that found nothing has an edge that is not shown: a layer needs a row for its scale.
    edge = {"value": search.found or search.steps[0].value}
    spec = base(rows) | {
        "height": HEIGHT,
        "layer": [
            {
                "data": {"values": [edge]},
                "mark": {"type": "rule", "style": "edge", "opacity": 1 if search.found else 0},
                "encoding": {
                    "x": {"field": "value", "type": "quantitative"},
                    "tooltip": tip("value", "the edge", ",.5~g"),
                },
            },
            {
                "mark": {"type": "line"},
                "encoding": {"x": x, "y": y | {"aggregate": "median"}, "color": colour},
            },
            *_target_layers(targets),
            {
                "mark": {"type": "point", "filled": True, "size": 70},
                "encoding": {"x": x, "y": y, "color": colour, "shape": shape, "tooltip": tips},
            },
        ],
    }  # fmt: skip
    wanted = " and ".join(search.slo)
    edge_words = f"the edge is at {search.found:.5g} {unit}" if search.found else "no value held"
    return Chart(
        f"search-{place + 1}",
        f"Search over {search.over}: latency against load",
        f"Every step, and the medians of each value; the target is {wanted}, and {edge_words}"
        f"{'' if search.confirmed else ', which is not confirmed'}.",
        spec,
    )


def _throughput(content: Content, panel: Panel) -> Chart:
    rows: Rows = [
        {
            "workers": one.cell.workers,
            "series": panel.series[one.cell],
            "rate": one.rate,
            "low": min(one.rates),
            "high": max(one.rates),
            "runs": len(one.runs),
            "p50": one.quantile_ms("q50"),
            "p99": one.quantile_ms("q99"),
        }
        for one in content.drawn
        if one.cell in panel.series
    ]
    x = {
        "field": "workers", "type": "quantitative", "title": "workers",
        "axis": {"values": sorted({row["workers"] for row in rows}), "grid": False},
        "scale": {"zero": False, "nice": False, "padding": 16},
    }  # fmt: skip
    colour = series_colour(panel.series_title, list(dict.fromkeys(panel.series.values())))
    spec = base(rows) | {
        "height": HEIGHT,
        "encoding": {"x": x, "color": colour},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {
                    "y": {"field": "low", "type": "quantitative"},
                    "y2": {"field": "high"},
                },
            },
            {
                "mark": {"type": "line", "point": {"filled": True, "size": 55}},
                "encoding": {
                    "y": {
                        "field": "rate", "type": "quantitative", "title": "inferences/s",
                        "scale": {"zero": True},
                    },
                    "tooltip": [
                        tip("workers", "workers", "d"),
                        {"field": "series", "title": panel.series_title},
                        tip("rate", "inferences/s", ",.2f"),
                        tip("low", "slowest run", ",.2f"),
                        tip("high", "fastest run", ",.2f"),
                        tip("runs", "runs", "d"),
                        tip("p50", "p50 (ms)", ",.2f"),
                        tip("p99", "p99 (ms)", ",.2f"),
                    ],
                },
            },
        ],
    }  # fmt: skip
    return Chart(
        f"throughput-{panel.name}",
        panel.title.format(" against workers"),
        "The median of each cell's runs; a bar reaches from the slowest to the fastest.",
        spec,
    )


def _heat_map(content: Content, panel: Panel) -> Chart:
    rows: Rows = [
        {"workers": one.cell.workers, "series": panel.series[one.cell], "rate": one.rate}
        for one in content.drawn
        if one.cell in panel.series
    ]
    rates = [row["rate"] for row in rows]
    middle = (min(rates) + max(rates)) / 2
    form = ".3s" if max(rates) >= 1000 else ".1f"
    columns = list(dict.fromkeys(row["series"] for row in rows))
    workers = sorted({row["workers"] for row in rows})
    spec = base(rows) | {
        "height": max(3, len(workers)) * HEAT_ROW_HEIGHT,
        "encoding": {
            "x": {
                "field": "series", "type": "nominal", "title": panel.series_title,
                "sort": columns, "axis": {"orient": "bottom", "labelAngle": 0},
            },
            "y": {"field": "workers", "type": "ordinal", "title": "workers"},
            "tooltip": [
                tip("workers", "workers", "d"),
                {"field": "series", "title": panel.series_title},
                tip("rate", "inferences/s", ",.2f"),
            ],
        },
        "layer": [
            {
                "mark": {"type": "rect", "cornerRadius": 3},
                "encoding": {
                    "color": {
                        "field": "rate", "type": "quantitative", "legend": None,
                        "scale": {"zero": False},
                    }
                },
            },
            {
                "mark": {
                    "type": "text",
                    "opacity": 1 if len(columns) <= MAX_NUMBERED else 0,
                    "color": {"expr": f"datum.rate > {middle!r} ? onHigh : onLow"},
                },
                "encoding": {"text": {"field": "rate", "type": "quantitative", "format": form}},
            },
        ],
    }  # fmt: skip
    return Chart(
        f"heatmap-{panel.name}",
        panel.title.format(" of the sweep"),
        "Inferences a second, the median of each cell's runs.",
        spec,
    )


def _with_latencies(content: Content) -> list[CellSummary]:
    return [one for one in content.drawn if one.latencies.count]


def _timed(content: Content, choice: str = "cell") -> list[CellSummary]:
    """Return those with at least two points in time, which make a line; `streamed`: of streams."""
    return [
        one
        for one in content.drawn
        if (len(one.timeline) > 1 or len(one.cpu) > 1)
        and (one.cell.streams or choice != "streamed")
    ]


def _percentiles(content: Content) -> Iterator[Chart]:
    cells = _with_latencies(content)
    if not cells:
        return
    variants = choices(content)["variant"]
    curves = [
        Curve(variants.index(one.cell.variant), one.cell.workers, one.latencies) for one in cells
    ]
    choice = _choice("variant", content)
    workers = sorted({one.cell.workers for one in cells})
    yield percentile_chart("latency-percentiles", choice, curves, "workers", workers)


def _over_time(content: Content) -> Iterator[Chart]:
    timed = list(enumerate(_timed(content)))
    rates = [
        {
            "cell": place,
            "s": _seconds(one, point.unix_ms),
            "rate": round(point.rate, 3),
            "failed": point.failed,
        }
        for place, one in timed
        for point in one.timeline
    ]
    if rates:
        yield Chart(
            "throughput-over-time",
            "Throughput over time",
            "By reporting period, of the run whose rate is the cell's median. Shaded: the warm-up, "
            "excluded from every figure. Red: periods in which requests failed.",
            _timeline_spec(content, rates, "rate", "inferences/s", None),
            choice="cell",
        )
    # Beside cells of tensors, which have no tokens, they have a choice of their own.
    choice = "cell" if all(one.cell.streams for _, one in timed) else "streamed"
    tokens = [
        {"cell": place, "s": _seconds(one, point.unix_ms), "tokens": round(point.tokens_per_s, 3)}
        for place, one in enumerate(_timed(content, choice))
        for point in one.timeline
        if point.tokens_per_s is not None
    ]
    if tokens:
        yield Chart(
            "tokens-over-time",
            "Output tokens over time",
            "Tokens that came in each period, of the same run.",
            _timeline_spec(content, tokens, "tokens", "output tokens/s", None, choice),
            choice=choice,
        )
    latencies = [
        {
            "cell": place,
            "s": _seconds(one, point.unix_ms),
            "ms": round(point.quantiles_ms[name], 3),
            "quantile": shown,
        }
        for place, one in timed
        for point in one.timeline
        for name, shown in SHOWN_QUANTILES.items()
        if name in point.quantiles_ms
    ]
    if latencies:
        colour = series_colour("", list(SHOWN_QUANTILES.values()), "quantile")
        yield Chart(
            "latency-over-time",
            "Latency over time",
            "Percentiles of each period's latencies, of the same run. A point that stands for "
            "several periods has the highest. Results older than format 1.1 have those of all "
            "latencies up to then.",
            _timeline_spec(content, latencies, "ms", "latency (ms)", colour),
            choice="cell",
        )
    used: Rows = [
        {
            "cell": place,
            "s": _seconds(one, period.start_unix_ms + period.seconds * 1000),
            "percent": round(percent, 3),
            "part": part,
        }
        for place, one in timed
        for period in one.cpu
        for part, percent in (
            ("whole server", period.total),
            ("main thread", period.main_thread),
            *((f"queue {name}", percent) for name, percent in period.queues.items()),
        )
        if percent is not None
    ]
    if used:
        parts = list(dict.fromkeys(row["part"] for row in used))
        yield Chart(
            "server-cpu",
            "Server CPU",
            "In percent of one core, by reporting period, of the same run.",
            _timeline_spec(
                content, used, "percent", "% of a core", series_colour("", parts, "part")
            ),
            choice="cell",
        )


def _seconds(one: CellSummary, unix_ms: float) -> float:
    start = one.start_unix_ms or (one.timeline[0].unix_ms if one.timeline else unix_ms)
    return round((unix_ms - start) / 1000, 3)


def _timeline_spec(
    content: Content,
    rows: Rows,
    field: str,
    title: str,
    colour: Spec | None,
    choice: str = "cell",
) -> Spec:
    # A cell without a burn-in has one of no width: a scale of a layer without a row has no extent.
    burn_in = [
        {
            "cell": place,
            "from": 0,
            "to": max(
                (_seconds(one, p.unix_ms) for p in one.timeline if not p.measured), default=0
            ),
        }
        for place, one in enumerate(_timed(content, choice))
    ]
    chosen = [{"filter": f"datum.cell == {choice}"}]
    x = {"field": "s", "type": "quantitative", "title": "seconds since the start",
         "scale": {"zero": True, "nice": False}, "axis": {"tickCount": 10}}  # fmt: skip
    y = {"field": field, "type": "quantitative", "title": title, "scale": {"zero": True}}
    series = {"color": colour} if colour else {}
    names = [{"field": colour["field"], "title": "series"}] if colour else []
    tips = [tip("s", "second", ",.1f"), *names, tip(field, title, ",.2f")]
    failed: Rows = []
    if any(row.get("failed") for row in rows):
        tips.append(tip("failed", "failed requests", ",d"))
        # Shown or not by opacity, for the same reason.
        seen = {"condition": {"test": "datum.failed > 0", "value": 1}, "value": 0}
        mark = {"type": "point", "style": "failed"}
        failed = [
            {"transform": chosen, "mark": mark, "encoding": {"x": x, "y": y, "opacity": seen}}
        ]
    layers: Rows = [
        {
            "data": {"values": burn_in},
            "transform": chosen,
            "mark": {"type": "rect", "style": "burn-in"},
            "encoding": {
                "x": {"field": "from", "type": "quantitative"},
                "x2": {"field": "to"},
                "tooltip": {"value": "warm-up, excluded from every figure"},
            },
        },
        *failed,
        {
            "transform": chosen,
            "mark": {"type": "line", "point": {"filled": True, "size": 22}},
            "encoding": {
                "x": x,
                "y": y,
                **series,
                "tooltip": tips,
            },
        },
    ]
    return base(rows) | {
        "height": 240,
        "params": [_choice(choice, content)],
        "layer": layers,
    }


def _choice(name: str, content: Content) -> Spec:
    return {"name": name, "value": defaults(content)[name]}
