"""The part of Protocol Buffers' wire format that a model file needs.

A message is the concatenation of its fields; each function returns one field as bytes.
Source of the format: "Encoding" in the Protocol Buffers documentation.
"""

from collections.abc import Iterable

VARINT = 0
LENGTH_DELIMITED = 2


def varint(number: int) -> bytes:
    """Encode a number, seven bits per byte, lowest first; negative ones as two's complement."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def integer(field: int, value: int) -> bytes:
    """Encode a field of an integer, enumeration or boolean type."""
    return varint(field << 3 | VARINT) + varint(value)


def integers(field: int, values: Iterable[int]) -> bytes:
    """Encode a packed repeated field of integers."""
    return message(field, b"".join(map(varint, values)))


def message(field: int, *parts: bytes) -> bytes:
    """Encode a field of bytes, or a nested message given as its fields."""
    size = sum(map(len, parts))
    return b"".join([varint(field << 3 | LENGTH_DELIMITED), varint(size), *parts])


def text(field: int, value: str) -> bytes:
    """Encode a string field."""
    return message(field, value.encode())
