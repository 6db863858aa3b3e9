"""The context of the report's template, page.html, in the order of the page."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from aibench_fast.report.content import CellSummary, Content, commands, facts
from aibench_fast.report.doubts import doubts
from aibench_fast.report.keyfigures import key_figures
from aibench_fast.report.plot import Chart
from aibench_fast.results.details import Part
from aibench_fast.results.notation import fact_text, figure_text
from aibench_fast.results.runfigures import (
    P50,
    P95,
    P99,
    USE_FIGURES,
    WINDOW_FIGURES,
    Figure,
    figures_of,
)

Row = TypeVar("Row")

MAX_NAMED = 8
"""Doubts, parts and differing facts that are listed one by one; more would fill the page."""
MAX_ROWS = 2000
"""Of the table of cells."""
MAX_COMMANDS = 50


class Table(NamedTuple):
    """Column heads, and rows of as many values."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


def page_of(content: Content, drawn: Sequence[Chart]) -> dict[str, Any]:
    """Return what the page shows of a report with these plots."""
    with_parts = [one for one in content.cells if one.parts]
    runs = content.runs
    return {
        "source": content.source,
        "summary": [*_summary(content)],
        "doubts": [(words, _first(lines)) for words, lines in doubts(content) if lines],
        "figures": key_figures(content),
        "limits": [*_limits(content)],
        "plots": _plots(drawn),
        "cells": _cells(content),
        "parts": [
            (str(one.cell), _table(_part_columns(one.parts), one.parts))
            for one in with_parts[:MAX_NAMED]
        ],
        "parts_left_out": len(with_parts[MAX_NAMED:]),
        "facts": [
            (_FACT_NAMES.get(name, name), _first([_fact_value(value) for value in values]))
            for name, values in facts(runs).items()
        ],
        "commands": _first(commands(runs), MAX_COMMANDS),
    }


def _first(lines: Sequence[Row], most: int = MAX_NAMED) -> list[Row | str]:
    more = len(lines) - most
    return [*lines[:most], *([f"and {more:,} more"] if more > 0 else [])]


