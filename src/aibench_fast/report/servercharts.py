"""The report's plots of compared servers: each figure, side by side."""

from collections.abc import Iterator, Sequence

from aibench_fast.report.content import CellSummary, Content
from aibench_fast.report.plot import (
    HEIGHT,
    Chart,
    Choice,
    Curve,
    Rows,
    base,
    number,
    percentile_chart,
    series_colour,
    spread,
    spread_tips,
    unique,
)
from aibench_fast.results.cells import setting_of, sources_of_use
from aibench_fast.results.runfigures import FIGURES, USE_FIGURES, Figure


def server_charts(content: Content) -> Iterator[Chart]:
    """Yield the plots of servers that are compared by their answers to tensors."""
    cells = [one for one in content.drawn if one.cell.server_name and not one.cell.streams]
    names = sorted({one.cell.server_name for one in cells})
    first = setting_of(content.featured.cell)
    variants = unique(setting_of(one.cell).variant for one in cells)
    choice = Choice("setting", "Settings", variants, first.variant)
    for figure in FIGURES:
        if any(figure.known(one.runs) for one in cells):
            yield _bars(figure, cells, names, choice)
    curves = [
        Curve(str(setting_of(one.cell)), one.cell.server_name, one.latencies)
        for one in cells
        if one.latencies.count
    ]
    if curves:
        place = Choice("place", "Settings", unique(one.shown for one in curves), str(first))
        yield percentile_chart("servers-percentiles", place, curves, "server", names)


def _bars(
    figure: Figure, cells: Sequence[CellSummary], names: Sequence[str], choice: Choice
) -> Chart:
    rows: Rows = [
        {
            "setting": choice.offered.index(setting_of(one.cell).variant),
            "workers": one.cell.workers,
            "server": one.cell.server_name,
            **spread("value", values),
        }
        for one in cells
        if (values := figure.known(one.runs))
    ]
    y = {"type": "quantitative", "title": figure.unit, "scale": {"zero": True}}
    colour = series_colour("", names, "server")
    if colour["legend"]:
        colour["legend"] |= {"symbolType": "square", "symbolStrokeWidth": 0}
    spec = base(rows) | {
        "height": HEIGHT,
        "params": [choice.parameter],
        "transform": [{"filter": "datum.setting == setting"}],
        "encoding": {
            "x": {
                "field": "workers", "type": "ordinal", "title": "workers",
                "axis": {"labelAngle": 0}, "scale": {"paddingInner": 0.25},
            },
            "xOffset": {"field": "server", "type": "nominal", "sort": names},
            "tooltip": [
                {"field": "server", "title": "server"},
                number("workers", "workers", format="d"),
                *spread_tips("value", f"{figure.title} ({figure.unit})"),
            ],
        },
        "layer": [
            {
                "mark": {"type": "bar", "cornerRadiusEnd": 3},
                "encoding": {"y": y | {"field": "value"}, "color": colour},
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
    return Chart(f"servers-{figure.name}".replace("_", "-"), title, note, spec, choice)
