"""Reaching a server, by TLS or without: why that fails, in words, and what answers instead."""

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.files import reading
from aibench_fast.protocols.address import GrpcAddress, HttpAddress, ServerAddress, TlsSettings

PROBE_TIMEOUT_S = 2.0
ENDS = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""The end of a connection by TLS, as an end that was said or not: Pythons differ."""
SHOWN_CHARACTERS = 100
HTTP2 = "h2"
"""Its name in TLS."""
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The first bytes of a client of HTTP/2, with empty SETTINGS."""
_FRAME_HEAD_BYTES = 9
_SETTINGS = 4
_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_EXPIRED = 10
_WRONG_NAMES = (62, 64)
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
NOT_SPOKEN = "the server does not speak TLS; connect without it, or correct the port"
_CERTIFICATE_WANTED = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE")


def connected(
    address: HttpAddress, timeout_s: float, protocols: Sequence[str] = ()
) -> socket.socket:
    """Connect, by TLS for one of these `protocols`; OSError, which `unreachable` explains."""
    if address.tls is None:
        return socket.create_connection((address.host, address.port), timeout_s)
    return by_tls(address.host, address.port, address.tls, timeout_s, protocols)


def unreachable(address: HttpAddress, error: OSError) -> ServerError:
    """Return why no connection could be made, and what to do."""
    if address.tls and isinstance(error, ssl.SSLError):
        return explained(address, error)
    return ServerError(
        f"no server answers at {address}: {reason(error)}; start one, or correct `url`"
    )


def reason(error: Exception) -> str:
    """Return an error of a connection in words."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "there is no such host"
    if isinstance(error, TimeoutError):
        return "no connection within the time allowed"
    words = " ".join(str(error).split())
    return words[:SHOWN_CHARACTERS] or type(error).__name__


def is_http2(answer: bytes) -> bool:
    """Return whether a server's first bytes are those of HTTP/2: SETTINGS of the connection."""
    return len(answer) >= _FRAME_HEAD_BYTES and answer[3] == _SETTINGS and not any(answer[5:9])


def scheme_there(address: HttpAddress) -> str | None:
    """Return the scheme of what answers at an address; None: none of the known ones."""
    at = address.host, address.port
    anyone = TlsSettings(insecure=True)
    try:  # first, for servers of HTTPS answer plain HTTP too: that it is wrong
        with by_tls(*at, anyone, PROBE_TIMEOUT_S, (HTTP2, "http/1.1")) as opened:
            return "grpcs" if opened.selected_alpn_protocol() == HTTP2 else "https"
    except OSError as error:
        if wants_certificate(error):
            return "https"
    for question in (HTTP2_PREFACE, _GET):
        try:
            with socket.create_connection(at, PROBE_TIMEOUT_S) as plain:
                answer = first_answer(plain, question)
        except OSError:
            continue
        if is_http2(answer):
            return "grpc"
        if answer.startswith(b"HTTP/1."):
            return "http"
    return None


def spoken(address: HttpAddress, scheme: str) -> str:
    """Return, for a message about an address, what is spoken there, by `scheme_there`."""
    speaks = {"http": "HTTP/1.1", "https": "TLS", "grpc": "gRPC", "grpcs": "gRPC by TLS"}
    wanted = "gRPC" if isinstance(address, GrpcAddress) else "HTTP"
    instead = f"write {scheme}://{address.authority}"
    if scheme.startswith(wanted.lower()):
        return f"speaks {speaks[scheme]}: {instead}"
    return f"speaks {speaks[scheme]}: give the port of {wanted}, or {instead}"


def first_answer(opened: socket.socket, question: bytes) -> bytes:
    """Send a question, and return the first bytes of its answer, few if it ends there; OSError."""
    opened.sendall(question)
    answer = b""
    while len(answer) < _FRAME_HEAD_BYTES and (more := opened.recv(_FRAME_HEAD_BYTES)):
        answer += more
    return answer


