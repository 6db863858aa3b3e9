"""What a server says of itself: who it is, and what it counted over a run.

Statistics are flat: a name with its unit, and a number. Over a stretch of time they are the
differences of the server's own counters, so that nothing has to be reset for them:

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

What could not be read is left out, and said in `notes`.
"""

import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis

from aibench_fast.errors import ServerError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.control import call, connect
from aibench_fast.results.result import ServerFacts

REDISAI_MODULE = b"ai"
EMBEDDED_VERSION = "ai_embedded_version"
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


def server_facts(client: redis.Redis, address: ServerAddress) -> ServerFacts:
    """Ask which server this is; what it does not tell is called unknown."""
    info = call(client, address, "INFO", "server")
    base = "valkey" if "valkey_version" in info else "redis"
    version = info.get(f"{base}_version", "unknown")
    modules = _optional(client, address, "INFO", "modules") or {}
    embedded = modules.get(EMBEDDED_VERSION)
    module = embedded or _module_version(client, address)
    return ServerFacts(
        kind="aibench-fast embedded server" if embedded else "RedisAI",
        version=f"{module} on {base} {version}",
        address=str(address),
    )


def _module_version(client: redis.Redis, address: ServerAddress) -> str:
    """RedisAI's version, which MODULE LIST gives as 10207 for 1.2.7."""
    for module in _optional(client, address, "MODULE", "LIST") or ():
        facts = dict(zip(module[::2], module[1::2], strict=False))
        if facts.get(b"name") == REDISAI_MODULE and (number := int(facts.get(b"ver", 0))):
            return f"{number // 10000}.{number // 100 % 100}.{number % 100}"
    return "unknown"


def _optional(client: redis.Redis, address: ServerAddress, *arguments: str) -> Any:
    """Return the reply to a command that a server may refuse without harm; None where it does."""
    try:
        return call(client, address, *arguments)
    except ServerError:
        return None


@dataclass(frozen=True)
class ServerReading:
    """What a server's counters and levels stood at; the module says what their names mean."""

    monotonic_s: float
    counters: Mapping[str, float] = field(default_factory=dict)
    """Only ever growing, until they are reset."""
    levels: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What could not be read, and why."""


def statistics_client(address: ServerAddress) -> redis.Redis:
    """A connection for `read_server`, whose INFO replies stay text; ServerError as `connect`.

    redis-py's own reading of them cuts the name of a device such as GPU:1.
    """
    client = connect(address, PROBE_TIMEOUT_S)
    client.set_response_callback("INFO", lambda reply, **_: reply.decode("utf-8", "replace"))
    return client


def read_server(client: redis.Redis, model: str) -> ServerReading:
    """Read all counters in one exchange, on a `statistics_client`.

    Nothing is raised: what fails is in the notes.
    """
    now_s = time.monotonic()
    asked = (
        ("AI.INFO", model),
        ("INFO", "commandstats"),
        ("INFO", "modules"),
        ("INFO", "cpu"),
        ("INFO", "memory"),
    )
    pipeline = client.pipeline(transaction=False)
    for command in asked:
        pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
    try:
        replies = pipeline.execute(raise_on_error=False)
    except redis.RedisError as error:
        return ServerReading(now_s, notes=(f"no reading: {error}",))
    counters: dict[str, float] = {}
    levels: dict[str, float] = {}
    notes = []
    readers = (_read_model, _read_commands, _read_modules, _read_cpu, _read_memory)
    for command, reply, read in zip(asked, replies, readers, strict=True):
        try:
            if isinstance(reply, Exception):
                raise reply
            read(reply, counters, levels)
        except (redis.RedisError, AttributeError, TypeError, ValueError) as error:
            notes.append(f"{' '.join(command)}: {error}")
    return ServerReading(now_s, counters, levels, tuple(notes))


def _read_model(reply: Any, counters: dict[str, float], _levels: dict[str, float]) -> None:
    facts = dict(zip(reply[::2], reply[1::2], strict=False))
    for theirs, ours in _MODEL_NAMES.items():
        counters[ours] = int(facts.get(theirs.encode(), 0))


def _read_commands(reply: Any, counters: dict[str, float], _levels: dict[str, float]) -> None:
    for name, value in _info(reply):
        command = name.removeprefix("cmdstat_")
        if not command.startswith("ai.") or command in _OWN_COMMANDS:
            continue
        for fact in value.split(","):
            theirs, _, count = fact.partition("=")
            if theirs in _COMMAND_NAMES:
                counters[f"{command}_{_COMMAND_NAMES[theirs]}"] = int(count)


def _read_modules(reply: Any, counters: dict[str, float], _levels: dict[str, float]) -> None:
    for name, value in _info(reply):
        if match := _QUEUE_THREAD.fullmatch(name):
            device, thread = match.groups()
            counters[f"queue_{device}_thread_{thread}_cpu_s"] = float(value)


def _read_cpu(reply: Any, counters: dict[str, float], _levels: dict[str, float]) -> None:
    for name, value in _info(reply):
        if name in _CPU_NAMES:
            counters[_CPU_NAMES[name]] = float(value)


def _read_memory(reply: Any, _counters: dict[str, float], levels: dict[str, float]) -> None:
    for name, value in _info(reply):
        if name in ("used_memory", "used_memory_rss"):
            levels[f"{name}_bytes"] = int(value)


def _info(reply: str) -> Iterator[tuple[str, str]]:
    """The names and values of an INFO reply; a name may have colons, a value has none."""
    for line in reply.splitlines():
        name, colon, value = line.rpartition(":")
        if colon:
            yield name, value


def between(before: ServerReading, after: ServerReading) -> dict[str, Any]:
    """The statistics of the time from one reading to another, by the names above.

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
    """The statistics since the server's counters were last at 0; no period is known."""
    stats = between(ServerReading(reading.monotonic_s), reading)
    del stats["period_s"]
    return stats


