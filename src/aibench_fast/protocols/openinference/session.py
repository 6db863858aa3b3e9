"""The session with a server of the Open Inference Protocol, before and after a run."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aibench_fast._core import LLHTTP_VERSION
from aibench_fast.coretypes import Endpoint, HttpPlan
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.encoding import Encoding
from aibench_fast.protocols.openinference.client import (
    MAX_TRIAL_BYTES,
    REPLY_TIMEOUT_S,
    HttpClient,
    Refused,
)
from aibench_fast.protocols.openinference.metrics import (
    MetricsReader,
    found_reader,
    given_reader,
)
from aibench_fast.protocols.openinference.model import (
    NO_SUCH_PATH,
    ModelMetadata,
    TensorMetadata,
    ask_model,
    model_path,
)
from aibench_fast.protocols.openinference.reply import plan_of
from aibench_fast.protocols.openinference.request import InferRequest
from aibench_fast.protocols.openinference.settings import (
    OpenInferenceSettings,
    metrics_address,
)
from aibench_fast.protocols.openinference.statistics import EXTENSION, TritonReader
from aibench_fast.protocols.record import Output, ServerRecord
from aibench_fast.protocols.serverwatch import NoStatistics, ServerWatch, StatisticsWatch
from aibench_fast.protocols.session import AskedKind, Workload, native_tls
from aibench_fast.protocols.statistics import Reader
from aibench_fast.results.result import ServerFacts

BINARY_EXTENSIONS = ("binary_tensor_data", "binary_data")
BUSY = (429, 503)
"""Statuses of a server that would have taken the request at another time."""


class _Wanted(NamedTuple):
    """A kind of request, and the outputs that it asks for."""

    kind: AskedKind
    outputs: Sequence[str]
    """By name; none: all."""
    metadata: Sequence[TensorMetadata] | None
    """Of outputs, whose lengths may be open; None: unknown."""


class _Trial(NamedTuple):
    """A kind's request, and the replies that are expected by its trial."""

    request: InferRequest
    plan: HttpPlan


class OpenInferenceSession:
    """A `protocols.session.Session` with such a server."""

    def __init__(
        self,
        address: HttpAddress,
        settings: OpenInferenceSettings,
        workload: Workload,
        encoding: Encoding | None = None,
    ) -> None:
        """Visit the server, and send one request of each kind on trial.

        Tensors are in this `encoding`; None: binary, or JSON where the server takes no other.
        ServerError, in the server's words, where a request is refused; ConfigError where the model
        has no output of a name that is given.
        """
        self._address = address
        self._settings = settings
        kinds, version = workload.kinds, settings.model_version
        with HttpClient(address, settings.patience_s) as client:
            server = _server(client)
            extensions = server.get("extensions") or []
            takes_binary = any(name in extensions for name in BINARY_EXTENSIONS)
            models = [
                ask_model(client, kind.model, version, inputs_are_given=True) for kind in kinds
            ]
            wanted = [
                _Wanted(
                    kind,
                    _outputs(settings.outputs, model),
                    () if workload.has_references else model.outputs,
                )
                for kind, model in zip(kinds, models, strict=True)
            ]
            client.be_patient(max(REPLY_TIMEOUT_S, settings.patience_s))  # a model may be compiled
            visit = _Visit(client, address, version, wanted)
            trials = visit.find_encoding(encoding, takes_binary)
            peer = client.peer
            closes_each = client.is_closed_by_server()
        self._trials = trials
        self._texts: dict[tuple[int, int], list[bytes]] = {}
        self.encoding = trials[0].request.encoding
        self.facts: Mapping[str, str | None] = {
            "Llhttp": LLHTTP_VERSION,
            "Encoding": self.encoding,
            # Why it is JSON, where that was not asked for.
            **({"BinaryRefused": visit.binary_refused} if self.encoding is Encoding.JSON else {}),
        }
        self._has_statistics = EXTENSION in extensions
        self._models = list(dict.fromkeys(kind.model for kind in kinds))
        self.record = ServerRecord(
            server=ServerFacts(
                kind=str(server.get("name", "unknown")),
                version=str(server.get("version", "unknown")),
                address=str(address),
            ),
            peer=peer,
            config={"extensions": ", ".join(map(str, extensions))} if extensions else None,
            model_digests=[None],
            outputs=[_output(one.plan) for one in trials],
        )
        tls = native_tls(address.tls, address.host)
        self.endpoint = Endpoint(peer, address.port, tls=tls, closes_each=closes_each)

    def label(self, model: str) -> str:
        """Names a model and how it is run."""
        return f"Open Inference Query - {model} :infer"

    def texts(self, kind: int, worker: int, tensors_bytes: int) -> list[bytes]:
        """Return the same for every worker."""
        del worker
        key = (kind, tensors_bytes)
        if key not in self._texts:
            self._texts[key] = self._trials[kind].request.texts(self._address, tensors_bytes)
        return self._texts[key]

    def parts(self, kind: int, tensors: Sequence[bytes]) -> list[bytes]:
        """Return all that follows what is the same in every request with strings."""
        return [self._trials[kind].request.string_part(tensors)]

    def plan(self, kind: int) -> HttpPlan:
        """Return the trial's reply, with which others are compared."""
        return self._trials[kind].plan

    def watch(self, process: Reader | None) -> StatisticsWatch:
        """Return a watch of the models' statistics, if the server has them, as Triton does.

        Beside them it reads the server's processes, or where they are not known its Prometheus
        metrics; ServerError where it has none at `metrics_url`.
        """
        of = self._models, self._settings.model_version
        beside = process or self._metrics_reader(*of)
        readers: list[Reader] = [beside] if beside else []
        if self._has_statistics:
            readers.insert(0, TritonReader(self._address, *of))
        return ServerWatch(readers, self._address.authority) if readers else NoStatistics()

    def _metrics_reader(self, models: Sequence[str], version: str | None) -> MetricsReader | None:
        given = metrics_address(self._settings)
        if given is not None:
            return given_reader(given, models, version)
        return found_reader(self._address, self.record.server.kind, models, version)

    def leave(self, patience_s: float) -> None:
        """Nothing was left."""
        del patience_s


