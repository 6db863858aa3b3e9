"""The sockets that listen at an address, by the numbers of their inodes."""

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from aibench_fast.coretypes import Endpoint

_TABLES = Path("/proc/self/net")
_UNIX_LISTENS = 0x10000
_FAMILIES = {socket.AF_INET: "tcp", socket.AF_INET6: "tcp6"}
"""With the names of their tables."""
_TCP_LISTENS = 10
# Of linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_DUMP_FLAGS = 0x301
_ERROR, _DONE = 2, 3
_REQUEST = struct.Struct("=IHHII BBBxI48x")
_HEAD = struct.Struct("=IH10x")
_PORT = struct.Struct("!20xH")
_INODE = struct.Struct("=84xI")
_REPLY_BYTES = 1 << 16


def listening(endpoint: Endpoint) -> Iterator[str]:
    """Yield the inodes of the sockets that listen there."""
    if endpoint.socket is not None:
        names = {str(endpoint.socket), str(Path(endpoint.socket).absolute())}
        for words in _rows("unix"):
            if " ".join(words[7:]) in names and int(words[3], 16) & _UNIX_LISTENS:
                yield words[6]
        return
    for family, table in _FAMILIES.items():
        try:
            found = [*_from_netlink(family)]
        except OSError:
            found = [*_from_table(table)]
        yield from (str(inode) for port, inode in found if port == endpoint.port)


def _from_netlink(family: int) -> Iterator[tuple[int, int]]:
    """Yield the port and inode of each socket that listens; OSError where a sandbox forbids it.

    The table lists all connections too: the kernel takes 10 ms or more to write it.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(
            _REQUEST.pack(
                _REQUEST.size, _SOCK_DIAG_BY_FAMILY, _DUMP_FLAGS, 0, 0,
                family, socket.IPPROTO_TCP, 0, 1 << _TCP_LISTENS,
            )
        )  # fmt: skip
        while replies := memoryview(kernel.recv(_REPLY_BYTES)):
            while replies:
                size, kind = _HEAD.unpack_from(replies)
                if kind == _DONE:
                    return
                if kind == _ERROR:
                    raise OSError("the kernel refuses to list sockets")
                yield *_PORT.unpack_from(replies), *_INODE.unpack_from(replies)
                replies = replies[size:]


def _from_table(name: str) -> Iterator[tuple[int, int]]:
    for words in _rows(name):
        if int(words[3], 16) == _TCP_LISTENS:
            yield int(words[1].rpartition(":")[2], 16), int(words[9])


def _rows(name: str) -> Iterator[list[str]]:
    """Yield the lines of a table of sockets, split into words, without its head."""
    try:
        lines = (_TABLES / name).read_text().splitlines()[1:]
    except OSError:
        return
    yield from (line.split() for line in lines)
