"""A server of the Open Inference Protocol that can be slow, broken or silent on order.

A behaviour decides what one inference answers: it gets the request and how many came before, and
returns bytes, or an awaitable of them where it wants to be late. None cuts the connection. Real
servers are used wherever nothing has to misbehave.
"""

import asyncio
import fcntl
import json
import socket
import ssl
import struct
import termios
import time
from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from loopthread import LoopThread

Answer = bytes | None
OUTPUT_BYTES = 4004
LATER = b""
"""Nothing more is answered to this request."""


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes
    is_answered: bool = False
    """It was answered before its body was read."""
    head: bytes = b""
    """The line and the headers as they came."""

    @property
    def document(self) -> Any:
        """The JSON part of the body."""
        return json.loads(self.body[: self._json_bytes])

    @property
    def tensors(self) -> bytes:
        """The binary tensors that follow the JSON part."""
        return self.body[self._json_bytes :]

    @property
    def _json_bytes(self) -> int:
        return int(self.headers.get("inference-header-content-length", len(self.body)))


Behaviour = Callable[[Asked, int], Answer | Awaitable[Answer]]


def reply(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An HTTP reply with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def json_reply(document: object, status: str = "200 OK") -> bytes:
    return reply(json.dumps(document).encode(), "Content-Type: application/json", status=status)


def output(
    shape: tuple[int, ...] = (1, 1001), datatype: str = "FP32", name: str = "y"
) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def binary_reply(
    data: bytes = bytes(OUTPUT_BYTES), told: dict[str, Any] | None = None, **changes: object
) -> bytes:
    """A reply with one output in binary."""
    told = {**(told or output()), "parameters": {"binary_data_size": len(data)}}
    document = {"id": "1", "model_name": "m", "model_version": "1", "outputs": [told], **changes}
    text = json.dumps(document).encode()
    return reply(text + data, f"Inference-Header-Content-Length: {len(text)}")


def well(asked: Asked, number: int) -> bytes:
    """As a server answers that has nothing to say."""
    return binary_reply()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a process does that crashes with it."""
    at_once = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    writer.transport.abort()


async def something_came(writer: asyncio.StreamWriter) -> None:
    """Wait until bytes wait to be read, or 10 ms."""
    file = writer.get_extra_info("socket").fileno()
    until_s = time.monotonic() + 0.01
    waiting = array("i", [0])
    while not waiting[0] and time.monotonic() < until_s:
        await asyncio.sleep(0)
        fcntl.ioctl(file, termios.FIONREAD, waiting)


@dataclass
class FakeInference(LoopThread):
    """Listens on a free port of 127.0.0.1 while the `with` block lasts."""

    infer: Behaviour = well
    model: dict[str, Any] = field(
        default_factory=lambda: {
            "name": "m",
            "platform": "none",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1001]}],
        }
    )
    paths: dict[str, "bytes | Callable[[Asked], Answer | Awaitable[Answer]]"] = field(
        default_factory=dict
    )
    """The other answers, by path."""
    close_each_question: bool = False
    """Close the connection behind each reply to anything but an inference."""
    close_each: bool = False
    """Close the connection behind each reply."""
    close_after: set[int] = field(default_factory=set)
    """Close it behind these inferences' replies, by their number."""
    early: Callable[[int], bytes | None] = lambda _: None
    """The answer to an inference, by its number, before its body is read; None: later."""
    after_early: str = "close"
    """The next step: `close` without reading the body, or `read on`, or `neither`."""
    abort_after: set[int] = field(default_factory=set)
    """Cut it behind these, without the end that TLS has."""
    reset_for: set[int] = field(default_factory=set)
    """Reset it in place of these inferences' replies."""
    replies_a_connection: int | None = None
    """After so many to inferences wait a moment for another, and close without reading it."""
    tls: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    asked: list[Asked] = field(default_factory=list)
    """The inferences, the trial first."""
    connections: int = 0
    resumed: int = 0
    """Connections by TLS that took up the session of an earlier one."""

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, self.host, 0, limit=1 << 20, ssl=self.tls, backlog=1024
        )
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, Any]:
        """Those of a run against it."""
        return {"url": self.url, "model": "m"}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        inferences = 0
        spoken = writer.get_extra_info("ssl_object")
        self.resumed += spoken is not None and spoken.session_reused
        try:
            while (asked := await self._read(reader, writer)) is not None:
                answer = self._answer(asked)
                number = len(self.asked) - 1
                if not isinstance(answer, bytes) and answer is not None:
                    answer = await answer
                is_inference = asked.line.startswith("POST")
                if is_inference and number in self.reset_for:
                    reset(writer)
                    break
                if answer is None:
                    break
                if answer is LATER:
                    continue
                inferences += is_inference
                if inferences == self.replies_a_connection:
                    writer.transport.pause_reading()
                writer.write(answer)
                await writer.drain()
                if len(self.asked) - 1 in self.abort_after:
                    await asyncio.sleep(0.01)  # or nothing of it is sent
                    writer.transport.abort()
                    break
                if inferences == self.replies_a_connection:
                    await something_came(writer)
                    break
                if not is_inference and self.close_each_question:
                    break
                if is_inference and (self.close_each or len(self.asked) - 1 in self.close_after):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass  # the end, or bytes that are no request
        finally:
            writer.close()

    def _answer(self, asked: Asked) -> Answer | Awaitable[Answer]:
        _, path, _ = asked.line.split(" ")
        if asked.is_answered:
            return LATER
        if path in self.paths:
            answer = self.paths[path]
            return answer if isinstance(answer, bytes) else answer(asked)
        if path.endswith("/infer"):
            self.asked.append(asked)
            return self.infer(asked, len(self.asked) - 1)
        if path == "/v2":
            return json_reply(
                {"name": "fake", "version": "7", "extensions": ["binary_tensor_data"]}
            )
        if path.endswith("/ready"):
            return reply(b"")
        if path == "/v2/models/m":
            return json_reply(self.model)
        return json_reply({"error": f"unknown: {path}"}, status="404 Not Found")

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Asked | None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = await reader.readline()
            if not line:
                return None
            head += line
        first, *rest = head.decode().strip().split("\r\n")
        pairs = (line.partition(":") for line in rest)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        is_inference = first.startswith("POST") and first.split(" ")[1].endswith("/infer")
        early = self.early(len(self.asked)) if is_inference else None
        if early is not None:
            writer.write(early)
            await writer.drain()
            self.asked.append(Asked(first, headers, b""))
            if self.after_early == "neither":
                await asyncio.sleep(60)
            if self.after_early != "read on":
                return None
            await asyncio.sleep(0.2)  # a client that is slow to look has sent no more by then
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Asked(first, headers, body, is_answered=early is not None, head=head)