def context(settings: TlsSettings) -> ssl.SSLContext:
    """Return the settings as Python takes them; ConfigError if a file is not what it should be."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    elif settings.ca_file:
        _read("`ca_file`", settings.ca_file)
        try:
            made.load_verify_locations(settings.ca_file)
        except ssl.SSLError as error:
            raise ConfigError(
                f"`ca_file` {settings.ca_file}: there are no certificates in it, as PEM"
            ) from error
    else:
        made.load_default_certs()
    if settings.certificate and settings.key:
        _read("`certificate`", settings.certificate)
        _read("`key`", settings.key)
        try:
            made.load_cert_chain(settings.certificate, settings.key, password=_encrypted)
        except (ssl.SSLError, _EncryptedKey) as error:
            raise ConfigError(
                f"`certificate` {settings.certificate}, `key` {settings.key}: {_why_no_pair(error)}"
            ) from error
    return made


def by_tls(
    host: str, port: int, settings: TlsSettings, timeout_s: float, protocols: Sequence[str] = ()
) -> ssl.SSLSocket:
    """Connect and shake hands, for one of these protocols; OSError, which `explained` explains."""
    made = context(settings)  # what is wrong with a file shows before a server is looked for
    if protocols:
        made.set_alpn_protocols(protocols)
    plain = socket.create_connection((host, port), timeout_s)
    return made.wrap_socket(  # which closes it where that fails
        plain, server_hostname=settings.server_name or host, suppress_ragged_eofs=False
    )


class _EncryptedKey(Exception):
    """A key that wants a passphrase, which nobody is there to be asked for."""


def _encrypted() -> bytes:
    raise _EncryptedKey


def _read(option: str, file: Path) -> None:
    with reading(f"{option} {file}"):
        file.read_bytes()


def _why_no_pair(error: Exception) -> str:
    if isinstance(error, _EncryptedKey):
        return "the key is encrypted; write it without a passphrase, readable by you alone"
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return "the key is another certificate's"
    return "they are not a certificate and its key, as PEM"


def wanted_certificate(settings: TlsSettings | None) -> str:
    """Return advice for a server that ends a connection by TLS before it answers.

    By TLS 1.3 a client's handshake is over before the server has looked at its certificate.
    """
    if settings is None or settings.certificate:
        return ""
    return "; if it wants a client certificate, give `certificate` and `key`"


def explained(
    address: ServerAddress | HttpAddress, error: ssl.SSLError | TimeoutError
) -> ServerError:
    """Return why a handshake failed, and what to do."""
    return ServerError(f"no TLS with {address}: {_why(address, error)}")


def _why(address: ServerAddress | HttpAddress, error: ssl.SSLError | TimeoutError) -> str:
    if isinstance(error, TimeoutError):
        return "nothing within the time allowed; does it speak TLS on that port?"
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _EXPIRED:
            return "the server's certificate has expired; renew it"
        if error.verify_code in _WRONG_NAMES:
            name = (address.tls and address.tls.server_name) or address.host
            return (
                f"the server's certificate is not for {name}; connect by a name that it is for, or "
                "give `server_name`"
            )
        return (
            f"the server's certificate is not trusted ({error.verify_message}); give its "
            "authority's by `ca_file`"
        )
    reason = error.reason or ""
    # A server that speaks none, as Triton, may just cut the connection, which older Pythons report
    # as an end that was said.
    if isinstance(error, ENDS) or any(one in reason for one in _NOT_TLS):
        return NOT_SPOKEN
    if wants_certificate(error):
        return "the server wants a certificate of ours that it trusts; give `certificate` and `key`"
    return reason.replace("_", " ").lower() or str(error)


def wants_certificate(error: OSError) -> bool:
    """Return whether a handshake failed because the server wants a certificate of the client's."""
    words = error.reason or "" if isinstance(error, ssl.SSLError) else ""
    return any(one in words for one in _CERTIFICATE_WANTED)


def speaks_tls(host: str, port: int, timeout_s: float) -> bool:
    """Return whether a server that did not answer as it should does so by TLS."""
    try:
        by_tls(host, port, TlsSettings(insecure=True), timeout_s).close()
    except OSError as error:
        return wants_certificate(error)
    return True
