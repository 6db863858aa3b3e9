"""Ports of embedded servers: free ones, and the answers that come from them."""

import http.client
import re
import socket
from collections.abc import Callable
from contextlib import closing, suppress

from aibench_fast.errors import ServerError

HOST = "127.0.0.1"
PORT_ATTEMPTS = 5
ANSWER_TIMEOUT_S = 1.0


def free_port() -> int:
    """Return a TCP port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def start_on_port(wanted: int, start: Callable[[int], None], end: Callable[[], None]) -> None:
    """Start a server on the wanted port, or on any with 0.

    `start` raises ServerError, with the server's words, if it does not start. If another program
    took the free port in the meantime, the server is `end`ed and started on another port.
    """
    for attempts_left in reversed(range(PORT_ATTEMPTS)):
        try:
            start(wanted or free_port())
            return
        except ServerError as error:
            if "in use" not in str(error):
                raise
            if wanted:
                # A server may listen on several.
                named = re.search(rf"{HOST}:(\d+)[^|]* in use", str(error))
                raise ServerError(
                    f"port {named[1] if named else wanted} of {HOST} is in use by another program: "
                    "choose another, or 0 for any that is free"
                ) from error
            if not attempts_left:
                raise
            end()


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
