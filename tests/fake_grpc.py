"""A gRPC server of the Open Inference Protocol that can be slow, broken or silent on order.

It writes its own frames, so that they can be wrong. A behaviour decides what one inference is
answered: it gets the call and how many came before, and returns frames, or an awaitable of them
where it wants to be late. Real servers are used wherever nothing has to misbehave.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import hpack
from google.protobuf.message import DecodeError
from http2frames import (
    ACK,
    END_HEADERS,
    HEAD_BYTES,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    PREFACE,
    WINDOW_BYTES,
    WINDOW_BYTES_MAX,
    Frame,
    Type,
    data,
    frame,
    frame_of,
    headers,
    payload_bytes,
    settings,
    window_update,
)
from loopthread import LoopThread
from tritonclient.grpc import service_pb2 as triton

SERVICE = "/inference.GRPCInferenceService/"
VALUES = 4
GENEROUS = {MAX_CONCURRENT_STREAMS: 100, INITIAL_WINDOW_SIZE: WINDOW_BYTES_MAX}
"""Settings of a server that holds nothing up."""
OK, INVALID_ARGUMENT, UNIMPLEMENTED, INTERNAL = 0, 3, 12, 13


@dataclass(eq=False)
class Connection:
    """One that a client made."""

    number: int
    writer: asyncio.StreamWriter
    asked: int = 0
    """Inferences, so far."""
    received: list[Frame] = field(default_factory=list)
    """All of its frames, without what DATA carried."""

    def send(self, frames: bytes) -> None:
        """Send something beside answers."""
        if not self.writer.transport.is_closing():
            self.writer.write(frames)


@dataclass(frozen=True)
class Asked:
    """An inference as it came, whole."""

    connection: Connection
    stream: int
    fields: Mapping[str, str]
    message: bytes

    @property
    def request(self) -> triton.ModelInferRequest:
        return triton.ModelInferRequest.FromString(self.message)


Answer = bytes | None
"""None: the connection is closed."""
Behaviour = Callable[[Asked, int], Answer | Awaitable[Answer]]


def message(tensor: bytes = bytes(4 * VALUES), values: int = VALUES, **changes: object) -> bytes:
    """Return a reply's message with one output, of rows of so many values."""
    reply = triton.ModelInferResponse(model_name="m", model_version="1", id="1", **changes)
    rows = len(tensor) // (4 * values)
    reply.outputs.add(name="y", datatype="FP32", shape=[rows, values])
    reply.raw_output_contents.append(tensor)
    return bytes(reply.SerializeToString())


def prefixed(message: bytes, flag: int = 0, announced: int | None = None) -> bytes:
    """Return a message behind what gRPC says of it."""
    length = len(message) if announced is None else announced
    return struct.pack(">BI", flag, length) + message


def head(stream: int, *more: tuple[str, str], status: str = "200", ends: bool = False) -> bytes:
    """Return how a reply begins."""
    fields = [(":status", status), ("content-type", "application/grpc"), *more]
    return headers(stream, fields, ends=ends)


def trailers(stream: int, status: int = OK, words: str = "") -> bytes:
    """Return how a reply ends."""
    more = [("grpc-message", words)] if words else []
    return headers(stream, [("grpc-status", str(status)), *more], ends=True)


def answer(stream: int, body: bytes) -> bytes:
    """Return a whole reply with this body."""
    return head(stream) + data(stream, body) + trailers(stream)


def refusal(stream: int, status: int, words: str) -> bytes:
    """Return a reply of trailers alone."""
    return head(stream, ("grpc-status", str(status)), ("grpc-message", words), ends=True)


def well(asked: Asked, number: int) -> bytes:
    """As a server answers that has nothing to say."""
    return answer(asked.stream, prefixed(message()))


def echo(asked: Asked, number: int) -> bytes:
    """Answer the tensor that came."""
    try:
        (tensor,) = asked.request.raw_input_contents
    except (DecodeError, ValueError):
        return refusal(asked.stream, INVALID_ARGUMENT, "no request with a tensor")
    return answer(asked.stream, prefixed(message(tensor)))


def echo_streamed(body: bytes) -> bytes:
    """Answer a message of ModelStreamInfer with its tensor, and its id."""
    request = triton.ModelInferRequest.FromString(body)
    streamed = triton.ModelStreamInferResponse()
    (tensor,) = request.raw_input_contents
    streamed.infer_response.MergeFromString(message(tensor))
    streamed.infer_response.id = request.id
    return bytes(streamed.SerializeToString())


def echo_as_it_is_read(window_bytes: int) -> dict[str, Any]:
    """Return how a server is that echoes, and that opens a window again by what it has read."""

    def read(connection: Connection, came: Frame) -> None:
        if came.type == Type.DATA and came.payload:
            count = len(came.payload)
            more = b"" if came.ends_stream else window_update(came.stream, count)
            connection.send(more + window_update(0, count))

    return {
        "infer": echo,
        "settings": {**GENEROUS, INITIAL_WINDOW_SIZE: window_bytes},
        "on_frame": read,
    }


def _model() -> triton.ModelMetadataResponse:
    model = triton.ModelMetadataResponse(name="m", versions=["1"], platform="none")
    model.inputs.add(name="x", datatype="FP32", shape=[-1, VALUES])
    model.outputs.add(name="y", datatype="FP32", shape=[-1, VALUES])
    return model


