"""TLS as it is asked for: whom to trust, and as whom to come."""

from dataclasses import dataclass, replace
from pathlib import Path

from aibench_fast.errors import ConfigError


@dataclass(frozen=True)
class TlsSettings:
    """How TLS is spoken; without settings against the certificates that the system trusts."""

    ca_file: Path | None = None
    """PEM: trust these certificates instead of the system's."""
    certificate: Path | None = None
    """PEM: our own, with its chain, for a server that asks for one."""
    key: Path | None = None
    """PEM, of the certificate; not encrypted."""
    server_name: str | None = None
    """What the server's certificate has to be for; None: the host that is connected to."""
    insecure: bool = False
    """Take any certificate."""

    def named(self, name: str) -> "TlsSettings":
        """The same for a server whose certificate is for `name`, if nothing else was said."""
        return replace(self, server_name=self.server_name or name)

    def __post_init__(self) -> None:
        """Check what can be checked without a server; ConfigError where it cannot be used."""
        if self.key is not None and self.certificate is None:
            raise ConfigError(f"`key` {self.key} without `certificate`: give the certificate too")
        if self.certificate is not None and self.key is None:
            raise ConfigError(f"`certificate` {self.certificate} without `key`: give its key too")
        if self.insecure and self.ca_file:
            raise ConfigError("`insecure` with `ca_file`: it checks nothing; give one of them")
