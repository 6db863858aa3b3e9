"""Servers that do what no server should, or what few do: each end of a call by its name."""

import asyncio
import re
import struct
import time
from collections.abc import Callable

import http2frames as h2
import pytest
from fake_grpc import (
    GENEROUS,
    Asked,
    Behaviour,
    Connection,
    FakeGrpc,
    answer,
    head,
    later,
    message,
    prefixed,
    refusal,
    trailers,
    well,
)
from generator import generator, run
from http2frames import Code, Frame, Type

from aibench_fast import ServerError
from aibench_fast.coretypes import Schedule, Segment, Snapshot

WHOLE = prefixed(message())
Frames = Callable[[int], bytes]
"""The answer on a stream."""


def once(frames: Frames, at: int = 3) -> Behaviour:
    """Answer this to one inference, and others well."""
    return lambda asked, number: frames(asked.stream) if number == at else well(asked, number)


def always(frames: Frames) -> Behaviour:
    """Answer each inference like this."""
    return lambda asked, _: frames(asked.stream)


def failures(counted: Snapshot) -> dict[str, tuple[int, str]]:
    return dict(counted.measured.failures)


def only(counted: Snapshot) -> tuple[str, int, str]:
    """Return the one kind of failure, how many there are, and the message of the first."""
    ((kind, (times, words)),) = counted.measured.failures.items()
    return kind, times, words


