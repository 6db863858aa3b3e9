"""One command over a socket of its own, and its reply as the lines that came over the wire."""

import socket
from collections.abc import Iterator
from typing import BinaryIO

from aibench_fast.protocols.address import ServerAddress

TIMEOUT_S = 60.0


def reply_lines(address: ServerAddress, *arguments: bytes) -> list[bytes]:
    """Send one command; return its reply, a bulk string's bytes as one line."""
    with socket.create_connection((address.host, address.port), TIMEOUT_S) as connection:
        head = b"*%d\r\n" % len(arguments)
        connection.sendall(head + b"".join(b"$%d\r\n%b\r\n" % (len(a), a) for a in arguments))
        with connection.makefile("rb") as stream:
            return list(_lines(stream))


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    line = stream.readline().removesuffix(b"\r\n")
    if not line:
        raise ConnectionError("the server closed the connection")
    yield line
    kind, count = line[:1], int(line[1:]) if line[:1] in b"$*" else 0
    if kind == b"$" and count >= 0:
        yield stream.read(count + 2)[:-2]
    if kind == b"*":
        for _ in range(count):
            yield from _lines(stream)
