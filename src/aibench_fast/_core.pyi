"""The native core as Python sees it; the headers in native/ say what happens inside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

FAILURE_NAMES: tuple[str, ...]
"""The kinds of failure, as results name them."""

HIREDIS_VERSION: str
"""Of the hiredis that is linked in."""

class LatencyCounts(NamedTuple):
    """A histogram's counts as native 64-bit integers, in HdrHistogram's layout for 1 us to 1 h."""

    counts: bytes
    min_us: int
    max_us: int
    saturated: int
    """How many values were above an hour and are counted at it."""

class Snapshot(NamedTuple):
    """All threads' figures added up; times are of CLOCK_MONOTONIC, 0 where not reached yet."""

    requests: int
    """Ended in any way, burn-in included."""
    successes: int
    """Measured ones."""
    abandoned: int
    late_starts: int
    """Measured requests that were due before a worker was free."""
    started_ns: int
    measured_from_ns: int
    last_completed_ns: int
    cpu_ns: int
    """CPU time of the I/O threads in the measured part; final after the end."""
    busiest_thread: float
    least_worker_requests: int
    """Measured requests of the worker that had the fewest; 0 before the end."""
    most_worker_requests: int
    """And of the one that had the most."""
    burn_in_failures: Mapping[str, tuple[int, str]]
    """By kind: how many requests failed so, and what the first of them said."""
    failures: Mapping[str, tuple[int, str]]
    """The same of the measured part."""
    latencies: LatencyCounts
    """From the intended start, which without a rate limit is the actual one."""
    service_latencies: LatencyCounts | None
    """From the actual start; None without a rate limit."""

class Histogram:
    """The native latency histogram by itself, as each I/O thread fills one."""

    def record(self, latency_ns: int) -> None:
        """Count one latency, in nanoseconds."""
    def counts(self) -> LatencyCounts:
        """Return a copy of the counts."""

class Tensors:
    """Tensors in memory that requests are sent from, given back with the object."""

    @staticmethod
    def open(file: Path, tensor_bytes: int) -> Tensors:
        """Map a file that holds a whole number of tensors; ConfigError where it cannot be."""
    @staticmethod
    def generate(tensor_count: int, tensor_bytes: int, dtype: str, seed: int) -> Tensors:
        """Draw tensors from a seed, as native/tensordata.h says, without the GIL.

        ConfigError where there is no memory for them.
        """
    def __len__(self) -> int:
        """How many tensors there are."""
    def read(self, first: int, count: int) -> bytes:
        """Return a copy of `count` tensors from index `first` on, the tensors taken as a ring.

        ConfigError where the file shrank meanwhile; IndexError where there is no such tensor.
        """

class LoadGenerator:
    """Workers over a server, one a request text, on native threads.

    Without a limit on `requests_per_s` they are a closed loop; with one, request k of all of them
    is due at start + k / requests_per_s, and latencies count from then.

    Connects every worker when made: ServerError where that fails. `greeting` is a command that
    every connection begins with, answered by OK. `references` has the float32 output of each
    tensor, in order; an output that differs from it by more than `tolerance` is a failure.
    `expected_replies` has the size in bytes of each reply that is a bulk, and None for one that is
    OK. `pipeline` requests are outstanding on each connection, one under a limit. A limit of 0 is
    none.
    """

    def __init__(
        self,
        *,
        tensors: Tensors,
        first_tensor: int,
        host: str,
        port: int,
        socket: Path | None,
        greeting: bytes | None,
        requests: Sequence[tuple[bytes, bytes]],
        expected_replies: Sequence[int | None],
        replies_in_array: bool,
        threads: int,
        batch: int,
        burn_in_requests: int,
        max_requests: int,
        requests_per_s: float,
        duration_ns: int,
        reply_timeout_ns: int,
        connect_timeout_ns: int,
        stop_on_failure: bool,
        pipeline: int = 1,
        references: bytes | None = None,
        tolerance: float = 0,
    ) -> None: ...
    def start(self) -> None:
        """Start the I/O threads; InternalError where the system refuses one."""
    def wait(self, timeout_s: float) -> bool:
        """Wait without the GIL until the run is over or for `timeout_s`; True when it is over."""
    def measuring(self) -> bool:
        """Whether the burn-in is complete."""
    def stop(self) -> None:
        """End the run within a tenth of a second; requests under way are abandoned."""
    def snapshot(self) -> Snapshot:
        """Add up all threads' figures without stopping any."""
    def want_sample(self) -> None:
        """Ask for a copy of the next output that arrives."""
    def take_sample(self) -> tuple[int, bytes] | None:
        """Return a sample that has arrived, with the index of its first tensor."""
    def close(self) -> None:
        """Stop and join the I/O threads, and give back what they used."""
