"""The simulation's plots."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aibench_fast.files import write_text
from aibench_fast.report.vegalite import to_svg
from benchmarks.scale.coordinator import Merged, barrier_s, clocks_s
from benchmarks.scale.grow import ROUND_TRIP_S, Point

WIDTH = 640
TREE = 32
"""Children of a place in the tree of a barrier."""


def draw(
    folder: Path, sizes: Sequence[Point], loads: Sequence[Point], merges: Sequence[Merged]
) -> list[Path]:
    """Write all plots; ConfigError where a file cannot be written."""
    return [
        _write(folder / "scale-size.svg", "Requests a second by clients, a server for ten of them",
               _lines(_sizes(sizes), "clients", "requests/s")),
        _write(folder / "scale-load.svg", "Latency by workers of each client, at 100 clients",
               _lines(_loads(loads), "workers of a client", "latency (ms)")),
        _write(folder / "scale-coordinator.svg", "What the coordinator adds, by clients",
               _lines(_coordinator(merges), "clients", "seconds")),
    ]  # fmt: skip


def _sizes(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [
        {"x": one.setting.clients, "y": y, "series": series}
        for one in points
        for series, y in (("simulated", one.per_s), ("bound", one.bound_per_s))
    ]


def _loads(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [
        {"x": one.setting.workers, "y": seconds * 1000, "series": series}
        for one in points
        for series, seconds in (("p50", one.p50_s), ("p99", one.p99_s))
    ]


def _coordinator(merges: Sequence[Merged]) -> list[dict[str, Any]]:
    return [
        {"x": one.clients, "y": y, "series": series}
        for one in merges
        for series, y in (
            ("merge, measured", one.seconds),
            ("barrier at one place", barrier_s(one.clients, ROUND_TRIP_S)),
            (f"barrier by a tree of {TREE}", barrier_s(one.clients, ROUND_TRIP_S, TREE)),
            ("clock offsets", clocks_s(one.clients, ROUND_TRIP_S)),
        )
    ]


def _lines(rows: list[dict[str, Any]], x_title: str, y_title: str) -> dict[str, Any]:
    def axis(field: str, title: str) -> dict[str, Any]:
        return {
            "field": field, "type": "quantitative", "title": title,
            "scale": {"type": "log"}, "axis": {"grid": True, "format": "~s", "tickCount": 5},
        }  # fmt: skip

    return {
        "data": {"values": rows},
        "height": 320,
        "mark": {"type": "line", "point": {"filled": True, "size": 55}},
        "encoding": {
            "x": axis("x", x_title),
            "y": axis("y", y_title),
            "color": {
                "field": "series", "type": "ordinal", "sort": None,
                "legend": {"title": None, "orient": "top"},
            },
        },
    }  # fmt: skip


def _write(path: Path, title: str, spec: dict[str, Any]) -> Path:
    sized = spec | {"width": WIDTH, "title": title, "background": "white", "padding": 16}
    write_text(path, to_svg(sized))
    return path
