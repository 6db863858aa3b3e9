"""Ports of embedded servers: free ones, and the answers that come from them."""

import http.client
import socket
from contextlib import closing, suppress

HOST = "127.0.0.1"
ANSWER_TIMEOUT_S = 1.0


def free_port() -> int:
    """Return a TCP port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def answer_to_get(host: str, port: int, path: str) -> bytes | None:
    """Return the body of the answer to a GET; None without an answer of status 200."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_TIMEOUT_S)
    with closing(connection), suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        reply = connection.getresponse()
        body = reply.read()
        if reply.status == 200:
            return body
    return None
