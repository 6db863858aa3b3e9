"""Reads a server's own counters, by INFO and AI.INFO.

Its names, with their units, as `protocols.statistics` has them over a stretch of time:

    period_s                        from the earlier reading to the later one
    model_calls, model_samples,     AI.INFO: requests that the model ran, images in them,
    model_errors, model_duration_us failed ones, and the time of the executions that they were
                                    part of, one execution counted for each of its requests
    ai.<command>_calls              INFO COMMANDSTATS, for each AI.* command: calls,
    ai.<command>_us                 the time that the server charges to them,
    ai.<command>_failed_calls       and refused ones (servers from 6.2 on); left out where 0
    queue_<device>_thread_<n>_cpu_s INFO MODULES: CPU time of RedisAI's background threads
    process_cpu_user_s, ..._sys_s   INFO CPU: of the whole server,
    main_thread_cpu_user_s, ...     and of its main thread (servers from 6.2 on)
    used_memory_growth_bytes        INFO MEMORY
    used_memory_bytes, used_memory_rss_bytes   INFO MEMORY, at the later reading
"""

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aibench_fast.errors import ServerError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.commands import Refusal, shown_reply
from aibench_fast.protocols.redisai.connection import Connection, fields, info, text
from aibench_fast.protocols.statistics import ServerReading

PROBE_TIMEOUT_S = 2.0
US_PER_MS = 1000
MS_PER_S = 1000

_OWN_COMMANDS = ("ai.info",)  # what the probes send themselves
_QUEUE_THREAD = re.compile(r"ai_queue_(.+)_bthread_[#n]?(\d+)_used_cpu_total")
_CPU_NAMES = {
    "used_cpu_user": "process_cpu_user_s",
    "used_cpu_sys": "process_cpu_sys_s",
    "used_cpu_user_main_thread": "main_thread_cpu_user_s",
    "used_cpu_sys_main_thread": "main_thread_cpu_sys_s",
}
_COMMAND_NAMES = {"calls": "calls", "usec": "us", "failed_calls": "failed_calls"}
_MODEL_NAMES = {
    "calls": "model_calls",
    "samples": "model_samples",
    "errors": "model_errors",
    "duration": "model_duration_us",
}


