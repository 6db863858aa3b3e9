"""Runs in groups: by cell, and by server at the same settings."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from aibench_fast.errors import ConfigError
from aibench_fast.results.record import Cell, RunRecord

Key = TypeVar("Key")
Value = TypeVar("Value")
SERVER_FACTS = ("server", "server version", "request", "ServerConfig", "ModelDigest")
"""Facts of a setup that naturally differ between servers."""


def grouped(pairs: Iterable[tuple[Key, Value]]) -> dict[Key, list[Value]]:
    """Return the values of each key, of pairs of both."""
    found: dict[Key, list[Value]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


def by_cell(records: Iterable[RunRecord]) -> dict[Cell, list[RunRecord]]:
    """Return the runs of each cell, cells in order."""
    return dict(sorted(grouped((run.cell, run) for run in records).items()))


def mixed(records: Iterable[RunRecord]) -> dict[str, list[str]]:
    """Return the facts that differ between runs of the same cell, and their values."""
    found: dict[str, set[str]] = {}
    for runs in by_cell(records).values():
        setups = [run.setup for run in runs]
        for name in setups[0]:
            values = {value for setup in setups if (value := setup[name]) is not None}
            if len(values) > 1:
                found.setdefault(name, set()).update(values)
    return {name: sorted(values) for name, values in found.items()}


def median_run(runs: Sequence[RunRecord]) -> RunRecord:
    """Return the run whose rate is the median; of two in the middle the slower."""
    return sorted(runs, key=lambda run: run.inferences_per_s)[(len(runs) - 1) // 2]


def batching_doubts(records: Iterable[RunRecord]) -> list[str]:
    """Return warnings for results of RedisAI whose MetadataAutobatching is -1, as it always is of
    other servers: the Open Inference Protocol has no such setting.
    """
    alike = grouped((run.cell._replace(autobatching=0), run) for run in records)
    apart: list[RunRecord] = []
    together: list[RunRecord] = []
    for runs in alike.values():
        unknown = [run for run in runs if run.lacks_autobatching]
        if any(run.cell.autobatching >= 0 for run in runs):
            apart += unknown
        elif len(unknown) > 1:
            together += unknown
    return [
        f"{unknown[0].path.name}{f' and {len(unknown) - 1} more' if len(unknown) > 1 else ''}: the "
        f"model's auto-batching is not known (-1), so {what}"
        for unknown, what in (
            (apart, "they are kept apart from those of the same settings that say it"),
            (together, "runs of models with different BATCHSIZEs may be taken together"),
        )
        if unknown
    ]


def setting_of(cell: Cell) -> Cell:
    """Return a cell without its server and without an auto-batching of none."""
    return cell._replace(server_name="", autobatching=cell.autobatching or -1)


def by_server(records: Iterable[RunRecord]) -> dict[tuple[Cell, str], list[RunRecord]]:
    """Return the runs of servers that have a name, by setting and name."""
    named = [run for run in records if run.cell.server_name]
    return grouped(((setting, run.cell.server_name), run) for setting, run in _with_settings(named))


def _with_settings(records: Sequence[RunRecord]) -> Iterator[tuple[Cell, RunRecord]]:
    """Yield each after its cell without its server. A batch size that a server never reports counts
    as none; if it does in some runs, it is unknown in the others.
    """
    reporting = {run.cell.server_name for run in records if run.cell.autobatching >= 0}
    for run in records:
        autobatching = run.cell.autobatching if run.cell.server_name in reporting else 0
        yield run.cell._replace(server_name="", autobatching=autobatching), run


def of_server(records: Iterable[RunRecord], name: str) -> list[RunRecord]:
    """Return the runs of the server of this name, in cells without a name; ConfigError if none."""
    several = list(records)
    found = [run for run in several if run.cell.server_name == name]
    if not found:
        names = sorted({run.cell.server_name for run in several if run.cell.server_name})
        raise ConfigError(
            f"there is no result of a server {name}; servers are {', '.join(names) or 'unnamed'}"
        )
    return [replace(run, cell=cell) for cell, run in _with_settings(found)]


def sources_of_use(records: Iterable[RunRecord]) -> str:
    """Return who counted the servers' CPU time and memory, in words."""
    names = grouped((run.server_use.source, run.cell.server_name) for run in records)
    return "; ".join(f"{', '.join(sorted({*of}))}: {source}" for source, of in names.items())
