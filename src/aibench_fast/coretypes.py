"""What goes into the native core and what comes out of it, as named tuples that need no build."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class LatencyCounts(NamedTuple):
    """A histogram's counts as native 64-bit integers, in HdrHistogram's layout for 1 us to 1 h."""

    counts: bytes
    min_us: int
    max_us: int
    saturated: int
    """How many values were above an hour and are counted at it."""


class Figures(NamedTuple):
    """What was counted of requests; native/figures.h lists the names and what they mean."""

    counters: Mapping[str, int]
    """`successes`, `inferences`, `late_starts`, `shed`, `unsent`."""
    failures: Mapping[str, tuple[int, str]]
    """By kind: how many requests failed so, and what the first of them said."""
    histograms: Mapping[str, LatencyCounts]
    """Of successes. `latencies` from the intended start, which in a closed loop is the actual one
    unless the request waited for a connection; `service_latencies` from the actual start, left out
    of a closed loop in which no request waited for a connection."""


class Snapshot(NamedTuple):
    """All threads' figures added up; times are of CLOCK_MONOTONIC, 0 where not reached yet."""

    counters: Mapping[str, int]
    """Of the whole run, burn-in included; native/figures.h lists the names."""
    histograms: Mapping[str, LatencyCounts]
    """`start_lags`, `timer_lags`, `reply_waits` and `connect_times`, in the measured part."""
    measured: Figures
    burn_in: Figures
    started_ns: int
    began_ns: int
    """When the first I/O thread began; 0 before."""
    measured_from_ns: int
    last_completed_ns: int
    cpu_ns: int
    """CPU time of the I/O threads in the measured part, so far."""
    busiest_thread: float
    longest_cpu_wait_ns: int
    """The longest that one I/O thread was ready to run and waited for a CPU in the measured part;
    -1 where the kernel does not report it."""
    least_worker_requests: int
    """Measured requests of the worker that had the fewest; 0 before the end."""
    most_worker_requests: int
    """And of the one that had the most."""
    cut_after_ns: int
    """How long after the burn-in its duration or a stop ended the run; 0 where neither did."""
    cut_ns: int
    """When that was, of CLOCK_MONOTONIC; 0 before, and where the schedule ended it."""
    lag_exceeded: bool
    """Whether a request that was later than may be ended the run."""


class Part(NamedTuple):
    """The measured requests of one kind, one server, or one step of the schedule."""

    dimension: str
    """`kind`, `server` or `step`."""
    number: int
    """Which one, from 0 on."""
    figures: Figures


class Outage(NamedTuple):
    """A time in which a server could not be reached; times are of CLOCK_MONOTONIC."""

    server: int
    from_ns: int
    """When a connection was lost that could not be made again."""
    to_ns: int
    """When one was made; 0 where none was."""
    attempts: int
    """To connect, that failed."""


class TensorBatches(Protocol):
    """Tensors in memory that requests are sent from: `_core.Tensors`."""

    def __len__(self) -> int:
        """Return how many tensors there are."""

    def batch_bytes(self, count: int) -> int:
        """Return how many bytes a batch of `count` tensors is."""


class RespStrings(NamedTuple):
    """A bulk of strings, whose lengths may differ from reply to reply."""

    strings: int
    usual_bytes: int
    """The trial's size."""
    bytes_max: int


class RespPlan(NamedTuple):
    """What RedisAI answers to a request; see native/resp.h."""

    replies: Sequence[int | RespStrings | None]
    """The size in bytes of each reply that is a bulk; None for one that is OK."""
    in_array: int = 0
    """So many, the last ones, are the elements of one array, as of a DAG."""


class HttpOutput(NamedTuple):
    """An output of the Open Inference Protocol."""

    name: str
    datatype: str
    dtype: str
    """The same by our name."""
    shape: Sequence[int]
    """`_core.ANY_LENGTH` where each reply may have another length."""
    output_bytes: int
    """In binary, of the trial's reply."""


class HttpPlan(NamedTuple):
    """What a server of the Open Inference Protocol answers to a request; see native/http.h."""

    json: bytes
    """The JSON part of the trial's reply; empty where the whole reply was JSON."""
    outputs: Sequence[HttpOutput]
    text_bytes: int
    """The most that a usual reply has beside its outputs, or beside what they are in binary."""
    open_bytes: int = 0
    """The most that outputs of any length may have, or a reply in JSON; 0: each has one length."""


class Kind(NamedTuple):
    """A kind of request; see native/kind.h."""

    inputs: Sequence[TensorBatches]
    """One for each tensor of a request."""
    requests: Sequence[Sequence[bytes]]
    """For each worker the texts before, between and after the tensors."""
    plan: RespPlan | HttpPlan
    """What is answered, which also says in which protocol; one for all kinds of a run."""
    batch: int = 1
    first_tensor: int = 0
    references: bytes | None = None
    """The float32 output of each tensor, in order; one that differs by more than `tolerance` is a
    failure."""
    tolerance: float = 0
    weight: float = 1


class Segment(NamedTuple):
    """A stretch of a schedule: a constant rate, or a ramp from one to another."""

    from_per_s: float
    to_per_s: float
    duration_s: float
    """math.inf: for ever, at a constant rate."""
    step: int | None = None
    """Whose figures its requests belong to."""


class Schedule(NamedTuple):
    """When requests are due; see native/schedule.h."""

    arrivals: str
    """`even`, `poisson` or `recorded`."""
    segments: Sequence[Segment] = ()
    seed: int = 0
    offsets_ns: bytes = b""
    """Of recorded arrivals: native 64-bit integers, from the start, ascending."""


class Share(Protocol):
    """What one client of several takes of all requests; see native/schedule.h."""

    @property
    def client(self) -> int:
        """From 0 on."""

    @property
    def clients(self) -> int:
        """How many there are."""

    @property
    def workers(self) -> int:
        """Of this client."""

    @property
    def all_workers(self) -> int:
        """Of all clients."""


class Endpoint(NamedTuple):
    """Where workers connect to, and what each connection begins with."""

    host: str
    """Numeric; empty for a unix socket."""
    port: int
    socket: Path | None = None
    tls: object | None = None
    """A `_core.Tls`."""
    greeting: Sequence[bytes] = ()
    """Commands that are each answered by OK."""
    closes_each: bool = False
    """The server closes a connection behind the first reply, and does not say so."""


class ClusterNodes(NamedTuple):
    """What workers need whose servers are a cluster's shards; see native/cluster.h."""

    nodes: Sequence[tuple[str, Endpoint]]
    """All, each with its host as other nodes name it."""
    asking_kinds: Sequence[Kind]
    """The kinds of request with an ASKING before each command; empty: no ASK is followed."""
    asking_greetings: Sequence[Sequence[bytes]]
    """The same of each server's greeting."""
