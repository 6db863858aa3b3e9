"""The servers that a run loads, as options and tables name them."""

from collections.abc import Sequence
from dataclasses import dataclass

from aibench_fast.cli.options.server import ServerOptions
from aibench_fast.errors import ConfigError
from aibench_fast.studies.servers import check_protocol


@dataclass(frozen=True, kw_only=True)
class LoadedServers(ServerOptions):
    """The server of a run, by its options or by a [[server]] table of a sweep."""

    embedded: str | None
    protocol: str | None
    """Of an embedded Triton."""
    model: str
    model_version: str | None
    header: Sequence[str]
    metrics_url: str | None
    cluster_mode: bool
    all_addresses: bool

    def check(self) -> None:
        """ConfigError if an embedded server is combined with an address, or lacks the protocol."""
        check_protocol("--", self.embedded, self.protocol)
        if not self.embedded:
            return
        if self.is_address_given or self.urls or self.metrics_url or self.tls_settings():
            raise ConfigError(
                "--embedded starts its own server: leave out --host, --port, --socket, --url, "
                "--metrics-url, --tls"
            )
        if self.cluster_mode or self.all_addresses:
            raise ConfigError(
                "--embedded starts one server: leave out --cluster-mode, --all-addresses"
            )
