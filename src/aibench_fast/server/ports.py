"""Ports of the servers that are started here."""

import socket
from collections.abc import Callable

from aibench_fast.errors import ServerError

HOST = "127.0.0.1"
PORT_ATTEMPTS = 5


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def start_on_port(asked: int, start: Callable[[int], None], end: Callable[[], None]) -> None:
    """Start a server on the port that is asked for, or with 0 on any.

    `start` raises ServerError, with what the server says, where it does not start. Where someone
    else took the free port in the meantime, it is `end`ed and started on another.
    """
    for attempts_left in reversed(range(PORT_ATTEMPTS)):
        try:
            start(asked or free_port())
            return
        except ServerError as error:
            if "in use" not in str(error):
                raise
            if asked:
                raise ServerError(
                    f"port {asked} of {HOST} is in use by another program: choose another, or 0 "
                    "for any that is free"
                ) from error
            if not attempts_left:
                raise
            end()
