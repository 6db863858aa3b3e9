"""HTTP answers within bounds: the whole of one has a limit in time and in bytes.

`http.client` alone limits how long one byte takes, the length of a line, and the number of headers.
Interim answers, trailers and chunks have no limit there.
"""

import http.client
import io
import re
import select
import socket
import ssl
import time
from typing import Any

READ_BYTES = 1 << 16
LATE_ANSWER_S = 1.0
"""For an answer that was on its way when sending failed."""
FIRST_FAILURE = 300
INTERIM = ord("1")
MS_PER_S = 1000
_STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3})", re.MULTILINE)


class AnsweredEarly(http.client.HTTPException):
    """A success came before the request was sent, so it cannot be the answer to it."""


class TooLarge(http.client.HTTPException):
    """An answer has more bytes than it may have."""


class Bounds:
    """The time and bytes that are left for an answer, headers and framing included."""

    def __init__(self, allowed_s: float, most_bytes: int) -> None:
        """The time counts from now on."""
        self._until_s = time.monotonic() + allowed_s
        self._most_bytes = self._left_bytes = most_bytes

    @property
    def left_s(self) -> float:
        """Return the time that is left; TimeoutError where there is none."""
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


class _FinalResponse(http.client.HTTPResponse):
    """An answer behind interim ones, such as 103, which http.client takes for the answer."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 100 <= status[1] < 200 or status[1] == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return status
            while self.fp.readline(READ_BYTES).strip():
                pass


def _send(connected: socket.socket, request: bytes, allowed_s: float) -> bool:
    """Send a request; False where an answer came before the end of it, so that the rest is owed.

    By TLS what comes cannot be looked at without reading it, so all is sent, or sending fails.
    """
    if isinstance(connected, ssl.SSLSocket):
        connected.sendall(request)
        return True
    left = memoryview(request)
    until_s = time.monotonic() + allowed_s
    waits_for = select.POLLOUT | select.POLLIN
    while left:
        poll = select.poll()
        poll.register(connected, waits_for)
        ready = poll.poll(max(0.0, until_s - time.monotonic()) * MS_PER_S)
        if not ready:
            raise TimeoutError
        if ready[0][1] & select.POLLIN:
            if _has_final_status(connected.recv(READ_BYTES, socket.MSG_PEEK)):
                return False
            waits_for = select.POLLOUT
        else:
            left = left[connected.send(left[:READ_BYTES]) :]
    return True


def _has_final_status(answer: bytes) -> bool:
    return any(status[0] != INTERIM for status in _STATUS.findall(answer))


class BoundedConnection(http.client.HTTPConnection):
    """A connection whose answers keep to limits in time and bytes."""

    _answered_on: socket.socket | None = None
    """Where the last answer came."""

    def exchange(
        self, request: bytes, allowed_s: float, most_bytes: int
    ) -> http.client.HTTPResponse:
        """Send a request, connecting where that is to do, and return its final answer's head.

        An answer that came before all of the request was sent counts, where it is one of failure,
        also where sending failed then: a server may refuse what it has not read. OSError or
        HTTPException where there is no such answer within the time. A server may have closed the
        connection after the answer before: then a new one is made, once.
        """
        is_kept = self.sock is not None and self.sock is self._answered_on
        try:
            return self._exchange_once(request, allowed_s, most_bytes)
        except ConnectionError:
            if not is_kept:
                raise
            self.close()
            return self._exchange_once(request, allowed_s, most_bytes)

    def _exchange_once(
        self, request: bytes, allowed_s: float, most_bytes: int
    ) -> http.client.HTTPResponse:
        if self.sock is None:
            self.connect()
        self.sock.settimeout(allowed_s)
        unsent: OSError | None = None
        try:
            all_sent = _send(self.sock, request, allowed_s)
        except OSError as error:
            unsent, all_sent = error, False
        bounds = Bounds(LATE_ANSWER_S if unsent else allowed_s, most_bytes)
        bounded: Any = _BoundedSocket(self.sock, bounds)
        response = _FinalResponse(bounded, method=request.split(b" ", 1)[0].decode())
        try:
            response.begin()
        except (OSError, http.client.HTTPException):
            if unsent:
                raise unsent from None
            raise
        if not all_sent:
            response.will_close = True  # the rest of the request is owed
            if response.status < FIRST_FAILURE:
                raise unsent or AnsweredEarly("it answered before the request was sent")
        self._answered_on = self.sock
        return response


def read_body(response: http.client.HTTPResponse) -> bytes:
    """Read all of an answer; HTTPException where its end is missing, or there is too much of it."""
    pieces = []
    # In pieces, because memory for all that is announced would be taken at once.
    while piece := response.read(READ_BYTES):
        pieces.append(piece)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(pieces)
