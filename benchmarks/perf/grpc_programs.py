"""Other people's programs that send requests over gRPC: each call is one round of one of them.

Their CPU time is that of the whole process, without that of a run of hardly any requests.
"""

import json
import re
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.perf.programs import cost_of
from benchmarks.perf.row import Measured

STARTS = 3
WINDOWS = 3
"""The fewest that perf_analyzer takes."""


@dataclass(frozen=True)
class H2load:
    """The HTTP/2 load generator that comes with nghttp2; it posts a file."""

    program: Path
    url: str
    headers: tuple[str, ...]
    """A line `NAME: VALUE` for each."""
    body: Path

    def run(self, connections: int, streams: int, threads: int, requests: int) -> Measured:
        """Send so many requests, with `streams` of them outstanding on each connection.

        RuntimeError where one failed. h2load takes every reply of HTTP status 200 for a success;
        one that is an error of gRPC has no message, so that fewer bytes came than for the others.
        """
        first = connections * streams
        start_s, start_cpu_s, reply_bytes = _h2load_start(self, connections, streams, threads)
        took_s, cpu_s, came_bytes = self.send(connections, streams, threads, requests)
        if reply_bytes == 0 or came_bytes != reply_bytes * requests:
            raise RuntimeError(
                f"h2load: {requests} replies had messages of {came_bytes} bytes, so that some were "
                "errors of gRPC"
            )
        sent = requests - first
        return Measured(sent / (took_s - start_s), (cpu_s - start_cpu_s) / sent)

    def send(
        self, connections: int, streams: int, threads: int, requests: int
    ) -> tuple[float, float, int]:
        """Return how many seconds it took, CPU seconds, and the bytes of all replies.

        RuntimeError where a request failed.
        """
        headers = [word for line in self.headers for word in ("-H", line)]
        printed, cpu_s = cost_of(
            [self.program, "-c", connections, "-m", streams, "-t", threads, "-n", requests,
             "-d", self.body, *headers, self.url]
        )  # fmt: skip
        if f" {requests} succeeded, " not in printed:
            raise RuntimeError(f"h2load: requests failed: {printed}")
        per_s = float(_found(r"([\d.]+) req/s", printed))
        return requests / per_s, cpu_s, int(_found(r"\((\d+)\) data", printed))


@cache
def _h2load_start(
    h2load: H2load, connections: int, streams: int, threads: int
) -> tuple[float, float, float]:
    """Return the least seconds and CPU seconds that it takes, and the bytes of a reply."""
    first = connections * streams
    runs = [h2load.send(connections, streams, threads, first) for _ in range(STARTS)]
    took_s, cpu_s, came_bytes = map(min, zip(*runs, strict=True))
    return took_s, cpu_s, came_bytes / first


@dataclass(frozen=True)
class PerfAnalyzer:
    """NVIDIA's load generator, with one input that it makes up itself."""

    program: Path
    http_url: str
    """Of the same Triton, whose statistics say how many requests it got."""
    authority: str
    model: str
    shape: str
    """NAME:SIZE,..."""

    def run(self, outstanding: int, asynchronous: bool, run_s: float) -> Measured:
        """Measure for about so many seconds.

        It is not asked for a number of requests: then it looks once a second whether it has sent
        them, and divides by whole seconds.

        RuntimeError where a request failed.
        """
        before = self._requests()
        printed, cpu_s = cost_of(
            [*self.command(), "--concurrency-range", outstanding,
             "--measurement-interval", round(run_s * 1000 / WINDOWS), "--max-trials", WINDOWS,
             "--stability-percentage", 999, *(["-a"] if asynchronous else [])]
        )  # fmt: skip
        sent = self._requests() - before
        return Measured(
            float(_found(r"Throughput: ([\d.]+) infer/sec", printed)),
            (cpu_s - _perf_analyzer_start_cpu_s(self)) / sent,
        )

    def command(self) -> Sequence[object]:
        """Return what every run of it begins with."""
        return (self.program, "-i", "grpc", "-u", self.authority, "-m", self.model,
                "--shape", self.shape)  # fmt: skip

    def _requests(self) -> int:
        """Return how many requests the server has answered; RuntimeError where it refused some."""
        with urllib.request.urlopen(f"{self.http_url}/v2/models/{self.model}/stats") as reply:
            (model,) = json.load(reply)["model_stats"]
        counts = model["inference_stats"]
        if counts["fail"]["count"]:
            raise RuntimeError(f"perf_analyzer: the server refused {counts['fail']['count']}")
        return int(counts["success"]["count"])


@cache
def _perf_analyzer_start_cpu_s(perf_analyzer: PerfAnalyzer) -> float:
    return min(cost_of([*perf_analyzer.command(), "--request-count", 1])[1] for _ in range(STARTS))


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"{pattern} is not in what was printed: {text}")
    return found[1]
