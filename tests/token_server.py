"""A server of streams of tokens on a real socket, which sends what a test says, cut as it says."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
Piece = bytes | float
"""Bytes to send at once, or seconds to wait."""


def event(data: object) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return f"data: {text}\n\n".encode()


def delta(finish: str | None = None, **parts: object) -> bytes:
    return event({"choices": [{"index": 0, "delta": parts, "finish_reason": finish}]})


def usage(output: int, given: int = 7) -> bytes:
    counted = {"prompt_tokens": given, "completion_tokens": output}
    return event({"choices": [], "usage": counted})


DONE = event("[DONE]")


def chunked(events: Sequence[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in events) + b"0\r\n\r\n"


def whole(*events: bytes) -> list[Piece]:
    """Each event in a segment of its own, and the end."""
    return [CHUNKED, *(b"%x\r\n%b\r\n" % (len(one), one) for one in events), b"0\r\n\r\n"]


class TokenServer:
    """Answers request `number`, from 0 on, with given pieces.

    `asked` has the bodies, `asked_at` when each was there, and `ending_at` by its number when the
    last piece of the answer was about to be sent, in seconds of the monotonic clock.

    It lists `models` where it has any, and answers other questions with 404.
    """

    def __init__(
        self,
        answer: Callable[[int], Sequence[Piece]],
        tls: ssl.SSLContext | None = None,
        models: Sequence[str] = (),
    ) -> None:
        self._answer = answer
        self._tls = tls
        listed = json.dumps({"object": "list", "data": [{"id": one} for one in models]}).encode()
        status = b"200 OK" if models else b"404 Not Found"
        self._models = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (
            status, len(listed), listed,
        )  # fmt: skip
        self.heads: list[bytes] = []
        self._bodies: list[bytes] = []
        self.asked_at: list[float] = []
        self.ending_at: dict[int, float] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def asked(self) -> list[dict[str, Any]]:
        with self._lock:
            return [json.loads(body) for body in self._bodies]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while head_and_body := _read(stream):
                    head, body = head_and_body
                    if head.startswith(b"GET"):
                        connection.sendall(self._models)
                        continue
                    with self._lock:
                        number = len(self._bodies)
                        self.heads.append(head)
                        self._bodies.append(body)
                        self.asked_at.append(time.monotonic())
                    for piece in self._answer(number):
                        self.ending_at[number] = time.monotonic()
                        if isinstance(piece, float):
                            time.sleep(piece)
                        elif piece == b"":
                            return
                        else:
                            connection.sendall(piece)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


def _read(stream: Any) -> tuple[bytes, bytes] | None:
    """Return the head and the body of the next request, if there is one."""
    length, head = 0, b""
    while (line := stream.readline()) not in (b"\r\n", b""):
        head += line
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return (head, bytes(stream.read(length))) if head else None


@contextmanager
def token_server(
    answer: Callable[[int], Sequence[Piece]],
    tls: ssl.SSLContext | None = None,
    models: Sequence[str] = (),
) -> Iterator[TokenServer]:
    server = TokenServer(answer, tls, models)
    try:
        yield server
    finally:
        server.close()
