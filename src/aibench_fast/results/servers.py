"""Servers side by side: their runs at the same settings, and the figures to compare."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from aibench_fast.errors import ConfigError
from aibench_fast.results.files import Cell, RunRecord

MIB = 1 << 20


class Setting(NamedTuple):
    """A cell without its server."""

    workers: int
    autobatching: int
    batch_size: int
    max_rps: float
    streams: bool = False
    lengths: str = ""

    @property
    def variant(self) -> str:
        """The setting without its workers, in words."""
        batch = f"tensor batch {self.batch_size}"
        words = f"tokens {self.lengths}".rstrip() if self.streams else batch
        if self.autobatching:
            words = f"auto-batching {self.autobatching}, {words}"
        return f"{words}, {self.max_rps:g} requests/s" if self.max_rps else words

    @property
    def of_tensors(self) -> dict[str, float]:
        """Return the settings by name, without those of streams."""
        own = self._asdict().items()
        return {name: value for name, value in own if name not in ("streams", "lengths")}

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.workers} worker{'' if self.workers == 1 else 's'}, {self.variant}"


def setting_of(cell: Cell) -> Setting:
    """Return the setting of a cell; a batch size that a server does not report counts as none."""
    autobatching = max(0, cell.autobatching)
    return Setting(
        cell.workers, autobatching, cell.batch_size, cell.max_rps, cell.streams, cell.lengths
    )


@dataclass(frozen=True)
class Figure:
    """A figure by which servers are compared."""

    name: str
    title: str
    unit: str
    value: Callable[[RunRecord], float | None]
    best: Callable[[Iterable[float]], float]


def _quantile(name: str) -> Callable[[RunRecord], float | None]:
    return lambda run: run.quantile_ms(name)


def _memory_mib(run: RunRecord) -> float | None:
    memory_bytes = run.server_use.memory_bytes
    return None if memory_bytes is None else memory_bytes / MIB


FIGURES = (
    Figure("throughput", "throughput", "inferences/s", lambda run: run.inferences_per_s, max),
    Figure("p50", "latency p50", "ms", _quantile("q50"), min),
    Figure("p99", "latency p99", "ms", _quantile("q99"), min),
    Figure("cpu", "CPU use of the server", "cores", lambda run: run.server_use.cores, min),
    Figure(
        "cpu_an_inference", "CPU time of the server for an inference", "ms",
        lambda run: run.cpu_ms_an_inference, min,
    ),
    Figure("memory", "memory of the server", "MiB", _memory_mib, min),
)  # fmt: skip


SERVER_FACTS = ("server", "server version", "request", "ServerConfig", "ModelDigest")
"""Facts of a setup that naturally differ between servers."""
USE_FIGURES = ("cpu", "cpu_an_inference", "memory")
"""Figures of the server's own resources; `sources_of_use` says who counted them."""


@dataclass(frozen=True)
class ServerGrid:
    """The runs of named servers, by setting and name."""

    names: Sequence[str]
    settings: Sequence[Setting]
    runs: Mapping[tuple[Setting, str], Sequence[RunRecord]]


def by_server(records: Iterable[RunRecord]) -> ServerGrid:
    """Return the grid of the records whose server has a name."""
    named = [run for run in records if run.cell.server_name]
    runs: dict[tuple[Setting, str], list[RunRecord]] = {}
    for run, setting in zip(named, _settings(named), strict=True):
        runs.setdefault((setting, run.cell.server_name), []).append(run)
    return ServerGrid(
        names=sorted({name for _, name in runs}),
        settings=sorted({setting for setting, _ in runs}),
        runs=runs,
    )


def _settings(records: Sequence[RunRecord]) -> list[Setting]:
    """Return the setting of each. If a server reports its batch size in some runs, it is unknown in
    the others.
    """
    reporting = {run.cell.server_name for run in records if run.cell.autobatching >= 0}
    return [
        setting_of(run.cell)._replace(autobatching=run.cell.autobatching)
        if run.cell.server_name in reporting
        else setting_of(run.cell)
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
    return [
        replace(run, cell=Cell(**setting._asdict()))
        for run, setting in zip(found, _settings(found), strict=True)
    ]


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
