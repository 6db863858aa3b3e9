"""Calls that a server is asked before and after a run, by the native channel."""

import asyncio
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import http2frames as h2
import pytest
from certificates import Authority, has_openssl
from fake_grpc import FakeGrpc, answer, head, prefixed, trailers
from generator import header_fields
from grpcserver import listening
from http2frames import Code
from loopthread import LoopThread

from aibench_fast import ServerError
from aibench_fast._core import GRPC_STATUSES, GrpcChannel, Tls
from aibench_fast.coretypes import Endpoint, GrpcReply

MOST_BYTES = 1 << 20
INFER = "/inference.GRPCInferenceService/ModelInfer"
ECHO = "/test.Service/Echo"
Answer = Callable[[bytes, Any], bytes]


def ask(
    channel: GrpcChannel, message: bytes = b"", *, path: str = ECHO, timeout_s: float = 10,
    most_bytes: int = MOST_BYTES,
) -> GrpcReply:  # fmt: skip
    return channel.call(header_fields(1, path=path), message, timeout_s, most_bytes)


def to(port: int, tls: Tls | None = None) -> GrpcChannel:
    return GrpcChannel(Endpoint("127.0.0.1", port, tls=tls), 10)


def grpcio_server(
    answer: Answer, port: int = 0, credentials: Any = None, **more: Any
) -> AbstractContextManager[int]:
    """Answer every call of one method with bytes."""

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(answer) if details.method == ECHO else None

    options = [("grpc.max_receive_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(4), handlers=[Handler()], options=options, **more)
    return listening(server, credentials, port)


def echo(message: bytes, _: object) -> bytes:
    return message


def test_messages_of_any_size_go_and_come_one_after_the_other() -> None:
    sizes = [0, 1, 100, 16_384, 70_000, 9_000_000, 5]
    with grpcio_server(echo) as port:
        channel = to(port)
        for size in sizes:
            message = os.urandom(size)
            reply = ask(channel, message, most_bytes=10_000_000)
            assert reply == GrpcReply(0, "", 200, message)
        channel.close()


@pytest.mark.parametrize("status", range(1, len(GRPC_STATUSES)), ids=GRPC_STATUSES[1:])
def test_a_refusal_has_its_status_and_its_words(status: int) -> None:
    words = "100 % of the Grüße are refused:\n東京"

    def refuse(_: bytes, context: Any) -> bytes:
        context.abort(next(one for one in grpc.StatusCode if one.value[0] == status), words)
        return b""

    with grpcio_server(refuse) as port:
        reply = ask(to(port))
    assert reply == GrpcReply(status, words, 200, b"")
    named = next(one for one in grpc.StatusCode if one.value[0] == status)
    assert GRPC_STATUSES[status] == named.name


def test_a_method_that_is_not_there_is_unimplemented() -> None:
    with grpcio_server(echo) as port:
        channel = to(port)
        reply = ask(channel, path="/test.Service/Other")
        assert GRPC_STATUSES[reply.status or 0] == "UNIMPLEMENTED"
        # The connection is as good as before.
        assert ask(channel, b"x").message == b"x"


def test_a_server_that_was_started_again_is_connected_to_again() -> None:
    with grpcio_server(echo) as port:
        channel = to(port)
        assert ask(channel, b"1").message == b"1"
    with grpcio_server(echo, port):
        assert ask(channel, b"2").message == b"2"
    with pytest.raises(ServerError, match="Connection refused"):
        ask(channel)
    with grpcio_server(echo, port):
        assert ask(channel, b"3").message == b"3"


def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_allowed() -> None:
    enough = threading.Event()

    def slow(message: bytes, _: object) -> bytes:
        if message == b"slow":
            enough.wait(10)
        return message

    with grpcio_server(slow) as port:
        channel = to(port)
        began = time.monotonic()
        with pytest.raises(ServerError, match="no answer within the time allowed"):
            ask(channel, b"slow", timeout_s=0.3)
        assert time.monotonic() - began >= 0.3
        # A late answer to that call is not taken for one to the next.
        enough.set()
        assert ask(channel, b"next").message == b"next"


def test_a_signal_interrupts_a_call() -> None:
    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    began = threading.Event()
    ended = threading.Event()

    def slow(_: bytes, __: object) -> bytes:
        began.set()
        ended.wait(30)
        return b""

    def send_signal() -> None:
        began.wait(10)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with grpcio_server(slow) as port:
            channel = to(port)
            threading.Thread(target=send_signal).start()
            with pytest.raises(Interrupted):
                ask(channel, timeout_s=30)
            assert not ended.is_set()
            ended.set()
    finally:
        signal.signal(signal.SIGUSR1, before)


@contextmanager
def fake(frames: Callable[[int], bytes | None]) -> Iterator[GrpcChannel]:
    """A channel to a server that answers calls like this."""
    with FakeGrpc(lambda asked, _: frames(asked.stream)) as server:
        channel = to(server.port)
        yield channel
        channel.close()


WRONG: dict[str, tuple[Callable[[int], bytes | None], str]] = {
    "compressed": (
        lambda s: head(s, ("grpc-encoding", "gzip"))
        + h2.data(s, prefixed(b"abc", flag=1)) + trailers(s),
        r"the reply is compressed, which was not requested \(grpc-encoding: gzip\)",
    ),
    "cut short": (
        lambda s: answer(s, prefixed(b"abc", announced=4)), "a message of 4 bytes, of which 3 came"
    ),
    "longer than announced": (
        lambda s: answer(s, prefixed(b"abc", announced=2)),
        "a message of 2 bytes, and 1 more after it",
    ),
    "no message": (lambda s: head(s) + trailers(s), "grpc-status OK without a message"),
    "no status": (
        lambda s: head(s) + h2.data(s, prefixed(b""), ends=True), "a reply without a grpc-status"
    ),
    "a page": (
        lambda s: h2.headers(s, [(":status", "200"), ("content-type", "text/html")])
        + h2.data(s, b"<h1>It works!</h1>", ends=True),
        "the reply's content-type is text/html, not application/grpc",
    ),
    "reset": (lambda s: h2.rst_stream(s, Code.INTERNAL_ERROR), "RST_STREAM: INTERNAL_ERROR"),
    "the end of the connection": (lambda _: None, "the server closed the connection"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_answer_is_an_error_with_its_reason(name: str) -> None:
    frames, words = WRONG[name]
    answers = iter([frames, lambda s: answer(s, prefixed(b"well"))])
    with fake(lambda stream: next(answers)(stream)) as channel:
        with pytest.raises(ServerError, match=words):
            ask(channel, path=INFER)
        # The next call is made on a new connection.
        reply = ask(channel, path=INFER)
        assert reply.message == b"well"


def test_a_message_larger_than_allowed_is_refused() -> None:
    wrong = pytest.raises(ServerError, match="a message of over ")
    with grpcio_server(lambda _, __: bytes(5 << 20)) as port, wrong:
        ask(to(port), most_bytes=1000)


def test_the_answer_of_a_proxy_has_its_http_status() -> None:
    page = b"<h1>Bad Gateway</h1>"
    with fake(
        lambda s: (
            h2.headers(s, [(":status", "502"), ("content-type", "text/html")])
            + h2.data(s, page, ends=True)
        )
    ) as channel:
        reply = ask(channel, path=INFER)
    assert (reply.status, reply.http_status, reply.message) == (None, 502, b"")


def test_pings_and_settings_are_answered_within_a_call() -> None:
    def frames(stream: int) -> bytes:
        return h2.ping(7) + h2.settings({}) + answer(stream, prefixed(b"x"))

    with FakeGrpc(lambda asked, _: frames(asked.stream)) as server:
        channel = to(server.port)
        for _ in range(2):
            ask(channel, path=INFER)
        (connection,) = server.connections
        acks = [
            one.type for one in connection.received
            if one.flags & h2.ACK and one.type in (h2.Type.PING, h2.Type.SETTINGS)
        ]  # fmt: skip
    assert acks.count(h2.Type.PING) >= 1
    assert acks.count(h2.Type.SETTINGS) >= 2


def test_a_call_that_the_server_did_not_process_is_sent_again() -> None:
    """A graceful end of a connection, at which the server has not taken the call yet."""
    endings = [
        lambda s: h2.goaway(0) + h2.rst_stream(s, Code.REFUSED_STREAM),
        lambda s: answer(s, prefixed(b"well")),
    ]
    with FakeGrpc(lambda asked, number: endings[number](asked.stream)) as server:
        assert ask(to(server.port), path=INFER).message == b"well"
        assert len(server.connections) == 2
    refused = lambda asked, _: h2.rst_stream(asked.stream, Code.REFUSED_STREAM)  # noqa: E731
    with FakeGrpc(refused) as server, pytest.raises(ServerError, match="also when sent again"):
        ask(to(server.port), path=INFER)


@dataclass
class Says(LoopThread):
    """Says something to whoever connects, and closes the connection."""

    words: bytes
    tls: ssl.SSLContext | None = None

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def _serve(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.words)
        await writer.drain()
        writer.close()


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "the server speaks HTTP/1.1, not HTTP/2"),
        (b"-ERR unknown command\r\n", "the server speaks RESP, not HTTP/2"),
        (b"", "the server closed the connection|Connection reset by peer"),
    ],
)
def test_a_server_that_speaks_something_else_is_told_apart(words: bytes, wrong: str) -> None:
    with Says(words) as server, pytest.raises(ServerError, match=wrong):
        to(server.port)


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(ServerError, match="no connection within the time allowed"):
            GrpcChannel(Endpoint("127.0.0.1", port), 0.3)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if not has_openssl():
        pytest.skip("no headers of OpenSSL")
    return Authority(tmp_path_factory.mktemp("certificates"))


def trusting(authority: Authority, *, http2: bool = True) -> Tls:
    return Tls(
        ca_file=authority.file, ca_folder=None, certificate=None, key=None,
        server_name="127.0.0.1", insecure=False, http2=http2,
    )  # fmt: skip


def test_calls_go_by_tls(authority: Authority) -> None:
    mine = authority.sign("server", "127.0.0.1")
    pair = (mine.key.read_bytes(), mine.certificate.read_bytes())
    with grpcio_server(echo, credentials=grpc.ssl_server_credentials([pair])) as port:
        channel = to(port, trusting(authority))
        for size in (1, 3_000_000):
            message = os.urandom(size)
            assert ask(channel, message, most_bytes=size).message == message


def test_a_server_has_to_choose_http2_by_alpn(authority: Authority) -> None:
    context = authority.sign("plain", "127.0.0.1").for_server
    greeting = h2.settings({})
    wrong = "TLS: the server does not choose HTTP/2 by ALPN"
    with Says(greeting, context) as server:
        with pytest.raises(ServerError, match=wrong):
            to(server.port, trusting(authority))
        to(server.port, trusting(authority, http2=False))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Says(greeting, context) as server:
        to(server.port, trusting(authority))
