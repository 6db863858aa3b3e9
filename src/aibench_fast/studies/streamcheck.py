"""A self-check for streams of tokens: how many this machine and this client can read in time."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from aibench_fast import _core
from aibench_fast.coretypes import Endpoint, Kind, TokenPlan
from aibench_fast.errors import ServerError
from aibench_fast.load.config import MAX_WORKERS, STREAMS_A_THREAD, default_threads
from aibench_fast.load.runner import OTHER_FILES, allow_connections
from aibench_fast.protocols.settings import check_within
from aibench_fast.server.tokenlog import TOKEN, Numbers, Records, match, read_log
from aibench_fast.server.tokenserver import CHAT, Simulation, TokenServer
from aibench_fast.studies.selfcheck import Machine, look_at_machine

STREAMS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""How many are tried at once, until one is too many."""
STEPS = 1 + len(STREAMS)
"""How often `check_streams` reports progress, at most."""

TOKENS_PER_S = 50
"""Of each stream."""
TOKENS = 25
SECONDS = 1.5
LARGEST_ERROR_MS = 1.0
"""At p99, of a number of streams that is not too many."""
LATE_SERVER = 1.05
"""A server whose tokens take longer than this, of what they should, cannot keep its times."""
WARM_UP_REQUESTS = 1
"""Of each stream: all begin at once, which no load does later."""
WORDS_MAX = 20
REPLY_TIMEOUT_NS = 30_000_000_000
WAIT_S = 0.1
NS_PER_S, NS_PER_MS = 1_000_000_000, 1_000_000
_ACCURACIES = ((0.05, 0.5, "good"), (0.2, LARGEST_ERROR_MS, "fair"))
"""The largest errors at p50 and p99 in milliseconds, and the word for them."""


class Beyond(StrEnum):
    """Why more streams were not tried."""

    CLIENT = "the client's times of their events were wrong by more than 1 ms at p99"
    SERVER = "the server of tokens, on the same cores, could not keep its times"
    UNTRIED = "more were not tried"


