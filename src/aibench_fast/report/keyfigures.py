"""The figures at the top of a report, each on a card, a search's answer first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from statistics import median

from aibench_fast.report.content import Content, files_at
from aibench_fast.results.folder import FoundSearch
from aibench_fast.results.record import RunRecord
from aibench_fast.results.runfigures import P50, P99, figures_of
from aibench_fast.results.search import UNITS

STREAM_CARDS = ("tokens", "goodput", "ttft.p50", "ttft.p99", "tpot.p99", "gap.p99")
"""Of streams of tokens, as far as they are known."""


@dataclass(frozen=True)
class KeyFigure:
    """One card."""

    name: str
    value: str
    unit: str
    of: str
    """Of what cell, load or runs."""
    is_answer: bool = False
    """Whether it is the answer of a search."""


def key_figures(content: Content) -> list[KeyFigure]:
    """Return the cards of a report, in order."""
    answers = [_answer(found) for found in content.searches]
    searched = content.searched
    if len(answers) == 1 and all(run.path in searched for run in content.runs):
        return [*answers, *_at_the_edge(content, content.searches[0])]
    return [*answers, *_of_cells(content)]


def _answer(found: FoundSearch) -> KeyFigure:
    search = found.search
    wanted = " and ".join(search.slo)
    confirmed = "" if search.confirmed else "; not confirmed"
    if search.found is None:
        value, unit = "none", ""
        of = f"{wanted} held at no value"
    else:
        value, unit = f"{search.found:,.5g}", UNITS[search.over]
        of = f"{wanted} holds"
    if search.fails_at is not None:
        of += f"; not at {search.fails_at:,.5g}"
    name = f"Highest {search.over.replace('-', ' ')} within the target"
    return KeyFigure(name, value, unit, of + confirmed, is_answer=True)


def _at_the_edge(content: Content, found: FoundSearch) -> Iterator[KeyFigure]:
    """Yield the medians of the runs at the highest value that held."""
    search = found.search
    value = search.found if search.found is not None else search.fails_at
    files = files_at(found, value)
    runs = [run for run in content.runs if run.path in files]
    if value is None or not runs:
        yield from _of_cells(content)
        return
    at = f"at {value:,.5g} {UNITS[search.over]}"
    rate = median(run.inferences_per_s for run in runs)
    yield KeyFigure("Throughput", f"{rate:,.1f}", "inferences/s", at)
    if any(run.stream for run in runs):
        yield from _of_streams(runs, at)
    else:
        for figure in (P50, P99):
            yield _known(figure.name, figure.median(runs), ",.2f", "ms", at)
    yield _failed(content)


def _of_streams(runs: Sequence[RunRecord], of: str) -> Iterator[KeyFigure]:
    """Yield the medians of what streams of tokens are judged by."""
    figures = {one.name: one for one in figures_of(runs)}
    for name in STREAM_CARDS:
        if figure := figures.get(name):
            title = f"{figure.title[0].upper()}{figure.title[1:]}"
            yield _known(title, figure.median(runs), ",.1f", figure.unit, of)


def _of_cells(content: Content) -> Iterator[KeyFigure]:
    """Yield figures of the fastest cell and of the one with the lowest p50, or of streams of tokens
    of the fastest.
    """
    tensors = [one for one in content.cells if not one.cell.streams]
    streams = [one for one in content.cells if one.cell.streams]
    if tensors:
        fastest = max(tensors, key=lambda one: one.rate)
        rate = f"{fastest.rate:,.1f}"
        yield KeyFigure("Highest throughput", rate, "inferences/s", str(fastest.cell))
        p99_ms, of = P99.median(fastest.runs), "of a request, round trip included"
        yield _known("p99 at the highest throughput", p99_ms, ",.2f", "ms", of)
        p50s = [(ms, str(one.cell)) for one in tensors if (ms := P50.median(one.runs)) is not None]
        p50_ms, of = min(p50s, key=itemgetter(0), default=(None, "no run reports it"))
        yield _known("Lowest p50", p50_ms, ",.2f", "ms", of)
    if streams:
        fastest = max(streams, key=lambda one: one.rate)
        yield from _of_streams(fastest.runs, str(fastest.cell))
    yield _failed(content)


def _known(name: str, value: float | None, form: str, unit: str, of: str) -> KeyFigure:
    """Return the card of a figure that may be unknown, which then has no unit."""
    if value is None:
        return KeyFigure(name, "not known", "", of)
    return KeyFigure(name, format(value, form), unit, of)


def _failed(content: Content) -> KeyFigure:
    failed = sum(one.failed for one in content.cells)
    runs = len(content.runs)
    return KeyFigure("Failed requests", f"{failed:,}", "", f"in {runs:,} run{'s' * (runs != 1)}")
