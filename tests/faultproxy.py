"""A TCP proxy that does to connections what networks and failing servers do, on order, at a byte.

Once it is armed, connections are numbered as they first carry a request for an inference: those of
a run's workers, and not what is asked before, beside and after it. Each fault happens once, when so
many bytes went one way on one of them. What went through whole and unchanged is counted.
"""

import asyncio
import random
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

from loopthread import LoopThread

REQUESTS, REPLIES = "requests", "replies"
DELAYING = ("delay", "throttle", "split")
"""The kinds of faults that lose and change nothing."""
LOSING = ("cut", "reset", "half_close", "stall", "down")
CHANGING = ("garbage", "drop", "double")

CHUNK_BYTES = 1 << 16
MS_PER_S = 1000
_INFERENCE = re.compile(rb"AI\.(TENSORSET|DAGRUN|DAGEXECUTE|MODEL)|/infer |completions ")
_RESET = struct.pack("ii", 1, 0)  # of SO_LINGER: close with RST

EndOfReply = Callable[[bytes, int], int | None]
"""Where the reply that begins at a place ends; None where it is not whole."""


@dataclass(frozen=True)
class Fault:
    """A fault on the connection of this number, behind so many bytes that went one way."""

    kind: str
    """
    cut         both ways are closed
    reset       the same by RST
    half_close  this way is closed, the other goes on
    stall       nothing more goes this way
    down        all connections are reset, and new ones refused, for `amount` ms
    delay       a pause of `amount` ms, give or take half of it
    throttle    from here on `amount` bytes a second
    split       the next `amount` bytes go one by one
    garbage     `amount` random bytes are inserted
    drop        the next `amount` bytes are left out
    double      the next `amount` bytes, of those that are there, go twice
    """
    connection: int
    direction: str
    at_bytes: int = 0
    amount: int = 0
    at_frame: int | None = None
    """Over HTTP/2, in place of bytes: before the stream's frame of this number."""


def resp_end(data: bytes, start: int) -> int | None:
    """Where a reply in RESP ends."""
    line = data.find(b"\r\n", start)
    if line < 0:
        return None
    end: int | None = line + 2
    if data[start : start + 1] == b"$":
        end = line + 2 + int(data[start + 1 : line]) + 2
    elif data[start : start + 1] == b"*":
        for _ in range(int(data[start + 1 : line])):
            end = None if end is None else resp_end(data, end)
    return end if end is not None and end <= len(data) else None


def http_end(data: bytes, start: int) -> int | None:
    """Where a reply over HTTP ends, which says its length."""
    head = data.find(b"\r\n\r\n", start)
    length = re.search(rb"(?i)content-length: *(\d+)", data[start:head]) if head >= 0 else None
    end = head + 4 + int(length[1]) if length else None
    return end if end is not None and end <= len(data) else None


class WholeReplies:
    """Counts replies with an output of which every byte went through, and nothing in between."""

    def __init__(self, end_of_reply: EndOfReply) -> None:
        self.count = 0
        self._end_of_reply = end_of_reply
        self._bytes = b""
        self._altered: list[tuple[int, int]] = []

    def sent(self, data: bytes) -> None:
        self._bytes += data
        while (end := self._end_of_reply(self._bytes, 0)) is not None:
            spoiled = any(start < end and stop > 0 for start, stop in self._altered)
            self._passed(self._bytes[:end], spoiled)
            self._bytes = self._bytes[end:]
            self._altered = [(a - end, b - end) for a, b in self._altered if b > end]

    def _passed(self, reply: bytes, spoiled: bool) -> None:
        has_output = reply[:1] in (b"$", b"*") or reply[8:12] == b" 200"
        self.count += has_output and not spoiled

    def left_out(self, data: bytes) -> None:
        self._altered.append((len(self._bytes), len(self._bytes) + len(data)))
        self.sent(data)

    def inserted(self) -> None:
        if self._bytes:
            self._altered.append((len(self._bytes) - 1, len(self._bytes) + 1))


class _Closed(Exception):
    """Both ways of a link are closed."""


@dataclass(eq=False)
class Way:
    """One direction of a link."""

    direction: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    taken_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    """To come, in order."""
    bytes_per_s: int = 0
    split_bytes: int = 0
    drop_bytes: int = 0
    is_shut: bool = False


@dataclass(eq=False)
class Link:
    ways: tuple[Way, Way]
    replies: WholeReplies | None
    number: int | None = None


