"""The settings of a run that the Open Inference Protocol alone has."""

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum

from aibench_fast.protocols.address import HttpAddress, http_address
from aibench_fast.protocols.settings import Encoding, ServerSettings


class SharedMemory(StrEnum):
    """The tensors in shared memory."""

    INPUTS = "inputs"
    ALL = "all"
    """Outputs too."""


@dataclass(frozen=True, kw_only=True)
class OpenInferenceSettings(ServerSettings):
    """How requests are sent to a server of the Open Inference Protocol."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Headers, over gRPC metadata, of every request beside the protocol's own; they may be
    secret."""
    metrics_url: str | None = None
    """Where the server has its Prometheus metrics; None: looked for where such servers have
    them."""
    model_version: str | None = None
    """None: the server's choice."""
    shared_memory: SharedMemory | None = None
    """The tensors that servers on this machine map, so that requests only name them."""


@dataclass(frozen=True, kw_only=True)
class GrpcSettings(OpenInferenceSettings):
    """The same over gRPC."""

    stream: bool = False
    """Whether all requests of a connection are messages of one call, Triton's ModelStreamInfer."""


@dataclass(frozen=True, kw_only=True)
class HttpSettings(OpenInferenceSettings):
    """The same over HTTP."""

    encoding: Encoding | None = None
    """How tensors are sent; None: binary, or JSON where the server takes no other."""


def metrics_address(settings: OpenInferenceSettings, server: HttpAddress) -> HttpAddress | None:
    """Return the address of `metrics_url`; ConfigError where it is wrong.

    Headers are the server's alone, and may be secret: another address gets none.
    """
    if settings.metrics_url is None:
        return None
    tls = settings.tls if settings.metrics_url.startswith("https:") else None
    address = http_address(settings.metrics_url, tls=tls, setting="metrics_url")
    is_the_same = address.authority == server.authority
    return dataclasses.replace(address, headers=server.headers) if is_the_same else address
