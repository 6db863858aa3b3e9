"""The native core as Python sees it; the headers in native/ say what happens inside."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

FAILURE_NAMES: tuple[str, ...]
"""The kinds of failure, as results name them."""

HIREDIS_VERSION: str
"""Of the hiredis that is linked in."""

LLHTTP_VERSION: str
"""Of the llhttp that is linked in."""

class LatencyCounts(NamedTuple):
    """A histogram's counts as native 64-bit integers, in HdrHistogram's layout for 1 us to 1 h."""

    counts: bytes
    min_us: int
    max_us: int
    saturated: int
    """How many values were above an hour and are counted at it."""

class Figures(NamedTuple):
    """What was measured, of all requests or of a part of them."""

    successes: int
    inferences: int
    """Tensors in them: a request carries a batch."""
    late_starts: int
    """Requests that were due before a worker was free."""
    shed: int
    """Due requests that were never sent, for they were later than may be."""
    failures: Mapping[str, tuple[int, str]]
    """By kind: how many requests failed so, and what the first of them said."""
    latencies: LatencyCounts
    """Of successes: from the intended start, which in a closed loop is the actual one, unless the
    request waited for a connection."""
    service_latencies: LatencyCounts | None
    """From the actual start; None in a closed loop in which no request waited for a connection."""

class Snapshot(NamedTuple):
    """All threads' figures added up; times are of CLOCK_MONOTONIC, 0 where not reached yet."""

    begun: int
    """Handed to a connection, or given up for want of one, burn-in included."""
    requests: int
    """Ended in any way, burn-in included."""
    answered_tensors: int
    """In the successes among them."""
    reconnects: int
    """New connections in place of such as the server closed between requests."""
    remade: int
    """New connections in place of such as were lost."""
    resent: int
    """Requests that were sent again: the server had closed the connection before it had them."""
    moved: int
    """Redirects from one node of a cluster to another that were followed, MOVED."""
    asked: int
    """The same by ASK."""
    abandoned: int
    """After the end: begun, and not ended."""
    burn_in_shed: int
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
    -1 where the kernel does not tell."""
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
    burn_in_failures: Mapping[str, tuple[int, str]]
    burn_in_latencies: LatencyCounts
    measured: Figures
    start_lags: LatencyCounts
    """By a schedule: actual less intended start of each measured request."""
    timer_lags: LatencyCounts
    """The same of those that a free worker waited for: the client's own lag."""
    reply_waits: LatencyCounts
    """From a reply's arrival in the kernel until its thread read it, of a sample."""
    connect_times: LatencyCounts
    """Of connections that were made in the measured part, with TLS and log-in."""

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

ANY_LENGTH: int
"""Of an axis of an `HttpOutput`."""

class HttpOutput(NamedTuple):
    """An output of the Open Inference Protocol."""

    name: str
    datatype: str
    dtype: str
    """The same by our name."""
    shape: Sequence[int]
    """ANY_LENGTH where each reply may have another length."""
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

def judge_http(plan: HttpPlan, reply: bytes) -> str | None:
    """Judge one whole reply as a run judges them: what is wrong with it, or None."""

class Kind(NamedTuple):
    """A kind of request; see native/kind.h."""

    inputs: Sequence[Tensors]
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

class Share(Protocol):
    """What one client of several takes of all requests; see native/schedule.h."""

    @property
    def client(self) -> int:
        """From 0 on."""
    @property
    def clients(self) -> int: ...
    @property
    def workers(self) -> int: ...
    @property
    def all_workers(self) -> int: ...

class Schedule(NamedTuple):
    """When requests are due; see native/schedule.h."""

    arrivals: str
    """`even`, `poisson` or `recorded`."""
    segments: Sequence[Segment] = ()
    seed: int = 0
    offsets_ns: bytes = b""
    """Of recorded arrivals: native 64-bit integers, from the start, ascending."""

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

class Outage(NamedTuple):
    """A time in which a server could not be reached; times are of CLOCK_MONOTONIC."""

    server: int
    from_ns: int
    """When a connection was lost that could not be made again."""
    to_ns: int
    """When one was made; 0 where none was."""
    attempts: int
    """To connect, that failed."""

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

class Endpoint(NamedTuple):
    """Where workers connect to, and what each connection begins with."""

    host: str
    """Numeric; empty for a unix socket."""
    port: int
    socket: Path | None = None
    tls: Tls | None = None
    greeting: Sequence[bytes] = ()
    """Commands that are each answered by OK."""
    closes_each: bool = False
    """The server closes a connection behind the first reply, and does not say so."""

class Cluster(NamedTuple):
    """What workers need whose servers are a cluster's shards; see native/cluster.h."""

    nodes: Sequence[tuple[str, Endpoint]]
    """All, each with its host as other nodes name it."""
    asking_kinds: Sequence[Kind]
    """The kinds of request with an ASKING before each command; empty: no ASK is followed."""
    asking_greetings: Sequence[Sequence[bytes]]
    """The same of each server's greeting."""

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
        of_cluster: Cluster | None = None,
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
    def kind_figures(self) -> list[Figures]:
        """What was measured of each kind; empty where there is but one."""
    def server_figures(self) -> list[Figures]:
        """What was measured of each server; empty where there is but one."""
    def step_figures(self) -> list[Figures]:
        """What was measured of each step of the schedule."""
    def outages(self) -> tuple[int, list[Outage]]:
        """Return how many outages of servers there were so far, and the first of them, by time."""
    def unsent(self) -> tuple[int, list[int]]:
        """After the end, once: how many were due before it and not sent, in all and by step."""
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
