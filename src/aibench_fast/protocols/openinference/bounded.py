"""HTTP answers within bounds: the whole of one has a limit in time and in bytes.

`http.client` alone limits how long one byte takes, the length of a line, and the number of headers.
Interim answers, trailers and chunks have no limit there.
"""

import http.client
import io
import socket
import time
from typing import Any

READ_BYTES = 1 << 16


class TooLarge(http.client.HTTPException):
    """An answer has more bytes than it may have."""


class Bounds:
    """What is left of an answer's time and bytes, its headers and framing among them."""

    def __init__(self, allowed_s: float, most_bytes: int) -> None:
        """The time counts from now on."""
        self._until_s = time.monotonic() + allowed_s
        self._most_bytes = self._left_bytes = most_bytes

    @property
    def left_s(self) -> float:
        """The time that is left; TimeoutError where there is none."""
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s

    def take(self, count: int) -> None:
        """Count bytes that came; TooLarge where they are too many."""
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise TooLarge(f"more than {self._most_bytes:,} bytes")


class _BoundedFile(io.RawIOBase):
    """A socket's bytes as a file."""

    def __init__(self, connected: socket.socket, bounds: Bounds) -> None:
        self._socket = connected
        self._file = connected.makefile("rb", buffering=0)
        self._bounds = bounds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._bounds.left_s)
        count = self._file.readinto(buffer)
        self._bounds.take(count or 0)
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _BoundedSocket:
    """All that HTTPResponse takes of a socket."""

    def __init__(self, connected: socket.socket, bounds: Bounds) -> None:
        self._socket = connected
        self._bounds = bounds

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedFile(self._socket, self._bounds), READ_BYTES)


class BoundedConnection(http.client.HTTPConnection):
    """A connection whose answers keep to `bounds`, which are to be set before each question."""

    bounds: Bounds

    def response_class(self, sock: socket.socket, **how: Any) -> http.client.HTTPResponse:  # type: ignore[override]
        """The answer to a question."""
        bounded: Any = _BoundedSocket(sock, self.bounds)
        return http.client.HTTPResponse(bounded, **how)


def read_body(response: http.client.HTTPResponse) -> bytes:
    """Read all of an answer; HTTPException where its end is missing, or there is too much of it."""
    pieces = []
    # In pieces, because memory for all that is announced would be taken at once.
    while piece := response.read(READ_BYTES):
        pieces.append(piece)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(pieces)
