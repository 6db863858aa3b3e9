"""Reads and writes protobuf's wire format, as far as messages before and after a run need it.

A message is described by its fields, and is a dictionary by their names. See
https://protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

_NUMBER, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
"""Wire types."""
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_NUMBER_MAX = (1 << 29) - 1
_VARINT_BYTES_MAX = 10
_MORE = 0x80
_WORD = 1 << 64
_SIGN = 1 << 63


class Scalar(Enum):
    """The types of values that are not messages."""

    TEXT = "string"
    BYTES = "bytes"
    BOOL = "bool"
    INT64 = "int64"
    WIDE_INT64 = "int64, as long as it can be"
    """Of whatever value, it is written in as many bytes."""
    UINT64 = "uint64"

    @property
    def is_number(self) -> bool:
        """Return whether it is written as a number, which takes as many bytes as it needs."""
        return self not in (Scalar.TEXT, Scalar.BYTES)


_DEFAULTS: Mapping[Scalar, Any] = {
    Scalar.TEXT: "", Scalar.BYTES: b"", Scalar.BOOL: False, Scalar.INT64: 0, Scalar.WIDE_INT64: 0,
    Scalar.UINT64: 0,
}  # fmt: skip


class Field(NamedTuple):
    """A field of a message."""

    number: int
    kind: "Scalar | Message"
    is_repeated: bool = False


Message = Mapping[str, Field]
"""The fields of a message by name."""


def encode(message: Message, values: Mapping[str, Any]) -> bytes:
    """Return the message of these values; those that are left out have their defaults."""
    return b"".join(
        part
        for name, field in message.items()
        if name in values
        for part in _encoded(field, values[name])
    )


def opened(number: int, size: int) -> bytes:
    """Return what stands before a field's value of `size` bytes."""
    return varint(number << 3 | _DELIMITED) + varint(size)


def _encoded(field: Field, value: Any) -> Iterator[bytes]:
    if isinstance(field.kind, Scalar) and field.kind.is_number:
        if field.is_repeated:
            numbers = b"".join(map(varint, value))
            yield opened(field.number, len(numbers)) + numbers
        else:
            least_bytes = _VARINT_BYTES_MAX if field.kind is Scalar.WIDE_INT64 else 1
            yield varint(field.number << 3 | _NUMBER) + varint(value, least_bytes)
        return
    for one in value if field.is_repeated else [value]:
        content = one
        if field.kind is Scalar.TEXT:
            content = one.encode()
        elif not isinstance(field.kind, Scalar):
            content = encode(field.kind, one)
        yield opened(field.number, len(content)) + content


def varint(value: int, least_bytes: int = 1) -> bytes:
    """Return a number as the wire has it, of `least_bytes` or more."""
    value %= _WORD  # a negative one is its two's complement
    found = bytearray()
    while value >= _MORE or len(found) < least_bytes - 1:
        found.append(value % _MORE | _MORE)
        value //= _MORE
    found.append(value)
    return bytes(found)


def decode(message: Message, data: bytes) -> dict[str, Any]:
    """Return a message's values by name, defaults for what is missing; ValueError if malformed."""
    by_number = {field.number: name for name, field in message.items()}
    found: dict[str, list[bytes | int]] = {name: [] for name in message}
    for number, value in _fields(data):
        if number in by_number:
            found[by_number[number]].append(value)
    return {name: _decoded(field, found[name]) for name, field in message.items()}


def _decoded(field: Field, found: Sequence[bytes | int]) -> Any:
    """Return the value of a field from all that came for it; what has another form is ignored."""
    texts = [one for one in found if isinstance(one, bytes)]
    if not isinstance(field.kind, Scalar):
        if field.is_repeated:
            return [decode(field.kind, one) for one in texts]
        return decode(field.kind, b"".join(texts))  # the parts of one message are merged
    values: list[Any]
    if field.kind.is_number:
        values = [_number(field.kind, one) for one in _numbers(found, field.is_repeated)]
    else:
        values = [str(one, "utf-8") for one in texts] if field.kind is Scalar.TEXT else texts
    if field.is_repeated:
        return values
    return values[-1] if values else _DEFAULTS[field.kind]


def _numbers(found: Sequence[bytes | int], may_be_packed: bool) -> Iterator[int]:
    """Yield the numbers that came one by one, or packed together."""
    for one in found:
        if isinstance(one, int):
            yield one
        elif may_be_packed:
            at = 0
            while at < len(one):
                number, at = _read_varint(one, at)
                yield number


def _number(kind: Scalar, value: int) -> int | bool:
    if kind is Scalar.BOOL:
        return bool(value)
    return value - _WORD if kind is not Scalar.UINT64 and value >= _SIGN else value


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Yield each field's number and value, but for those of a fixed size; ValueError."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, form = tag >> 3, tag & 7
        if not 0 < number <= _NUMBER_MAX:
            raise ValueError(f"a field has the number {number}")
        if form == _NUMBER:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        if form == _DELIMITED:
            size, at = _read_varint(data, at)
        elif form in _FIXED_BYTES:
            size = _FIXED_BYTES[form]
        else:
            raise ValueError(f"field {number} is of wire type {form}")
        if size > len(data) - at:
            raise ValueError(f"field {number} has {size} bytes, and {len(data) - at} are left")
        at += size
        if form == _DELIMITED:
            yield number, data[at - size : at]


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that stands at a place, and where it ends."""
    value = 0
    for place, byte in enumerate(data[at : at + _VARINT_BYTES_MAX]):
        value |= byte % _MORE << 7 * place
        if byte < _MORE:
            return value % _WORD, at + place + 1
    raise ValueError("a number has no end")
