"""How results show themselves in a notebook: HTML that needs no network."""

from collections.abc import Iterable
from functools import singledispatch
from html import escape
from typing import Any

from aibench_fast.errors import ConfigError, InternalError
from aibench_fast.report import text
from aibench_fast.report.comparison import caveats
from aibench_fast.report.plot import PERCENTILE_AXIS, percentile_curve
from aibench_fast.report.vegalite import to_svg
from aibench_fast.results import compare
from aibench_fast.results.folder import Loaded
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.notation import figure_text
from aibench_fast.results.result import Result
from aibench_fast.results.runfigures import P50, P99, figures_of

WIDTH, HEIGHT = 560, 240
_NUMBER = "text-align: right; font-variant-numeric: tabular-nums"


@singledispatch
def html(shown: object) -> str:
    """Return the HTML of a result, of several, or of a comparison."""
    raise InternalError(f"{type(shown).__name__} has no HTML")


@html.register
def _(result: Result) -> str:
    """Return the summary as printed, and the latencies or times to first tokens by percentile."""
    first_tokens = result.tokens.response_first_tokens
    curve = (
        _percentiles(first_tokens, "time to first token (ms)")
        if first_tokens.count
        else _percentiles(result.latencies, "latency (ms)")
    )
    return f"<pre>{escape(text.format_summary(result))}</pre>{curve}"


@html.register
def _(loaded: Loaded) -> str:
    """Return one row a result, and the files that were skipped."""
    figures = [P50, P99, *figures_of(loaded.records)]
    names = (f"{one.name} {one.unit}" for one in figures)
    header = ("file", "client", "cell", "inferences/s", *names, "failed")
    rows = [
        (
            run.path.name,
            run.client,
            str(run.cell),
            f"{run.inferences_per_s:.3f}",
            *(figure_text(one.value(run)) for one in figures),
            str(run.failed),
        )
        for run in loaded.records
    ]
    return _table(header, rows, loaded.skipped)


@html.register
def _(report: compare.ComparisonReport) -> str:
    """Return one row a figure of a cell: both sides, the ratio with its interval, the verdict."""
    header = ("cell", "figure", "A", "B", "B / A", "95 % interval", "verdict")
    rows = [
        (
            str(one.cell),
            f"{one.metric.name}, {one.metric.unit}",
            *map(figure_text, (one.a, one.b, one.ratio)),
            "" if one.interval is None else f"{one.interval[0]:.3f} to {one.interval[1]:.3f}",
            str(one.verdict),
        )
        for one in report.comparisons
    ]
    unlike = (f"different set-ups: {one}" for one in report.differences)
    return _table(header, rows, [*caveats(report), *unlike])


def _table(header: Iterable[str], rows: Iterable[Iterable[str]], below: Iterable[object]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_NUMBER}">{escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    notes = "".join(f"<p>{escape(str(one))}</p>" for one in below)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"


def _percentiles(latencies: LatencyHistogram, title: str) -> str:
    """Return the curve as SVG; nothing without latencies or the plotting library."""
    if latencies.count == 0:
        return ""
    spec: dict[str, Any] = {
        "width": WIDTH,
        "height": HEIGHT,
        "data": {"values": percentile_curve(latencies)},
        "mark": {"type": "line"},
        "encoding": {
            "x": PERCENTILE_AXIS,
            "y": {"field": "ms", "type": "quantitative", "title": title},
        },
    }
    try:
        return to_svg(spec)
    except ConfigError:
        return ""
