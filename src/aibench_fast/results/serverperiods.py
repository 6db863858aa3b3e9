"""The server over time in a result file: ServerPeriods and ServerRunTimeStats.

The keys are the ends of reporting periods in Unix time. ServerPeriods is ours: counts of each
period, and of the whole run under OVERALL, by the names of `protocols.redisai.statistics`. Before
format 1.3 it was under the other key. ServerRunTimeStats is as the Go tool has it: a section for
each host, with counts since the server's start, as text under RedisAI's names, and no OVERALL.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aibench_fast.results.notation import figure_text

OVERALL = "overall"
_MS_PER_S = 1000
_US_PER_MS = 1000
_NS_PER_MS = 1_000_000
LATEST_MS = 10_000_000_000_000
"""The year 2286: later times are in another unit."""

_QUEUE = re.compile(
    r"ai_queue_(.+)_bthread_(?:#|n)?(\d+)_used_cpu_total|queue_(.+)_thread_(\d+)_cpu_s"
)
_TOTAL = re.compile(r"ai_self_used_cpu_(?:sys|user)|process_cpu_(?:(?:sys|user)_)?s")
_MAIN_THREAD = re.compile(r"ai_main_thread_used_cpu_(?:sys|user)|main_thread_cpu_(?:sys|user)_s")
_BYTES_SUFFIX, _HUMAN_SUFFIX = "_bytes", "_human"


SERVER_PARTS = ("queue", "input", "infer", "output")
"""Parts of a request's time as Triton counts them; other servers count some."""


