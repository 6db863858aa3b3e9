"""Read the parts of a result file that few callers need: the run over time, its server, and its
steps, kinds of request, servers and clients.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from aibench_fast.results.fieldjson import known_values, number
from aibench_fast.results.files import MS_PER_S, known_ms, opened
from aibench_fast.results.histogram import is_known
from aibench_fast.results.result import WHOLE_PERIOD, Result
from aibench_fast.results.serverperiods import OVERALL, last_value
from aibench_fast.results.streamnames import stream_values

NS_PER_MS = 1_000_000
_WORDS = {"Steps": "Step", "Kinds": "Kind", "Servers": "Server", "Clients": "Client"}


@dataclass(frozen=True)
class TimelinePoint:
    """One reporting period of a run."""

    unix_ms: int
    rate: float
    """Images a second in this period."""
    measured: bool
    """False during the burn-in."""
    failed: int
    """Requests that failed in this period; 0 if unknown."""
    quantiles_ms: Mapping[str, float]
    """q50, q90, q95, q99, q99999 of the latencies measured in the period; empty without any. Before
    format 1.1 of all latencies measured up to the period's end.
    """
    is_partial: bool = False
    """Whether there was load in only a part of it, so that its rate is not the load's."""
    tokens_per_s: float | None = None
    """Output tokens a second in this period; None of other replies."""


@dataclass(frozen=True)
class Part:
    """One of several whose figures add up to the run's."""

    what: str
    """Step, Kind, Server or Client."""
    name: str
    requests: int
    """Measured ones."""
    failed: int
    shed: int
    unsent: int | None
    """Of steps, since format 1.8; requests that were not sent belong to no kind or server."""
    inferences_per_s: float | None
    """None if it took no time."""
    q50_ms: float | None
    q99_ms: float | None
    """None with fewer than 100 successes, as is the median without any."""
    stream: Mapping[str, tuple[float, str]]
    """Figures of streams of tokens that are known, by name, each with its unit."""


@dataclass(frozen=True)
class RunDetails:
    """The parts of a result file that few callers need."""

    timeline: Sequence[TimelinePoint]
    server_stats: Mapping[str, Any]
    """By reporting period; see `serverperiods`."""
    raw_server_stats: Mapping[str, Any]
    """INFO's fields as text, by time and server."""
    parts: Sequence[Part] = ()

    def server_value(self, name: str) -> str | None:
        """Return the last value of a field of INFO, or of a statistic of ours; None without any."""
        value = last_value(self.raw_server_stats, name)
        return last_value(self.server_stats, name) if value is None else value


def read_details(path: Path) -> RunDetails:
    """Read what `read_record` leaves out; ConfigError if that is not possible."""
    with opened(path) as document:
        values = known_values(Result, document)
        readings = values["ServerRunTimeStats"] or {}
        return RunDetails(
            timeline=_timeline(values),
            server_stats=values["ServerPeriods"] or readings,
            # Before format 1.3 the key had our own statistics.
            raw_server_stats={} if OVERALL in readings else readings,
            parts=[part for key in _WORDS for part in _parts(document, key)],
        )


def _parts(document: Mapping[str, Any], key: str) -> Iterator[Part]:
    for part in document.get(key) or ():
        seconds = (
            number(part, "Seconds") if key == "Steps" else
            number(part if key == "Clients" else document, "MeasuredSeconds")
        )  # fmt: skip
        successes = round(number(part, "Successes"))
        quantiles = part["Quantiles"]["AllQueries"]
        yield Part(
            what=_WORDS[key],
            name=_name(key, part),
            requests=round(number(part, "Requests")),
            failed=sum(round(number(one, "Count")) for one in part["Failures"].values()),
            shed=round(number(part, "Shed")),
            unsent=round(number(part, "Unsent")) if "Unsent" in part else None,
            inferences_per_s=number(part, "Inferences") / seconds if seconds > 0 else None,
            q50_ms=number(quantiles, "q50") if successes else None,
            q99_ms=number(quantiles, "q99") if is_known(0.99, successes) else None,
            stream=stream_values(part.get("Stream") or {}),
        )


def _name(key: str, part: Mapping[str, Any]) -> str:
    if key == "Kinds":
        return f"{part['Model']}, {part['Tensors']}, weight {number(part, 'Weight'):g}"
    if key == "Clients":
        lost = ", lost" if part["Lost"] else ""
        return f"{part['Name']} on {part['Host']}{lost}"
    return str(part["Step" if key == "Steps" else "Address"])


def _go_period(key: str, period: Mapping[str, Any]) -> TimelinePoint:
    """Return a period of the Go tool: its figures are of it alone, and 0 during the warm-up."""
    quantiles = known_ms(period.get("Quantiles") or {})
    return TimelinePoint(
        unix_ms=int(key) // NS_PER_MS,
        rate=number(period, "InferenceRate"),
        measured=bool(quantiles),
        failed=0,
        quantiles_ms=quantiles,
    )


def _timeline(values: Mapping[str, Any]) -> list[TimelinePoint]:
    """Return the reporting periods; tokens of streams are of chunks, as they came."""
    periods: Mapping[str, Mapping[str, Any]] = values["ClientRunTimeStats"] or {}
    stream = values["Stream"]
    points = []
    failed_before, chunks_before, before_ms = 0, 0, values["StartTime"]
    for key, period in periods.items():
        if "InferenceRate" in period:
            points.append(_go_period(key, period))
            continue
        unix_ms, failed = int(key), int(period.get("failed", failed_before))
        tokens_per_s = None
        if stream:
            chunks, length_s = int(period["chunks"]), (unix_ms - before_ms) / MS_PER_S
            if length_s > 0:
                tokens_per_s = (chunks - chunks_before) * stream["TokensPerChunk"] / length_s
            chunks_before = chunks
        measured = period["overallRate"] > 0
        points.append(
            TimelinePoint(
                unix_ms=unix_ms,
                rate=number(period, "instantaneousRate"),
                measured=measured,
                failed=failed - failed_before,
                quantiles_ms=known_ms(period.get("period", period)) if measured else {},
                is_partial=bool(period.get("partial")),
                tokens_per_s=tokens_per_s,
            )
        )
        failed_before, before_ms = failed, unix_ms
    if not any("partial" in period for period in periods.values()):
        return _with_short_end(points)
    return points


def _with_short_end(points: list[TimelinePoint]) -> list[TimelinePoint]:
    """Mark the last period of an older file as partial if it is shorter than the others."""
    lengths = [later.unix_ms - one.unix_ms for one, later in pairwise(points)]
    if len(lengths) < 2 or lengths[-1] >= WHOLE_PERIOD * median(lengths[:-1]):
        return points
    return [*points[:-1], dataclasses.replace(points[-1], is_partial=True)]
