"""A server's own counters, whatever the protocol, and the differences between readings of them.

Over a stretch of time statistics are the differences of the server's counters, so that nothing has
to be reset for them. What could not be read is left out, and said in `notes`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


@dataclass(frozen=True)
class ServerReading:
    """A server's counters and levels at one time; the readers' modules explain their names."""

    monotonic_s: float
    counters: Mapping[str, float] = field(default_factory=dict)
    """Only ever growing, until they are reset."""
    levels: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """The readings that failed, and why."""
    raw: Mapping[str, str] = field(default_factory=dict)
    """INFO's fields as they stand there, and `ai_info.calls` and its like."""


def between(before: ServerReading, after: ServerReading) -> dict[str, Any]:
    """Return the statistics of the time from one reading to another, by the names above.

    A counter that was not there before started at 0; one that went back was reset meanwhile, which
    is noted, and it is left out.
    """
    stats: dict[str, Any] = {"period_s": round(after.monotonic_s - before.monotonic_s, 6)}
    reset = []
    for name, value in after.counters.items():
        difference = value - before.counters.get(name, 0)
        if difference < 0:
            reset.append(name)
        elif difference > 0 or not name.startswith("ai."):
            stats[name] = round(difference, 6)
    stats |= after.levels
    memory = "used_memory_bytes"
    if memory in before.levels and memory in after.levels:
        stats["used_memory_growth_bytes"] = after.levels[memory] - before.levels[memory]
    notes = dict.fromkeys([*before.notes, *after.notes])  # each once, in order
    if reset:
        notes[f"reset by someone meanwhile: {', '.join(reset)}"] = None
    if notes:
        stats["notes"] = list(notes)
    return stats


def since_start(reading: ServerReading) -> dict[str, Any]:
    """Return the statistics since the server's counters were last at 0; no period is known."""
    stats = between(ServerReading(reading.monotonic_s), reading)
    del stats["period_s"]
    return stats


class Reader(Protocol):
    """Reads a server's counters."""

    def read(self) -> ServerReading:
        """Read all counters; what fails is in the notes."""

    def close(self) -> None:
        """Close what it reads from."""


class ServerStatistics(NamedTuple):
    """A server's statistics over a run."""

    periods: Mapping[str, Any]
    """By the time in ms at which a reporting period ended, and `overall`."""
    raw: Mapping[str, Mapping[str, Mapping[str, str]]]
    """As aibench writes it: by time in ns and `host:port`, INFO's fields as text."""
    each: Sequence[Mapping[str, Any]] = ()
    """Where there are several servers, what each counted overall; `periods` are the first one's."""
