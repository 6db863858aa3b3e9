"""The servers of a run, one or several: what they are sent, and a session with each, once visited.

Worker w is of server w modulo their number.
"""

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from aibench_fast._core import Tls
from aibench_fast.coretypes import (
    AnyHttpPlan,
    ClusterNodes,
    Endpoint,
    GrpcPlan,
    HttpPlan,
    Kind,
    RespPlan,
    TokenPlan,
)
from aibench_fast.errors import ServerError
from aibench_fast.protocols.address import TlsSettings
from aibench_fast.protocols.settings import Encoding
from aibench_fast.protocols.statistics import Reader, ServerWatch, StatisticsWatch
from aibench_fast.results.groups import ServerFacts
from aibench_fast.tensortype import STRINGS

_LEAST_PATIENCE_S = 0.01
HURRY_S = 0.1
"""The timeout of requests to a server when someone waits for the end."""
Plan = RespPlan | HttpPlan | GrpcPlan | AnyHttpPlan | TokenPlan
"""The replies that the native half of a protocol expects."""


@dataclass(frozen=True)
class Output:
    """A model's reply to the trial request."""

    dtype: str
    """Of the first one."""
    first_bytes: int
    """The first output's, of the whole batch."""
    output_bytes: int
    """The same of all outputs together."""
    any_length: bool = False
    """Whether replies may have outputs of another length."""


@dataclass(frozen=True)
class ServerRecord:
    """Facts that a server reported; None for those that it did not."""

    server: ServerFacts
    outputs: Sequence[Output] = ()
    """The reply to the trial request of each kind."""
    config: Mapping[str, str] | None = None
    """The settings that bear on speed."""
    model_digests: Sequence[str | None] = (None,)
    """The SHA-256 of each model as the server gives it out; of one that was stored from a file it
    is the file's."""
    autobatching: int | None = None
    """The batch size that the server has the models run with."""
    most_waiting: int = 0
    """How many requests may wait for one another without end: for a batch that is not full."""
    trial_s: float = 0.0
    """How long the slowest trial request took, in seconds."""
    pid: int | None = None
    """Of its process, on its own machine."""


@dataclass(frozen=True)
class AskedInput:
    """One tensor of a request."""

    dtype: str
    """One of tensortype.DTYPES."""
    shape: Sequence[int]
    """As it is sent, with the batch."""
    trial: bytes = b""
    """Its bytes in the first request."""
    name: str | None = None


class TensorSource(Protocol):
    """All tensors of an input."""

    def __len__(self) -> int:
        """Return how many there are."""

    def read(self, first: int, count: int) -> bytes:
        """Return `count` of them from index `first` on; the first follows the last."""


@dataclass(frozen=True)
class AskedKind:
    """One kind of request."""

    model: str
    inputs: Sequence[AskedInput]
    tensors: Sequence[TensorSource] = ()
    """Those of each input, of which all have as many; none of what is only sent on trial."""
    first: int = 0
    """Which tensor is sent first."""
    per_request: int = 1
    """How many tensors of each input a request has."""

    @property
    def batch_size(self) -> int:
        """Return the first length of all inputs; 1 where they have no such length in common."""
        firsts = {one.shape[0] if one.shape else 1 for one in self.inputs}
        return firsts.pop() if len(firsts) == 1 else 1

    @property
    def has_strings(self) -> bool:
        """Return whether an input is of strings, so that each request has a length of its own."""
        return any(one.dtype == STRINGS for one in self.inputs)

    def request(self, number: int) -> list[bytes]:
        """Return the tensors of the request of this number, from 0 on."""
        first = self.first + number * self.per_request
        return [one.read(first % len(one), self.per_request) for one in self.tensors]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The requests that a run is going to send to one server."""

    kinds: Sequence[AskedKind]
    workers: Sequence[int] = range(1)
    """This client's workers of that server, by their numbers."""
    all_workers: int = 1
    """How many workers of that server all clients have."""
    most_requests: int = 0
    """How many requests all clients send to all servers; 0: no limit."""
    is_first_client: bool = True
    """Whether this client does what is done once for a run."""
    has_references: bool = False
    """Whether outputs are compared with a file's, so that each has the trial's length."""


def native_tls(settings: TlsSettings | None, host: str, *, http2: bool = False) -> Tls | None:
    """TLS for the load generator, for HTTP/2 or not; ConfigError where this build has none."""
    if settings is None:
        return None
    system = ssl.get_default_verify_paths()
    is_system = settings.ca_file is None and not settings.insecure
    return Tls(
        ca_file=system.cafile if is_system else settings.ca_file,
        ca_folder=system.capath if is_system else None,
        certificate=settings.certificate,
        key=settings.key,
        server_name=settings.server_name or host,
        insecure=settings.insecure,
        http2=http2,
    )


