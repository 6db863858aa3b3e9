"""A comparison of two sets of runs, as text and as JSON values."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from aibench_fast.results.compare import CONFIDENCE, Comparison, ComparisonReport
from aibench_fast.results.notation import figure_text
from aibench_fast.results.record import Cell

_FIGURES = ("a", "b", "runs_a", "runs_b", "ratio", "interval", "p", "corrected_p", "drift")


def format_comparison(report: ComparisonReport, a: str, b: str) -> str:
    """Return all cells' figures with their verdicts; `a` and `b` name the sides."""
    return "\n".join(_lines(report, a, b)) + "\n"


def _lines(report: ComparisonReport, a: str, b: str) -> Iterator[str]:
    yield f"A: {a}"
    yield f"B: {b}"
    percent = f"{report.threshold * 100:g}%"
    yield (
        f"B / A with its {CONFIDENCE:.0%} confidence interval; up to {percent} counts as no change"
    )
    if report.differences:
        yield "Different set-ups, compared anyway:"
        yield from (f"  {difference}" for difference in report.differences)
    if report.unknown:
        yield "Set-ups that may differ:"
        yield from (f"  {difference}" for difference in report.unknown)
    cell: Cell | None = None
    name_width = max(10, *(len(one.metric.name) for one in report.comparisons))
    unit_width = max(12, *(len(one.metric.unit) for one in report.comparisons))
    for one in report.comparisons:
        if one.cell != cell:
            cell = one.cell
            yield ""
            yield f"{cell} (runs: {one.runs_a} in A, {one.runs_b} in B)"
        yield _line(one, name_width, unit_width)
    yield ""
    for name, cells in (("A", report.only_a), ("B", report.only_b)):
        yield from (f"Only in {name}: {cell}" for cell in cells)
    counts = Counter(one.verdict for one in report.comparisons)
    yield f"Verdicts: {', '.join(f'{count} {verdict}' for verdict, count in counts.most_common())}"
    yield from caveats(report)


def caveats(report: ComparisonReport) -> Iterator[str]:
    """Yield how many intervals exclude 1 by chance, unless there is a single cell, and how much the
    machine's drift may have changed, if there is one.
    """
    if len({one.cell for one in report.judged}) > 1:
        leaving = sum(one.leaves_out_1 for one in report.judged)
        yield (
            f"{leaving} of {len(report.judged)} intervals exclude 1; without any change, "
            f"{report.by_chance:.1f} would on average. Better and worse are corrected for that "
            "(Holm)"
        )
    largest: dict[str, float] = {}
    for one in report.judged:
        before = largest.get(one.metric.name, 1.0)
        largest[one.metric.name] = max(before, one.drift, key=lambda ratio: abs(ratio - 1))
    shown = [f"{name} {ratio - 1:+.1%}" for name, ratio in largest.items() if abs(ratio - 1) > 1e-3]
    if shown:
        yield (
            f"The machine drifted within A and within B. From A to B, drift may have made up to "
            f"{', '.join(shown)}; this much counts as no change: let A and B take turns"
        )


def _line(one: Comparison, name_width: int, unit_width: int) -> str:
    interval = f"[{one.interval[0]:.3f}, {one.interval[1]:.3f}]" if one.interval else ""
    a, b, ratio = map(figure_text, (one.a, one.b, one.ratio))
    return (
        f"  {one.metric.name:<{name_width}} {a:>12} -> {b:>12} "
        f"{one.metric.unit:<{unit_width}} {ratio:>7} "
        f"{interval:<18} {one.verdict}"
    )


def comparison_json(report: ComparisonReport) -> dict[str, Any]:
    """Return the same for a program; the keys are the cell's settings and the figures."""
    return {
        "confidence": CONFIDENCE,
        "threshold": report.threshold,
        "worse": report.worse,
        "judged": len(report.judged),
        "leave_out_1": sum(one.leaves_out_1 for one in report.judged),
        "leave_out_1_by_chance": report.by_chance,
        "comparisons": [
            one.cell.values
            | {"metric": one.metric.name, "unit": one.metric.unit}
            | {name: getattr(one, name) for name in _FIGURES}
            | {"verdict": str(one.verdict)}
            for one in report.comparisons
        ],
        "only_a": [cell.values for cell in report.only_a],
        "only_b": [cell.values for cell in report.only_b],
        "differences": [asdict(difference) for difference in report.differences],
        "unknown": [asdict(difference) for difference in report.unknown],
    }
