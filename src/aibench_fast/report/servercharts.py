"""The report's plots of compared servers: each figure, side by side."""

from collections.abc import Iterator, Sequence

from aibench_fast.report import plot
from aibench_fast.report.content import CellSummary, Content
from aibench_fast.results.cells import setting_of, sources_of_use
from aibench_fast.results.runfigures import FIGURES, USE_FIGURES, Figure


def server_charts(content: Content) -> Iterator[plot.Chart]:
    """Yield the plots of servers that are compared by their answers to tensors."""
    cells = [one for one in content.drawn if one.cell.server_name and not one.cell.streams]
    names = sorted({one.cell.server_name for one in cells})
    first = setting_of(content.featured.cell)
    variants = plot.unique(setting_of(one.cell).variant for one in cells)
    choice = plot.Choice("setting", "Settings", variants, first.variant)
    for figure in FIGURES:
        if any(figure.known(one.runs) for one in cells):
            yield _bars(figure, cells, names, choice)
    curves = [
        plot.Curve(str(setting_of(one.cell)), one.cell.server_name, one.latencies)
        for one in cells
        if one.latencies.count
    ]
    if curves:
        place = plot.Choice(
            "place", "Settings", plot.unique(one.shown for one in curves), str(first)
        )
        yield plot.percentile_chart("servers-percentiles", place, curves, "server", names)


def _bars(
    figure: Figure, cells: Sequence[CellSummary], names: Sequence[str], choice: plot.Choice
) -> plot.Chart:
    rows: plot.Rows = [
        {
            "setting": choice.offered.index(setting_of(one.cell).variant),
            "workers": one.cell.workers,
            "server": one.cell.server_name,
            **plot.spread("value", values),
        }
        for one in cells
        if (values := figure.known(one.runs))
    ]
    y = {"type": "quantitative", "title": figure.unit, "scale": {"zero": True}}
    colour = plot.series_colour("", names, "server")
    if colour["legend"]:
        colour["legend"] |= {"symbolType": "square", "symbolStrokeWidth": 0}
    spec = plot.base(rows) | {
        "height": plot.HEIGHT,
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
                plot.number("workers", "workers", format="d"),
                *plot.spread_tips("value", f"{figure.title} ({figure.unit})"),
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
    return plot.Chart(f"servers-{figure.name}".replace("_", "-"), title, note, spec, choice)
