"""A server of streams of tokens on a real socket, which sends what a test says, cut as it says."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rawserver import Listening, read_request

CHAT = "/v1/chat/completions"
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


class TokenServer(Listening):
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
        listed = json.dumps({"object": "list", "data": [{"id": one} for one in models]}).encode()
        status = b"200 OK" if models else b"404 Not Found"
        self._models = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (
            status, len(listed), listed,
        )  # fmt: skip
        self.heads: list[bytes] = []
        self._bodies: list[bytes] = []
        self.asked_at: list[float] = []
        self.ending_at: dict[int, float] = {}
        self._lock = threading.Lock()
        super().__init__(tls)

    @property
    def settings(self) -> dict[str, str]:
        """Those of a run against it."""
        return {"url": self.address + CHAT, "model": "m"}

    @property
    def asked(self) -> list[dict[str, Any]]:
        with self._lock:
            return [json.loads(body) for body in self._bodies]

    def serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while head_and_body := read_request(stream):
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
