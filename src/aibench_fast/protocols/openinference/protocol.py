"""The Open Inference Protocol over HTTP as a run knows it before it visits a server."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import HTTP_PORTS, HttpAddress, all_addresses
from aibench_fast.protocols.openinference.settings import (
    OpenInferenceSettings,
    metrics_address,
    server_addresses,
)
from aibench_fast.protocols.protocol import InputSpec, KindSpec, ServerProtocol

if TYPE_CHECKING:
    from aibench_fast.protocols.servers import FoundServers


class OpenInference(ServerProtocol):
    """The Open Inference Protocol over HTTP, for one server or several."""

    name = "the Open Inference Protocol"
    schemes = tuple(HTTP_PORTS)
    settings_type = OpenInferenceSettings
    has_json = True
    describes_inputs = True

    def __init__(self, settings: OpenInferenceSettings) -> None:
        """With the settings of a run."""
        self._settings = settings

    @property
    def addresses(self) -> list[HttpAddress]:
        """Return the servers of the URLs; ConfigError where one is wrong."""
        return server_addresses(self._settings)

    def check(self, kinds: Sequence[KindSpec]) -> None:
        """ConfigError where a URL or a header is wrong."""
        del kinds  # the server knows which it takes
        _ = self.addresses  # a wrong one shows
        if metrics_address(self._settings) and self._settings.others:
            raise ConfigError("`metrics_url` with several servers: each has its own")

    def with_all_addresses(self) -> Mapping[str, Any]:
        """Return the URLs of all addresses of each server."""
        servers = self.addresses
        first, *others = [url for one in servers for url in _urls(one)]
        tls = self._settings.tls
        if len(servers) == 1 and servers[0].tls:
            tls = servers[0].tls.named(servers[0].host)
        return {"url": first, "others": tuple(others), "tls": tls}

    def model_inputs(self, kinds: Sequence[KindSpec]) -> list[Sequence[InputSpec]]:
        """Return the inputs as the first server describes them; ServerError and ConfigError."""
        from aibench_fast.protocols.openinference.modelinputs import model_inputs

        return model_inputs(self._settings, kinds)

    def find_servers(self) -> "FoundServers":
        """Return the servers of the URLs."""
        from aibench_fast.protocols.openinference.servers import OpenInferenceServers

        return OpenInferenceServers(self._settings)


def _urls(address: HttpAddress) -> list[str]:
    hosts = all_addresses(address.host, address.port)
    return [str(dataclasses.replace(address, host=host)) for host in hosts]
