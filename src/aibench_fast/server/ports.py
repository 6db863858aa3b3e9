"""Ports of embedded servers."""

import re
import socket
from collections.abc import Callable

from aibench_fast.errors import ServerError

HOST = "127.0.0.1"
PORT_ATTEMPTS = 5


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