class _Visit:
    """The requests on trial."""

    def __init__(
        self,
        client: HttpClient,
        address: HttpAddress,
        version: str | None,
        wanted: Sequence[_Wanted],
    ) -> None:
        self._client = client
        self._address = address
        self._version = version
        self._wanted = wanted
        self.binary_refused: str | None = None

    def find_encoding(self, asked: Encoding | None, takes_binary: bool) -> list[_Trial]:
        """Try all kinds in the encoding that was asked for, or in binary and then as JSON.

        `takes_binary`: the server says so; of a request that fails in both, its words about
        binary are raised.
        """
        if asked is not None:
            return self._try(asked)
        try:
            return self._try(Encoding.BINARY)
        except _Busy:
            raise
        except ServerError as refused:
            self._client.close()  # what could not be read may have spoilt the connection
            try:
                trials = self._try(Encoding.JSON)
            except ConfigError:
                raise refused from None
            except ServerError as also:
                raise (refused if takes_binary else also) from None
            self.binary_refused = str(refused)
            return trials

    def _try(self, encoding: Encoding) -> list[_Trial]:
        return [self._try_one(wanted, encoding) for wanted in self._wanted]

    def _try_one(self, wanted: _Wanted, encoding: Encoding) -> _Trial:
        model = wanted.kind.model
        path = model_path(model, self._version) + "/infer"
        request = InferRequest(path, wanted.kind, wanted.outputs, encoding)
        whole = request.trial(self._address)
        reply = self._client.exchange(whole, f"POST {path}", MAX_TRIAL_BYTES)
        try:
            plan = plan_of(
                self._address, path, reply, model, wanted.metadata, wanted.kind.batch_size
            )
            return _Trial(request, plan)
        except ServerError as error:
            if reply.status in BUSY:
                raise _Busy(str(error)) from error
            raise


class _Busy(ServerError):
    """The server was busy, which says nothing about encodings."""


def _server(client: HttpClient) -> Mapping[str, Any]:
    """Return the server's metadata; empty if it has none."""
    try:
        return client.ask_json("/v2", "the server")
    except Refused as error:
        if error.status in NO_SUCH_PATH:
            return {}
        raise


def _outputs(given: Sequence[str], model: ModelMetadata) -> list[str]:
    """Return the names of the outputs to ask for; none: all that the server answers."""
    if model.outputs is None:
        return list(given)
    names = [one.name for one in model.outputs]
    for name in given:
        if name not in names:
            raise ConfigError(
                f"`outputs` {name}: the model {model.name} has the outputs {', '.join(names)}"
            )
    return list(given or names)


def _output(plan: HttpPlan) -> Output:
    first = plan.outputs[0]
    return Output(
        first.dtype,
        first.output_bytes,
        sum(one.output_bytes for one in plan.outputs),
        any_length=plan.open_bytes > 0,
    )
