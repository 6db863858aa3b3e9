"""RedisAI as a run knows it before it visits a server."""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from aibench_fast.errors import ConfigError, shown_url
from aibench_fast.protocols.address import ServerAddress, all_addresses
from aibench_fast.protocols.protocol import KindSpec, ServerProtocol
from aibench_fast.protocols.redisai.settings import RedisAiSettings
from aibench_fast.protocols.settings import MAX_COUNT, check_within
from aibench_fast.tensortype import REDISAI_DTYPES

if TYPE_CHECKING:
    from aibench_fast.protocols.redisai.session import RedisAiServers
    from aibench_fast.protocols.statistics import ServerReading


class RedisAi(ServerProtocol):
    """RedisAI's commands, for one server, several, or a cluster."""

    name = "RedisAI"
    schemes = ("redis", "rediss")
    settings_type = RedisAiSettings
    has_pipelines = True
    _settings: RedisAiSettings

    @property
    def addresses(self) -> list[ServerAddress]:
        """Return the servers that are named, of a cluster some of its nodes."""
        others = [one for one in self._settings.others if isinstance(one, ServerAddress)]
        return [self._settings.address, *others]

    def check(self, kinds: Sequence[KindSpec]) -> None:
        """ConfigError where a setting or a type is not RedisAI's, or not a cluster's."""
        settings = self._settings
        if settings.url is not None:
            raise ConfigError(f"`url` {shown_url(settings.url)}: RedisAI's is given as `address`")
        if settings.tls is not None:
            raise ConfigError("`tls` without `url`: RedisAI's is in its `address`")
        if settings.timeout_ms is not None:
            check_within("timeout_ms", settings.timeout_ms, 1, MAX_COUNT)
        for dtype in [one.dtype for kind in kinds for one in kind.inputs if not one.is_strings]:
            if dtype not in REDISAI_DTYPES:
                known = ", ".join([*REDISAI_DTYPES, "STRING"])
                raise ConfigError(f"`dtype` {dtype}: RedisAI has {known}")
        has_socket = any(one.socket for one in self.addresses)
        if settings.cluster_mode:
            from aibench_fast.protocols.redisai.cluster import check_name

            for kind in kinds:
                check_name(kind.model)
            if has_socket:
                raise ConfigError("`cluster_mode` with `socket`: a cluster's nodes have ports")
        if settings.all_addresses and (has_socket or settings.cluster_mode):
            given = "`socket`" if has_socket else "`cluster_mode`"
            raise ConfigError(f"`all_addresses` with {given}: there is no name to look up")

    def with_all_addresses(self) -> Mapping[str, Any]:
        """Return all addresses of each server."""
        first, *others = [
            dataclasses.replace(one, host=host, tls=one.tls and one.tls.named(one.host))
            for one in self.addresses
            for host in all_addresses(one.host, one.port)
        ]
        return {"address": first, "others": tuple(others)}

    def least_workers(self, kinds: Sequence[KindSpec]) -> int:
        """One, or as many as fill the batches that models wait for."""
        return self.find_servers().least_workers(kinds)

    def find_servers(self) -> "RedisAiServers":
        """Return the servers, of a cluster its primaries."""
        from aibench_fast.protocols.redisai.session import RedisAiServers

        return RedisAiServers(self.addresses, self._settings)

    def read_statistics(self, model: str) -> "ServerReading":
        """Return a model's counters and the server's; what could not be read is in the notes."""
        from aibench_fast.protocols.redisai.statistics import RedisAiReader

        with closing(RedisAiReader(self.addresses[0], [model])) as reader:
            return reader.read()