class FaultProxy(LoopThread):
    """Listens on a free port of 127.0.0.1, before a server on another, while a `with` lasts."""

    def __init__(
        self,
        server_port: int,
        faults: Iterable[Fault] = (),
        *,
        end_of_reply: EndOfReply | None = None,
        hold_s: Callable[[], float] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Have these faults happen once armed; count whole replies by where they end.

        `hold_s` says for how long each piece of replies is held up, beside the faults. With `tls`
        clients speak TLS; the server does not, and the faults happen to what lies within.
        """
        self.done: list[Fault] = []
        """The faults that happened, in order."""
        self.held_s: list[float] = []
        """For how long each piece of replies was held up, in order; where `hold_s` is given."""
        self.numbered = 0
        """Connections that carried inferences since it was armed."""
        self._server_port = server_port
        self._faults = sorted(faults, key=lambda fault: fault.at_bytes)
        self._end_of_reply = end_of_reply
        self._hold_s = hold_s
        self._tls = tls
        self._armed = threading.Event()
        self._links: dict[Link, list[asyncio.Task[None]]] = {}
        self._counted: list[WholeReplies] = []
        self._down: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        # Bound all the time, so that nobody else is given the port while nothing listens there.
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._holder.bind(("127.0.0.1", 0))
        self.port: int = self._holder.getsockname()[1]
        return super().__enter__()

    def __exit__(self, *failure: object) -> None:
        super().__exit__(*failure)
        self._holder.close()

    def arm(self) -> None:
        """Have the faults happen from now on."""
        self._armed.set()

    def disarm(self) -> None:
        """Let what is new go through as it is."""
        self._armed.clear()

    @property
    def whole_replies(self) -> int:
        """Replies with an output that went through whole and unchanged."""
        return sum(replies.count for replies in self._counted)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, limit=CHUNK_BYTES, reuse_port=True, ssl=self._tls
        )

    async def _stop(self) -> None:
        self._server.close()
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for pump in [*self._down, *(pump for pumps in self._links.values() for pump in pumps)]:
                pump.cancel()
            await asyncio.wait(tasks, timeout=0.1)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        ways = (Way(REQUESTS, reader, there[1]), Way(REPLIES, there[0], writer))
        link = Link(ways, self._counter())
        pumps = [asyncio.ensure_future(self._pump(link, way)) for way in ways]
        self._links[link] = pumps  # of which one that waits for ever is held by nothing else
        await asyncio.wait(pumps, return_when=asyncio.FIRST_EXCEPTION)
        del self._links[link]
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for way in ways:
            way.writer.close()

    def _counter(self) -> WholeReplies | None:
        return WholeReplies(self._end_of_reply) if self._end_of_reply else None

    async def _pump(self, link: Link, way: Way) -> None:
        while data := await way.reader.read(CHUNK_BYTES):
            if link.number is None and self._armed.is_set() and _INFERENCE.search(data):
                self._number(link)
            if self._hold_s and link.number is not None and way.direction == REPLIES:
                from_s = time.monotonic()
                await asyncio.sleep(self._hold_s())
                self.held_s.append(time.monotonic() - from_s)
            await self._forward(link, way, data)
        self._end(way)

    def _end(self, way: Way) -> None:
        """Close this way; over TLS, both."""
        if way.is_shut:
            return
        way.is_shut = True
        if way.writer.can_write_eof():
            way.writer.write_eof()
        else:
            way.writer.close()

    def _number(self, link: Link) -> None:
        link.number = self.numbered
        self.numbered += 1
        for way in link.ways:
            way.taken_bytes = 0
            way.faults = [
                fault
                for fault in self._faults
                if (fault.connection, fault.direction) == (link.number, way.direction)
            ]
        if link.replies:
            self._counted.append(link.replies)

    async def _forward(self, link: Link, way: Way, data: bytes) -> None:
        while data:
            fault = way.faults[0] if way.faults else None
            until = len(data) if fault is None else fault.at_bytes - way.taken_bytes
            piece, data = data[: max(0, until)], data[max(0, until) :]
            way.taken_bytes += len(piece)
            await self._send(link, way, piece)
            if fault is not None and fault.at_bytes <= way.taken_bytes:
                self.done.append(way.faults.pop(0))
                await self._do(fault, link, way, data)

    async def _send(self, link: Link, way: Way, data: bytes) -> None:
        dropped, data = data[: way.drop_bytes], data[way.drop_bytes :]
        way.drop_bytes -= len(dropped)
        replies = link.replies if way.direction == REPLIES and link.number is not None else None
        if replies and dropped:
            replies.left_out(dropped)
        while data and not way.is_shut:
            slow = way.split_bytes > 0 or way.bytes_per_s > 0
            piece, data = (data[:1], data[1:]) if slow else (data, b"")
            way.split_bytes -= min(way.split_bytes, len(piece))
            if way.bytes_per_s:
                await asyncio.sleep(len(piece) / way.bytes_per_s)
            if replies:
                replies.sent(piece)  # before the client may have seen it
            way.writer.write(piece)
            await way.writer.drain()
            if slow:
                await asyncio.sleep(0)

    async def _do(self, fault: Fault, link: Link, way: Way, data: bytes) -> None:
        """Cause the fault; the bytes that follow, in `data`, are not sent yet."""
        drawn = random.Random(repr(fault))
        if fault.kind == "cut":
            raise _Closed
        if fault.kind == "reset":
            self._reset(link)
            raise _Closed
        if fault.kind == "half_close":
            self._end(way)
        elif fault.kind == "stall":
            await asyncio.Event().wait()
        elif fault.kind == "down":
            self._down.add(asyncio.ensure_future(self._be_down(fault.amount / MS_PER_S)))
            await asyncio.Event().wait()
        elif fault.kind == "delay":
            await asyncio.sleep(fault.amount / MS_PER_S * drawn.uniform(0.5, 1.5))
        elif fault.kind == "throttle":
            way.bytes_per_s = fault.amount
        elif fault.kind == "split":
            way.split_bytes = fault.amount
        elif fault.kind == "drop":
            way.drop_bytes = fault.amount
        else:
            more = drawn.randbytes(fault.amount) if fault.kind == "garbage" else None
            way.writer.write(data[: fault.amount] if more is None else more)
            if link.replies and way.direction == REPLIES:
                link.replies.inserted()

    def _reset(self, link: Link) -> None:
        for way in link.ways:
            if not way.writer.transport.is_closing():
                sock = way.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                way.writer.transport.abort()

    async def _be_down(self, seconds: float) -> None:
        self._server.close()
        for link in self._links:
            self._reset(link)
        await asyncio.sleep(seconds)
        await self._listen()
