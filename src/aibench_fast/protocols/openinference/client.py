"""The interface of a connection for questions before and after a run, over HTTP or gRPC."""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol, Self

from aibench_fast.coretypes import Endpoint, GrpcPlan, HttpPlan, OipOutput
from aibench_fast.errors import ServerError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.oiptensors import TensorMetadata
from aibench_fast.protocols.session import AskedKind
from aibench_fast.protocols.settings import Encoding

CONNECT_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 90.0
REQUEST_ID = "1"
"""One for all requests: KServe's server answers 500 without, and a reply that is always the same is
judged at once."""
TRIAL, A_REGION = "the trial request", "a region of shared memory"
"""As messages call them."""
GIVE_TOKEN = "give a token that may, such as `headers` 'Authorization: env:TOKEN'"
MAX_ANSWER_BYTES = 4 << 20
MAX_TRIAL_BYTES = 512 << 20
"""Of the answer to an inference request, which has the model's outputs."""


class Refusal(Enum):
    """Why a server refused."""

    NO_SUCH_CALL = "it does not have what was asked for"
    NOT_THERE = "there is no such model, or the request is wrong"
    BUSY = "it would have taken the request at another time"
    OTHER = "anything else"


class Refused(ServerError):
    """A server answered with an error."""

    def __init__(self, message: str, refusal: Refusal) -> None:
        """`refusal`: why."""
        super().__init__(message)
        self.refusal = refusal


class Place(NamedTuple):
    """Where an input of a request is in shared memory."""

    region: str
    offset: int
    size_bytes: int


Places = Callable[[int], Sequence[Place]]
"""Returns where the inputs are of the request of a number, or the outputs of a worker."""


class Written(NamedTuple):
    """The outputs of a kind in shared memory."""

    outputs: Sequence[OipOutput]
    """As a trial's reply had them, which are as large as they can be."""
    places: Places
    """By a worker's number."""


class Wanted(NamedTuple):
    """A kind of request, and the outputs that it asks for."""

    kind: AskedKind
    version: str | None = None
    """Of the model; None: the server's choice."""
    outputs: Sequence[str] = ()
    """By name; none: all."""
    metadata: Sequence[TensorMetadata] | None = None
    """Of outputs, whose lengths may be open; None: unknown."""
    places: Places | None = None
    """Where inputs are in shared memory; None: they are sent."""
    written: Written | None = None
    """Where outputs go, of inputs in shared memory; None: replies have them."""
    worker: int = 0
    """The one whose place for outputs the trial uses."""

    @property
    def is_formatted(self) -> bool:
        """Return whether requests differ in more than tensors of a size, by `Request.part`."""
        return self.kind.has_strings or self.places is not None


class Request(Protocol):
    """The inference request of every worker."""

    def texts(self, address: HttpAddress, worker: int, tensors_bytes: int) -> list[bytes]:
        """Return a worker's texts around tensors of this total size, or around such a `part`."""

    def part(self, number: int) -> bytes:
        """Return what the request of this number has between the two texts.

        It is the same for every server. ConfigError where a value has no form in the encoding.
        """


class Trial(NamedTuple):
    """A kind's request, and the replies that are expected by its trial."""

    request: Request
    plan: HttpPlan | GrpcPlan


class Client(Protocol):
    """A connection to a server; documents are as the HTTP API has them, whatever the transport.

    Its methods raise ServerError where the server does not answer, and Refused, in its words, where
    it answers with an error.
    """

    infers: str
    """The transport's name of an inference, as labels have it."""
    timeout_s: float
    """Of each whole reply from now on."""
    encoding: Encoding = Encoding.BINARY
    """How tensors are sent, once requests were tried."""
    facts: Mapping[str, Any]
    """Of that for the result, and the version of the transport's library."""

    def server(self) -> Mapping[str, Any]:
        """Return the server's metadata; empty if it has none."""
        try:
            return self.metadata()
        except Refused as error:
            if error.refusal is Refusal.NO_SUCH_CALL:
                return {}
            raise

    def metadata(self) -> Mapping[str, Any]:
        """Return the server's metadata; Refused if it has none."""

    def model(self, model: str, version: str | None) -> Mapping[str, Any]:
        """Return a model's metadata."""

    def check_ready(self, model: str, version: str | None) -> None:
        """ServerError where a model is not ready; a server may not say."""

    def ready_models(self) -> list[str] | None:
        """Return the models that are ready, by name; None where the server does not say."""

    def statistics(self, model: str, version: str | None) -> Mapping[str, Any]:
        """Return a model's statistics as Triton has them."""

    def regions(self) -> list[str]:
        """Return the regions of system shared memory that the server has mapped, by name."""

    def register_region(self, name: str, key: str, size_bytes: int) -> None:
        """Have the server map the region that shm_open finds by its key."""

    def unregister_region(self, name: str) -> None:
        """Have the server forget a region; it may be forgotten already."""

    def try_requests(
        self, wanted: Sequence[Wanted], encoding: Encoding | None, extensions: Sequence[str]
    ) -> list[Trial]:
        """Send one request of each kind on trial; ConfigError if one cannot be made or judged.

        Tensors are in this `encoding`; None: as the server, which announces `extensions`, takes
        them.
        """

    def endpoint(self) -> Endpoint:
        """Return where workers connect to, as was found so far."""

    def close(self) -> None:
        """Close the connection."""

    def __enter__(self) -> Self:
        """Return itself, connected."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()


Connect = Callable[[HttpAddress, float], Client]
"""Connects to an address, with a timeout of each reply in seconds; ServerError."""
