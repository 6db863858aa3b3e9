"""Addresses of servers: where they listen, the user to log in as, and how TLS is spoken."""

import base64
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar
from urllib.parse import SplitResult, urlsplit

from aibench_fast.errors import ConfigError, ServerError, shown_url

FRAMING_HEADERS = (
    "content-encoding", "content-length", "expect", "inference-header-content-length", "te",
    "trailer", "transfer-encoding", "upgrade",
)  # fmt: skip
"""They say where a request ends or how it is encoded, or change the reply."""
_ONE_VALUE = {"accept-encoding": ("identity",), "connection": ("close", "keep-alive")}
"""Headers that may only have these values, in lower case."""
_ONCE = ("accept-encoding", "connection", "content-type", "host")
"""A request has at most one of each."""
_OF_HTTP2 = (
    "connection", "content-length", "content-type", "expect", "keep-alive", "proxy-connection",
    "te", "trailer", "transfer-encoding", "upgrade",
)  # fmt: skip
"""Headers that gRPC sets itself, or that HTTP/2 forbids."""
_IN_BASE64 = "-bin"
"""The end of the names whose values are bytes, in base64."""
_GRPC_NAME = re.compile(r"[0-9a-z_.-]+")
_MAX_METADATA, _MAX_METADATA_BYTES = 100, 30_000
"""Less than the native core's limits of all header fields; few servers allow as much."""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HTTP_PORTS = {"http": 80, "https": 443}
GRPC_SCHEMES = ("grpc", "grpcs")


@dataclass(frozen=True)
class TlsSettings:
    """How TLS is spoken; by default, the system's certificates are trusted."""

    ca_file: Path | None = None
    """PEM: trust these certificates instead of the system's."""
    certificate: Path | None = None
    """PEM: the client's certificate with its chain, for a server that asks for one."""
    key: Path | None = None
    """PEM, of the certificate; not encrypted."""
    server_name: str | None = None
    """The name in the server's certificate; None: the host that is connected to."""
    insecure: bool = False
    """Skip certificate checks."""

    def named(self, name: str) -> "TlsSettings":
        """Return the same for a server whose certificate is for `name`, unless one is given."""
        return replace(self, server_name=self.server_name or name)

    def __post_init__(self) -> None:
        """Check what can be checked without a server; ConfigError where it cannot be used."""
        if self.key is not None and self.certificate is None:
            raise ConfigError(f"`key` {self.key} without `certificate`: give the certificate too")
        if self.certificate is not None and self.key is None:
            raise ConfigError(f"`certificate` {self.certificate} without `key`: give its key too")
        if self.insecure and self.ca_file:
            raise ConfigError("`insecure` with `ca_file`: it skips the checks; give one of them")


@dataclass(frozen=True)
class ServerAddress:
    """Where a server listens: a host and a port, or a unix socket, which wins over them.

    With a password every connection logs in; without a user as the default one.
    """

    host: str = "localhost"
    port: int = 6379
    socket: Path | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: TlsSettings | None = None
    """None: without TLS."""

    def __post_init__(self) -> None:
        """Raise ConfigError for TLS over a unix socket."""
        if self.socket and self.tls:
            raise ConfigError("`tls` with `socket`: what goes over a unix socket stays on it")

    def __str__(self) -> str:
        """Return the address as a person would write it."""
        return str(self.socket) if self.socket else _authority(self.host, self.port)


@dataclass(frozen=True)
class HttpAddress:
    """Where a server listens for HTTP."""

    _schemes: ClassVar = tuple(HTTP_PORTS)
    """Without TLS, and with it."""
    host: str
    port: int
    path: str = ""
    """Before the paths of the protocol, without a slash at its end."""
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    """Sent with every request; they may be secret."""
    tls: TlsSettings | None = None
    """None: without TLS."""

    @property
    def authority(self) -> str:
        """Host and port, always both."""
        return _authority(self.host, self.port)

    @property
    def host_field(self) -> str:
        """Return the Host header: without the port if that is the scheme's own."""
        host, _, _ = self.host.partition("%")  # an IPv6 address's zone means nothing elsewhere
        host = f"[{host}]" if ":" in host else host.encode("idna").decode()
        is_usual = self.port == HTTP_PORTS.get(self._scheme)
        return host if is_usual else f"{host}:{self.port}"

    @property
    def _scheme(self) -> str:
        plain, with_tls = self._schemes
        return with_tls if self.tls else plain

    def __str__(self) -> str:
        """Return the address as a person would write it."""
        return f"{self._scheme}://{self.authority}{self.path}"