class Session(Protocol):
    """A server that was visited and answered a request of each kind on trial."""

    record: ServerRecord
    endpoint: Endpoint
    """Where workers connect to, and what each connection begins with."""
    encoding: Encoding = Encoding.BINARY
    """How tensors without strings are sent."""
    facts: Mapping[str, Any]
    """For the result: the version of the protocol's library, and how tensors were sent."""

    @property
    def sends_bodies(self) -> bool:
        """Return whether a request's body lies in a mapped file, with `before_body` before it."""
        return False

    def before_body(self, size_bytes: int) -> list[bytes]:
        """Return the parts of a request before a body of this size."""
        return []

    def label(self, model: str) -> str:
        """Names a model and how it is run, as results do."""

    def texts(self, kind: int, worker: int, tensors_bytes: int) -> list[bytes]:
        """Return the bytes before, between and after the tensors of a worker's requests.

        `tensors_bytes` is the size of all of them as they are sent. If requests are formatted, the
        texts are those around `parts`, and it is the size of the first request's.
        """

    def formats(self, kind: int) -> bool:
        """Return whether requests are formatted one by one before the clock starts, by `parts`."""

    def parts(self, kind: int, number: int) -> list[bytes]:
        """Return what the request of this number has between its texts, of every worker and server.

        ConfigError where a string has no form in the encoding.
        """

    def written(self, worker: int) -> memoryview | None:
        """Return the memory that the server writes a worker's outputs to; None: it sends them."""
        return None

    def plan(self, kind: int) -> Plan:
        """Return the replies that are expected."""

    def watch(self, process: Reader | None) -> ServerWatch:
        """Return what reads the server's statistics; ServerError where it answers no more.

        `process` reads its processes, where they are known; else what the server offers for them.
        """

    def leave(self, patience_s: float) -> None:
        """Take away what the run left in the server, as far as it answers within the time."""
        return


AnySession = TypeVar("AnySession", bound=Session, covariant=True)


class Servers(Generic[AnySession]):
    """The servers of a run, which are asked alike."""

    def __init__(self, visits: Sequence[Callable[[Workload], AnySession]]) -> None:
        """Visit none yet; each of `visits` makes a session with one: ServerError, ConfigError."""
        self._visits = visits
        self.count = len(visits)
        self.sessions: list[AnySession] = []

    def visit(self, workloads: Sequence[Workload]) -> None:
        """Visit each; what a failed visit leaves the servers before with is taken away.

        ServerError and ConfigError as of the visits, and ServerError where the models of one answer
        otherwise than the first one's.
        """
        try:
            for visit, workload in zip(self._visits, workloads, strict=True):
                self.sessions.append(visit(workload))
                _check_alike(self.first.record, self.sessions[-1].record)
        except BaseException:
            for session in self.sessions:
                session.leave(HURRY_S)
            raise

    @property
    def first(self) -> AnySession:
        """Return the session with the first one."""
        return self.sessions[0]

    @property
    def endpoints(self) -> list[Endpoint]:
        """Return where workers connect to, server by server."""
        return [session.endpoint for session in self.sessions]

    @property
    def records(self) -> list[ServerRecord]:
        """Return what each reported."""
        return [session.record for session in self.sessions]

    def cluster_nodes(self, kinds: Sequence[Kind], workers: int) -> ClusterNodes | None:
        """Return what workers need to follow their keys in a cluster; None where there is none."""
        return None

    def of(self, worker: int) -> AnySession:
        """Return the session with a worker's own server."""
        return self.sessions[worker % self.count]

    def watch(self, process: Reader | None) -> StatisticsWatch:
        """Return a watch of all servers' statistics; `process` as in `Session.watch`."""
        return StatisticsWatch([session.watch(process) for session in self.sessions])

    def leave(self, patience_s: float) -> None:
        """Take away what the run left in them, as far as they answer within the time."""
        until_s = time.monotonic() + patience_s
        for session in self.sessions:
            session.leave(max(_LEAST_PATIENCE_S, until_s - time.monotonic()))


def _check_alike(first: ServerRecord, other: ServerRecord) -> None:
    for one, another in zip(first.outputs, other.outputs, strict=True):
        any_length = one.any_length and another.any_length and one.dtype == another.dtype
        if one != another and not any_length:
            raise ServerError(
                f"the server at {other.server.address} answers {another.output_bytes} bytes of "
                f"{another.dtype} where {first.server.address} answers {one.output_bytes} of "
                f"{one.dtype}: load the same model into both"
            )