def _summary(content: Content) -> Iterator[str]:
    runs = content.runs
    yield _counted(len(runs), "result")
    yield _counted(len(content.cells), "cell")
    if starts_ms := [run.start_unix_ms for run in runs if run.start_unix_ms]:
        days = (
            datetime.fromtimestamp(start / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
            for start in (min(starts_ms), max(starts_ms))
        )
        yield " to ".join(dict.fromkeys(days))
    yield from dict.fromkeys(f"{one.kind} {one.version}" for run in runs if (one := run.server))


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _limits(content: Content) -> Iterator[str]:
    cells, drawn = len(content.cells), len(content.drawn)
    if drawn < cells:
        yield (
            f"Of {cells:,} cells the plots show {drawn:,}: those of the settings with the highest "
            "throughput, all worker counts of each."
        )
    if content.timed < drawn:
        yield f"One run over time is that of the {content.timed:,} fastest cells."
    if cells > MAX_ROWS:
        yield (
            f"The table has the {MAX_ROWS:,} fastest cells; aibench-fast export writes all results."
        )


_HEADINGS = {
    "search": "Search",
    "setting": "Servers side by side",
    "place": "Servers' latencies",
    "streams": "Streams of tokens",
    "stream": "Times of streams of tokens",
    "throughput": "Throughput",
    "heatmap": "Throughput",
    "variant": "Latency",
    "streamed": "Tokens of one run over time",
    "cell": "One run over time",
}
"""Of plots with a choice by its name, of others by the first word of theirs; in order."""


def _plots(drawn: Iterable[Chart]) -> list[tuple[str, list[Chart]]]:
    """Return headings with their plots, which all have the same choice or none."""
    groups: dict[str, list[Chart]] = {heading: [] for heading in _HEADINGS.values()}
    for one in drawn:
        kind = one.choice.name if one.choice else one.name.partition("-")[0]
        groups[_HEADINGS[kind]].append(one)
    return [(heading, group) for heading, group in groups.items() if group]


Columns = Mapping[str, Callable[[Row], str]]
"""Each column's head, and its value of a row."""


def _table(columns: Columns[Row], rows: Iterable[Row]) -> Table:
    return Table([*columns], [[value(row) for value in columns.values()] for row in rows])


def _cells(content: Content) -> Table:
    fastest = sorted(content.cells, key=lambda one: one.rate, reverse=True)[:MAX_ROWS]
    shown = {one.cell for one in fastest}
    rows = [one for one in content.cells if one.cell in shown]
    return _table(_cell_columns(content), rows)


_USE_HEADS = {
    "cpu": "CPU (cores)", "cpu_an_inference": "CPU an inference (ms)", "memory": "Memory (MiB)",
}  # fmt: skip


def _cell_columns(content: Content) -> Columns[CellSummary]:
    cells = [one.cell for one in content.cells]
    is_compared = any(cell.server_name for cell in cells)
    columns: dict[str, Literal[False] | Callable[[CellSummary], str]] = {
        "Server": is_compared and (lambda one: one.cell.server_name),
        "Workers": lambda one: str(one.cell.workers),
        "Auto-batching": any(cell.autobatching >= 0 for cell in cells) and _autobatching,
        "Tensor batch": not all(cell.streams for cell in cells)
        and (lambda one: "" if one.cell.streams else str(one.cell.batch_size or "of a mix")),
        "Limit (requests/s)": any(cell.max_rps for cell in cells)
        and (lambda one: f"{one.cell.max_rps:g}" if one.cell.max_rps else "none"),
        "Inferences/s": lambda one: f"{one.rate:,.3f}",
        **{f"{one.name} (ms)": partial(_median, one) for one in (P50, P95, P99)},
        **{
            f"{one.name} ({one.unit})": partial(_of_streams, one)
            for one in figures_of(content.runs)
        },
        **{
            f"{one.title.capitalize()} ({one.unit})": partial(_median, one)
            for one in WINDOW_FIGURES
            if one.known(content.runs)
        },
        "Slowest run": lambda one: f"{min(one.rates):,.3f}",
        "Fastest run": lambda one: f"{max(one.rates):,.3f}",
        **{_USE_HEADS[one.name]: is_compared and partial(_median, one) for one in USE_FIGURES},
        "Runs": lambda one: str(len(one.runs)),
        "Failed requests": lambda one: f"{one.failed:,}",
    }
    return {head: value for head, value in columns.items() if value}


def _autobatching(one: CellSummary) -> str:
    if one.cell.streams:
        return ""
    return "not known" if one.cell.autobatching < 0 else str(one.cell.autobatching)


def _of_streams(figure: Figure, one: CellSummary) -> str:
    return _median(figure, one) if one.cell.streams else ""


def _median(figure: Figure, one: CellSummary) -> str:
    return figure_text(figure.median(one.runs), ",.3f")


_PART_COLUMNS: dict[str, Callable[[Part], str]] = {
    "Part": lambda part: part.what,
    "Name": lambda part: part.name,
    "Requests": lambda part: f"{part.requests:,}",
    "Inferences/s": lambda part: figure_text(part.inferences_per_s, ",.3f"),
    "p50 (ms)": lambda part: figure_text(part.q50_ms, ",.3f"),
    "p99 (ms)": lambda part: figure_text(part.q99_ms, ",.3f"),
    "Failed requests": lambda part: f"{part.failed:,}",
    "Shed": lambda part: f"{part.shed:,}",
    "Unsent": lambda part: figure_text(part.unsent, ","),
}


def _part_columns(parts: Sequence[Part]) -> Columns[Part]:
    """Return the columns of parts, with the figures of streams that any of them has."""
    units = {name: unit for part in parts for name, (_, unit) in part.stream.items()}
    return _PART_COLUMNS | {
        f"{name} ({unit})": partial(_of_part, name) for name, unit in units.items()
    }


def _of_part(name: str, part: Part) -> str:
    return figure_text(part.stream[name][0] if name in part.stream else None, ",.3f")


_FACT_NAMES = {
    "CpuModel": "CPU",
    "Package": "aibench-fast",
    "Hiredis": "hiredis",
    "Tls": "TLS",
    "ServerConfig": "Server settings",
    "ModelDigest": "Model SHA-256",
    "DataDigest": "Tensors SHA-256",
}


def _fact_value(value: Any) -> str | list[str]:
    if isinstance(value, dict):
        return [f"{name} {fact_text(setting)}" for name, setting in value.items()]
    return fact_text(value)
