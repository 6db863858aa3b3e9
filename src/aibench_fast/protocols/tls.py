"""TLS as a server is asked for it: whom to trust, as whom to come, and what went wrong in words."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from aibench_fast._core import Tls
from aibench_fast.errors import ConfigError, ServerError

_EXPIRED = 10
_WRONG_NAMES = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
_CERTIFICATE_WANTED = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")


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

    def __post_init__(self) -> None:
        """Check what can be checked without a server; ConfigError where it cannot be used."""
        if self.key is not None and self.certificate is None:
            raise ConfigError(f"--key {self.key} without --cert: give the certificate too")
        if self.certificate is not None and self.key is None:
            raise ConfigError(f"--cert {self.certificate} without --key: give its key too")
        if self.insecure and (self.ca_file or self.server_name):
            given = "--cacert" if self.ca_file else "--tls-server-name"
            raise ConfigError(f"--insecure with {given}: it checks nothing; give one of them")
        self._context()

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca_file:
            _read("--cacert", self.ca_file)
            try:
                context.load_verify_locations(self.ca_file)
            except ssl.SSLError as error:
                raise ConfigError(
                    f"--cacert {self.ca_file}: there are no certificates in it, as PEM"
                ) from error
        else:
            context.load_default_certs()
        if self.certificate and self.key:
            _read("--cert", self.certificate)
            _read("--key", self.key)
            try:
                context.load_cert_chain(self.certificate, self.key, password=_encrypted)
            except (ssl.SSLError, _EncryptedKey) as error:
                raise ConfigError(
                    f"--cert {self.certificate}, --key {self.key}: {_why_no_pair(error)}"
                ) from error
        return context

    def wrapped(self, connection: socket.socket, host: str) -> ssl.SSLSocket:
        """Shake hands over a connection, within its time-out; OSError as `explained` tells."""
        return self._context().wrap_socket(
            connection, server_hostname=self.server_name or host, suppress_ragged_eofs=False
        )

    def native(self, host: str) -> Tls:
        """The same for the load generator; ConfigError where this build has no TLS."""
        system = ssl.get_default_verify_paths()
        is_system = self.ca_file is None and not self.insecure
        return Tls(
            ca_file=system.cafile if is_system else self.ca_file,
            ca_folder=system.capath if is_system else None,
            certificate=self.certificate,
            key=self.key,
            server_name=self.server_name or host,
            insecure=self.insecure,
        )


class _EncryptedKey(Exception):
    """A key that wants a passphrase, which nobody is there to be asked for."""


def _encrypted() -> bytes:
    raise _EncryptedKey


def _read(option: str, file: Path) -> None:
    try:
        file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{option} {file}: {error.strerror}") from error


def _why_no_pair(error: Exception) -> str:
    if isinstance(error, _EncryptedKey):
        return "the key is encrypted; write it without a passphrase, readable by you alone"
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return "the key is another certificate's"
    return "they are no certificate and its key, as PEM"


def not_spoken(address: object) -> str:
    """What to tell of a server that speaks without TLS."""
    return f"no TLS with {address}: what answers there speaks none; leave it out, or correct the port"


def explained(address: object, error: ssl.SSLError | TimeoutError, name: str) -> ServerError:
    """What a handshake that failed tells, and what to do; `name` is what was asked for."""
    where = f"no TLS with {address}"
    if isinstance(error, TimeoutError):
        return ServerError(
            f"{where}: nothing within the time allowed; does it speak TLS on that port?"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        words = error.verify_message
        if error.verify_code == _EXPIRED:
            return ServerError(f"{where}: the server's certificate has expired; renew it")
        if error.verify_code in _WRONG_NAMES:
            return ServerError(
                f"{where}: the server's certificate is not for {name}; connect by a name that it "
                "is for, or give --tls-server-name"
            )
        return ServerError(
            f"{where}: the server's certificate is not trusted ({words}); give its authority's by "
            "--cacert"
        )
    reason = error.reason or ""
    if any(one in reason for one in _NOT_TLS):
        return ServerError(not_spoken(address))
    if any(one in reason for one in _CERTIFICATE_WANTED):
        return ServerError(
            f"{where}: the server wants a certificate of ours that it trusts; give --cert and --key"
        )
    words = reason.replace("_", " ").lower() or str(error)
    return ServerError(f"{where}: {words}")


def speaks_tls(host: str, port: int, timeout_s: float) -> bool:
    """Whether a server that did not answer as it should does so by TLS."""
    any_server = TlsSettings(insecure=True)
    try:
        with (
            socket.create_connection((host, port), timeout_s) as plain,
            any_server.wrapped(plain, host),
        ):
            return True
    except ssl.SSLError as error:
        return any(one in (error.reason or "") for one in _CERTIFICATE_WANTED)
    except OSError:
        return False
