"""The proxy of faults, for HTTP/2: what goes wrong with frames, beside what does with bytes."""

import asyncio
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import hpack
from faultproxy import (
    CHUNK_BYTES,
    MS_PER_S,
    REPLIES,
    REQUESTS,
    Fault,
    FaultProxy,
    Link,
    Way,
    WholeReplies,
)
from http2frames import (
    HEAD_BYTES,
    PREFACE,
    Code,
    Frame,
    Type,
    data,
    frame_of,
    goaway,
    payload_bytes,
    rst_stream,
)

FRAME_DELAYING = ("withhold",)
FRAME_GRACEFUL = ("refuse", "goaway", "goaway_below")
"""The faults that cost no request: it is answered, or may be sent again."""
FRAME_LOSING = ("cut_inside", "goaway_error")
FRAME_CHANGING = ("reset_stream", "drop_frame", "double_frame", "drop_trailers")
"""
Kinds of faults at frames, beside those that fit both, such as `cut` and `delay`; all but `withhold`
concern the newest stream where they concern one.

withhold       WINDOW_UPDATE frames of this way are kept back for `amount` ms
cut_inside     half of the frame goes, then both ways are closed
refuse         RST_STREAM, REFUSED_STREAM, to the client
reset_stream   RST_STREAM, a code of `amount`, this way
goaway         GOAWAY that announces an end, to the client: what is under way will be answered
goaway_below   the same, but the newest `amount` streams were not processed
goaway_error   GOAWAY for an error, and both ways are closed
drop_frame     the frame is left out
double_frame   the frame goes twice
drop_trailers  the next trailers are left out; with an `amount`, the stream ends without them
"""


class WholeStreams(WholeReplies):
    """Counts streams with status 0 of which every frame went through whole and unchanged.

    Of calls that are streams of inferences, the messages, each of them a frame.
    """

    def __init__(self, of_messages: bool) -> None:
        super().__init__(_end_of_frame)
        self._of_messages = of_messages
        self._spoiled: set[int] = set()

    def _passed(self, reply: bytes, spoiled: bool) -> None:
        frame = _read(reply)
        if spoiled:
            self._spoiled.add(frame.stream)
        if self._of_messages:
            self.count += frame.type == Type.DATA and not spoiled
        elif frame.type == Type.HEADERS and b"grpc-status\x010" in frame.payload:
            self.count += frame.stream not in self._spoiled


def _end_of_frame(data: bytes, start: int) -> int | None:
    end = start + HEAD_BYTES + payload_bytes(data[start : start + HEAD_BYTES])
    return end if len(data) >= start + HEAD_BYTES and end <= len(data) else None


def _read(data: bytes) -> Frame:
    return frame_of(data[:HEAD_BYTES], data[HEAD_BYTES:])


@dataclass(eq=False)
class _Frames:
    """Of one direction of a link."""

    preface_bytes: int
    """To come."""
    unread: bytes = b""
    taken: int = 0
    """How many frames of streams went since the link has a number."""
    faults: list[Fault] = field(default_factory=list)
    """To come, in order."""
    withholds_until_s: float = 0
    withheld: bytes = b""
    drops_trailers: Fault | None = None


@dataclass(eq=False)
class _Asked:
    """The requests on a link."""

    decoder: hpack.Decoder = field(default_factory=hpack.Decoder)
    newest: int = 0
    """Stream."""