STREAM_FAULTS: dict[str, tuple[Frames, str, str]] = {
    "cut short": (
        lambda s: head(s) + h2.data(s, WHOLE[:-3]) + trailers(s),
        "wrong_size", f"a message of {len(WHOLE) - 5} bytes, of which {len(WHOLE) - 8} came",
    ),
    "longer than announced": (
        lambda s: answer(s, WHOLE + b"more"),
        "wrong_size", f"a message of {len(WHOLE) - 5} bytes, and 4 more after it",
    ),
    "no message": (
        lambda s: head(s) + trailers(s), "wrong_reply", "grpc-status OK without a message",
    ),
    "no trailers": (
        lambda s: head(s) + h2.data(s, WHOLE, ends=True),
        "protocol", "a reply without a grpc-status",
    ),
    "trailers without a status": (
        lambda s: head(s) + h2.data(s, WHOLE) + h2.headers(s, [("x", "y")], ends=True),
        "protocol", "a reply without a grpc-status",
    ),
    "a status that is no number": (
        lambda s: head(s) + h2.data(s, WHOLE) + h2.headers(s, [("grpc-status", "0x")], ends=True),
        "protocol", "a reply without a grpc-status",
    ),
    "compressed": (
        lambda s: head(s, ("grpc-encoding", "gzip"))
        + h2.data(s, prefixed(message(), flag=1)) + trailers(s),
        "wrong_reply", "the reply is compressed, which was not requested (grpc-encoding: gzip)",
    ),
    "a proxy's page": (
        lambda s: h2.headers(s, [(":status", "502"), ("content-type", "text/html")])
        + h2.data(s, b"<h1>Bad Gateway</h1>", ends=True),
        "error_reply", "HTTP 502, which is not of gRPC",
    ),
    "another content-type": (
        lambda s: h2.headers(s, [(":status", "200"), ("content-type", "text/html")])
        + h2.data(s, b"<h1>It works!</h1>", ends=True),
        "wrong_reply", "the reply's content-type is text/html, not application/grpc",
    ),
    "reset": (
        lambda s: h2.rst_stream(s, Code.INTERNAL_ERROR), "protocol", "RST_STREAM: INTERNAL_ERROR",
    ),
    "reset within a reply": (
        lambda s: head(s) + h2.data(s, WHOLE[:7]) + h2.rst_stream(s, Code.ENHANCE_YOUR_CALM),
        "protocol", "RST_STREAM: ENHANCE_YOUR_CALM",
    ),
    "no head": (
        lambda s: h2.headers(s, [("grpc-status", "0")], ends=True),
        "protocol", "the reply breaks the rules of HTTP/2 (PROTOCOL_ERROR)",
    ),
    "a field in capitals": (
        lambda s: head(s, ("Loud", "yes"), ends=True),
        "protocol", "the reply breaks the rules of HTTP/2 (PROTOCOL_ERROR)",
    ),
    "no message of protobuf": (
        lambda s: answer(s, prefixed(b"\xff\xff")), "wrong_reply", "is not a ModelInferResponse",
    ),
    "another message": (
        lambda s: answer(s, prefixed(b"\x0a\x01m")), "wrong_reply", "outputs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("name", STREAM_FAULTS)
def test_a_reply_that_is_wrong_is_one_failure_of_its_kind(name: str, streams: int) -> None:
    """The others on its connection are answered."""
    frames, kind, words = STREAM_FAULTS[name]
    with FakeGrpc(once(frames)) as server:
        counted = run(server.port, requests=10, streams=streams)
    found, times, said = only(counted)
    assert (found, times) == (kind, 1)
    assert words in said
    assert counted.measured.counters["successes"] == 9
    assert len(server.connections) == 1


CONNECTION_FAULTS: dict[str, tuple[Frames, str]] = {
    "data before the head": (lambda s: h2.data(s, WHOLE), "PROTOCOL_ERROR"),
    "data on a stream that never was": (lambda s: h2.data(s + 2, WHOLE), "PROTOCOL_ERROR"),
    "a stream of the server's": (lambda _: head(2), "PROTOCOL_ERROR"),
    "a push that was not allowed": (
        lambda s: h2.frame(
            Type.PUSH_PROMISE, s, struct.pack(">I", 2) + h2.block([(":method", "GET")]),
            h2.END_HEADERS,
        ),
        "PROTOCOL_ERROR",
    ),
    "a header block that is none": (
        lambda s: h2.frame(Type.HEADERS, s, b"\xff\xff\xff\xff\xff", h2.END_HEADERS),
        "COMPRESSION_ERROR",
    ),
    "a field of a table that is empty": (
        lambda s: h2.frame(Type.HEADERS, s, b"\xfe", h2.END_HEADERS), "COMPRESSION_ERROR",
    ),
    "data within a header block": (
        lambda s: h2.frame(Type.HEADERS, s, h2.block([(":status", "200")])) + h2.data(s, WHOLE),
        "PROTOCOL_ERROR",
    ),
    "a ping of nine bytes": (lambda _: h2.frame(Type.PING, 0, bytes(9)), "FRAME_SIZE_ERROR"),
    "a window update of five": (
        lambda s: h2.frame(Type.WINDOW_UPDATE, s, bytes(5)), "FRAME_SIZE_ERROR",
    ),
    "settings of seven": (lambda _: h2.frame(Type.SETTINGS, 0, bytes(7)), "FRAME_SIZE_ERROR"),
    "a frame limit that is not allowed": (
        lambda _: h2.settings({h2.MAX_FRAME_SIZE: 100}), "PROTOCOL_ERROR",
    ),
    "a window that overflows": (
        lambda _: h2.window_update(0, h2.WINDOW_BYTES_MAX), "FLOW_CONTROL_ERROR",
    ),
    "a window update of nothing": (lambda _: h2.window_update(0, 0), "PROTOCOL_ERROR"),
}  # fmt: skip


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("name", CONNECTION_FAULTS)
def test_what_breaks_http2_ends_the_connection(name: str, streams: int) -> None:
    """Those under way fail, or were not processed; the others go on another connection."""
    frames, code = CONNECTION_FAULTS[name]
    with FakeGrpc(once(frames)) as server:
        counted = run(server.port, requests=20, streams=streams, timeout_s=30)
    kind, times, words = only(counted)
    assert kind == "protocol"
    assert code in words, words
    assert 1 <= times <= streams
    assert counted.measured.counters["successes"] == 20 - times
    assert len(server.connections) == 2
    assert counted.counters["remade"] == 1


def test_a_connection_that_ends_within_a_reply_is_lost() -> None:
    def cut(asked: Asked, number: int) -> bytes | None:
        if number != 3:
            return well(asked, number)
        asked.connection.send(head(asked.stream) + h2.data(asked.stream, WHOLE)[:12])
        return None

    with FakeGrpc(cut) as server:
        counted = run(server.port, requests=10)
    assert only(counted) == ("connection_lost", 1, "the server closed the connection")
    assert counted.measured.counters["successes"] == 9


def test_what_comes_for_a_stream_that_ended_changes_nothing() -> None:
    def twice(asked: Asked, number: int) -> bytes:
        more = h2.data(asked.stream, b"more") + trailers(asked.stream, 13, "late")
        return well(asked, number) + more + h2.rst_stream(asked.stream, Code.INTERNAL_ERROR)

    with FakeGrpc(twice) as server:
        counted = run(server.port, requests=10, streams=2)
    assert failures(counted) == {}


def test_a_reply_in_any_pieces_is_a_reply() -> None:
    """In frames of a byte, with empty ones, padding, and a head in parts."""

    def pieces(asked: Asked, number: int) -> bytes:
        stream = asked.stream
        block = h2.block([(":status", "200"), ("content-type", "application/grpc+proto")])
        parts = [block[i : i + 7] for i in range(0, len(block), 7)]
        begins = h2.headers(stream, [(":status", "103")]) + h2.frame(Type.HEADERS, stream, parts[0])
        begins += b"".join(h2.frame(Type.CONTINUATION, stream, part) for part in parts[1:-1])
        begins += h2.frame(Type.CONTINUATION, stream, parts[-1], h2.END_HEADERS)
        padded = h2.frame(Type.DATA, stream, b"\x03" + WHOLE[:1] + bytes(3), h2.PADDED)
        rest = b"".join(h2.data(stream, WHOLE[i : i + 1]) for i in range(1, len(WHOLE)))
        return begins + padded + rest + h2.data(stream, b"") + trailers(stream)

    with FakeGrpc(pieces) as server:
        counted = run(server.port, requests=10, streams=2)
    assert failures(counted) == {}
    assert counted.measured.counters["successes"] == 10


@pytest.mark.parametrize("ends", [False, True])
def test_a_refusal_before_the_request_was_sent_is_in_the_servers_words(ends: bool) -> None:
    """Its window is shut, so that no body comes; a real server may reset the stream then."""

    def refuse(connection: Connection, came: Frame) -> None:
        if came.type == Type.HEADERS:
            reset = h2.rst_stream(came.stream, Code.NO_ERROR) if ends else b""
            connection.send(refusal(came.stream, 8, "too large%3A 4 MB") + reset)

    shut = {**GENEROUS, h2.INITIAL_WINDOW_SIZE: 0}
    with FakeGrpc(settings=shut, on_frame=refuse) as server:
        counted = run(server.port, requests=10, streams=2)
    kind, times, words = only(counted)
    assert times == 10
    assert kind != "protocol"
    assert words.endswith("too large: 4 MB")
    # Those whose requests have not ended are ended.
    (connection,) = server.connections
    reset = [came.stream for came in connection.received if came.type == Type.RST_STREAM]
    # The last two may end with their connection.
    assert len(reset) in ([0] if ends else [8, 9, 10])


def test_a_success_before_the_request_was_sent_is_none() -> None:
    def answers(connection: Connection, came: Frame) -> None:
        if came.type == Type.HEADERS:
            connection.send(answer(came.stream, WHOLE))

    shut = {**GENEROUS, h2.INITIAL_WINDOW_SIZE: 0}
    with FakeGrpc(settings=shut, on_frame=answers) as server:
        counted = run(server.port, requests=10)
    assert only(counted) == ("protocol", 10, "answered before the request was sent")


def test_a_message_far_too_long_takes_no_memory_and_no_connection() -> None:
    """Its stream is reset; what was on its way already changes nothing."""
    mebibyte = bytes(1 << 20)

    def endless(stream: int) -> bytes:
        return head(stream) + b"".join(
            h2.data(stream, part) for part in [WHOLE[:5], *[mebibyte] * 8]
        )

    with FakeGrpc(once(endless)) as server:
        counted = run(server.port, requests=10, streams=2)
    kind, times, words = only(counted)
    assert (kind, times) == ("wrong_size", 1)
    assert words.startswith("a message of over 1")
    (connection,) = server.connections
    assert sum(came.type == Type.RST_STREAM for came in connection.received) == 1


@pytest.mark.parametrize("of", ["ping", "settings", "window", "data"])
def test_what_comes_without_an_end_does_not_hold_up_the_run(of: str) -> None:
    """As fast as it is read, in place of a reply."""
    parts = {
        "ping": h2.ping(1),
        "settings": h2.settings({h2.MAX_CONCURRENT_STREAMS: 100}),
        "window": h2.window_update(1, 1) + h2.settings({h2.INITIAL_WINDOW_SIZE: 1000}),
        "data": h2.data(1, b""),
    }

    async def pour(asked: Asked, number: int) -> bytes:
        asked.connection.send(head(asked.stream))
        while number == 0 and not asked.connection.writer.transport.is_closing():
            asked.connection.send(parts[of] * 200)
            await asked.connection.writer.drain()
            await asyncio.sleep(0)
        return h2.data(asked.stream, WHOLE) + trailers(asked.stream)

    with FakeGrpc(pour) as server:
        counted = run(server.port, requests=10, timeout_s=1)
    kind, times, _ = only(counted)
    assert (kind in ("client_timeout", "protocol"), times) == (True, 1)
    assert counted.measured.counters["successes"] == 9


@pytest.mark.parametrize("table_bytes", [0, 100, 100_000])
def test_header_fields_are_as_the_server_can_read_them(table_bytes: int) -> None:
    seen = []

    def look(asked: Asked, number: int) -> bytes:
        seen.append(dict(asked.fields))
        return well(asked, number)

    with FakeGrpc(look, settings={**GENEROUS, h2.HEADER_TABLE_SIZE: table_bytes}) as server:
        counted = run(server.port, requests=50, fields=[("x-long", "y" * 90)])
    assert failures(counted) == {}
    assert len(seen) == 50
    assert seen.count(seen[0]) == 50
    assert seen[0]["x-long"] == "y" * 90


@pytest.mark.parametrize(("most", "frames"), [(16_384, 37), (100_000, 7), ((1 << 24) - 1, 1)])
def test_frames_are_as_large_as_the_server_takes(most: int, frames: int) -> None:
    with FakeGrpc(settings={**GENEROUS, h2.MAX_FRAME_SIZE: most}) as server:
        counted = run(server.port, requests=4, tensor_bytes=602_112)
    assert failures(counted) == {}
    assert len(uploads(server)) == 4 * frames


# ---- What may be sent again ----


@pytest.mark.parametrize("streams", [1, 4])
def test_a_refused_stream_is_sent_again(streams: int) -> None:
    refused = []

    def refuse(asked: Asked, number: int) -> bytes:
        if number % 10 == 1:  # so that none is refused twice
            refused.append(number)
            return h2.rst_stream(asked.stream, Code.REFUSED_STREAM)
        return well(asked, number)

    with FakeGrpc(refuse) as server:
        counted = run(server.port, requests=60, streams=streams)
    assert failures(counted) == {}
    assert counted.counters["resent"] == len(refused) > 5
    assert server.asked == 60 + len(refused)
    assert len(server.connections) == 1


def test_a_stream_that_is_always_refused_is_unavailable() -> None:
    with FakeGrpc(always(lambda s: h2.rst_stream(s, Code.REFUSED_STREAM))) as server:
        counted = run(server.port, requests=5)
    assert only(counted) == ("unavailable", 5, "REFUSED_STREAM, also when sent again")
    assert server.asked == 5 * 4
    assert counted.counters["resent"] == 5 * 3


@pytest.mark.parametrize("streams", [1, 4])
def test_a_graceful_goaway_is_a_reconnect(streams: int) -> None:
    """Requests under way are answered; the first GOAWAY names no last stream, as in a drain."""

    def leave(asked: Asked, number: int) -> bytes:
        if asked.connection.asked == 10:
            later(0.05, lambda: asked.connection.send(h2.goaway(asked.stream)))
            return h2.goaway(h2.WINDOW_BYTES_MAX) + well(asked, number)
        return well(asked, number)

    with FakeGrpc(leave) as server:
        counted = run(server.port, requests=40, streams=streams)
    assert failures(counted) == {}
    assert counted.measured.counters["successes"] == 40
    assert counted.counters["resent"] == 0
    assert counted.counters["remade"] == 0
    assert counted.counters["reconnects"] == len(server.connections) - 1 >= 2
    assert server.asked == 40


def test_streams_that_a_goaway_leaves_out_are_sent_again() -> None:
    """Those up to its last one are answered on the old connection, however late."""
    held: list[Asked] = []
    left_out = 0

    def leave(asked: Asked, number: int) -> bytes:
        nonlocal left_out
        if asked.connection.number > 0:
            return well(asked, number)
        held.append(asked)
        if len(held) < 4:
            return b""
        streams = sorted(one.stream for one in held)
        left_out = len(streams[2:])
        answers = b"".join(well(one, 0) for one in held if one.stream in streams[:2])
        later(0.1, lambda: asked.connection.send(answers))
        return h2.goaway(streams[1])

    with FakeGrpc(leave) as server:
        counted = run(server.port, requests=20, streams=4)
    assert failures(counted) == {}
    assert counted.counters["resent"] == left_out == 2
    assert counted.counters["remade"] == 0
    assert counted.counters["reconnects"] == 1
    assert server.asked == 20 + 2


@pytest.mark.parametrize("words", [b"", b"too_many_pings"])
def test_a_goaway_for_an_error_loses_what_was_under_way(words: bytes) -> None:
    def leave(asked: Asked, number: int) -> bytes:
        if number != 5:
            return well(asked, number)
        later(0.05, asked.connection.writer.close)
        return h2.goaway(asked.stream, Code.ENHANCE_YOUR_CALM, words)

    with FakeGrpc(leave) as server:
        counted = run(server.port, requests=20)
    kind, times, said = only(counted)
    assert (kind, times) == ("connection_lost", 1)
    assert "ENHANCE_YOUR_CALM" in said
    assert words.decode() in said
    assert counted.measured.counters["successes"] == 19


def test_a_goaway_of_an_idle_connection_is_a_reconnect() -> None:
    """Noticed when the next request is due, which none has to fail for."""

    def leave(asked: Asked, number: int) -> bytes:
        if number == 1:
            later(0.05, lambda: asked.connection.send(h2.goaway(asked.stream)))
            later(0.06, asked.connection.writer.close)
        return well(asked, number)

    every = Schedule("even", [Segment(10.0, 10.0, float("inf"))])
    with FakeGrpc(leave) as server:
        counted = run(server.port, requests=5, schedule=every)
    assert failures(counted) == {}
    assert (counted.counters["reconnects"], counted.counters["resent"]) == (1, 0)


# ---- While nothing is asked ----


def test_a_server_is_answered_while_its_client_has_nothing_to_ask() -> None:
    """Hundreds of pings and settings at once and one by one, before the first request is due."""
    answered_at = []

    def questions(connection: Connection, came: Frame) -> None:
        if came.type == Type.PING and came.flags & h2.ACK:
            answered_at.append((time.monotonic(), came.payload))
        if came.type == Type.HEADERS and connection.asked == 0 and not answered_at:
            for number in range(500):
                later(0.2, lambda n=number: connection.send(h2.ping(n)))  # type: ignore[misc]
                later(0.3 + number / 5000, lambda: connection.send(h2.settings({})))
            later(0.45, lambda: connection.send(b"".join(h2.ping(n) for n in range(500, 900))))

    every = Schedule("even", [Segment(0.4, 0.4, float("inf"))])
    with FakeGrpc(on_frame=questions) as server:
        counted = run(server.port, requests=2, schedule=every)
    assert failures(counted) == {}
    assert [payload for _, payload in answered_at] == [struct.pack(">Q", n) for n in range(900)]
    (connection,) = server.connections
    acknowledged = [
        came for came in connection.received if came.type == Type.SETTINGS and came.flags & h2.ACK
    ]
    assert len(acknowledged) == 501
    # While it was idle, and not when it asked again.
    asked = [at for at, came in enumerate(connection.received) if came.type == Type.HEADERS]
    pings = [at for at, came in enumerate(connection.received) if came.type == Type.PING]
    assert asked[0] < pings[0] < pings[-1] < asked[1]


# ---- Windows ----


def uploads(server: FakeGrpc) -> list[int]:
    """Return the streams of all DATA frames, in order."""
    return [
        came.stream
        for connection in server.connections
        for came in connection.received
        if came.type == Type.DATA
    ]


def test_a_window_that_opens_byte_by_byte_is_waited_for() -> None:
    def open_more(connection: Connection, came: Frame) -> None:
        if came.type == Type.DATA and not came.ends_stream:
            later(0.001, lambda: connection.send(h2.window_update(came.stream, 1)))

    tiny = {**GENEROUS, h2.INITIAL_WINDOW_SIZE: 1}
    with FakeGrpc(settings=tiny, on_frame=open_more) as server:
        counted = run(server.port, requests=6, streams=2)
    assert failures(counted) == {}
    frames = len(uploads(server)) / 6
    assert frames > 40  # of a byte each
    waits = counted.histograms["window_waits"]
    assert waits.min_us >= (frames - 2) * 1000
    assert waits.max_us <= counted.measured.histograms["latencies"].max_us


@pytest.mark.parametrize("of", ["stream", "connection", "settings"])
def test_a_window_that_opens_late_is_in_the_wait(of: str) -> None:
    """Of the stream, of the connection, or of all streams by the settings."""
    late_s = 0.2

    def open_late(connection: Connection, came: Frame) -> None:
        if came.type == Type.HEADERS:
            more = {
                "stream": h2.window_update(came.stream, 1000),
                "connection": h2.window_update(0, 1000),
                "settings": h2.settings({h2.INITIAL_WINDOW_SIZE: 1000}),
            }
            later(late_s, lambda: connection.send(more[of]))

    shut = GENEROUS if of == "connection" else {**GENEROUS, h2.INITIAL_WINDOW_SIZE: 10}
    window = h2.WINDOW_BYTES if of == "connection" else h2.WINDOW_BYTES_MAX
    sizes = {"tensor_bytes": 65_600} if of == "connection" else {}
    with FakeGrpc(settings=shut, connection_window=window, on_frame=open_late) as server:
        counted = run(server.port, requests=1, **sizes)
    assert failures(counted) == {}
    waits = counted.histograms["window_waits"]
    latency_us = counted.measured.histograms["latencies"].max_us
    assert 0.9 * late_s * 1e6 <= waits.min_us <= waits.max_us <= latency_us


def test_no_wait_is_made_up() -> None:
    with FakeGrpc() as server:
        counted = run(server.port, requests=20, streams=2, tensor_bytes=200_000)
    assert failures(counted) == {}
    assert counted.histograms["window_waits"].max_us <= 1


def test_a_window_that_never_opens_is_a_timeout_of_its_request_alone() -> None:
    """The others go on, on the same connection."""

    async def slowly(asked: Asked, number: int) -> bytes:
        await asyncio.sleep(0.01)
        return well(asked, number)

    def open_for_others(connection: Connection, came: Frame) -> None:
        if came.type == Type.HEADERS and came.stream != 1:
            connection.send(h2.window_update(came.stream, 1000))

    shut = {**GENEROUS, h2.INITIAL_WINDOW_SIZE: 0}
    with FakeGrpc(slowly, settings=shut, on_frame=open_for_others) as server:
        counted = run(server.port, requests=120, streams=2, timeout_s=1)
    kind, times, words = only(counted)
    assert (kind, times) == ("client_timeout", 1)
    assert re.fullmatch(
        r"no complete answer within 1000 ms; it waited 1\d\d\d ms for the server's window", words
    )
    assert counted.measured.counters["successes"] == 119
    (connection,) = server.connections
    assert [came.stream for came in connection.received if came.type == Type.RST_STREAM] == [1]


def test_a_server_that_takes_one_stream_at_a_time_gets_one() -> None:
    one = {**GENEROUS, h2.MAX_CONCURRENT_STREAMS: 1}
    with FakeGrpc(settings=one) as server:
        counted = run(server.port, requests=10, streams=1)
        assert failures(counted) == {}
        with pytest.raises(ServerError, match=r"allows 1 concurrent streams .* --pipeline is 2"):
            run(server.port, requests=10, streams=2)


def test_a_server_that_comes_to_take_fewer_streams_loses_none() -> None:
    """In the run it is too late to refuse: the streams wait, and that is in the latency."""

    def fewer(asked: Asked, number: int) -> bytes:
        few = h2.settings({h2.MAX_CONCURRENT_STREAMS: 1}) if number == 5 else b""
        return few + well(asked, number)

    with FakeGrpc(fewer) as server:
        counted = run(server.port, requests=40, streams=4)
    assert failures(counted) == {}
    assert counted.measured.counters["successes"] == server.asked == 40


# ---- Before the clock ----


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP/1.1, not HTTP/2"),
        (b"-ERR unknown command\r\n", "speaks RESP, not HTTP/2"),
        (b"\x15\x03\x01\x00\x02\x02\x46" + bytes(20), "speaks TLS, not HTTP/2"),
        (h2.ping(1), "HTTP/2: "),
        (bytes(100), "HTTP/2: "),
    ],
)
def test_what_does_not_greet_as_http2_does_is_refused(greeting: bytes, words: str) -> None:
    with FakeGrpc(greeting=greeting) as server, pytest.raises(ServerError, match=words):
        run(server.port)


def test_a_server_that_does_not_greet_is_not_waited_for() -> None:
    with (
        FakeGrpc(greeting=b"") as server,
        pytest.raises(ServerError, match="SETTINGS"),
        generator(server.port, connect_timeout_ns=200_000_000),
    ):
        pass
