"""A server's own counters, whatever the protocol, and what reads them while a run goes on.

Over a stretch of time statistics are the differences of the server's counters, so that nothing has
to be reset for them. What could not be read is left out, and said in `notes`.
"""

import queue
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

MAX_RAW_READINGS = 200
LAST_READING_S = 90.0
"""The timeout of the last reading."""


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
    """Return the statistics of the time from one reading to another, by their counters' names.

    A counter that is new started at 0; one that went back was reset, which is noted instead.
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
        """Close what it reads from, if anything is open."""
        return


class ServerStatistics(NamedTuple):
    """A server's statistics over a run."""

    periods: Mapping[str, Any]
    """By the time in ms at which a reporting period ended, and `overall`."""
    raw: Mapping[str, Mapping[str, Mapping[str, str]]]
    """As aibench writes it: by time in ns and `host:port`, INFO's fields as text."""
    each: Sequence[Mapping[str, Any]] = ()
    """What each of several servers counted overall; `periods` are the first one's."""


class _Source:
    """One of the readers of a server, and its readings so far."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.first = self.last = self.latest = ServerReading(time.monotonic())
        self.last_round = -1
        """When the last reading that has counters was taken."""

    def read(self, number: int) -> dict[str, Any]:
        """Take the reading of this round; return what was counted since the one before."""
        self.latest = self.reader.read()
        if self.latest.counters and not self.last.counters:
            self.first = self.last = self.latest  # what was counted before is none of the run's
        counted = between(self.last, self.latest)
        # One that failed has no counters to count on from.
        if self.latest.counters:
            self.last, self.last_round = self.latest, number
        return counted

    def overall(self) -> dict[str, Any]:
        """Return what was counted from the first to the last reading."""
        last, latest = self.last, self.latest  # the thread may put others in their place
        counted = between(self.first, last)
        if latest is not last:
            counted["notes"] = [*counted.get("notes", ()), *latest.notes]
        return counted


def _merged(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what several readers read of the same time; of the same name, the first one's."""
    merged: dict[str, Any] = {}
    notes: list[str] = []
    for part in parts:
        merged = {**part, **merged}
        notes += part.get("notes", ())
    return merged | ({"notes": list(dict.fromkeys(notes))} if notes else {})


class ServerWatch:
    """Reads one server's statistics on a thread of its own; no failure of it ends the run."""

    def __init__(self, readers: Sequence[Reader], name: str) -> None:
        """Watch what `readers` read, of a server of this name; the first has INFO's fields.

        There is none of a server that counts nothing that can be read.
        """
        self._sources = [_Source(reader) for reader in readers]
        self._name = name
        self._round = 0
        self._periods: dict[str, Any] = {}
        self.last_period: Mapping[str, Any] = {}
        """The newest statistics of a period; empty before there are any."""
        self._raw: list[tuple[int, Mapping[str, str]]] = []
        self._asked: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, name="aibench-stats", daemon=True)

    def start(self) -> None:
        """Take the first reading; the thread takes the others."""
        for source in self._sources:
            source.read(self._round)
            source.first = source.last = source.latest
        if self._sources:
            self._thread.start()

    def period_ended(self, unix_ms: int) -> None:
        """Ask for the statistics of the reporting period that ended at `unix_ms`."""
        if self._sources:
            self._asked.put(unix_ms)

    def finish(self, patience_s: float) -> ServerStatistics:
        """Return `so_far` after the last reading; what does not come in time is left out."""
        if self._sources:
            self._asked.put(None)
            self._thread.join(patience_s)
        found = self.so_far()
        if self._thread.is_alive():
            overall = found.periods["overall"]
            overall["notes"] = [*overall.get("notes", ()), "the last reading did not come in time"]
        return found

    def so_far(self) -> ServerStatistics:
        """Return what is known by now, over all and in each period; nothing is waited for."""
        overall = _merged(source.overall() for source in self._sources)
        raw = {str(unix_ns): {self._name: fields} for unix_ns, fields in self._raw}
        return ServerStatistics({"overall": overall, **self._periods}, raw)

    def _read(self) -> None:
        try:
            while (unix_ms := self._next_period()) is not None:
                self.last_period = self._periods[str(unix_ms)] = self._read_period()
                if raw := self._sources[0].latest.raw:
                    self._keep(time.time_ns(), raw)
        finally:
            for source in self._sources:
                source.reader.close()

    def _keep(self, unix_ns: int, raw: Mapping[str, str]) -> None:
        """Keep INFO's fields in bounded memory: some ten kilobytes a reading add up.

        If there are too many, every second one is let go, never the first or the last: who takes
        differences of readings, as aibench's scripts do, gets longer ones.
        """
        kept = [*self._raw, (unix_ns, raw)]
        self._raw = kept if len(kept) <= MAX_RAW_READINGS else [*kept[:-1:2], kept[-1]]

    def _read_period(self) -> dict[str, Any]:
        """Return what was counted since the last round; of longer only where no reader has less."""
        before = [source.last_round for source in self._sources]
        self._round += 1
        parts = [source.read(self._round) for source in self._sources]
        return _merged(
            part if began == max(before) else {"notes": part.get("notes", ())}
            for part, began in zip(parts, before, strict=True)
        )

    def _next_period(self) -> int | None:
        """Wait for the newest period to read; those that a slow server missed are part of it."""
        newest = self._asked.get()
        while newest is not None and not self._asked.empty():
            following = self._asked.get()
            if following is None:
                self._asked.put(None)  # the end comes after the newest period
                break
            newest = following
        return newest


class StatisticsWatch:
    """Reads the statistics of all servers during a run, which waits for it at its end alone.

    Those by period are the first one's.
    """

    def __init__(self, watches: Sequence[ServerWatch] = ()) -> None:
        """Watch each of them, or none."""
        self._watches = watches

    def start(self) -> None:
        """Take all first readings."""
        for watch in self._watches:
            watch.start()

    def period_ended(self, unix_ms: int) -> None:
        """Ask for those of each."""
        for watch in self._watches:
            watch.period_ended(unix_ms)

    @property
    def last_period(self) -> Mapping[str, Any]:
        """Return the first one's."""
        return self._watches[0].last_period if self._watches else {}

    def so_far(self) -> ServerStatistics:
        """Return what is known of each by now."""
        return _together([watch.so_far() for watch in self._watches])

    def finish(self, patience_s: float) -> ServerStatistics:
        """Wait for all last readings, so long together."""
        until_s = time.monotonic() + patience_s
        return _together(
            [watch.finish(max(0.0, until_s - time.monotonic())) for watch in self._watches]
        )


def _together(statistics: Sequence[ServerStatistics]) -> ServerStatistics:
    raw = {at_ns: of for one in statistics for at_ns, of in one.raw.items()}
    return ServerStatistics(
        periods=statistics[0].periods if statistics else {"overall": {}},
        raw=dict(sorted(raw.items())),
        each=[one.periods["overall"] for one in statistics],
    )
