"""Protocol Buffers' wire format, as model files need it: see "Encoding" in its documentation."""

from collections.abc import Iterable, Mapping
from typing import Any

from aibench_fast.protocols.openinference.grpc.wire import opened, varint

Fields = Mapping[int, Any]
"""The fields of a message by number: an integer, text, bytes, a message's fields; or a list of such
where the field is repeated and not packed."""


def encoded(fields: Fields) -> bytes:
    """Return a message."""
    parts = []
    for number, value in fields.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                parts += [varint(number << 3), varint(one)]
                continue
            content = encoded(one) if isinstance(one, Mapping) else one
            content = content.encode() if isinstance(content, str) else content
            parts += [opened(number, len(content)), content]
    return b"".join(parts)


def packed(values: Iterable[int]) -> bytes:
    """Return the value of a packed repeated field of integers."""
    return b"".join(map(varint, values))
