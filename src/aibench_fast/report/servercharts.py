"""The report's plots of compared servers: each figure, side by side."""

from collections.abc import Iterator, Mapping, Sequence

from aibench_fast.report.content import CellSummary, Content
from aibench_fast.report.plot import (
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
from aibench_fast.results.cells import setting_of, sources_of_use
from aibench_fast.results.runfigures import FIGURES, USE_FIGURES, Figure


def named(content: Content) -> list[CellSummary]:
    """Return the cells of servers that are compared by their answers to tensors."""
    return [one for one in content.drawn if one.cell.server_name and not one.cell.streams]


def server_choices(content: Content) -> dict[str, list[str]]:
    """Return what can be chosen: settings, for the bars without workers."""
    settings = [setting_of(one.cell) for one in named(content)]
    with_latencies = [setting_of(one.cell) for one in named(content) if one.latencies.count]
    return {
        "setting": list(dict.fromkeys(one.variant for one in settings)),
        "place": list(dict.fromkeys(map(str, with_latencies))),
    }


def server_charts(
    content: Content, offered: Mapping[str, Sequence[str]], chosen: Mapping[str, Spec]
) -> Iterator[Chart]:
    """Yield the plots of compared servers; `offered` and `chosen` are of `server_choices`."""
    cells = named(content)
    if not cells:
        return
    names = sorted({one.cell.server_name for one in cells})
    for figure in FIGURES:
        if any(one.values(figure) for one in cells):
            yield _bars(figure, cells, names, offered["setting"], chosen["setting"])
    if offered["place"]:
        curves = [
            Curve(offered["place"].index(str(setting_of(cell))), cell.server_name, one.latencies)
            for one in cells
            for cell in [one.cell]
            if one.latencies.count
        ]
        yield percentile_chart("servers-percentiles", chosen["place"], curves, "server", names)


def _bars(
    figure: Figure,
    cells: Sequence[CellSummary],
    names: Sequence[str],
    settings: Sequence[str],
    chosen: Spec,
) -> Chart:
    rows: Rows = [
        {
            "setting": settings.index(setting_of(one.cell).variant),
            "workers": one.cell.workers,
            "server": one.cell.server_name,
            "value": one.median(figure),
            "low": min(values),
            "high": max(values),
            "runs": len(values),
        }
        for one in cells
        if (values := one.values(figure))
    ]
    y = {"type": "quantitative", "title": figure.unit, "scale": {"zero": True}}
    colour = series_colour("", names, "server")
    if colour["legend"]:
        colour["legend"] |= {"symbolType": "square", "symbolStrokeWidth": 0}
    spec = base(rows) | {
        "height": HEIGHT,
        "params": [chosen],
        "transform": [{"filter": "datum.setting == setting"}],
        "encoding": {
            "x": {
                "field": "workers", "type": "ordinal", "title": "workers",
                "axis": {"labelAngle": 0}, "scale": {"paddingInner": 0.25},
            },
            "xOffset": {"field": "server", "type": "nominal", "sort": names},
            "tooltip": [
                {"field": "server", "title": "server"},
                tip("workers", "workers", "d"),
                tip("value", f"{figure.title} ({figure.unit})", ",.2f"),
                tip("low", "lowest run", ",.2f"),
                tip("high", "highest run", ",.2f"),
                tip("runs", "runs", "d"),
            ],
        },
        "layer": [
            {
                "mark": {"type": "bar", "cornerRadiusEnd": 3},
                "encoding": {
                    "y": y | {"field": "value"},
                    "color": colour,
                },
            },
            {
                "mark": {"type": "rule", "style": "spread"},
                "encoding": {"y": y | {"field": "low"}, "y2": {"field": "high"}},
            },
        ],
    }  # fmt: skip
    note = "The median of each cell's runs; a line reaches from the lowest to the highest."
    if figure in USE_FIGURES:
        note += f" {sources_of_use(run for one in cells for run in one.runs)}."
    title = f"{figure.title[0].upper()}{figure.title[1:]}"
    return Chart(f"servers-{figure.name}".replace("_", "-"), title, note, spec, choice="setting")
