"""HTTP endpoints as a run knows them before it visits one."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import HttpAddress, http_address
from aibench_fast.protocols.anyhttp.settings import AnyHttpSettings
from aibench_fast.protocols.protocol import KindSpec, ServerProtocol

if TYPE_CHECKING:
    from aibench_fast.protocols.session import Servers, Session, Workload


class AnyHttp(ServerProtocol):
    """Any endpoint that speaks HTTP, on one server or several."""

    name = "an HTTP endpoint"
    schemes = ("http", "https")
    settings_type = AnyHttpSettings
    _settings: AnyHttpSettings

    @property
    def addresses(self) -> Sequence[HttpAddress]:
        """Return the servers of the URLs, without paths; ConfigError where one is wrong."""
        return [
            http_address(
                urlunsplit((parts.scheme, parts.netloc, "", "", parts.fragment)),
                self._settings.headers,
                self._settings.tls,
            )
            for parts in map(urlsplit, self._urls)
        ]

    @property
    def targets(self) -> Sequence[str]:
        """Return what each server is asked for: the path of its URL, and the query."""
        return [target_of(url) for url in self._urls]

    @property
    def _urls(self) -> Sequence[str]:
        return [str(url) for url in (self._settings.url, *self._settings.others)]

    def check(self, kinds: Sequence[KindSpec]) -> None:
        """ConfigError where a setting is wrong, or requests are batches."""
        self._settings.check_requests()
        _ = self.addresses  # a wrong one shows
        if any(kind.batch_size != 1 for kind in kinds):
            raise ConfigError("`batch_size` with `body`: a body is sent alone")
        named = [name for name, _ in self._settings.headers if name.lower() == "content-type"]
        if named and self._settings.content_type is not None:
            raise ConfigError(f"`headers` {named[0]} with `content_type`: give one of them")

    @property
    def body(self) -> Mapping[str, Any]:
        """Return the bodies' file or folder, and whether their type is JSON, or a form of it."""
        headers = {name.lower(): value for name, value in self._settings.headers}
        sent = headers.get("content-type", self._settings.body_type or "")
        name = sent.partition(";")[0].strip().lower()
        is_json = name == "application/json" or name.endswith("+json")
        return {"file": self._settings.body, "is_json": is_json}

    def find_servers(self) -> "Servers[Session]":
        """Return the servers of the URLs."""
        from aibench_fast.protocols.session import Servers

        places = zip(self.addresses, self.targets, strict=True)
        return Servers([partial(self._visit, *place) for place in places])

    def _visit(self, address: HttpAddress, target: str, workload: "Workload") -> "Session":
        from aibench_fast.protocols.anyhttp.session import AnyHttpSession

        return AnyHttpSession(self._settings, address, target, workload)


def target_of(url: str) -> str:
    """Return a URL's path and query, as a request line has them."""
    parts = urlsplit(url)
    return urlunsplit(("", "", parts.path or "/", parts.query, ""))
