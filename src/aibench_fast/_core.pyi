"""The native core as Python sees it. The headers in native/ describe what happens inside."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aibench_fast.coretypes import (
    AnyHttpPlan,
    ClusterNodes,
    Endpoint,
    GrpcPlan,
    GrpcReply,
    HttpPlan,
    Kind,
    LatencyCounts,
    Outage,
    Part,
    Schedule,
    Share,
    Snapshot,
    TokenPlan,
)

HIREDIS_VERSION: str
"""The version of the linked hiredis."""

LLHTTP_VERSION: str
"""The version of the linked llhttp."""

NGHTTP2_VERSION: str
"""The version of the linked nghttp2."""

HTTP2_GREETING: bytes
"""The first bytes of every connection over HTTP/2: the `greeting` of a gRPC server's `Endpoint`."""

STREAM_ID_BYTES: int
"""How long the id of a request in a stream of inferences is; see `GrpcPlan.id_at`."""

ANY_LENGTH: int
"""The length of an axis of an `OipOutput` that may differ between replies."""

def judge_http(plan: HttpPlan | AnyHttpPlan | TokenPlan, reply: bytes) -> str | None:
    """Judge one whole reply as a run does. Return what is wrong with it, or None."""

def judge_grpc(plan: GrpcPlan, message: bytes, output: bytearray | None = None) -> str | None:
    """Judge a ModelInferResponse in the same way; `output` gets its outputs in binary."""

IS_OPTIMISED: bool
"""False in a build without optimisation or with a sanitizer: do not trust its figures."""

BURN_IN_UNTIL_MEASURING: int
"""A value for `burn_in_requests`: the warm-up ends with `begin_measuring`."""

def taken_requests(
    wanted: Schedule | None, most: int, share: Share | None = None
) -> list[tuple[int, int]]:
    """Return the first `most` requests that a client takes: number in the whole, and due time."""

def first_due_ns(wanted: Schedule, number: int, from_ns: int) -> int | None:
    """Return the due time of the first request from `number` on that is due at `from_ns` or later.

    None if there is none.
    """

def due_times_ns(wanted: Schedule, most: int) -> list[int]:
    """Return when the first `most` requests of a schedule are due, from its start."""

def clock_cost_ns(readings: int) -> float:
    """Read the clock so many times without the GIL; return the mean cost in nanoseconds."""

def timer_errors(count: int, period_ns: int) -> LatencyCounts:
    """Measure how late a thread wakes that waits for `count` times, `period_ns` apart.

    It waits as an I/O thread waits until a request is due, without the GIL. InternalError if the
    system has no timer for it.
    """

class Histogram:
    """The native latency histogram, as I/O threads fill it."""

    def record(self, latency_ns: int) -> None:
        """Count one latency, in nanoseconds."""
    def counts(self) -> LatencyCounts:
        """Return a copy of the counts."""

class Tensors:
    """Tensors in memory that requests are sent from; freed with the object."""

    @staticmethod
    def open(files: Sequence[Path], tensor_bytes: int) -> Tensors:
        """Map one file or more as one array of tensors. Each file holds a whole number of them.

        ConfigError if a file cannot be mapped.
        """
    @staticmethod
    def open_files(files: Sequence[Path]) -> Tensors:
        """Map files, each of which is a tensor of its own length, even an empty one.

        ConfigError if one cannot be mapped.
        """
    @staticmethod
    def open_lines(file: Path) -> Tensors:
        """Map a file whose lines are tensors, without white space around them; none may be there.

        ConfigError if it cannot be mapped.
        """
    @staticmethod
    def generate(tensor_count: int, tensor_bytes: int, dtype: str, seed: int) -> Tensors:
        """Generate tensors from a seed without the GIL; see native/tensordata.h.

        ConfigError if there is not enough memory.
        """
    @staticmethod
    def of_batches(batches: Sequence[bytes], batch: int) -> Tensors:
        """Take whole batches of `batch` tensors as they are sent; their lengths may differ."""
    def ring(self, first: int, count: int) -> Tensors:
        """Return `count` tensors of files or lines from index `first` on, without a copy.

        The first follows the last.
        """
    def __len__(self) -> int:
        """Return the number of tensors."""
    def batch_bytes(self, count: int, first: int = 0) -> int:
        """Return the size of a batch of `count` tensors from index `first` on, in bytes.

        IndexError if there is no tensor `first`.
        """
    def read(self, first: int, count: int) -> bytes:
        """Return a copy of `count` tensors from index `first` on, wrapping around at the end.

        ConfigError if a file has shrunk; IndexError if there is no tensor `first`.
        """
    def first_not_json(self) -> tuple[int, str] | None:
        """Return the index of the first tensor that is no JSON text, and why; None if all are.

        They are copied one at a time. ConfigError if a file has shrunk.
        """

