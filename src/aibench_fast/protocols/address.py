"""Where a server listens, and as whom to log in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from aibench_fast.errors import ConfigError


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

    def __str__(self) -> str:
        """Return the address as a person would write it."""
        return str(self.socket) if self.socket else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class HttpAddress:
    """Where a server listens for HTTP."""

    host: str
    port: int
    path: str = ""
    """Before the paths of the protocol, without a slash at its end."""
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    """Sent with every request; they may be secret."""

    @property
    def authority(self) -> str:
        """Host and port, as a request names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        """Return the address as a person would write it."""
        return f"http://{self.authority}{self.path}"


def http_address(
    url: str, headers: Sequence[tuple[str, str]] = (), option: str = "--url"
) -> HttpAddress:
    """Read `http://HOST:PORT`, with a path or none; ConfigError where it is something else."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"{option} {url}: {error}") from error
    if parts.scheme == "https":
        raise ConfigError(f"{option} {url}: TLS is not spoken yet; name a http:// address")
    if parts.scheme != "http" or not host or parts.query or parts.fragment:
        raise ConfigError(f"{option} {url}: write http://HOST:PORT, with a path behind it or none")
    if parts.username or parts.password:
        raise ConfigError(f"{option} with a user or a password: give --header instead, from a file")
    for name, value in headers:
        if not name or any(character in name + value for character in "\r\n\0"):
            raise ConfigError(f"--header {name}: a header is a line of a name and a value")
    return HttpAddress(host, port or 80, parts.path.rstrip("/"), tuple(headers))