class Http2FaultProxy(FaultProxy):
    """Has faults happen at bytes and at frames."""

    def __init__(
        self,
        server_port: int,
        faults: Iterable[Fault] = (),
        *,
        of_messages: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Have these faults happen once armed; count calls, or the messages of ModelStreamInfer."""
        self._of_messages = of_messages
        given = list(faults)
        super().__init__(server_port, [fault for fault in given if fault.at_frame is None], tls=tls)
        at_frames = [fault for fault in given if fault.at_frame is not None]
        self._at_frames = sorted(at_frames, key=lambda fault: fault.at_frame or 0)
        self._frames: dict[Way, _Frames] = {}
        self._asked: dict[Link, _Asked] = {}

    def _counter(self) -> WholeReplies:
        return WholeStreams(self._of_messages)

    def _number(self, link: Link) -> None:
        super()._number(link)
        for way in link.ways:
            self._frames_of(way).faults = [
                fault
                for fault in self._at_frames
                if (fault.connection, fault.direction) == (link.number, way.direction)
            ]

    def _frames_of(self, way: Way) -> _Frames:
        preface_bytes = len(PREFACE) if way.direction == REQUESTS else 0
        return self._frames.setdefault(way, _Frames(preface_bytes))

    async def _pump(self, link: Link, way: Way) -> None:
        frames = self._frames_of(way)
        while chunk := await self._read_more(link, way, frames):
            preface, chunk = chunk[: frames.preface_bytes], chunk[frames.preface_bytes :]
            frames.preface_bytes -= len(preface)
            await self._forward(link, way, preface)
            frames.unread += chunk
            while (end := _end_of_frame(frames.unread, 0)) is not None:
                came, frames.unread = _read(frames.unread[:end]), frames.unread[end:]
                await self._take(link, way, frames, came)
        await self._forward(link, way, frames.unread)
        self._end(way)

    async def _read_more(self, link: Link, way: Way, frames: _Frames) -> bytes:
        """Read; let go what is withheld when its time has come."""
        while frames.withholds_until_s:
            left_s = frames.withholds_until_s - time.monotonic()
            with suppress(TimeoutError):
                return await asyncio.wait_for(way.reader.read(CHUNK_BYTES), max(0, left_s))
            withheld, frames.withheld = frames.withheld, b""
            frames.withholds_until_s = 0
            await self._forward(link, way, withheld)
        return await way.reader.read(CHUNK_BYTES)

    async def _take(self, link: Link, way: Way, frames: _Frames, came: Frame) -> None:
        if way.direction == REQUESTS and came.type == Type.HEADERS:
            self._ask(link, came)
        raw = bytes(came)
        while came.stream and frames.faults and (frames.faults[0].at_frame or 0) <= frames.taken:
            fault = frames.faults.pop(0)
            self.done.append(fault)
            raw = await self._do_at_frame(fault, link, way, raw)
        frames.taken += link.number is not None and came.stream > 0
        if came.type == Type.WINDOW_UPDATE and frames.withholds_until_s:
            frames.withheld += raw
        elif frames.drops_trailers and came.type == Type.HEADERS and came.ends_stream:
            self._leave_out(link, way, raw)
            if frames.drops_trailers.amount:
                way.writer.write(data(came.stream, b"", ends=True))
            frames.drops_trailers = None
        else:
            await self._forward(link, way, raw)

    def _ask(self, link: Link, came: Frame) -> None:
        asked = self._asked.setdefault(link, _Asked())
        path = dict(asked.decoder.decode(came.fragment))[":path"]
        asked.newest = came.stream
        if (
            link.number is None
            and self._armed.is_set()
            and path.endswith(("/ModelInfer", "/ModelStreamInfer"))
        ):
            self._number(link)

    def _leave_out(self, link: Link, way: Way, raw: bytes) -> None:
        if link.replies and way.direction == REPLIES:
            link.replies.left_out(raw)

    async def _do_at_frame(self, fault: Fault, link: Link, way: Way, raw: bytes) -> bytes:
        """Return what remains of the frame, which is not sent yet."""
        newest, frames = self._asked[link].newest, self._frames_of(way)
        if fault.kind == "withhold":
            frames.withholds_until_s = time.monotonic() + fault.amount / MS_PER_S
        elif fault.kind == "cut_inside":
            await self._forward(link, way, raw[: len(raw) // 2])
            await self._do(replace(fault, kind="cut"), link, way, b"")
        elif fault.kind == "refuse":
            way.writer.write(rst_stream(newest, Code.REFUSED_STREAM))
        elif fault.kind == "reset_stream":
            way.writer.write(rst_stream(newest, fault.amount))
        elif fault.kind == "goaway":
            way.writer.write(goaway(newest))
        elif fault.kind == "goaway_below":
            way.writer.write(goaway(max(0, newest - 2 * fault.amount)))
        elif fault.kind == "goaway_error":
            way.writer.write(goaway(newest, Code.ENHANCE_YOUR_CALM, b"too_many_pings"))
            await self._do(replace(fault, kind="cut"), link, way, b"")
        elif fault.kind == "drop_frame":
            self._leave_out(link, way, raw)
            return b""
        elif fault.kind == "double_frame":
            way.writer.write(raw)
        elif fault.kind == "drop_trailers":
            frames.drops_trailers = fault
        else:
            await self._do(fault, link, way, raw)
        return raw
