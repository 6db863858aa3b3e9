"""The part of Protocol Buffers' wire format that a model file needs.

A message is the concatenation of its fields; each function returns one field as bytes.
Source of the format: "Encoding" in the Protocol Buffers documentation.
"""

from collections.abc import Iterable

from aibench_fast.protocols.openinference.grpc.wire import opened, varint


def integer(field: int, value: int) -> bytes:
    """Encode a field of an integer, enumeration or boolean type."""
    return varint(field << 3) + varint(value)


def integers(field: int, values: Iterable[int]) -> bytes:
    """Encode a packed repeated field of integers."""
    return message(field, b"".join(map(varint, values)))


def message(field: int, *parts: bytes) -> bytes:
    """Encode a field of bytes, or a nested message given as its fields."""
    return b"".join([opened(field, sum(map(len, parts))), *parts])


def text(field: int, value: str) -> bytes:
    """Encode a string field."""
    return message(field, value.encode())
