"""The table as a picture: how each row stands to what it is to reach."""

from collections.abc import Sequence
from typing import Any

from aibench_fast.report.vegalite import SERIES, to_png
from benchmarks.perf.row import Row
from benchmarks.perf.table import number, to_reach

ROW_HEIGHT = 18
TITLE = "Measured over what is to be reached (from 1 on it is reached)"


def png(rows: Sequence[Row]) -> bytes:
    """A mark for the median of each row and a bar from its worst round to its best.

    ConfigError where the plotting library is not installed.
    """
    return to_png(_spec(rows), TITLE)


def _spec(rows: Sequence[Row]) -> dict[str, Any]:
    values = [_place(row) for row in rows if row.measured and (row.at_least or row.at_most)]
    names = [value["name"] for value in values]
    y = {
        "field": "name",
        "type": "nominal",
        "sort": names,
        "title": None,
        "axis": {"labelLimit": 400},
    }
    x = {
        "field": "measured", "type": "quantitative", "title": "log scale",
        "scale": {"type": "log", "nice": False, "padding": 40},
        "axis": {"grid": True, "format": "~g"},
    }  # fmt: skip
    return {
        "data": {"values": values},
        "height": ROW_HEIGHT * len(values),
        "encoding": {"y": y},
        "layer": [
            {
                "mark": {"type": "rule", "strokeDash": [4, 3]},
                "encoding": {"x": {"datum": 1}, "y": None},
            },
            {
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {"x": x | {"field": "low"}, "x2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {
                    "x": x,
                    "color": {
                        "field": "reached", "type": "nominal", "title": None,
                        "scale": {
                            "domain": ["reached", "not reached"],
                            "range": [SERIES[0], SERIES[2]],
                        },
                        "legend": {"symbolType": "circle", "orient": "top"},
                    },
                },
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 10, "fontSize": 11},
                "encoding": {"x": x | {"field": "high"}, "text": {"field": "told"}},
            },
        ],
    }  # fmt: skip


def _place(row: Row) -> dict[str, Any]:
    """Where a row stands, and where its rounds do."""
    assert row.measured is not None
    rounds = [_standing(row, value) for value in row.rounds]
    return {
        "name": row.name,
        "measured": _standing(row, row.measured),
        "low": min(rounds),
        "high": max(rounds),
        "reached": "reached" if row.reached else "not reached",
        "told": f"{number(row.measured)} ({to_reach(row)})",
    }


def _standing(row: Row, value: float) -> float:
    """A value over its limit, or the limit over it where it is to stay below."""
    over = [] if row.at_least is None else [value / row.at_least]
    under = [] if row.at_most is None else [row.at_most / value]
    return min(over + under)