class JsonTensors:
    """Tensors formatted as JSON text.

    Each text is a comma and the values with commas between them; spaces make all equally long.
    """

    def __init__(self, dtype: str, tensor_bytes: int, most: int) -> None:
        """Reserve room for `most` tensors of so many bytes; ConfigError without memory.

        JSON cannot express BF16.
        """
    def __len__(self) -> int:
        """Return how many were added."""
    @property
    def text_bytes(self) -> int:
        """The size of the longest text; all will have this size."""
    def add(self, tensors: bytes) -> None:
        """Format whole tensors without the GIL.

        ConfigError if a value is an infinity or NaN, which JSON cannot express.
        """
    def finish(self, count: int) -> Tensors:
        """Return the first `count` texts for sending. Nothing can be added after.

        A batch of them is the content of a JSON array, without its brackets.
        """

class Tls:
    """TLS for all connections of a load generator: whom to trust, and the client's certificate.

    The server's certificate must be for `server_name`, a name or a numeric address; with
    `insecure` any certificate is accepted. Files are PEM. ConfigError if one cannot be read, or if
    this build has no TLS. With `http2`, a server that does not choose HTTP/2 by ALPN is refused.
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
        http2: bool = False,
    ) -> None: ...

GRPC_STATUSES: Sequence[str]
"""The names of gRPC's statuses, by their numbers."""

class GrpcChannel:
    """Calls of gRPC, one after the other: what a server is asked before and after a run.

    A connection that the server has closed since the last call is made again. A channel waits
    without the GIL, and can be interrupted by a signal.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float) -> None:
        """Connect; ServerError with the reason if that fails. A greeting is not needed."""
    def call(
        self,
        fields: bytes,
        message: bytes,
        timeout_s: float,
        most_bytes: int,
        has_several: bool = False,
    ) -> GrpcReply:
        """Make one call: its header fields as native/http2.h has them, and its message.

        With `has_several` the reply is a stream of messages, and has them with their prefixes.

        ServerError with the reason if there is no answer, or if it is malformed, compressed or
        larger than allowed. The next call is then made on a new connection.
        """
    def close(self) -> None:
        """Close the connection."""

class LoadGenerator:
    """Workers over one server or several, on native threads.

    Worker w uses server w modulo their number. Making a generator connects every worker:
    ServerError if that fails.

    Without a schedule the workers are a closed loop. With one, latencies count from when a request
    was due. A request that is later than `max_lag_ns` is not sent if `shed_late` is set; otherwise
    it ends the run. The kind of each request is drawn by weight, from `mix_seed` and the request's
    number. `pipeline` requests are outstanding on each connection, one with a schedule.

    A worker that loses its connection tries to reconnect for `reconnect_for_ns` and ends then; with
    `stop_on_disconnect` the run ends instead. A limit of 0 is no limit. Of several clients each
    takes its `share` of the requests; `max_requests` is the limit for all of them. In an open loop
    they measure together from `measured_after_ns` on.
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
        event_log_entries: int = 0,
    ) -> None: ...
    def start(self, at_ns: int = 0) -> None:
        """Start the I/O threads for a run from `at_ns` of CLOCK_MONOTONIC on; 0: from now on.

        InternalError if the system refuses a thread.
        """
    def wait(self, timeout_s: float) -> bool:
        """Wait without the GIL for `timeout_s` at most; return whether the run is over."""
    def measuring(self) -> bool:
        """Return whether the warm-up is complete."""
    def is_ending(self) -> bool:
        """Return whether no more requests begin."""
    def begin_measuring(self) -> None:
        """End a warm-up of BURN_IN_UNTIL_MEASURING: requests from now on are measured."""
    def stop(self) -> None:
        """End the run within a tenth of a second. Requests under way are abandoned."""
    def snapshot(self) -> Snapshot:
        """Add up the figures of all threads, without stopping them."""
    def parts(self) -> list[Part]:
        """Add up the figures of each part of the requests in the same way.

        The parts are the kinds if there are several, the servers if there are several, and the
        steps of the schedule. The parts of a dimension come in the order of their numbers.
        """
    def outages(self) -> tuple[int, list[Outage]]:
        """Return how many outages there were so far, and the first of them in order of time."""
    def event_log(self) -> NDArray[np.void]:
        """Return when events of streams of tokens came, each of type `coretypes.EVENT_LOG_ENTRY`.

        `event_log_entries` says how many each I/O thread keeps at most. They come in the order of
        time within a thread. InternalError before the run is over.
        """
    def tls(self) -> tuple[str, str] | None:
        """Return the TLS version and the cipher, before the start; None without TLS."""
    def want_sample(self) -> None:
        """Request a copy of the next output that arrives."""
    def take_sample(self) -> tuple[int, int, bytes] | None:
        """Return a sample that has arrived: its kind, the index of its first tensor, its output.

        Of several outputs it is the first. None if no sample has arrived.
        """
    def close(self) -> None:
        """Stop and join the I/O threads, and free everything."""