@dataclass(frozen=True)
class GrpcAddress(HttpAddress):
    """Where a server listens for gRPC; its headers are metadata, with names in lower case."""

    _schemes: ClassVar = GRPC_SCHEMES


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def all_addresses(host: str, port: int) -> list[str]:
    """Return the numeric addresses of a name, each once; ServerError if it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise ServerError(
            f"there is no host {host} ({error.strerror}); is the name right?"
        ) from error
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def url_parts(url: str, setting: str = "url") -> SplitResult:
    """Return the parts of a URL, its port a number; or ConfigError, which repeats nothing of it."""
    if _is_bare_ipv6(url):
        raise ConfigError(f"`{setting}`: an IPv6 address goes in brackets, as in http://[::1]:8080")
    try:
        parts = urlsplit(url)
        _ = parts.port  # which is read when it is asked for
    except ValueError as error:
        # What stands there may be a password that lacks its host.
        words = (
            "its port is not a number up to 65535" if "Port" in str(error) else "it is not a URL"
        )
        more = f", one address for each `{setting}`" if "," in url else ""
        raise ConfigError(f"`{setting}`: {words}; write SCHEME://HOST:PORT{more}") from None
    return parts


def _is_bare_ipv6(url: str) -> bool:
    authority = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
    return re.fullmatch(r"[0-9a-fA-F.]*:[0-9a-fA-F.]*:[0-9a-fA-F:.]*", authority) is not None


def http_address(
    url: str,
    headers: Sequence[tuple[str, str]] = (),
    tls: TlsSettings | None = None,
    setting: str = "url",
) -> HttpAddress:
    """Read a URL of http, or of https with these or the usual settings of TLS; ConfigError."""
    usual = "http://HOST:PORT or https://HOST:PORT, with a path behind it or none"
    parts, host, tls = _server_of(url, setting, tuple(HTTP_PORTS), tls, usual)
    _check_headers(headers)
    port = parts.port or HTTP_PORTS[parts.scheme]
    return HttpAddress(host, port, parts.path.rstrip("/"), tuple(headers), tls)


def grpc_address(
    url: str, headers: Sequence[tuple[str, str]] = (), tls: TlsSettings | None = None
) -> GrpcAddress:
    """Read a URL of grpc or grpcs, as `http_address`; the headers become metadata."""
    usual = "grpc://HOST:PORT or grpcs://HOST:PORT, and nothing behind it"
    parts, host, tls = _server_of(url, "url", GRPC_SCHEMES, tls, usual)
    if not parts.port or parts.path not in ("", "/"):
        raise ConfigError(f"`url` {shown_url(url)}: write {usual}")
    metadata = [(name.lower(), value) for name, value in headers]
    _check_metadata(metadata)
    return GrpcAddress(host, parts.port, headers=tuple(metadata), tls=tls)


def _server_of(
    url: str, setting: str, schemes: Sequence[str], tls: TlsSettings | None, usual: str
) -> tuple[SplitResult, str, TlsSettings | None]:
    """Return the parts of a URL of these schemes, its host, and its TLS if its scheme has any."""
    parts = url_parts(url, setting)
    host = parts.hostname
    if parts.username or parts.password:
        raise ConfigError(
            f"`{setting}` with a user or a password: give `headers` instead, from a file"
        )
    if parts.scheme not in schemes or not host or parts.query or parts.fragment:
        raise ConfigError(f"`{setting}` {shown_url(url)}: write {usual}")
    plain, with_tls = schemes
    if tls and parts.scheme == plain:
        raise ConfigError(f"`tls` with `{setting}` {shown_url(url)}: write {with_tls}://")
    try:
        host.encode("idna" if ":" not in host else "ascii")
    except UnicodeError as error:
        raise ConfigError(f"`{setting}`: {host!r} cannot be the name of a host") from error
    return parts, host, (tls or TlsSettings()) if parts.scheme == with_tls else None


def _check_headers(headers: Sequence[tuple[str, str]]) -> None:
    """Raise ConfigError if one is not a header, or would break requests."""
    names = [name.lower() for name, _ in headers]
    for name, value in headers:
        allowed = _ONE_VALUE.get(name.lower(), (value.strip().lower(),))
        if name.lower() in FRAMING_HEADERS or value.strip().lower() not in allowed:
            raise ConfigError(
                f"`headers` {name}: it changes where a request or a reply ends, or how it is "
                "encoded; leave it out"
            )
        if not _TOKEN.fullmatch(name) or not value.isascii() or not value.isprintable():
            raise ConfigError(
                f"`headers` {name!r}: a header is a line of a name and a value, of ASCII alone"
            )
        if name.lower() in _ONCE and names.count(name.lower()) > 1:
            raise ConfigError(f"`headers` {name} is given more than once: a request has one")


def _check_metadata(metadata: Sequence[tuple[str, str]]) -> None:
    """Raise ConfigError if one cannot be metadata of gRPC, in which `host` is `:authority`."""
    names = [name for name, _ in metadata]
    size_bytes = sum(len(name) + len(value) for name, value in metadata)
    if len(metadata) > _MAX_METADATA or size_bytes > _MAX_METADATA_BYTES:
        raise ConfigError(
            f"`headers`: {len(metadata)} of {size_bytes:,} bytes in all; as metadata of gRPC there "
            f"may be {_MAX_METADATA} of {_MAX_METADATA_BYTES:,} bytes"
        )
    for name, value in metadata:
        if name in _OF_HTTP2 or name.startswith((":", "grpc-")):
            raise ConfigError(f"`headers` {name}: gRPC sets it itself; leave it out")
        if not _GRPC_NAME.fullmatch(name):
            raise ConfigError(
                f"`headers` {name!r}: a name of gRPC metadata has letters, digits, _, - and . alone"
            )
        if not value.isascii() or not value.isprintable():
            raise ConfigError(
                f"`headers` {name}: a value is a line of ASCII; bytes are given in base64, under a "
                f"name that ends with {_IN_BASE64}"
            )
        if name.endswith(_IN_BASE64) and not _is_base64(value):
            raise ConfigError(f"`headers` {name}: give its bytes in base64, as {_IN_BASE64} says")
        if name in ("host", "user-agent") and names.count(name) > 1:
            raise ConfigError(f"`headers` {name} is given more than once: a request has one")


def _is_base64(value: str) -> bool:
    """Return whether a value is base64, with or without the padding at its end."""
    try:
        base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except ValueError:
        return False
    return True
