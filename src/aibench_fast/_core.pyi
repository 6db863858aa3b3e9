"""The native core as Python sees it; the headers in native/ say what happens inside."""

from collections.abc import Sequence
from pathlib import Path

from aibench_fast.coretypes import (
    ClusterNodes,
    Endpoint,
    HttpPlan,
    Kind,
    LatencyCounts,
    Outage,
    Part,
    Schedule,
    Share,
    Snapshot,
)

HIREDIS_VERSION: str
"""Of the hiredis that is linked in."""

LLHTTP_VERSION: str
"""Of the llhttp that is linked in."""

ANY_LENGTH: int
"""Of an axis of an `HttpOutput`."""

def judge_http(plan: HttpPlan, reply: bytes) -> str | None:
    """Judge one whole reply as a run judges them: what is wrong with it, or None."""

IS_OPTIMISED: bool
"""False where it was compiled without optimisation or under a sanitizer: no figure of it holds."""

BURN_IN_TOLD: int
"""As `burn_in_requests`: all, until `begin_measuring`."""

def taken_requests(
    wanted: Schedule | None, most: int, share: Share | None = None
) -> list[tuple[int, int]]:
    """The first requests that a client takes, at most `most`: number in the whole, and when due."""

def first_due_ns(wanted: Schedule, number: int, from_ns: int) -> int | None:
    """When the first request from `number` on is due that is due at `from_ns` or later.

    None where there is none.
    """

def due_times_ns(wanted: Schedule, most: int) -> list[int]:
    """When the first requests of a schedule are due, from its start on; at most `most` of them."""

def clock_cost_ns(readings: int) -> float:
    """The mean cost of one of so many readings of the clock, in nanoseconds; without the GIL."""

def timer_errors(count: int, period_ns: int) -> LatencyCounts:
    """How late a thread wakes that waits for `count` times `period_ns` apart, without the GIL.

    It waits as an I/O thread does for when a request is due. InternalError where the system has no
    timer for it.
    """

class Histogram:
    """The native latency histogram by itself, as each I/O thread fills one."""

    def record(self, latency_ns: int) -> None:
        """Count one latency, in nanoseconds."""
    def counts(self) -> LatencyCounts:
        """Return a copy of the counts."""

class Tensors:
    """Tensors in memory that requests are sent from, given back with the object."""

    @staticmethod
    def open(files: Sequence[Path], tensor_bytes: int) -> Tensors:
        """Map one file or more as one array of tensors, of which each holds a whole number.

        ConfigError where one cannot be mapped.
        """
    @staticmethod
    def generate(tensor_count: int, tensor_bytes: int, dtype: str, seed: int) -> Tensors:
        """Draw tensors from a seed, as native/tensordata.h says, without the GIL.

        ConfigError where there is no memory for them.
        """
    @staticmethod
    def of_batches(batches: Sequence[bytes], batch: int) -> Tensors:
        """Whole batches of `batch` tensors each as they are sent, each of its own length."""
    def __len__(self) -> int:
        """How many tensors there are."""
    def batch_bytes(self, count: int) -> int:
        """How many bytes a batch of `count` tensors is."""
    def read(self, first: int, count: int) -> bytes:
        """Return a copy of `count` tensors from index `first` on, the tensors taken as a ring.

        ConfigError where a file shrank meanwhile; IndexError where there is no such tensor.
        """

class JsonTensors:
    """Tensors formatted as JSON text, in memory that is taken as they are added.

    Each is a comma and its values with commas between; spaces make all equally long.
    """

    def __init__(self, dtype: str, tensor_bytes: int, most: int) -> None:
        """Begin, for at most `most` tensors of so many bytes; ConfigError without memory.

        BF16 has no form in JSON.
        """
    def __len__(self) -> int:
        """How many were added."""
    @property
    def text_bytes(self) -> int:
        """The size of the longest text, which all will have."""
    def add(self, tensors: bytes) -> None:
        """Format whole tensors, without the GIL.

        ConfigError where a value is none that JSON has: an infinity, or none at all (NaN).
        """
    def finish(self, count: int) -> Tensors:
        """Return the first `count` texts, to be sent; nothing is added any more.

        A batch of them is what stands between an array's brackets.
        """