@dataclass
class FakeGrpc(LoopThread):
    """Listens on a free port of 127.0.0.1 while the `with` block lasts."""

    infer: Behaviour = well
    settings: Mapping[int, int] = field(default_factory=lambda: dict(GENEROUS))
    connection_window: int = WINDOW_BYTES_MAX
    greeting: bytes | None = None
    """The first bytes of a connection, in place of the settings."""
    on_frame: Callable[[Connection, Frame], None] = lambda connection, frame: None
    """Sees what came, in order; runs in the loop of the server, and may start tasks there."""
    service: dict[str, Any] = field(
        default_factory=lambda: {
            "ServerLive": triton.ServerLiveResponse(live=True),
            "ServerReady": triton.ServerReadyResponse(ready=True),
            "ModelReady": triton.ModelReadyResponse(ready=True),
            "ServerMetadata": triton.ServerMetadataResponse(name="fake", version="7"),
            "ModelMetadata": _model(),
        }
    )
    """The replies to other calls, by method; those that are not here are unimplemented."""
    asked: int = 0
    """Inferences that came whole, the trial first; those of ModelStreamInfer are echoed."""
    connections: list[Connection] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"grpc://127.0.0.1:{self.port}"

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(len(self.connections), writer)
        self.connections.append(connection)
        more = self.connection_window - WINDOW_BYTES
        greeting = settings(dict(self.settings)) + (window_update(0, more) if more > 0 else b"")
        connection.send(greeting if self.greeting is None else self.greeting)
        try:
            if await reader.readexactly(len(PREFACE)) == PREFACE:
                await _Reader(self, connection, reader).read()
        except (EOFError, ConnectionError, asyncio.CancelledError, hpack.HPACKError):
            pass  # the end, or bytes that are no frames
        finally:
            writer.close()

    async def answer(self, connection: Connection, stream: int, fields: Mapping[str, str],
                     body: bytes) -> None:  # fmt: skip
        """Answer a call that came whole."""
        method = fields.get(":path", "").removeprefix(SERVICE)
        if method == "ModelStreamInfer":
            connection.send(trailers(stream, INTERNAL if body else OK))
            return
        if method != "ModelInfer":
            reply = self.service.get(method)
            connection.send(
                refusal(stream, UNIMPLEMENTED, f"no {method}")
                if reply is None
                else answer(stream, prefixed(reply.SerializeToString()))
            )
            return
        if body[1:5] != struct.pack(">I", len(body) - 5):
            connection.send(refusal(stream, INTERNAL, "the message is not as long as announced"))
            return
        number, self.asked = self.asked, self.asked + 1
        connection.asked += 1
        frames = self.infer(Asked(connection, stream, fields, body[5:]), number)
        if not isinstance(frames, bytes) and frames is not None:
            frames = await frames
        if frames is None:
            connection.writer.close()
        else:
            connection.send(frames)


class _Reader:
    """Reads a connection's frames, and starts the answer to each call that came whole."""

    def __init__(
        self, server: FakeGrpc, connection: Connection, reader: asyncio.StreamReader
    ) -> None:
        self._server = server
        self._connection = connection
        self._reader = reader
        self._decoder = hpack.Decoder()
        if HEADER_TABLE_SIZE in server.settings:
            self._decoder.max_allowed_table_size = server.settings[HEADER_TABLE_SIZE]
        self._block = b""
        self._calls: dict[int, tuple[dict[str, str], bytearray]] = {}
        self._answers: set[asyncio.Task[None]] = set()
        self._streams: set[int] = set()
        """Calls of ModelStreamInfer that have a head."""

    async def read(self) -> None:
        """Read to the end, which is an error of the reader."""
        try:
            while True:
                head = await self._reader.readexactly(HEAD_BYTES)
                payload = await self._reader.readexactly(payload_bytes(head))
                self._took(frame_of(head, payload))
        finally:
            for task in self._answers:
                task.cancel()

    def _took(self, came: Frame) -> None:
        connection = self._connection
        connection.received.append(
            came if came.type != Type.DATA else Frame(came.type, came.flags, came.stream, b"")
        )
        if came.type in (Type.SETTINGS, Type.PING) and not came.flags & ACK:
            payload = came.payload if came.type == Type.PING else b""
            connection.send(frame(came.type, 0, payload, ACK))
        elif came.type in (Type.HEADERS, Type.CONTINUATION):
            self._block += came.fragment
            if came.flags & END_HEADERS:
                fields = dict(self._decoder.decode(self._block))
                self._calls[came.stream] = (fields, bytearray())
                self._block = b""
        elif came.type == Type.DATA and came.stream in self._calls:
            self._calls[came.stream][1].extend(came.payload)
            if self._calls[came.stream][0].get(":path") == SERVICE + "ModelStreamInfer":
                self._echo(came.stream, self._calls[came.stream][1])
        elif came.type == Type.RST_STREAM:
            self._calls.pop(came.stream, None)
        self._server.on_frame(connection, came)
        if came.ends_stream and came.stream in self._calls:
            fields, body = self._calls.pop(came.stream)
            answered = self._server.answer(connection, came.stream, fields, bytes(body))
            task = asyncio.ensure_future(answered)
            self._answers.add(task)
            task.add_done_callback(self._answers.discard)

    def _echo(self, stream: int, body: bytearray) -> None:
        """Answer the whole messages of a stream so far, and leave the rest."""
        frames = b"" if stream in self._streams else head(stream)
        self._streams.add(stream)
        while len(body) >= 5 and len(body) >= (end := 5 + int.from_bytes(body[1:5], "big")):
            one = bytes(body[5:end])
            del body[:end]
            self._server.asked += 1
            try:
                frames += data(stream, prefixed(echo_streamed(one)))
            except (DecodeError, ValueError):
                del self._calls[stream]
                frames += trailers(stream, INVALID_ARGUMENT, "no request with a tensor")
                break
        self._connection.send(frames)


def later(seconds: float, action: Callable[[], None]) -> None:
    """Have something happen in the loop of the server, which calls this."""
    asyncio.get_running_loop().call_later(seconds, action)
