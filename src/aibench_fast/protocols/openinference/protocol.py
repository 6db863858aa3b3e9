"""The Open Inference Protocol as a run knows it before it visits a server."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from aibench_fast.errors import ConfigError, shown_url
from aibench_fast.protocols.address import HttpAddress, grpc_address, http_address, url_parts
from aibench_fast.protocols.openinference.settings import (
    GrpcSettings,
    HttpSettings,
    OpenInferenceSettings,
    SharedMemory,
    metrics_address,
)
from aibench_fast.protocols.protocol import AnyKind, KindSpec, ServerProtocol
from aibench_fast.protocols.settings import Encoding

if TYPE_CHECKING:
    from aibench_fast.protocols.openinference.client import Connect
    from aibench_fast.protocols.session import Servers, Session
    from aibench_fast.protocols.statistics import ServerReading


class OpenInference(ServerProtocol):
    """The Open Inference Protocol, for one server or several; a subclass has the transport."""

    describes_inputs = True
    _address: ClassVar[Callable[..., HttpAddress]]
    """Reads a URL of the transport's schemes; ConfigError."""

    _settings: OpenInferenceSettings

    @property
    def _encoding(self) -> Encoding | None:
        """Return how tensors are sent; None: as the first server takes them."""
        return None

    @property
    def addresses(self) -> Sequence[HttpAddress]:
        """Return the servers of the URLs; ConfigError where one is wrong."""
        urls = [str(self._settings.url), *map(str, self._settings.others)]
        for url in urls:
            if url_parts(url).scheme not in self.schemes:
                raise ConfigError(
                    f"`url` {shown_url(urls[0])} and {shown_url(url)} in one run: it speaks one "
                    "protocol"
                )
        return [self._address(url, self._settings.headers, self._settings.tls) for url in urls]

    def check(self, kinds: Sequence[KindSpec]) -> None:
        """ConfigError where a URL or a header is wrong."""
        del kinds  # the server knows which it takes
        (first, *others) = self.addresses  # a wrong one shows
        if metrics_address(self._settings, first) and others:
            raise ConfigError("`metrics_url` with several servers: each has its own")

    def resolved(self, kinds: Sequence[AnyKind]) -> Sequence[AnyKind]:
        """Return the kinds as the first server describes them; ServerError and ConfigError."""
        from aibench_fast.protocols.openinference.model import resolved

        settings = self._settings
        with self._connect(self.addresses[0], settings.patience_s) as client:
            return resolved(client, settings.model_version, kinds)

    def find_servers(self) -> "Servers[Session]":
        """Return the servers of the URLs."""
        from aibench_fast.protocols.openinference.session import OpenInferenceServers

        return OpenInferenceServers(self._connect, self.addresses, self._settings, self._encoding)

    def read_statistics(self, model: str) -> "ServerReading":
        """Return a model's counters of the first server; ServerError where it has none."""
        from aibench_fast.protocols.openinference.statistics import read_now

        return read_now(self._connect, self.addresses[0], self._settings, model)

    @property
    @abstractmethod
    def _connect(self) -> "Connect":
        """Return what connects to a server."""


class OpenInferenceOverHttp(OpenInference):
    """The protocol over HTTP."""

    name = "the Open Inference Protocol over HTTP"
    schemes = ("http", "https")
    settings_type = HttpSettings
    has_json = True
    _address = staticmethod(http_address)
    _settings: HttpSettings

    @property
    def _encoding(self) -> Encoding | None:
        return Encoding.BINARY if self._settings.shared_memory else self._settings.encoding

    def check(self, kinds: Sequence[KindSpec]) -> None:
        """As `OpenInference.check`, and ConfigError where JSON would have to be in memory."""
        super().check(kinds)
        if self._settings.shared_memory and self._settings.encoding is Encoding.JSON:
            raise ConfigError("`encoding` json with `shared_memory`: values are as in memory there")

    @property
    def _connect(self) -> "Connect":
        from aibench_fast.protocols.openinference.http.inference import HttpInference

        return HttpInference


class OpenInferenceOverGrpc(OpenInference):
    """The protocol over gRPC."""

    name = "the Open Inference Protocol over gRPC"
    schemes = ("grpc", "grpcs")
    settings_type = GrpcSettings
    has_pipelines = True
    _address = staticmethod(grpc_address)
    _settings: GrpcSettings

    def __init__(self, settings: GrpcSettings) -> None:
        """With the settings of a run."""
        super().__init__(settings)
        if settings.shared_memory is SharedMemory.ALL:  # a worker has one place for outputs
            self.has_pipelines = False
            self.name = f"{self.name} with `shared_memory` all"

    @property
    def _connect(self) -> "Connect":
        from aibench_fast.protocols.openinference.grpc.client import GrpcClient

        return partial(GrpcClient, streams=self._settings.stream)
