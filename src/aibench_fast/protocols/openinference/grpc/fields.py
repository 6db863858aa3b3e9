"""The header fields of a call, as the native core takes them."""

from functools import cache
from importlib.metadata import version

from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.grpc.messages import SERVICE

_AUTHORITY, _USER_AGENT = "host", "user-agent"
"""The metadata that takes the place of a field."""


@cache
def _own_name() -> str:
    return f"aibench-fast/{version('aibench-fast')}"


def header_fields(address: HttpAddress, method: str) -> bytes:
    """Return the fields of a call of a method: all names and values, each after its lengths.

    See native/http2.h.
    """
    metadata = dict(address.headers)
    fields = [
        (":method", "POST"),
        (":scheme", "https" if address.tls else "http"),
        (":authority", metadata.get(_AUTHORITY, address.host_field)),
        (":path", f"/{SERVICE}/{method}"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        (_USER_AGENT, metadata.get(_USER_AGENT, _own_name())),
        *(one for one in address.headers if one[0] not in (_AUTHORITY, _USER_AGENT)),
    ]
    packed = b"".join(
        len(name).to_bytes(2, "little") + len(value).to_bytes(2, "little") + name + value
        for name, value in ((name.encode(), value.encode()) for name, value in fields)
    )
    return len(packed).to_bytes(4, "little") + packed