@dataclass(frozen=True)
class StreamStep:
    """A number of streams at once."""

    streams: int
    events_per_s: float
    """Events with a token that the client read."""
    errors_ms: tuple[float, float, float]
    """From when the server sent a token to the client's time of it: p50, p99 and the largest."""
    server_gap: float
    """The mean time between two tokens that the server sent, of what it should be."""
    cpu_us: float
    """The client's CPU time for each event."""
    busiest_thread: float

    @property
    def accuracy(self) -> str:
        """A word for the errors."""
        p50, p99, _ = self.errors_ms
        words = (word for most50, most99, word in _ACCURACIES if p50 <= most50 and p99 <= most99)
        return next(words, "poor")

    @property
    def beyond(self) -> Beyond | None:
        """Why these are too many; None if they are not."""
        if self.server_gap > LATE_SERVER:
            return Beyond.SERVER
        return Beyond.CLIENT if self.errors_ms[1] > LARGEST_ERROR_MS else None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; times are in milliseconds unless the name says otherwise."""
        p50, p99, largest = self.errors_ms
        return {
            "Streams": self.streams,
            "EventsPerSecond": self.events_per_s,
            "TimeError": {"q50": p50, "q99": p99, "q100": largest},
            "Accuracy": self.accuracy,
            "ServerGap": self.server_gap,
            "ClientCpuUsPerEvent": self.cpu_us,
            "BusiestThread": self.busiest_thread,
        }


@dataclass(frozen=True)
class StreamCheck:
    """The findings of a self-check for streams; the server of tokens is simulated."""

    machine: Machine
    threads: int
    steps: Sequence[StreamStep]

    @property
    def ceiling(self) -> StreamStep | None:
        """The most streams that were not too many; None if the fewest were."""
        good = [step for step in self.steps if step.beyond is None]
        return good[-1] if good else None

    @property
    def beyond(self) -> Beyond:
        """Why it is not higher."""
        return self.steps[-1].beyond or Beyond.UNTRIED

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "StreamCheck": {
                "Facts": self.machine.facts,
                "Threads": self.threads,
                "Steps": [step.to_json() for step in self.steps],
                "Ceiling": self.ceiling and self.ceiling.to_json(),
                "Beyond": str(self.beyond),
            }
        }


def check_streams(
    threads: int | None, advance: Callable[[], None], streams: Sequence[int] = STREAMS
) -> StreamCheck:
    """Measure the machine, and the client against a server of tokens with more and more streams.

    Each stream has TOKENS_PER_S. `advance` is called after each step. ConfigError if there cannot
    be so many threads or connections; ServerError if the server does not start.
    """
    if threads is not None:
        check_within("threads", threads, 1, MAX_WORKERS)
    machine = look_at_machine()
    advance()
    steps: list[StreamStep] = []
    for count in streams:
        if steps and count + OTHER_FILES > machine.open_files:
            break
        allow_connections(count)
        used = threads or default_threads(count, 0, STREAMS_A_THREAD)
        steps.append(_step(count, used))
        advance()
        if steps[-1].beyond:
            break
    return StreamCheck(machine, used, steps)


def _step(streams: int, threads: int) -> StreamStep:
    decode_s = 1 / TOKENS_PER_S
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(
            prefill_s=0.0,
            prefill_token_s=decode_s / WORDS_MAX,  # so that tokens of streams are not due at once
            decode_s=decode_s,
            output_tokens=TOKENS,
            log=Path(folder) / "log",
        )
        with TokenServer(simulation) as server:
            found, snapshot = _read(server, streams, threads)
        sent = read_log(Path(folder) / "log")
    server_ns, client_ns, gap_ns = _tokens(sent, found)
    if len(client_ns) == 0:
        raise ServerError(f"the client read no token of {streams} streams")
    errors_ms = (client_ns - server_ns) / NS_PER_MS
    p50, p99, largest = np.percentile(errors_ms, (50, 99, 100))
    took_s = (client_ns.max() - client_ns.min()) / NS_PER_S
    return StreamStep(
        streams=streams,
        events_per_s=len(client_ns) / took_s,
        errors_ms=(float(p50), float(p99), float(largest)),
        server_gap=gap_ns / NS_PER_S * TOKENS_PER_S,
        cpu_us=snapshot.cpu_ns / 1000 / len(found),
        busiest_thread=snapshot.busiest_thread,
    )


def _read(server: TokenServer, streams: int, threads: int) -> tuple[Records, Any]:
    """Read streams for SECONDS; return the log of their events and the figures."""
    bodies = [*_bodies(server.simulation.model)]
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(bodies[0])}\r\n\r\n"
    ).encode()
    kind = Kind(
        inputs=[_core.Tensors.of_batches(bodies, 1)],
        requests=[(head, b"")] * streams,
        plan=TokenPlan(),
    )
    rounds = 2 + round(SECONDS * TOKENS_PER_S / TOKENS)
    generator = _core.LoadGenerator(
        kinds=[kind],
        endpoints=[Endpoint(server.host, server.port)],
        threads=min(threads, streams),
        burn_in_requests=0,
        max_requests=0,
        duration_ns=round(SECONDS * NS_PER_S),
        reply_timeout_ns=REPLY_TIMEOUT_NS,
        connect_timeout_ns=REPLY_TIMEOUT_NS,
        stop_on_failure=True,
        event_log_entries=rounds * streams * (TOKENS + 4),
    )
    try:
        generator.start()
        while not generator.wait(WAIT_S):
            pass  # signals are handled here
        return generator.event_log(), generator.snapshot()
    finally:
        generator.close()


def _bodies(model: str) -> Iterator[bytes]:
    """Yield bodies of one length whose prompts have 1 to WORDS_MAX words."""
    for words in range(1, WORDS_MAX + 1):
        text = " ".join("a" * words).ljust(2 * WORDS_MAX)
        yield (
            f'{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"{text}"}}]}}'
        ).encode()


def _tokens(sent: Records, came: Records) -> tuple[Numbers, Numbers, float]:
    """Return when each token was sent and came, and the server's mean time between two tokens."""
    found = match(sent, came)
    wrote = found.wrote
    counts = ((wrote["flags"] & TOKEN) != 0) & (wrote["request"] >= WARM_UP_REQUESTS)
    sent_ns = wrote["at_ns"][counts]
    gaps_ns = np.diff(sent_ns)[np.diff(found.requests[counts]) == 0]
    return sent_ns, found.came_ns[counts], float(gaps_ns.mean()) if len(gaps_ns) else 0.0
