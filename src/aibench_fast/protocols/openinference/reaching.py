"""Reaching a server: why it cannot be reached, in words, and what answers instead."""

import socket
import ssl
from collections.abc import Sequence

from aibench_fast.errors import ServerError
from aibench_fast.protocols import handshake
from aibench_fast.protocols.address import GrpcAddress, HttpAddress, TlsSettings

PROBE_TIMEOUT_S = 2.0
SHOWN_CHARACTERS = 100
HTTP2 = "h2"
"""Its name in TLS."""
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The first bytes of a client of HTTP/2, with empty SETTINGS."""
_FRAME_HEAD_BYTES = 9
_SETTINGS = 4
_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def connected(
    address: HttpAddress, timeout_s: float, protocols: Sequence[str] = ()
) -> socket.socket:
    """Connect, by TLS for one of these `protocols`; OSError, which `unreachable` explains."""
    if address.tls is None:
        return socket.create_connection((address.host, address.port), timeout_s)
    return handshake.connected(address.host, address.port, address.tls, timeout_s, protocols)


def unreachable(address: HttpAddress, error: OSError) -> ServerError:
    """Return why no connection could be made, and what to do."""
    if address.tls and isinstance(error, ssl.SSLError):
        return handshake.explained(address, error)
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
        with handshake.connected(*at, anyone, PROBE_TIMEOUT_S, (HTTP2, "http/1.1")) as by_tls:
            return "grpcs" if by_tls.selected_alpn_protocol() == HTTP2 else "https"
    except OSError as error:
        if handshake.wants_certificate(error):
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
