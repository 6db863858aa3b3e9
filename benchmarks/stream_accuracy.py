"""`python -m benchmarks.stream_accuracy`: hold the time of each event against the server's.

A native server sends tokens as a load says, and logs when it wrote each event; the client logs when
each came, by the same clock. The table says for each load how far apart the two are, how many
events are lost, and what the client costs beside a bare loop that gets the same. The exit code is 1
unless all is within its limit. It takes two cores on which nothing else runs.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aibench_fast.protocols.address import http_address
from aibench_fast.server.tokenlog import Matched, Records, match, read_log
from aibench_fast.server.tokenserver import Simulation, TokenServer
from benchmarks.perf import programs, stream_clients
from benchmarks.perf.event_logs import closed_loop_tokens_per_s, read_bare_log, since

US_PER_S, NS_PER_US, MB = 1e6, 1e3, 1e6
OUR_LOG, SERVER_LOG = "events.npy", "server.log"
CPU_OVER_BARE_LOOP = 1.15
TOKENS_PER_S_OFF = 0.02


@dataclass(frozen=True)
class Load:
    """So many streams at once, in a closed loop, and what they have to hold."""

    streams: int
    tokens_per_s: float
    """Of all streams together, but for the time until a first token."""
    output_tokens: int
    prefill_s: float
    rounds: int
    """How many requests each stream makes."""
    p50_us: float | None = None
    p99_us: float | None = None
    memory_mb: float | None = None

    @property
    def decode_s(self) -> float:
        """The time between two tokens of a stream."""
        return self.streams / self.tokens_per_s

    @property
    def request_s(self) -> float:
        """How long a request takes."""
        return self.prefill_s + (self.output_tokens - 1) * self.decode_s

    def run_s(self, rounds: float) -> float:
        """Return for how long a client begins requests so that each stream makes so many."""
        return (rounds - 0.5) * self.request_s


LOADS = (
    Load(64, 6_400, 100, 0.1, rounds=8, p50_us=50, p99_us=500),
    Load(1_000, 20_000, 100, 0.1, rounds=3, p99_us=1_000),
    Load(10_000, 20_000, 10, 0.5, rounds=3, memory_mb=300),
)
QUICK = (Load(8, 800, 20, 0.05, rounds=4),)


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str = ""
    at_most: float | None = None

    @property
    def is_within(self) -> bool:
        """Whether it is within its limit."""
        return self.at_most is None or self.value <= self.at_most

    def __str__(self) -> str:
        """Return the line."""
        limit = "" if self.at_most is None else f"at most {self.at_most:,g}"
        missed = "" if self.is_within else "  MISSED"
        return f"  {self.name:40}{self.value:12,.4g} {self.unit:6}{limit}{missed}".rstrip()


def main() -> None:
    """Measure each load and print its part of the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream_accuracy")
    parser.add_argument(
        "--quick", action="store_true", help="see that it works; the figures mean nothing"
    )
    loads = QUICK if parser.parse_args().quick else LOADS
    within = True
    with tempfile.TemporaryDirectory(prefix="aibench-accuracy-") as folder:
        program = programs.compile_c(Path(folder, "bare_stream"), programs.HERE / "bare_stream.c")
        for load in loads:
            print(f"{load.streams:,} streams, {load.tokens_per_s:,.0f} tokens/s", flush=True)
            for one in measure(load, program, Path(folder)):
                within &= one.is_within
                print(one, flush=True)
    sys.exit(not within)


def measure(load: Load, bare_loop: Path, folder: Path) -> Iterator[Figure]:
    """Run the client, then the bare loop, each on a server of its own."""
    ours, log = _run_ours(load, folder)
    found = match(log, np.load(folder / OUR_LOG))
    yield from _errors("error", found, load.p50_us, load.p99_us)
    wrong = found.lost + found.unknown + ours["failed"]
    yield Figure("events", len(found.errors_ns))
    yield Figure("lost or unknown events, failed requests", wrong, at_most=0)
    yield Figure("client's peak memory", ours["peak_bytes"] / MB, "MB", load.memory_mb)
    true = closed_loop_tokens_per_s(log, load.streams, 1)
    yield Figure("tokens/s, the server's", true)
    off = abs(ours["tokens_per_s"] / true - 1)
    yield Figure("tokens/s, how far off as reported", off, at_most=TOKENS_PER_S_OFF)
    bare, bare_cpu_us = _run_bare_loop(load, bare_loop, folder)
    yield from _errors("the bare loop's error", bare)
    yield Figure("CPU an event, the bare loop's", bare_cpu_us, "us")
    whole_us = ours["cpu_s"] / len(found.errors_ns) * US_PER_S
    cpu_us = ours["event_cpu_s"] * US_PER_S
    yield Figure("CPU an event, ours", cpu_us, "us")
    yield Figure("the same over the bare loop's", cpu_us / bare_cpu_us, "", CPU_OVER_BARE_LOOP)
    yield Figure("CPU an event, with Python's threads", whole_us, "us")


def _errors(
    name: str, found: Matched, most_p50_us: float | None = None, most_p99_us: float | None = None
) -> Iterator[Figure]:
    p50_us, p99_us, most_us = np.percentile(np.abs(found.errors_ns), [50, 99, 100]) / NS_PER_US
    yield Figure(f"{name}, p50", p50_us, "us", most_p50_us)
    yield Figure(f"{name}, p99", p99_us, "us", most_p99_us)
    yield Figure(f"{name}, most", most_us, "us")


def _run_ours(load: Load, folder: Path) -> tuple[dict[str, Any], Records]:
    """Run the client in a process of its own; return what it says, and the server's log of it."""
    with _served(load, folder) as url:
        printed = programs.output_of(
            [sys.executable, "-m", "benchmarks.perf.stream_client", "--url", url,
             "--streams", load.streams, "--output-tokens", load.output_tokens,
             "--seconds", load.run_s(load.rounds - 1), "--warm-up", load.streams,
             "--log-entries", round((load.rounds + 1) * load.streams * (load.output_tokens + 4)),
             "--log", folder / OUR_LOG]
        )  # fmt: skip
    said = json.loads(printed)
    return said, since(read_log(folder / SERVER_LOG), said["began_ns"])


def _run_bare_loop(load: Load, program: Path, folder: Path) -> tuple[Matched, float]:
    """Run the bare loop; return its events beside the server's, and its CPU time for each in us."""
    sent, saw = folder / "request", folder / "bare.log"
    with _served(load, folder) as url:
        sent.write_bytes(stream_clients.request(url, load.output_tokens))
        port = http_address(url).port
        printed = programs.output_of(
            [program, port, load.streams, load.run_s(load.rounds), sent, saw]
        )
    events, _, cpu_s = map(float, printed.split())
    found = match(read_log(folder / SERVER_LOG), read_bare_log(saw))
    return found, cpu_s / events * US_PER_S


@contextmanager
def _served(load: Load, folder: Path) -> Iterator[str]:
    """Serve tokens at a URL; the log is there after the block."""
    simulation = Simulation(
        prefill_s=load.prefill_s, prefill_token_s=0, decode_s=load.decode_s,
        log=folder / SERVER_LOG,
    )  # fmt: skip
    with TokenServer(simulation) as server:
        yield f"http://{server.host}:{server.port}"


if __name__ == "__main__":
    main()
