"""The rows as text and as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.perf.row import Row

HEADS = ("row", "measured", "rounds", "to reach", "reached")


def text(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """The table, each figure's rows under its name, with the rates that they come from."""
    cells = {row.name: _cells(row) for row in rows}
    widths = [max(map(len, column)) for column in zip(HEADS, *cells.values(), strict=True)]
    lines = [f"{name}: {value}" for name, value in facts.items()]
    lines += ["", _line(HEADS, widths)]
    for figure in dict.fromkeys(row.figure for row in rows):
        lines += ["", figure]
        for row in rows:
            if row.figure == figure:
                lines += [_line(cells[row.name], widths), *_more(row)]
    missed = [row.name for row in rows if row.reached is False]
    lines += ["", f"not reached: {'; '.join(missed)}" if missed else "all reached"]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *others = cells
    right = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
    return "  ".join(["", name.ljust(widths[0]), *right]).rstrip()


def to_json(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """All that was measured, every round's value too."""
    return json.dumps({"facts": dict(facts), "rows": [_row_json(row) for row in rows]}, indent=2)


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "figure": row.figure,
        "measured": row.measured,
        "rounds": row.rounds,
        "at_least": row.at_least,
        "at_most": row.at_most,
        "reached": row.reached,
        "beside": dict(row.beside),
        "unit": row.unit,
        "note": row.note,
    }


def _cells(row: Row) -> tuple[str, ...]:
    measured = "none" if row.measured is None else number(row.measured)
    spread = ""
    if len(row.rounds) > 1:
        spread = f"{number(min(row.rounds))} to {number(max(row.rounds))}"
    reached = {True: "yes", False: "no", None: ""}[row.reached]
    return row.name, measured, spread, to_reach(row), reached


def _more(row: Row) -> list[str]:
    rates = ", ".join(f"{name} {number(value)}" for name, value in row.beside.items())
    told = [f"{rates} {row.unit}".strip(), row.note]
    return [f"      {line}" for line in told if line]


def to_reach(row: Row) -> str:
    """The limits in words; empty where there are none."""
    if row.at_least is not None and row.at_most is not None:
        return f"{number(row.at_least)} to {number(row.at_most)}"
    if row.at_least is not None:
        return f">= {number(row.at_least)}"
    return "" if row.at_most is None else f"<= {number(row.at_most)}"


def number(value: float) -> str:
    """With three digits where it is small, in whole numbers where it is large."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
