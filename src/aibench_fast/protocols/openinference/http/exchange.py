"""Requests and answers of HTTP: the head that all requests have, and answers within bounds.

The whole of an answer has a limit in time and in bytes. `http.client` alone limits how long one
byte takes, the length of a line, and the number of headers. Interim answers, trailers and chunks
have no limit there.
"""

import http.client
import io
import re
import select
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.reaching import connected

READ_BYTES = 1 << 16
LATE_ANSWER_S = 1.0
"""For an answer that was on its way when sending failed."""
FIRST_FAILURE = 300
MS_PER_S = 1000
_FINAL_STATUS = re.compile(rb"^HTTP/1\.[01] [02-9]\d\d", re.MULTILINE)
_KEPT_IN_PATHS = "/%:@!$&'()*+,;=~"


class AnsweredEarly(http.client.HTTPException):
    """A success came before the request was sent, so it cannot be the answer to it."""


class TooLarge(http.client.HTTPException):
    """An answer has more bytes than it may have."""


class Reply(NamedTuple):
    """A reply."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes


class _Answer(io.RawIOBase):
    """The bytes of a socket as a file, which is all that HTTPResponse takes of one.

    All of them, headers and framing included, come within a time from now on.
    """

    def __init__(self, opened: socket.socket, allowed_s: float, most_bytes: int) -> None:
        self._socket = opened
        self._until_s = time.monotonic() + allowed_s
        self._most_bytes = self._left_bytes = most_bytes

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, READ_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._socket.settimeout(left_s)
        count = self._socket.recv_into(buffer)
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise TooLarge(f"more than {self._most_bytes:,} bytes")
        return count


class _FinalResponse(http.client.HTTPResponse):
    """An answer behind interim ones, such as 103, which http.client takes for the answer."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            status: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not 100 <= status[1] < 200 or status[1] == http.HTTPStatus.SWITCHING_PROTOCOLS:
                return status
            while self.fp.readline(READ_BYTES).strip():
                pass


def _send(opened: socket.socket, request: bytes, allowed_s: float) -> bool:
    """Send a request; False where an answer came before the end of it, so that the rest is owed.

    By TLS what comes cannot be looked at without reading it, so all is sent, or sending fails.
    """
    if isinstance(opened, ssl.SSLSocket):
        opened.sendall(request)
        return True
    left = memoryview(request)
    until_s = time.monotonic() + allowed_s
    waits_for = select.POLLOUT | select.POLLIN
    while left:
        poll = select.poll()
        poll.register(opened, waits_for)
        ready = poll.poll(max(0.0, until_s - time.monotonic()) * MS_PER_S)
        if not ready:
            raise TimeoutError
        if ready[0][1] & select.POLLIN:
            if _FINAL_STATUS.search(opened.recv(READ_BYTES, socket.MSG_PEEK)):
                return False
            waits_for = select.POLLOUT
        else:
            left = left[opened.send(left[:READ_BYTES]) :]
    return True


class BoundedConnection:
    """A connection to a server whose answers keep to limits in time and bytes."""

    def __init__(self, address: HttpAddress, timeout_s: float) -> None:
        """Connect later, by `connect` or with the first request."""
        self._address = address
        self.timeout_s = timeout_s
        """Of connecting, and of each whole answer."""
        self.socket: socket.socket | None = None
        self._answered_on: socket.socket | None = None
        """Where the last answer came."""

    def connect(self) -> socket.socket:
        """Connect, by TLS if the address says so; OSError."""
        self.socket = connected(self._address, self.timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.socket

    def exchange(self, request: bytes, most_bytes: int) -> Reply:
        """Send a request, connecting where that is to do, and return its final answer.

        An answer that came before all of the request was sent counts, where it is one of failure,
        also where sending failed then: a server may refuse what it has not read. OSError or
        HTTPException where there is no such answer within the time; then, and if the server says
        so, the connection is closed. A server may have closed it after the answer before: then a
        new one is made, once.
        """
        is_kept = self.socket is not None and self.socket is self._answered_on
        try:
            try:
                response = self._answer(request, most_bytes)
            except ConnectionError:
                if not is_kept:
                    raise
                self.close()
                response = self._answer(request, most_bytes)
            body = _read_body(response)
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if response.will_close:
            self.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, headers, body)

    def _answer(self, request: bytes, most_bytes: int) -> http.client.HTTPResponse:
        opened = self.socket or self.connect()
        opened.settimeout(self.timeout_s)
        unsent: OSError | None = None
        try:
            all_sent = _send(opened, request, self.timeout_s)
        except OSError as error:
            unsent, all_sent = error, False
        allowed_s = LATE_ANSWER_S if unsent else self.timeout_s
        answer: Any = _Answer(opened, allowed_s, most_bytes)
        response = _FinalResponse(answer, method=request.split(b" ", 1)[0].decode())
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
        self._answered_on = opened
        return response

    def close(self) -> None:
        """Close the connection; may be called again."""
        if self.socket is not None:
            self.socket.close()
        self.socket = None


def _read_body(response: http.client.HTTPResponse) -> bytes:
    """Read all of an answer; HTTPException where its end is missing, or there is too much of it."""
    pieces = []
    # In pieces, because memory for all that is announced would be taken at once.
    while piece := response.read(READ_BYTES):
        pieces.append(piece)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(pieces)


def open_head(
    address: HttpAddress, method: str, path: str, more: Mapping[str, str] | None = None
) -> bytes:
    """Return the request line and all headers but the body's lengths.

    A header of the address's that is set here too, or in `more`, takes its place, whatever the case
    of its name; see `address.http_address` for those that may be given.
    """
    given = {name.lower(): value for name, value in address.headers}
    own = {"Host": address.host_field, "Accept-Encoding": "identity", **(more or {})}
    headers = [(name, given.get(name.lower(), value)) for name, value in own.items()]
    set_here = {name.lower() for name in own}
    headers += [one for one in address.headers if one[0].lower() not in set_here]
    at = quote(address.path, safe=_KEPT_IN_PATHS) + path
    return f"{method} {at or '/'} HTTP/1.1\r\n".encode("ascii") + _lines(headers)


def end_of_head(lengths: Mapping[str, int] | None = None) -> bytes:
    """Return the lengths of the body, by the names of their headers, and the empty line."""
    return _lines((lengths or {}).items()) + b"\r\n"


def _lines(headers: Iterable[tuple[str, object]]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("ascii")
