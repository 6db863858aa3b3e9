"""The Open Inference Protocol as a run knows it before it visits a server."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from aibench_fast.errors import ConfigError, shown_url
from aibench_fast.protocols.address import (
    GrpcAddress,
    HttpAddress,
    grpc_address,
    http_address,
    url_parts,
    with_all_addresses,
)
from aibench_fast.protocols.encoding import Encoding
from aibench_fast.protocols.openinference.settings import (
    GrpcSettings,
    HttpSettings,
    OpenInferenceSettings,
    SharedMemory,
    metrics_address,
)
from aibench_fast.protocols.protocol import InputSpec, KindSpec, ServerProtocol

if TYPE_CHECKING:
    from aibench_fast.protocols.openinference.client import Connect
    from aibench_fast.protocols.servers import FoundServers
    from aibench_fast.protocols.statistics import ServerReading


class OpenInference(ServerProtocol):
    """The Open Inference Protocol, for one server or several; a subclass has the transport."""

    describes_inputs = True

    def __init__(self, settings: OpenInferenceSettings, encoding: Encoding | None = None) -> None:
        """With the settings of a run, and how tensors are sent; None: as the first server does."""
        self._settings = settings
        self._encoding = encoding

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
        return [self._address(url) for url in urls]

    def check(self, kinds: Sequence[KindSpec]) -> None:
        """ConfigError where a URL or a header is wrong."""
        del kinds  # the server knows which it takes
        (first, *others) = self.addresses  # a wrong one shows
        if metrics_address(self._settings, first) and others:
            raise ConfigError("`metrics_url` with several servers: each has its own")

    def with_all_addresses(self) -> Mapping[str, Any]:
        """Return the URLs of all addresses of each server."""
        servers = self.addresses
        return with_all_addresses(servers, [""] * len(servers), self._settings.tls)

    def model_inputs(self, kinds: Sequence[KindSpec]) -> list[Sequence[InputSpec]]:
        """Return the inputs as the first server describes them; ServerError and ConfigError."""
        from aibench_fast.protocols.openinference.model import model_inputs

        settings = self._settings
        with self._connect(self.addresses[0], settings.patience_s) as client:
            return model_inputs(client, settings.model_version, kinds)

    def find_servers(self) -> "FoundServers":
        """Return the servers of the URLs."""
        from aibench_fast.protocols.openinference.session import OpenInferenceServers

        return OpenInferenceServers(self._connect, self.addresses, self._settings, self._encoding)

    def read_statistics(self, model: str) -> "ServerReading":
        """Return a model's counters of the first server; ServerError where it has none."""
        from aibench_fast.protocols.openinference.statistics import read_now

        return read_now(self._connect, self.addresses[0], self._settings, model)

    @abstractmethod
    def _address(self, url: str) -> HttpAddress:
        """Return the address of a URL of the transport's schemes; ConfigError."""

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

    def __init__(self, settings: HttpSettings) -> None:
        """With the settings of a run."""
        super().__init__(settings, Encoding.BINARY if settings.shared_memory else settings.encoding)
        self._asked_encoding = settings.encoding

    def check(self, kinds: Sequence[KindSpec]) -> None:
        """As `OpenInference.check`, and ConfigError where JSON would have to be in memory."""
        super().check(kinds)
        if self._settings.shared_memory and self._asked_encoding is Encoding.JSON:
            raise ConfigError("`encoding` json with `shared_memory`: values are as in memory there")

    def _address(self, url: str) -> HttpAddress:
        return http_address(url, self._settings.headers, self._settings.tls)

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

    def __init__(self, settings: GrpcSettings) -> None:
        """With the settings of a run."""
        super().__init__(settings)
        self._streams = settings.stream
        if settings.shared_memory is SharedMemory.ALL:  # a worker has one place for outputs
            self.has_pipelines = False
            self.name = f"{self.name} with `shared_memory` all"

    def _address(self, url: str) -> GrpcAddress:
        return grpc_address(url, self._settings.headers, self._settings.tls)

    @property
    def _connect(self) -> "Connect":
        from aibench_fast.protocols.openinference.grpc.client import GrpcClient

        return partial(GrpcClient, streams=self._streams)