def derived(stats: Mapping[str, Any]) -> dict[str, float | None]:
    """What the statistics of some time say in short; None where they do not say it.

    mean_batch is in images a request, as AI.INFO counts: requests that the server ran together
    count by themselves. execution_ms is of the execution that a mean request was part of. The
    shares are of the server's CPU time, 0 to 1.
    """
    calls = stats.get("model_calls")
    process_s = _sum(stats, "process_cpu_user_s", "process_cpu_sys_s")
    main_s = _sum(stats, "main_thread_cpu_user_s", "main_thread_cpu_sys_s")
    main_share = min(1.0, main_s / process_s) if process_s and main_s is not None else None
    return {
        "mean_batch": stats["model_samples"] / calls if calls else None,
        "execution_ms": stats["model_duration_us"] / calls / US_PER_MS if calls else None,
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
    """Where the time of a mean request of a run went, in ms; None where the server did not count.

    `stats` are over the run, and so are its requests, their mean service latency, and the CPU time
    of the client. The model's execution is the whole one that a request was part of. What is left
    was spent waiting for it, and on the way.
    """
    execution_ms = derived(stats)["execution_ms"]
    if execution_ms is None or not requests:
        return None
    tensors_us = (_mean_us(stats, command) for command in ("ai.tensorset", "ai.tensorget"))
    known = {
        "client_ms": client_cpu_s * MS_PER_S / requests,
        "main_thread_ms": sum(tensors_us) / US_PER_MS,
        "inference_ms": execution_ms,
    }
    return {**known, "queue_and_network_ms": max(0.0, latency_ms - sum(known.values()))}


def _mean_us(stats: Mapping[str, Any], command: str) -> float:
    calls = stats.get(f"{command}_calls", 0)
    return stats[f"{command}_us"] / calls if calls else 0.0


def reset_statistics(client: redis.Redis, address: ServerAddress, model: str) -> None:
    """Set the server's counters to 0, for everyone. ServerError where it refuses."""
    call(client, address, "CONFIG", "RESETSTAT")
    call(client, address, "AI.INFO", model, "RESETSTAT")


class ServerWatch:
    """Reads a server's statistics while a run goes on, on a connection and a thread of its own.

    The run never waits for it before its end, and no failure of it ends the run.
    """

    def __init__(self, address: ServerAddress, model: str) -> None:
        """Connect; ServerError where nothing answers."""
        self._model = model
        self._client = statistics_client(address)
        self._first = self._last = self._latest = ServerReading(time.monotonic())
        self._periods: dict[str, Any] = {}
        self._asked: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, name="aibench-stats", daemon=True)

    def start(self) -> None:
        """Take the first reading; the thread takes the others."""
        self._first = self._last = self._latest = read_server(self._client, self._model)
        self._thread.start()

    def period_ended(self, unix_ms: int) -> None:
        """Ask for the statistics of the reporting period that ended at `unix_ms`."""
        self._asked.put(unix_ms)

    def finish(self, patience_s: float) -> dict[str, Any]:
        """Wait for the last reading; return the statistics over all, and of each period.

        The keys are `overall`, and the time in ms at which a period ended. What the server does not
        tell within `patience_s` is not waited for.
        """
        self._asked.put(None)
        self._thread.join(patience_s)
        overall = between(self._first, self._last)
        if self._latest is not self._last:
            overall["notes"] = [*overall.get("notes", ()), *self._latest.notes]
        if self._thread.is_alive():
            overall["notes"] = [*overall.get("notes", ()), "the last reading did not come in time"]
        return {"overall": overall, **self._periods}

    def _read(self) -> None:
        with self._client:
            self._answer()

    def _answer(self) -> None:
        while (unix_ms := self._next_period()) is not None:
            self._latest = read_server(self._client, self._model)
            self._periods[str(unix_ms)] = between(self._last, self._latest)
            # One that failed has no counters to count on from.
            if self._latest.counters:
                self._last = self._latest

    def _next_period(self) -> int | None:
        """The newest period that was asked for; those that a slow server missed are part of it."""
        newest = self._asked.get()
        while newest is not None and not self._asked.empty():
            following = self._asked.get()
            if following is None:
                self._asked.put(None)  # the end comes after the newest period
                break
            newest = following
        return newest
