"""The arguments and results of the native core, as named tuples that need no build."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class LatencyCounts(NamedTuple):
    """A histogram's counts as native 64-bit integers, in HdrHistogram's layout for 1 us to 1 h."""

    counts: bytes
    min_us: int
    max_us: int
    saturated: int
    """How many values were above an hour; they are counted as an hour."""


class Figures(NamedTuple):
    """Counts of a set of requests; native/figures.h lists the names and their meaning."""

    counters: Mapping[str, int]
    """`successes`, `inferences`, `late_starts`, `shed`, `unsent`; of streams of tokens those of
    native/tokenfigures.h too."""
    failures: Mapping[str, tuple[int, str]]
    """By kind: how many requests failed, and the message of the first."""
    histograms: Mapping[str, LatencyCounts]
    """Of successes. `latencies` count from the intended start: in a closed loop this is the actual
    start, unless the request waited for a connection. `service_latencies` count from the actual
    start; a closed loop in which no request waited for a connection has none. Of streams of tokens
    those of native/tokenfigures.h too."""


class Snapshot(NamedTuple):
    """The figures of all threads; times are of CLOCK_MONOTONIC, 0 if not reached yet."""

    counters: Mapping[str, int]
    """Of the whole run, warm-up included; native/figures.h lists their names."""
    histograms: Mapping[str, LatencyCounts]
    """`start_lags`, `timer_lags`, `reply_waits`, `connect_times`, `window_waits` and
    `first_replies`, in the measured part."""
    measured: Figures
    burn_in: Figures
    steady_from_ns: int
    """When the steady window of a run of streams of tokens began; see native/steadywindow.h."""
    steady_until_ns: int
    """When it ended; now if it did not yet."""
    started_ns: int
    began_ns: int
    """When the first I/O thread began."""
    measured_from_ns: int
    last_completed_ns: int
    cpu_ns: int
    """CPU time of the I/O threads in the measured part, so far."""
    busiest_thread: float
    longest_cpu_wait_ns: int
    """How long, at most, one I/O thread was ready to run and waited for a CPU in the measured part;
    -1 if the kernel does not report it."""
    least_worker_requests: int
    """Measured requests of the worker that had the fewest; 0 before the end."""
    most_worker_requests: int
    """Measured requests of the worker that had the most; 0 before the end."""
    cut_after_ns: int
    """How long after the warm-up its duration or a stop ended the run; 0 if neither did."""
    cut_ns: int
    """When that was; 0 before, and if the schedule ended it."""
    lag_exceeded: bool
    """Whether a request was later than allowed and ended the run."""


class Part(NamedTuple):
    """The measured requests of one kind, one server, or one step of the schedule."""

    dimension: str
    """`kind`, `server` or `step`."""
    number: int
    """Which one, from 0 on."""
    figures: Figures


class Outage(NamedTuple):
    """A time when a server could not be reached; times are of CLOCK_MONOTONIC."""

    server: int
    from_ns: int
    """When the connection was lost that could not be replaced."""
    to_ns: int
    """When a new one was made; 0: not yet."""
    attempts: int
    """Failed attempts to connect."""


class TensorBatches(Protocol):
    """Tensors in memory that requests are sent from: `_core.Tensors`."""

    def __len__(self) -> int:
        """Return how many tensors there are."""

    def batch_bytes(self, count: int) -> int:
        """Return how many bytes a batch of `count` tensors is."""


class RespStrings(NamedTuple):
    """A bulk of strings, whose length may differ between replies."""

    strings: int
    usual_bytes: int
    """The size in the trial's reply."""
    bytes_max: int


class RespPlan(NamedTuple):
    """RedisAI's replies to a request; see native/resp.h."""

    replies: Sequence[int | RespStrings | None]
    """For each reply the size of the bulk in bytes; None for OK."""
    in_array: int = 0
    """The last so many replies are the elements of one array, the reply to a DAG."""


class OipOutput(NamedTuple):
    """An output of the Open Inference Protocol."""

    name: str
    datatype: str
    dtype: str
    """The datatype by RedisAI's name."""
    shape: Sequence[int]
    """`_core.ANY_LENGTH`: the length may differ between replies."""
    output_bytes: int
    """The size in binary, in the trial's reply."""


class HttpPlan(NamedTuple):
    """The reply of a server of the Open Inference Protocol; see native/http.h."""

    json: bytes
    """The JSON part of the trial's reply; empty if the whole reply was JSON."""
    outputs: Sequence[OipOutput]
    text_bytes: int
    """The size of a usual reply without its outputs in binary, at most."""
    open_bytes: int = 0
    """The most bytes of outputs of any length, or of a reply in JSON; 0: lengths are fixed."""
    in_memory: bool = False
    """Replies have no values: the server writes them to memory that it shares with the client."""


