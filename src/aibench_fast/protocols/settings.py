"""The settings of a run that every protocol reads, and how tensors are encoded."""

from dataclasses import dataclass, field
from enum import StrEnum

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import ServerAddress, TlsSettings
from aibench_fast.units import Range, bounds, described_range

MAX_COUNT = 2**62
LEAST_PATIENCE_S = 10.0
"""For questions before the run, which may find the server busy."""


class Encoding(StrEnum):
    """How the values of a tensor are written in a request."""

    BINARY = "binary"
    """As they are in memory."""
    JSON = "json"
    """As decimal numbers, which every server of the Open Inference Protocol takes."""


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where the servers are, and which outputs to fetch."""

    address: ServerAddress = field(default_factory=ServerAddress)
    url: str | None = None
    """Of a server of the Open Inference Protocol, such as http://localhost:8000 or
    grpc://localhost:8001; it wins over `address`."""
    others: tuple[ServerAddress | str, ...] = ()
    """Further servers: URLs with a `url`, addresses otherwise. Workers are spread evenly over all,
    and there is at least one for each."""
    all_addresses: bool = False
    """A name that stands for several addresses is that many servers."""
    tls: TlsSettings | None = None
    """With a `url` of https or grpcs; None stands for the usual settings. RedisAI's are in
    `address`."""
    outputs: tuple[str, ...] = ()
    """The outputs to fetch, by name, or for RedisAI also by number from 1; empty: all."""
    reply_timeout_s: float = 90.0
    """How long the client waits for a request's last reply."""

    @property
    def patience_s(self) -> float:
        """Return how long to wait for each reply before the run, but for trial requests, in s."""
        return max(LEAST_PATIENCE_S, self.reply_timeout_s)


def check_within(setting: str, value: float, least: float, most: float) -> None:
    """ConfigError where a setting is not from `least` to `most`."""
    if not least <= value <= most:
        raise ConfigError(f"`{setting}` {value}: it has to be from {least} to {most}")


def check_range(setting: str, value: Range, most: int) -> None:
    """ConfigError where a number or range of a setting is not from 1 to `most`, or upside down."""
    low, high = bounds(value)
    if not 1 <= low <= high <= most:
        raise ConfigError(
            f"{setting} {described_range(value)}: it has to be a number from 1 to {most}, or a "
            "range of such, the smaller one first"
        )
