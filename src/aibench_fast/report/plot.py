"""Plots of the report, and what several of them have in common."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from aibench_fast.report.vegalite import SERIES
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
PADDED = {"nice": False, "padding": 16}
FROM_ZERO: Spec = {"scale": {"zero": True}, "axis": {}}
LOG_AXIS: Spec = {
    "tickCount": 4,
    "gridOpacity": {  # faint between decades
        "condition": {
            "test": "abs(datum.value - pow(10, round(log(datum.value) / LN10)))"
            " < 1e-6 * datum.value",
            "value": 1,
        },
        "value": 0.3,
    },
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
class Choice:
    """A choice of what plots show."""

    name: str
    """The plots' parameter: the place, of what is offered, of what is shown."""
    label: str
    offered: Sequence[str]
    wanted: str
    """The choice that is shown first, if it is offered."""

    @property
    def first(self) -> int:
        """The place of what is shown first."""
        return self.offered.index(self.wanted) if self.wanted in self.offered else 0

    @property
    def parameter(self) -> Spec:
        """The plots' parameter at first."""
        return {"name": self.name, "value": self.first}


@dataclass(frozen=True)
class Chart:
    """One plot."""

    name: str
    """In file names and element ids."""
    title: str
    note: str
    """How to read it."""
    spec: Spec
    choice: Choice | None = None


def unique(names: Iterable[str]) -> list[str]:
    """Return each once, in order."""
    return list(dict.fromkeys(names))


def base(rows: Rows) -> Spec:
    """Return a plot of these rows, as wide as its container."""
    return {
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": rows},
    }


def number(field: str, title: str | None = None, **more: Any) -> Spec:
    """Return the encoding of a field of numbers."""
    titled = {} if title is None else {"title": title}
    return {"field": field, "type": "quantitative", **titled, **more}


def series_colour(title: str, domain: Sequence[str | int], field: str = "series") -> Spec:
    """Tell series apart by colour, in the order of the domain."""
    many = {"scheme": "turbo"} if len(domain) > len(SERIES) else {}
    return {
        "field": field,
        "type": "ordinal",
        "scale": {"domain": list(domain), **many},
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


def spread(field: str, values: Sequence[float]) -> dict[str, float]:
    """Return the part of a row that `spread_tips` shows: the median of runs, and their range."""
    return {field: median(values), "low": min(values), "high": max(values), "runs": len(values)}


def spread_tips(field: str, title: str, low: str = "lowest", high: str = "highest") -> Rows:
    """Return what the pointer shows of a `spread`."""
    return [
        number(field, title, format=",.2f"),
        number("low", f"{low} run", format=",.2f"),
        number("high", f"{high} run", format=",.2f"),
        number("runs", "runs", format="d"),
    ]


def against_load(rows: Rows, load: Spec, y: Spec, low: Spec, apart: Spec, tips: Rows) -> Spec:
    """Return lines of medians, with bars from the lowest run to the highest.

    `load` is the field of the axis below, `y` that of the medians, `low` that of the lowest runs;
    `apart` tells series apart.
    """
    values = sorted({row[load["field"]] for row in rows})
    x = load | {"axis": {"values": values, "grid": False}, "scale": {"zero": False, **PADDED}}
    line = {"type": "line", "point": {"filled": True, "size": 55}}
    bar = {"y": low, "y2": {"field": "high"}}
    return base(rows) | {
        "height": HEIGHT,
        "encoding": {"x": x, **apart},
        "layer": [
            {"mark": {"type": "rule", "strokeWidth": 2}, "encoding": bar},
            {"mark": line, "encoding": {"y": y, "tooltip": tips}},
        ],
    }


def from_zero_or_log(values: Sequence[float], **log: Any) -> Spec:
    """Return the scale and the axis of these latencies, logarithmic if they are far apart."""
    if max(values) > LOG_LATENCY_FROM * min(values):
        return {"scale": {"type": "log", **log}, "axis": LOG_AXIS}
    return FROM_ZERO


class Curve(NamedTuple):
    """One curve of latencies by percentile."""

    shown: str
    """With which of the offered choices."""
    series: str | int
    latencies: LatencyHistogram


def percentile_chart(
    name: str,
    choice: Choice,
    curves: Sequence[Curve],
    series: str,
    domain: Sequence[str | int],
    of: str = "latency",
) -> Chart:
    """Return latencies, or times with other words, by percentile: for each choice a curve for each
    of `series`, its field.
    """
    rows: Rows = [
        {choice.name: choice.offered.index(one.shown), series: one.series} | point
        for one in curves
        for point in percentile_curve(one.latencies)
    ]
    medians = [one.latencies.quantiles_ms([0.5])[0] for one in curves]
    spec = base(rows) | {
        "height": 380,
        "params": [choice.parameter],
        "transform": [{"filter": f"datum.{choice.name} == {choice.name}"}],
        "mark": {"type": "line"},
        "encoding": {
            "x": PERCENTILE_AXIS,
            "y": number("ms", f"{of} (ms)", **from_zero_or_log(medians)),
            "color": series_colour(series, domain, series),
            "tooltip": [
                {"field": series, "title": series},
                {"field": "percentile", "title": "percentile"},
                number("ms", f"{of} (ms)", format=",.3f"),
            ],
        },
    }
    note = (
        "All that was measured in a cell's runs together. Each step to the right is ten times "
        "rarer."
    )
    return Chart(name, f"{of.capitalize()} by percentile", note, spec, choice)


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