def server_parts_ms(overall: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the parts of a mean request's time in the server; None if it does not report them.

    `overall` are its statistics over a run. Beside SERVER_PARTS, `http` is MLServer's time for the
    request around its model.
    """
    calls = overall.get("model_calls")
    if not calls or "model_infer_us" not in overall:
        return None
    parts = {
        part: overall[name] / calls / _US_PER_MS
        for part in SERVER_PARTS
        if (name := f"model_{part}_us") in overall
    }
    if requests := overall.get("http_requests"):
        whole_ms = overall["http_us"] / requests / _US_PER_MS
        parts["http"] = max(0.0, whole_ms - sum(parts.values()))
    return parts


@dataclass(frozen=True)
class ServerUse:
    """The resources that a server used over a run, warm-up included."""

    cores: float | None
    """Mean CPU use, in cores; None if unknown, as for memory."""
    memory_bytes: int | None
    """At the end."""
    is_of_processes: bool
    """Whether the kernel counted its processes' memory; otherwise the server reported it."""

    @property
    def source(self) -> str:
        """Who counted, in words."""
        if self.is_of_processes:
            return "of its processes, by the kernel"
        is_known = self.cores is not None or self.memory_bytes is not None
        return "as the server reports" if is_known else "not known"


def server_use(overall: Mapping[str, Any]) -> ServerUse:
    """Return a server's use from its statistics over a run."""
    cpu_s = sum(value for name, value in overall.items() if _TOTAL.fullmatch(name))
    period_s = overall.get("period_s")
    of_processes = overall.get("process_rss_bytes")
    reported = overall.get("used_memory_rss_bytes")
    return ServerUse(
        cores=cpu_s / period_s if cpu_s and period_s else None,
        memory_bytes=reported if of_processes is None else of_processes,
        is_of_processes=of_processes is not None,
    )


@dataclass(frozen=True)
class CpuPeriod:
    """The server's use of its processors in one period, in percent of one core."""

    start_unix_ms: float
    seconds: float
    total: float
    main_thread: float | None
    """None if the server does not report it."""
    queues: Mapping[str, float]
    """By background thread: `CPU 1`, `GPU:0 1`."""

    @property
    def backend(self) -> float | None:
        """Everything but the main thread: inference and its background threads."""
        return None if self.main_thread is None else self.total - self.main_thread


def last_value(stats: Mapping[str, Any], name: str) -> str | None:
    """Return a statistic of the last period that has it, else of the run; None without any. Redis's
    `..._human` is made from our `..._bytes`.
    """
    periods = [stats[key] for key in stats if key != OVERALL]
    in_bytes = f"{name.removesuffix(_HUMAN_SUFFIX)}{_BYTES_SUFFIX}"
    for period in [*reversed(periods), stats.get(OVERALL)]:
        found = dict(_leaves(period))
        if name in found:
            return str(found[name])
        if name.endswith(_HUMAN_SUFFIX) and in_bytes in found:
            return _human(found[in_bytes])
    return None


def _human(size_bytes: float) -> str:
    """Return a size as Redis writes it: 2.50M, in powers of 1024."""
    units = "BKMGTP"
    power = 0
    while size_bytes >= 1024 and power < len(units) - 1:
        size_bytes /= 1024
        power += 1
    return f"{size_bytes:.2f}{units[power]}"


def cpu_periods(stats: Mapping[str, Any], start_unix_ms: float | None) -> list[CpuPeriod]:
    """Return the server's CPU use by period, summed over its hosts.

    The first period of a cumulative counter is between its first two readings. Otherwise it begins
    at `start_unix_ms`, and is left out if that is unknown.
    """
    cumulative = OVERALL not in stats
    found = []
    before: dict[str, float] = {}
    before_ms = None if cumulative else start_unix_ms
    for key, period in stats.items():
        seconds = _cpu_seconds(period) if key.isdecimal() else {}
        if not seconds:
            continue
        now_ms = _unix_ms(key)
        if before_ms is not None and now_ms > before_ms:
            used_s = _grown(before, seconds) if cumulative else seconds
            length_s = (now_ms - before_ms) / _MS_PER_S
            percent = {name: value / length_s * 100 for name, value in used_s.items()}
            total, main_thread = percent.pop("total", 0.0), percent.pop("main thread", None)
            found.append(CpuPeriod(before_ms, length_s, total, main_thread, percent))
        before, before_ms = seconds, now_ms
    return found


def _grown(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    # One that went back was reset, or is RedisAI's main thread, which at times has another one's
    # fraction.
    grown = {name: value - before.get(name, 0.0) for name, value in now.items()}
    return {name: value for name, value in grown.items() if value >= 0}


def _cpu_seconds(period: Any) -> dict[str, float]:
    sums: dict[str, float] = {}
    for name, value in _leaves(period):
        if _TOTAL.fullmatch(name):
            kind = "total"
        elif _MAIN_THREAD.fullmatch(name):
            kind = "main thread"
        elif match := _QUEUE.fullmatch(name):
            kind = " ".join(word for word in match.groups() if word)
        else:
            continue
        with suppress(TypeError, ValueError):  # RedisAI writes N/A for a thread that it cannot read
            sums[kind] = sums.get(kind, 0.0) + float(value)
    return sums


def format_cpu(periods: Sequence[CpuPeriod]) -> str:
    """Return the periods as CSV, one column for each background thread, as aibench's
    process_json_create_cpu_secs_table.py prints them for one such thread.
    """
    queues = sorted({name for period in periods for name in period.queues})
    header = ["timeframe", "total_pct [0,100*#CORES]", "main_thread_pct [0,100]"]
    header += [f"background thread {name} [0,100]" for name in queues]
    lines = [",".join([*header, "backend_pct"])]
    for period in periods:
        values = [period.total, period.main_thread, *map(period.queues.get, queues), period.backend]
        shown = [figure_text(value) for value in values]
        lines.append(",".join([f"{period.seconds:.3f}", *shown]))
    return "\n".join(lines) + "\n"


def _unix_ms(key: str) -> float:
    number = int(key)
    return number / _NS_PER_MS if number > LATEST_MS else number


def _leaves(stats: Any) -> Iterator[tuple[str, Any]]:
    """Yield the innermost names and values."""
    if isinstance(stats, Mapping):
        for name, value in stats.items():
            if isinstance(value, Mapping):
                yield from _leaves(value)
            else:
                yield name, value