class RedisAiReader:
    """Reads a server's counters on a connection of its own, those of several models added up."""

    def __init__(self, address: ServerAddress, models: Sequence[str]) -> None:
        """Connect; ServerError where nothing answers."""
        self._address = address
        self._models = models
        self._connection = Connection(address, PROBE_TIMEOUT_S)

    def read(self) -> ServerReading:
        """Read all counters in one exchange, on a new connection where the old one was spoilt."""
        now_s = time.monotonic()
        # INFO's `all` leaves the modules out, and servers before 6.0 know no `everything`.
        of_models = [("AI.INFO", model) for model in self._models]
        asked = (*of_models, ("INFO", "all"), ("INFO", "modules"))
        try:
            if self._connection.is_spoilt:
                self._connection = Connection(self._address, PROBE_TIMEOUT_S)
            replies = self._connection.exchange(asked)
        except ServerError as error:
            return ServerReading(now_s, notes=(f"no reading: {error}",))
        parsed = [*map(fields, replies[:-2]), *map(info, replies[-2:])]
        notes = [
            f"{' '.join(command)}: {_why_nothing(reply)}"
            for command, reply, found in zip(asked, replies, parsed, strict=True)
            if not found
        ]
        of_server = {**parsed[-2], **parsed[-1]}
        counters: dict[str, float] = {}
        levels: dict[str, float] = {}
        counted = _added_up(parsed[:-2])
        for theirs, count in counted.items():
            _note(counters, _MODEL_NAMES[theirs], count)
        for name, value in of_server.items():
            _read_field(name, value, counters, levels)
        of_models_raw = {f"ai_info.{name}": count for name, count in counted.items()}
        raw = {**of_server, **of_models_raw} if of_server else {}
        return ServerReading(now_s, counters, levels, tuple(notes), raw)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _added_up(of_models: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the sums of AI.INFO over all models; empty if there are none."""
    known = [model for model in of_models if model]
    added = {name: [text(model.get(name, "0")) for model in known] for name in _MODEL_NAMES}
    return {
        name: counts[0] if len(counts) == 1 else str(sum(map(int, counts)))
        for name, counts in added.items()
        if counts and all(count.isdecimal() for count in counts)
    }


def _why_nothing(reply: Any) -> str:
    if isinstance(reply, Refusal):
        return str(reply)
    return f"no fields in {shown_reply(reply)}" if reply else "it is empty"


def _read_field(
    name: str, value: str, counters: dict[str, float], levels: dict[str, float]
) -> None:
    """Take a field of INFO, if it is one of those that are counted here."""
    command = name.removeprefix("cmdstat_")
    if command.startswith("ai.") and command not in _OWN_COMMANDS:
        for fact in value.split(","):
            theirs, _, count = fact.partition("=")
            if theirs in _COMMAND_NAMES:
                _note(counters, f"{command}_{_COMMAND_NAMES[theirs]}", count)
    elif match := _QUEUE_THREAD.fullmatch(name):
        device, thread = match.groups()
        _note(counters, f"queue_{device}_thread_{thread}_cpu_s", value)
    elif name in _CPU_NAMES:
        _note(counters, _CPU_NAMES[name], value)
    elif name in ("used_memory", "used_memory_rss"):
        _note(levels, f"{name}_bytes", value)


def _note(numbers: dict[str, float], name: str, value: str) -> None:
    """Keep a count or a time; what is not a number, such as RedisAI's N/A, is left out."""
    with suppress(ValueError, OverflowError):
        number = int(value) if value.isdecimal() else float(value)
        if math.isfinite(number):
            numbers[name] = number


def derived(stats: Mapping[str, Any]) -> dict[str, float | None]:
    """Return key figures of statistics over some time; None for what is unknown.

    mean_batch is in images a request, as AI.INFO counts: requests that the server ran together
    count by themselves. execution_ms is of the execution that a mean request was part of. The
    shares are of the server's CPU time, 0 to 1.
    """
    calls = stats.get("model_calls")
    samples, duration_us = stats.get("model_samples"), stats.get("model_duration_us")
    process_s = _sum(stats, "process_cpu_user_s", "process_cpu_sys_s")
    main_s = _sum(stats, "main_thread_cpu_user_s", "main_thread_cpu_sys_s")
    main_share = min(1.0, main_s / process_s) if process_s and main_s is not None else None
    duration_ms = None if duration_us is None else duration_us / US_PER_MS
    return {
        "mean_batch": None if not calls or samples is None else samples / calls,
        "execution_ms": None if not calls or duration_ms is None else duration_ms / calls,
        "main_thread_share": main_share,
        "background_threads_share": None if main_share is None else 1 - main_share,
    }


def _sum(stats: Mapping[str, Any], *names: str) -> float | None:
    if not all(name in stats for name in names):
        return None
    return float(sum(stats[name] for name in names))


def request_time(
    stats: Mapping[str, Any], requests: int, latency_ms: float, client_cpu_s: float
) -> dict[str, float] | None:
    """Return the parts of a mean request's time in ms; None if the server has no counters.

    `stats` are over the run, and so are its requests, their mean service latency, and the CPU time
    of the client. The model's execution is the whole one that a request was part of. What is left
    was spent waiting for it, and on the way.
    """
    execution_ms = derived(stats)["execution_ms"]
    if execution_ms is None or not requests:
        return None
    # Of all their commands: a request has one for each of its tensors.
    tensors_us = sum(stats.get(f"{name}_us", 0.0) for name in ("ai.tensorset", "ai.tensorget"))
    known = {
        "client_ms": client_cpu_s * MS_PER_S / requests,
        "main_thread_ms": tensors_us / stats["model_calls"] / US_PER_MS,
        "inference_ms": execution_ms,
    }
    return {**known, "queue_and_network_ms": max(0.0, latency_ms - sum(known.values()))}
