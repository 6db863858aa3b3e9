"""The report's plots of searches: latency against load, and the edge that was found."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import NamedTuple

from aibench_fast.report import plot
from aibench_fast.report.content import Content
from aibench_fast.results.folder import FoundSearch
from aibench_fast.results.forms import QUANTILES
from aibench_fast.results.record import RunRecord
from aibench_fast.results.runfigures import time_ms
from aibench_fast.results.search import UNITS
from aibench_fast.results.streamnames import TIMES
from aibench_fast.units import duration_s

MS_PER_S = 1000
SHOWN_QUANTILES = {"q50": "p50", "q99": "p99"}
"""Of a search's steps, beside those that its targets name."""
_TARGET_QUANTILES = {"p95": "q95", "p99.9": "q999", "max": "q100", "min": "q0"}
_STREAM_QUANTILES = {"p50": "q50", "p90": "q90", "p99": "q99", "mean": "mean", **_TARGET_QUANTILES}
_LATENCY_TARGET = re.compile(r"((?:[a-z]+\.)?(?:p[\d.]+|mean|max|min))\s*<=?\s*(\S+)")


class Target(NamedTuple):
    """A latency limit of a search."""

    figure: str
    ms: float
    words: str


def search_charts(content: Content) -> Iterator[plot.Chart]:
    """Yield a plot of each search."""
    records = {run.path: run for run in content.runs}
    for place, found in enumerate(content.searches, 1):
        yield _search(f"search-{place}", found, records)


def _latency_targets(slo: Sequence[str]) -> Iterator[Target]:
    for words in slo:
        if match := _LATENCY_TARGET.fullmatch(words):
            with suppress(ValueError):  # of a file that someone else wrote
                yield Target(match[1], duration_s(match[2]) * MS_PER_S, words)


def _target_layers(targets: Sequence[Target]) -> plot.Rows:
    if not targets:
        return []
    data = {"values": [one._asdict() for one in targets]}
    y = plot.number("ms")
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


def _shown(targets: Sequence[Target]) -> dict[str, Callable[[RunRecord], float | None]]:
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
    several = SHOWN_QUANTILES | {
        _TARGET_QUANTILES[one.figure]: one.figure
        for one in targets
        if one.figure in _TARGET_QUANTILES
    }
    return {
        several[name]: methodcaller("quantile_ms", name) for name in QUANTILES if name in several
    }


def _search(name: str, found: FoundSearch, records: Mapping[Path, RunRecord]) -> plot.Chart:
    """Return latency against load: every step of a search, and the edge that it found."""
    search = found.search
    targets = list(_latency_targets(search.slo))
    lines = _shown(targets)
    rows: plot.Rows = [
        {
            "value": step.value,
            "quantile": shown,
            "ms": value_ms,
            "rate": records[file].inferences_per_s,
            "outcome": "held" if step.held else "did not hold",
        }
        for step, file in zip(search.steps, found.files, strict=True)
        if file in records
        for shown, value in lines.items()
        if (value_ms := value(records[file])) is not None
    ]
    unit = UNITS[search.over]
    log = {"type": "log", **plot.PADDED}
    x = plot.number("value", unit, scale=log)
    y = plot.number("ms", "latency (ms)", scale=log, axis=plot.LOG_AXIS)
    colour = plot.series_colour("", list(lines), "quantile")
    shape = {
        "field": "outcome", "type": "nominal", "legend": {"title": None, "orient": "bottom"},
        "scale": {"domain": ["held", "did not hold"], "range": ["circle", "cross"]},
    }  # fmt: skip
    tips = [
        plot.number("value", unit, format=",.5~g"),
        {"field": "quantile", "title": "percentile"},
        plot.number("ms", "latency (ms)", format=",.3f"),
        plot.number("rate", "inferences/s", format=",.2f"),
        {"field": "outcome", "title": "target"},
    ]
    # A search that found nothing has an edge that is not shown: a layer needs a row for its scale.
    edge = {"value": search.found or search.steps[0].value}
    edge_tip = plot.number("value", "the edge", format=",.5~g")
    layers: plot.Rows = [
        {
            "data": {"values": [edge]},
            "mark": {"type": "rule", "style": "edge", "opacity": 1 if search.found else 0},
            "encoding": {"x": plot.number("value"), "tooltip": edge_tip},
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
    ]
    edge_words = f"the edge is at {search.found:.5g} {unit}" if search.found else "no value held"
    return plot.Chart(
        name,
        f"Search over {search.over}: latency against load",
        "Every step, and the medians of each value; the target is "
        f"{' and '.join(search.slo)}, and {edge_words}"
        f"{'' if search.confirmed else ', which is not confirmed'}.",
        plot.base(rows) | {"height": plot.HEIGHT, "layer": layers},
    )
