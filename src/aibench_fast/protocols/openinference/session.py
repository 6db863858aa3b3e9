"""The session with a server of the Open Inference Protocol, before and after a run."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial

from aibench_fast.coretypes import GrpcPlan, HttpPlan
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import (
    REPLY_TIMEOUT_S,
    Client,
    Connect,
    Wanted,
    Written,
)
from aibench_fast.protocols.openinference.model import ModelMetadata, ask_model
from aibench_fast.protocols.openinference.settings import OpenInferenceSettings, SharedMemory
from aibench_fast.protocols.openinference.sharedmemory import Region, SharedOutputs, SharedTensors
from aibench_fast.protocols.openinference.statistics import extensions_of, readers
from aibench_fast.protocols.session import (
    HURRY_S,
    Output,
    ServerRecord,
    Servers,
    Session,
    Workload,
)
from aibench_fast.protocols.settings import Encoding
from aibench_fast.protocols.statistics import Reader, ServerWatch
from aibench_fast.results.groups import ServerFacts

_LEAST_PATIENCE_S = 1.0
"""For a server to forget shared memory, also if someone waits for the end: nobody else frees it."""


class OpenInferenceSession(Session):
    """The session with such a server."""

    def __init__(
        self,
        connect: Connect,
        address: HttpAddress,
        settings: OpenInferenceSettings,
        workload: Workload,
        encoding: Encoding | None = None,
        shared: SharedTensors | None = None,
    ) -> None:
        """Visit the server, and send one request of each kind on trial.

        Tensors are in this `encoding`, None: as the server takes them; or it maps those that are
        `shared`. ServerError, in the server's words, where a request is refused; ConfigError where
        the model has no output of a name that is given, or shared memory has no room.
        """
        self._connect = connect
        self._address = address
        self._settings = settings
        self._shared = shared
        self._shared_outputs: SharedOutputs | None = None
        kinds, version = workload.kinds, settings.model_version
        try:
            with connect(address, settings.patience_s) as client:
                server = self._server = client.server()
                extensions = extensions_of(server)
                models = [
                    ask_model(client, kind.model, version, inputs_are_given=True) for kind in kinds
                ]
                if shared:
                    shared.offer(client, address, workload, extensions)
                self._wanted = [
                    Wanted(
                        kind,
                        version,
                        _outputs(settings.outputs, model),
                        () if workload.has_references else model.outputs,
                        partial(shared.places, number) if shared else None,
                    )
                    for number, (kind, model) in enumerate(zip(kinds, models, strict=True))
                ]
                # A model may be compiled.
                client.timeout_s = max(REPLY_TIMEOUT_S, settings.patience_s)
                self._trials = client.try_requests(self._wanted, encoding, extensions)
                if shared and settings.shared_memory is SharedMemory.ALL:
                    self._offer_outputs(client, workload.workers)
                    self._trials = client.try_requests(self._wanted, encoding, extensions)
                self.encoding, self.facts = client.encoding, client.facts
                self.endpoint = client.endpoint()
                self._infers = client.infers
        except BaseException:
            self.leave(HURRY_S)
            raise
        if self.regions:
            self.facts = {
                **self.facts,
                "SharedMemory": settings.shared_memory,
                "SharedMemoryBytes": sum(region.size_bytes for region in self.regions),
            }
        self._texts = cache(self._make_texts)
        self.record = ServerRecord(
            server=ServerFacts(
                kind=str(server.get("name", "unknown")),
                version=str(server.get("version", "unknown")),
                address=str(address),
            ),
            config={"extensions": ", ".join(extensions)} if extensions else None,
            outputs=[_output(one.plan) for one in self._trials],
        )

    def label(self, model: str) -> str:
        """Names a model and how it is run."""
        return f"Open Inference Query - {model} :{self._infers}"

    @property
    def regions(self) -> list[Region]:
        """Return the shared memory that the server may have mapped."""
        return [one.region for one in (self._shared, self._shared_outputs) if one and one.region]

    def _offer_outputs(self, client: Client, workers: Sequence[int]) -> None:
        """Have the server map memory for its outputs, whose sizes the trials say."""
        each = [one.plan.outputs for one in self._trials]
        self._shared_outputs = shared = SharedOutputs(each, workers)
        shared.offer(client)
        self._wanted = [
            one._replace(
                written=Written(outputs, partial(shared.places, number)), worker=workers[0]
            )
            for number, (one, outputs) in enumerate(zip(self._wanted, each, strict=True))
        ]

    def texts(self, kind: int, worker: int, tensors_bytes: int) -> list[bytes]:
        """Return the same for every worker, unless each has a place for outputs."""
        return self._texts(kind, worker if self._shared_outputs else 0, tensors_bytes)

    def _make_texts(self, kind: int, worker: int, tensors_bytes: int) -> list[bytes]:
        return self._trials[kind].request.texts(self._address, worker, tensors_bytes)

    def written(self, worker: int) -> memoryview | None:
        """Return a worker's place for outputs in shared memory."""
        return self._shared_outputs.written(worker) if self._shared_outputs else None

    def formats(self, kind: int) -> bool:
        """Return whether a kind has strings, or its tensors are in shared memory."""
        return self._wanted[kind].is_formatted

    def parts(self, kind: int, number: int) -> list[bytes]:
        """Return all that differs from one request to the next."""
        return [self._trials[kind].request.part(number)]

    def plan(self, kind: int) -> HttpPlan | GrpcPlan:
        """Return the trial's reply, with which others are compared."""
        return self._trials[kind].plan

    def watch(self, process: Reader | None) -> ServerWatch:
        """Return a watch of what the server's readers read; ServerError as of `readers`."""
        models = list(dict.fromkeys(one.kind.model for one in self._wanted))
        found = readers(self._connect, self._address, self._settings, models, self._server, process)
        return ServerWatch(found, self._address.authority)

    def leave(self, patience_s: float) -> None:
        """Have the server forget shared memory."""
        regions = self.regions
        for region in regions:
            region.close()
        if regions:
            patience_s = max(patience_s, _LEAST_PATIENCE_S)
            with suppress(ServerError), self._connect(self._address, patience_s) as client:
                for region in regions:
                    client.unregister_region(region.name)


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


def _output(plan: HttpPlan | GrpcPlan) -> Output:
    first = plan.outputs[0]
    return Output(
        first.dtype,
        first.output_bytes,
        sum(one.output_bytes for one in plan.outputs),
        any_length=plan.open_bytes > 0,
    )


class OpenInferenceServers(Servers[OpenInferenceSession]):
    """The servers of URLs."""

    def __init__(
        self,
        connect: Connect,
        addresses: Sequence[HttpAddress],
        settings: OpenInferenceSettings,
        encoding: Encoding | None,
    ) -> None:
        """Tensors are sent in this `encoding`; None: as the first one takes them."""
        super().__init__([partial(self._visit, one) for one in addresses])
        self._connect, self._settings, self._encoding = connect, settings, encoding
        self._shared = SharedTensors() if settings.shared_memory else None

    def _visit(self, address: HttpAddress, workload: Workload) -> OpenInferenceSession:
        session = OpenInferenceSession(
            self._connect, address, self._settings, workload, self._encoding, self._shared
        )
        self._encoding = session.encoding
        if len(self.sessions) == self.count - 1:
            for region in session.regions:
                region.unlink()  # if this process is killed, nothing is left outside the servers
        return session
