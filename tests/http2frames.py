"""Frames of HTTP/2, as bytes: what a server here sends, right or wrong, and what a proxy reads."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
"""Flags."""
HEADER_TABLE_SIZE, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 3, 4, 5
"""Settings."""
WINDOW_BYTES, WINDOW_BYTES_MAX = 65_535, 2**31 - 1

Fields = Iterable[tuple[str, str | bytes]]


class Type(IntEnum):
    """Of a frame."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Code(IntEnum):
    """Of an error."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    REFUSED_STREAM = 7
    CANCEL = 8
    ENHANCE_YOUR_CALM = 11


@dataclass(frozen=True)
class Frame:
    """One frame."""

    type: int
    flags: int
    stream: int
    payload: bytes

    def __bytes__(self) -> bytes:
        length = struct.pack(">I", len(self.payload))[1:]
        return length + struct.pack(">BBI", self.type, self.flags, self.stream) + self.payload

    @property
    def ends_stream(self) -> bool:
        return self.type in (Type.DATA, Type.HEADERS) and bool(self.flags & END_STREAM)

    @property
    def fragment(self) -> bytes:
        """Return the part of a header block that a HEADERS or CONTINUATION frame has."""
        data = self.payload
        if self.type == Type.HEADERS and self.flags & PADDED:
            data = data[1 : len(data) - data[0]]
        return data[5:] if self.type == Type.HEADERS and self.flags & PRIORITY else data


def payload_bytes(head: bytes) -> int:
    """Return how many bytes follow this head of a frame."""
    return int.from_bytes(head[:3], "big")


def frame_of(head: bytes, payload: bytes) -> Frame:
    """Return the frame that begins with this head."""
    kind, flags, stream = struct.unpack(">BBI", head[3:HEAD_BYTES])
    return Frame(kind, flags, stream & WINDOW_BYTES_MAX, payload)


def frame(kind: int, stream: int = 0, payload: bytes = b"", flags: int = 0) -> bytes:
    """Return any frame."""
    return bytes(Frame(kind, flags, stream, payload))


def block(fields: Fields) -> bytes:
    """Return fields as HPACK has them without its tables, so that each block stands for itself."""
    return b"".join(b"\0" + _text(name.encode()) + _text(value) for name, value in fields)


def _text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    if len(data) < 127:
        return bytes([len(data)]) + data
    length, left = b"\x7f", len(data) - 127
    while left > 127:
        length += bytes([left & 127 | 128])
        left >>= 7
    return length + bytes([left]) + data


def headers(stream: int, fields: Fields, *, ends: bool = False) -> bytes:
    """Return a head, or trailers."""
    return frame(Type.HEADERS, stream, block(fields), END_HEADERS | (END_STREAM if ends else 0))


def data(stream: int, payload: bytes, *, ends: bool = False) -> bytes:
    """Return a part of a body."""
    return frame(Type.DATA, stream, payload, END_STREAM if ends else 0)


def settings(values: dict[int, int]) -> bytes:
    """Return what an end announces of itself."""
    return frame(Type.SETTINGS, 0, b"".join(struct.pack(">HI", *one) for one in values.items()))


def window_update(stream: int, more: int) -> bytes:
    """Return leave to send so many bytes more."""
    return frame(Type.WINDOW_UPDATE, stream, struct.pack(">I", more))


def rst_stream(stream: int, code: int) -> bytes:
    """Return the end of one stream."""
    return frame(Type.RST_STREAM, stream, struct.pack(">I", code))


def goaway(last: int, code: int = Code.NO_ERROR, words: bytes = b"") -> bytes:
    """Return the end of a connection: no stream above `last` was or will be processed."""
    return frame(Type.GOAWAY, 0, struct.pack(">II", last, code) + words)


def ping(number: int) -> bytes:
    """Return a question whether the other end is alive."""
    return frame(Type.PING, 0, struct.pack(">Q", number))
