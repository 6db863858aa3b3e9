"""Servers side by side: their runs at the same settings."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from aibench_fast.errors import ConfigError
from aibench_fast.results.files import Cell, RunRecord

SERVER_FACTS = ("server", "server version", "request", "ServerConfig", "ModelDigest")
"""Facts of a setup that naturally differ between servers."""


def setting_of(cell: Cell) -> Cell:
    """Return a cell without its server and without an auto-batching of none."""
    return cell._replace(server_name="", autobatching=cell.autobatching or -1)


def by_server(records: Iterable[RunRecord]) -> dict[tuple[Cell, str], list[RunRecord]]:
    """Return the runs of servers that have a name, by setting and name."""
    named = [run for run in records if run.cell.server_name]
    found: dict[tuple[Cell, str], list[RunRecord]] = {}
    for run, setting in zip(named, _settings(named), strict=True):
        found.setdefault((setting, run.cell.server_name), []).append(run)
    return found


def _settings(records: Sequence[RunRecord]) -> list[Cell]:
    """Return the cell of each without its server. A batch size that a server never reports counts
    as none; if it does in some runs, it is unknown in the others.
    """
    reporting = {run.cell.server_name for run in records if run.cell.autobatching >= 0}
    return [
        run.cell._replace(
            server_name="",
            autobatching=run.cell.autobatching if run.cell.server_name in reporting else 0,
        )
        for run in records
    ]


def of_server(records: Iterable[RunRecord], name: str) -> list[RunRecord]:
    """Return the runs of the server of this name, in cells without a name, to be compared.

    ConfigError if there are none.
    """
    several = list(records)
    found = [run for run in several if run.cell.server_name == name]
    if not found:
        names = sorted({run.cell.server_name for run in several if run.cell.server_name})
        raise ConfigError(
            f"there is no result of a server {name}; servers are {', '.join(names) or 'unnamed'}"
        )
    return [replace(run, cell=cell) for run, cell in zip(found, _settings(found), strict=True)]


def sources_of_use(records: Iterable[RunRecord]) -> str:
    """Return who counted the servers' CPU time and memory, in words."""
    names: dict[str, dict[str, None]] = {}
    for run in records:
        use = run.server_use
        if use.is_of_processes:
            source = "of its processes, by the kernel"
        elif use.cores is None and use.memory_bytes is None:
            source = "not known"
        else:
            source = "as the server reports"
        names.setdefault(source, {})[run.cell.server_name] = None
    return "; ".join(f"{', '.join(sorted(of))}: {source}" for source, of in names.items())
