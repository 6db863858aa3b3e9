"""Where a server listens, and as whom to log in."""

from dataclasses import dataclass, field
from pathlib import Path


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