class Tls:
    """TLS for all connections of a load generator: whom to trust, and as whom to come.

    The server's certificate has to be for `server_name`, a name or a numeric address, but any is
    taken where `insecure` is set. Files are PEM. ConfigError where one cannot be read, or where
    this build has no TLS.
    """

    def __init__(
        self,
        *,
        ca_file: Path | str | None,
        ca_folder: Path | str | None,
        certificate: Path | None,
        key: Path | None,
        server_name: str,
        insecure: bool,
    ) -> None: ...

class LoadGenerator:
    """Workers over one server or several, on native threads.

    Worker w is of server w modulo their number.

    Without a schedule they are a closed loop; with one, a request is due when it says, and
    latencies count from then. Each request is of one of the `kinds`, drawn by their weights from
    `mix_seed` and the request's number. One that is later than `max_lag_ns` by the schedule is not
    sent where `shed_late` is set, and ends the run otherwise.

    Connects every worker when made: ServerError where that fails. `pipeline` requests are
    outstanding on each connection, one with a schedule. A worker that lost its connection tries to
    get another for `reconnect_for_ns` and ends then; or the run ends, where `stop_on_disconnect` is
    set. A limit of 0 is none. Of several clients each takes its `share` of the requests, of which
    `max_requests` is the limit for all; by a schedule they measure together from
    `measured_after_ns` on.
    """

    def __init__(
        self,
        *,
        kinds: Sequence[Kind],
        endpoints: Sequence[Endpoint],
        threads: int,
        burn_in_requests: int,
        max_requests: int,
        duration_ns: int,
        reply_timeout_ns: int,
        connect_timeout_ns: int,
        stop_on_failure: bool,
        reconnect_for_ns: int = 0,
        stop_on_disconnect: bool = False,
        cluster: ClusterNodes | None = None,
        schedule: Schedule | None = None,
        pipeline: int = 1,
        mix_seed: int = 0,
        max_lag_ns: int = 0,
        shed_late: bool = False,
        burn_in_ns: int = 0,
        share: Share | None = None,
        measured_after_ns: int = 0,
    ) -> None: ...
    def start(self, at_ns: int = 0) -> None:
        """Start the I/O threads, for a run from `at_ns` of CLOCK_MONOTONIC on; 0: now.

        InternalError where the system refuses one.
        """
    def wait(self, timeout_s: float) -> bool:
        """Wait without the GIL until the run is over or for `timeout_s`; True when it is over."""
    def measuring(self) -> bool:
        """Whether the burn-in is complete."""
    def is_ending(self) -> bool:
        """Whether no more requests begin: what is under way is the last."""
    def begin_measuring(self) -> None:
        """End a burn-in of BURN_IN_TOLD: what begins from now on is measured."""
    def stop(self) -> None:
        """End the run within a tenth of a second; requests under way are abandoned."""
    def snapshot(self) -> Snapshot:
        """Add up all threads' figures without stopping any."""
    def parts(self) -> list[Part]:
        """Add up likewise the figures of each part of the requests.

        Parts are the kinds and the servers, each where there are several, and the schedule's steps;
        the parts of a dimension come in the order of their numbers.
        """
    def outages(self) -> tuple[int, list[Outage]]:
        """Return how many outages of servers there were so far, and the first of them, by time."""
    def tls(self) -> tuple[str, str] | None:
        """Before the start: the version of TLS and the cipher; None without it."""
    def want_sample(self) -> None:
        """Ask for a copy of the next output that arrives."""
    def take_sample(self) -> tuple[int, int, bytes] | None:
        """Return a sample that has arrived: its kind, the index of its first tensor, its output.

        Of several outputs that is the first.
        """
    def close(self) -> None:
        """Stop and join the I/O threads, and give back what they used."""
