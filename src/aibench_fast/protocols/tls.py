"""The settings of TLS: whom to trust, and the client's own certificate."""

from dataclasses import dataclass, replace
from pathlib import Path

from aibench_fast.errors import ConfigError


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
