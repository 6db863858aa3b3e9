"""A comparison of two sets of runs, as text and as JSON values."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from aibench_fast.results.compare import CONFIDENCE, Comparison, Report
from aibench_fast.results.files import Cell
from aibench_fast.results.notation import figure_text


def format_comparison(report: Report, a: str, b: str, threshold: float) -> str:
    """All cells' figures with their verdicts; `a` and `b` name the sides."""
    return "\n".join(_lines(report, a, b, threshold)) + "\n"


def _lines(report: Report, a: str, b: str, threshold: float) -> Iterator[str]:
    yield f"A: {a}"
    yield f"B: {b}"
    percent = f"{threshold * 100:g}%"
    yield f"B / A with its {CONFIDENCE:.0%} confidence interval; up to {percent} is no change"
    if report.differences:
        yield "Not alike, compared all the same:"
        yield from (f"  {difference}" for difference in report.differences)
    if report.unknown:
        yield "Not known to be alike:"
        yield from (f"  {difference}" for difference in report.unknown)
    cell: Cell | None = None
    for one in report.comparisons:
        if one.cell != cell:
            cell = one.cell
            yield ""
            yield f"{cell} ({_runs(one)})"
        yield _line(one)
    yield ""
    for name, cells in (("A", report.only_a), ("B", report.only_b)):
        yield from (f"Only in {name}: {cell}" for cell in cells)
    counts = Counter(one.verdict for one in report.comparisons)
    yield f"Verdicts: {', '.join(f'{count} {verdict}' for verdict, count in counts.most_common())}"


def _runs(one: Comparison) -> str:
    return f"runs: {one.runs_a} in A, {one.runs_b} in B"


def _line(one: Comparison) -> str:
    interval = f"[{one.interval[0]:.3f}, {one.interval[1]:.3f}]" if one.interval else ""
    a, b, ratio = map(figure_text, (one.a, one.b, one.ratio))
    return (
        f"  {one.metric.name:<10} {a:>12} -> {b:>12} {one.metric.unit:<12} {ratio:>7} "
        f"{interval:<18} {one.verdict}"
    )


def comparison_json(report: Report, threshold: float) -> dict[str, Any]:
    """The same for a program; the keys are the cell's settings and the figures."""
    return {
        "confidence": CONFIDENCE,
        "threshold": threshold,
        "worse": report.worse,
        "comparisons": [
            one.cell._asdict()
            | {
                "metric": one.metric.name,
                "unit": one.metric.unit,
                "a": one.a,
                "b": one.b,
                "runs_a": one.runs_a,
                "runs_b": one.runs_b,
                "ratio": one.ratio,
                "interval": one.interval,
                "verdict": str(one.verdict),
            }
            for one in report.comparisons
        ],
        "only_a": [cell._asdict() for cell in report.only_a],
        "only_b": [cell._asdict() for cell in report.only_b],
        "differences": [asdict(difference) for difference in report.differences],
        "unknown": [asdict(difference) for difference in report.unknown],
    }