class GrpcPlan(NamedTuple):
    """The reply of a server of the Open Inference Protocol over gRPC; see native/grpc.h.

    The first text of a request begins with its header fields, as native/http2.h describes them.
    """

    outputs: Sequence[OipOutput]
    text_bytes: int
    """The size of a usual reply without its outputs, at most."""
    open_bytes: int = 0
    """The most bytes of outputs of any length; 0: lengths are fixed."""
    in_memory: bool = False
    """As in `HttpPlan`."""
    id_at: int = 0
    """0: each request is a call. Otherwise all requests of a connection are messages of one call,
    ModelStreamInfer, and the `_core.STREAM_ID_BYTES` digits of the request's id begin so many bytes
    behind the header fields; see native/grpcstream.h."""


class AnyHttpPlan(NamedTuple):
    """The checks of an HTTP endpoint's replies; see native/http.h."""

    statuses: Sequence[int]
    """Of successes."""
    reply: str
    """The rule for the bodies of successes: `any`, `same-size` or `json`."""
    body_bytes: int
    """The size of the trial's body."""
    body_bytes_max: int
    text_bytes: int
    """The size of a usual reply, at most."""


class TokenPlan(NamedTuple):
    """The checks of streams of tokens; see native/tokenstream.h. 0: without that limit."""

    stream_end: str = "usual"
    """The event that makes a stream complete: `usual`, `done`, `finish` or `http`."""
    first_token_timeout_ns: int = 0
    token_timeout_ns: int = 0
    min_tokens: int = 0

    text_bytes: int = 4096
    """The size of what is received at once, usually at most."""
    first_token_ns: int = 0
    """The limit of a good stream, as the next three; 0: without it."""
    first_answer_ns: int = 0
    token_ns: int = 0
    """The mean time for a token after the first."""
    latency_ns: int = 0


EVENT_LOG_ENTRY = (("port", "<u2"), ("request", "<u4"), ("flags", "<u2"), ("came_ns", "<i8"))
"""The fields of an entry of the event log, as NumPy names them; see native/eventlog.h."""


class Kind(NamedTuple):
    """A kind of request; see native/kind.h."""

    inputs: Sequence[TensorBatches]
    """One for each tensor of a request."""
    requests: Sequence[Sequence[bytes]]
    """For each worker the bytes before, between and after the tensors."""
    plan: RespPlan | HttpPlan | AnyHttpPlan | TokenPlan | GrpcPlan
    """The expected replies. Its type selects the protocol, one for all kinds of a run."""
    batch: int = 1
    first_tensor: int = 0
    references: bytes | None = None
    """The float32 output of each tensor, in order. A request whose output differs by more than
    `tolerance` fails."""
    tolerance: float = 0
    weight: float = 1
    written: Sequence[memoryview] | None = None
    """For each worker the memory that the server writes outputs to; None: replies have them."""


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
    """`even`, `poisson` or `recorded`; or `conversations`, in a closed loop."""
    segments: Sequence[Segment] = ()
    seed: int = 0
    offsets_ns: bytes = b""
    """Of recorded arrivals: native 64-bit integers, from the start, ascending."""
    first_turns: bytes = b""
    """Of conversations: native 64-bit integers, the number of each one's first request, and at the
    end of all requests."""
    delays_ns: bytes = b""
    """The same of each request: how long it waits after the turn before it."""


class Share(NamedTuple):
    """The workers of all clients take turns: request n is worker n % all_workers's.

    Worker w is client w % clients's. So the clients together send what one would, each request
    once, as native/schedule.h has it.
    """

    client: int
    """From 0 on."""
    clients: int
    workers: int
    """Of this client."""
    all_workers: int

    def count(self, requests: int) -> int:
        """Return how many of the first `requests` of the run are its own."""
        rounds, rest = divmod(requests, self.all_workers)
        return rounds * self.workers + max(0, -(-(rest - self.client) // self.clients))


class Endpoint(NamedTuple):
    """Where workers connect to, and the first commands on each connection."""

    host: str
    """Numeric; empty for a unix socket."""
    port: int
    socket: Path | None = None
    tls: object | None = None
    """A `_core.Tls`."""
    greeting: Sequence[bytes] = ()
    """Commands; the server answers each with OK."""
    closes_each: bool = False
    """The server closes each connection after the first reply, without announcing it."""


class GrpcReply(NamedTuple):
    """The answer to a call of gRPC."""

    status: int | None
    """`_core.GRPC_STATUSES` has its name; None: none came."""
    words: str
    """The server's, with a status other than OK."""
    http_status: int
    """0: none came."""
    message: bytes
    """With the status OK."""


class ClusterNodes(NamedTuple):
    """The nodes of a Redis Cluster, for workers that follow redirects; see native/cluster.h."""

    nodes: Sequence[tuple[str, Endpoint]]
    """All nodes, each with its host as other nodes write it."""
    asking_kinds: Sequence[Kind]
    """The kinds of request with an ASKING before each command."""
    asking_greetings: Sequence[Sequence[bytes]]
    """The greeting of each server with an ASKING before each command."""
