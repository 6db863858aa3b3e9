"""Plots of the report, and what several of them have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast.report import themes
from aibench_fast.results.histogram import LatencyHistogram

Spec = dict[str, Any]
Rows = list[dict[str, Any]]

HEIGHT = 300
POINTS_PER_DECADE = 16
NARROW_WIDTH = 270
"""Of a plot on a telephone, in pixels, without its axis."""
SYMBOL_WIDTH, CHARACTER_WIDTH = 34, 7
"""Of a legend's entry, with the room to the next one, and its letters."""
LOG_LATENCY_FROM = 8
"""Where the highest median is this many times the lowest, latencies are on a log axis."""
FAINT_BETWEEN_DECADES: Spec = {
    "condition": {
        "test": "abs(datum.value - pow(10, round(log(datum.value) / LN10))) < 1e-6 * datum.value",
        "value": 1,
    },
    "value": 0.3,
}
PERCENTILE_AXIS: Spec = {
    "field": "one_in",
    "type": "quantitative",
    "title": "percentile",
    "scale": {"type": "log", "nice": False},
    "axis": {
        "values": [1, 2, 10, 100, 1000, 10_000, 100_000, 1_000_000],
        "labelExpr": "format(100 * (1 - 1 / datum.value), '.5~f') + '%'",
        "grid": True,
    },
}
"""Of `percentile_curve`: each step to the right is ten times rarer."""


@dataclass(frozen=True)
class Chart:
    """One plot."""

    name: str
    """In file names and element ids."""
    title: str
    note: str
    """How to read it."""
    spec: Spec
    choice: str = ""
    """The parameter that chooses what is shown, of those in `choices`; empty for none."""


def base(rows: Rows) -> Spec:
    """Return a plot of these rows, as wide as its container."""
    return {
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": rows},
    }


def series_colour(title: str, domain: Sequence[str | int], field: str = "series") -> Spec:
    """Tell series apart by colour, in the order of the domain."""
    return {
        "field": field,
        "type": "ordinal",
        "scale": {"domain": list(domain)}
        | ({"scheme": "turbo"} if len(domain) > len(themes.SERIES) else {}),
        "legend": _legend(title, [str(one) for one in domain]),
    }


def _legend(title: str, names: Sequence[str]) -> Spec | None:
    """Return one above the plot, with as many columns as fit a narrow one; None for one series."""
    if len(names) < 2:
        return None
    column = SYMBOL_WIDTH + CHARACTER_WIDTH * max(map(len, names))
    columns = max(1, NARROW_WIDTH // column)
    return {
        "title": title or None,
        "orient": "top",
        "columns": {"expr": f"width < 460 ? {columns} : 0"},
    }


def tip(field: str, title: str, form: str) -> Spec:
    """Return a number that is shown under the pointer."""
    return {"field": field, "type": "quantitative", "title": title, "format": form}


@dataclass(frozen=True)
class Curve:
    """One curve of latencies by percentile."""

    place: int
    """Where it is shown, of what can be chosen."""
    series: str | int
    latencies: LatencyHistogram


def percentile_chart(
    name: str,
    choice: Spec,
    curves: Sequence[Curve],
    series: str,
    domain: Sequence[str | int],
    of: str = "latency",
) -> Chart:
    """Return latencies, or times with other words, by percentile: for each choice a curve for each
    of `series`, its field.
    """
    chosen = choice["name"]
    rows: Rows = [
        {chosen: one.place, series: one.series} | point
        for one in curves
        for point in percentile_curve(one.latencies)
    ]
    medians = [one.latencies.quantiles_ms([0.5])[0] for one in curves]
    log = max(medians) > LOG_LATENCY_FROM * min(medians)
    spec = base(rows) | {
        "height": 380,
        "params": [choice],
        "transform": [{"filter": f"datum.{chosen} == {chosen}"}],
        "mark": {"type": "line"},
        "encoding": {
            "x": PERCENTILE_AXIS,
            "y": {
                "field": "ms", "type": "quantitative", "title": f"{of} (ms)",
                "scale": {"type": "log"} if log else {"zero": True},
                "axis": {"tickCount": 4, "gridOpacity": FAINT_BETWEEN_DECADES} if log else {},
            },
            "color": series_colour(series, domain, series),
            "tooltip": [
                {"field": series, "title": series},
                {"field": "percentile", "title": "percentile"},
                tip("ms", f"{of} (ms)", ",.3f"),
            ],
        },
    }  # fmt: skip
    return Chart(
        name,
        f"{of.capitalize()} by percentile",
        "All that was measured in a cell's runs together. Each step to the right is ten times "
        "rarer.",
        spec,
        choice=chosen,
    )


def percentile_curve(latencies: LatencyHistogram) -> Rows:
    """Return points of the percentile curve; x is 1 / (1 - quantile), up to the rarest latency."""
    steps = [10 ** (step / POINTS_PER_DECADE) for step in range(7 * POINTS_PER_DECADE)]
    one_in = [step for step in steps if step < latencies.count] + [latencies.count]
    quantiles = [1 - 1 / step for step in one_in]
    return [
        {"one_in": round(step, 3), "ms": round(ms, 3), "percentile": f"{quantile:.5%}"}
        for step, quantile, ms in zip(
            one_in, quantiles, latencies.quantiles_ms(quantiles), strict=True
        )
    ]
