"""Reasons to doubt the figures; doubts of one kind are one line."""

import re
from collections.abc import Iterable, Sequence

from aibench_fast.report.content import Content
from aibench_fast.results.cells import batching_doubts, grouped, mixed
from aibench_fast.results.record import RunRecord

MAX_NAMED = 8
LATE_SHARE = 0.01
"""Of a rate-limited run's requests: above it the limit was not what was offered to the server."""
_NUMBER = re.compile(r"\d[\d.,]*")


def doubts(content: Content) -> list[tuple[str, list[str]]]:
    """Return headings, each with its lines, of which there may be none."""
    runs = content.runs
    return [
        ("Requests failed; they are excluded from latencies", _failures(runs)),
        (
            "Runs of one cell differ in",
            [f"{name}: {_either(values)}" for name, values in mixed(runs).items()],
        ),
        ("Results without the model's auto-batching", batching_doubts(runs)),
        (
            "Interrupted: the figures cover the part that was measured",
            [run.path.name for run in runs if run.interrupted],
        ),
        (
            "Requests started late by the schedule, because no worker was free",
            [
                f"{run.path.name}: {run.late_starts / run.requests:.1%} of {run.requests:,}"
                for run in runs
                if run.requests and run.late_starts > LATE_SHARE * run.requests
            ],
        ),
        (
            "The client may have limited these figures, not the server",
            _of_each_kind((run.path.name, str(run.verdict)) for run in runs if run.is_doubtful),
        ),
        (
            "Connections were opened during the run",
            _of_each_kind((run.path.name, run.connections) for run in runs if run.connections),
        ),
        ("Warnings of the runs", _warnings(runs)),
        ("Skipped files", [f"{one.path}: {one.reason}" for one in content.skipped]),
    ]


def _kind(words: str) -> str:
    """Return the words that lines which differ only in numbers have in common."""
    return _NUMBER.sub("#", words)


def _named(names: Sequence[str]) -> str:
    more = len(set(names)) - 1
    return f"{names[0]} and {more:,} more" if more > 0 else names[0]


def _of_each_kind(lines: Iterable[tuple[str, str]]) -> list[str]:
    """Return one line for each kind, in the words of its first run."""
    kinds = grouped((_kind(words), (name, words)) for name, words in lines)
    return [f"{_named([name for name, _ in alike])}: {alike[0][1]}" for alike in kinds.values()]


def _failures(runs: Sequence[RunRecord]) -> list[str]:
    """Return each kind of failure with the sum of its requests."""
    kinds = grouped(
        ((kind, _kind(message)), (run.path.name, count, message))
        for run in runs
        for kind, (count, message) in run.failures.items()
    )
    return [
        f"{_named([name for name, _, _ in alike])}: {sum(count for _, count, _ in alike)} {kind}, "
        f"first: {alike[0][2]}"
        for (kind, _), alike in kinds.items()
    ]


def _warnings(runs: Sequence[RunRecord]) -> list[str]:
    """Return each kind of warning once, with how many runs had it."""
    kinds = grouped((_kind(message), message) for run in runs for message in run.warnings)
    if len(runs) == 1:
        return [message for alike in kinds.values() for message in alike]
    return [
        f"{alike[0]} ({len(alike):,} run{'s' * (len(alike) != 1)}"
        f"{', with other figures too' * (len(set(alike)) > 1)})"
        for alike in kinds.values()
    ]


def _either(values: Sequence[str]) -> str:
    more = len(values) - MAX_NAMED
    shown = [*values[:MAX_NAMED], *([f"{more} more"] if more > 0 else [])]
    return " or ".join(shown)
