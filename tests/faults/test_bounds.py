"""Questions to a server before and after a run end within bounds, whatever it answers.

Each answer here has no end, or claims a size that nobody should make room for.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import repeat

import pytest
from commandline import Cli
from fake_inference import FakeInference, json_reply
from fake_redisai import FakeRedisAI, array, bulk

from aibench_fast import RunConfig, ServerAddress, ServerError, run
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.http.client import HttpClient, parsed
from aibench_fast.protocols.openinference.statistics import MetricsReader
from aibench_fast.protocols.redisai.commands import BrokenReply, ReplyReader, Skimmed
from aibench_fast.protocols.redisai.connection import Connection

PIECE = 1 << 16
FAR_TOO_MUCH_BYTES = 256 << 20
PATIENCE_S = 0.5
Pieces = Callable[[], Iterator[bytes]]


class Talker:
    """Answers whoever says anything with pieces of bytes, as long as they are taken."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.sent_bytes = 0

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                connected, _ = self._listening.accept()
                threading.Thread(target=self._talk, args=(connected,), daemon=True).start()

    def _talk(self, connected: socket.socket) -> None:
        with connected, suppress(OSError):
            connected.recv(PIECE)
            for piece in self._pieces():
                connected.sendall(piece)
                self.sent_bytes += len(piece)
                if self.sent_bytes > FAR_TOO_MUCH_BYTES:
                    return
            connected.recv(1)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@contextmanager
def talking(pieces: Pieces) -> Iterator[Talker]:
    talker = Talker(pieces)
    threading.Thread(target=talker.serve, daemon=True).start()
    try:
        yield talker
    finally:
        talker.close()


def slowly(head: bytes, piece: bytes) -> Iterator[bytes]:
    yield head
    while True:
        time.sleep(PATIENCE_S / 20)
        yield piece


def without_end(head: bytes, piece: bytes) -> Iterator[bytes]:
    yield head
    yield from repeat(piece)


TOO_MUCH_RESP = {
    "an array": (lambda: iter([b"*1000000000\r\n"]), "elements"),
    "arrays in arrays": (lambda: iter([b"*1000000000\r\n" * 1000]), "elements"),
    "many small arrays": (
        lambda: without_end(b"*1000000\r\n", b"*100\r\n" + b":1\r\n" * 100),
        "el",
    ),
    "depth": (lambda: iter([b"*1\r\n" * 100_000]), "nested"),
    "a bulk": (lambda: without_end(b"$536870912\r\n", b"x" * PIECE), "bytes"),
    "many bulks": (lambda: without_end(b"*1000000\r\n", bulk(b"x" * PIECE)), "bytes"),
    "a line": (lambda: without_end(b"+", b"x" * PIECE), "a line"),
    "an error": (lambda: without_end(b"-ERR ", b"x" * PIECE), "a line"),
    "a length": (lambda: iter([b"$" + b"9" * 5000 + b"\r\n"]), "not a Redis server"),
    "a negative length": (lambda: iter([b"*-7\r\n"]), "not a Redis server"),
}


@pytest.mark.parametrize("name", TOO_MUCH_RESP)
def test_a_resp_answer_is_bounded_in_size(name: str) -> None:
    pieces, words = TOO_MUCH_RESP[name]
    with talking(pieces) as server, pytest.raises(ServerError) as raised:
        Connection(ServerAddress("127.0.0.1", server.port), 30)
    assert words in str(raised.value)
    assert "PING" in str(raised.value)
    assert server.sent_bytes < FAR_TOO_MUCH_BYTES


@pytest.mark.parametrize(
    ("head", "piece"),
    [(b"+", b"x"), (b"*1000\r\n", b":1\r\n"), (b"$1000\r\n", b"x"), (b"", b"*1\r\n")],
    ids=["a line", "an array", "a bulk", "depth"],
)
def test_a_resp_answer_is_bounded_in_time_as_a_whole(head: bytes, piece: bytes) -> None:
    started_s = time.monotonic()
    with talking(lambda: slowly(head, piece)) as server, pytest.raises(ServerError) as raised:
        Connection(ServerAddress("127.0.0.1", server.port), PATIENCE_S)
    assert f"did not answer PING within {PATIENCE_S} s" in str(raised.value)
    assert time.monotonic() - started_s < 20 * PATIENCE_S


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"x" * PIECE + b"\r\n"
TOO_MUCH_HTTP = {
    "chunks": lambda: without_end(CHUNKED, CHUNK),
    "a body": lambda: without_end(HEAD + b"Content-Length: 99999999999999\r\n\r\n", b"x" * PIECE),
    "a body to the end": lambda: without_end(HEAD + b"\r\n", b"x" * PIECE),
    "a chunk without a length": lambda: without_end(CHUNKED + b"-1\r\n", b"x" * PIECE),
    "interim answers": lambda: repeat(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "trailers": lambda: without_end(CHUNKED + b"0\r\n", b"A: b\r\n" * 1000),
}


@pytest.mark.parametrize("name", TOO_MUCH_HTTP)
def test_an_http_answer_is_bounded_in_size(name: str) -> None:
    with talking(TOO_MUCH_HTTP[name]) as server:
        client = HttpClient(HttpAddress("127.0.0.1", server.port, ""), 30)
        with closing(client), pytest.raises(ServerError, match="more than 4,194,304 bytes"):
            client.ask("/v2")
        told = MetricsReader(HttpAddress("127.0.0.1", server.port, "/metrics"), [], None).read()
    assert "more than 4,194,304 bytes" in told.notes[0]
    assert server.sent_bytes < FAR_TOO_MUCH_BYTES


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"H"),
        (HEAD + b"A: ", b"b"),
        (CHUNKED, b"1\r\nx\r\n"),
        (HEAD + b"Content-Length: 1000\r\n\r\n", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["the first line", "a header", "chunks", "a body", "interim answers"],
)
def test_an_http_answer_is_bounded_in_time_as_a_whole(head: bytes, piece: bytes) -> None:
    started_s = time.monotonic()
    with talking(lambda: slowly(head, piece)) as server:
        client = HttpClient(HttpAddress("127.0.0.1", server.port, ""), PATIENCE_S)
        with closing(client), pytest.raises(ServerError, match="did not answer GET /v2 in time"):
            client.ask("/v2")
    assert time.monotonic() - started_s < 20 * PATIENCE_S


def test_a_body_that_is_cut_short_is_not_taken_for_whole() -> None:
    def pieces() -> Iterator[bytes]:
        return iter([HEAD + b"Content-Length: 100\r\nConnection: close\r\n\r\n{}"])

    with talking(pieces) as server:
        client = HttpClient(HttpAddress("127.0.0.1", server.port, ""), PATIENCE_S)
        with closing(client), pytest.raises(ServerError):
            client.ask("/v2")


@pytest.mark.parametrize(
    "text",
    [b"[" * 2_000_000, b'{"a":' * 100_000, b"[" + b"[],{}," * 1_000_000 + b"0]", b" " * (65 << 20)],
    ids=["depth", "depth of objects", "many values", "length"],
)
def test_json_is_bounded(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"more than|too deep"):
        parsed(text)


def test_usual_json_is_parsed() -> None:
    assert parsed(b'{"shape": [1, -1], "name": "a"}') == {"shape": [1, -1], "name": "a"}


def replies_of(pieces: list[bytes]) -> ReplyReader:
    left = iter(pieces)
    return ReplyReader(lambda: next(left))


def test_replies_are_read_however_they_are_split() -> None:
    sent = array(bulk(b"a\r\nb"), b":-7\r\n", b"$-1\r\n", array(), b"*-1\r\n", b"+OK\r\n") + bulk(
        b""
    )
    for split in range(1, len(sent)):
        reader = replies_of([sent[:split], sent[split:]])
        assert reader.read() == [b"a\r\nb", -7, None, [], None, b"OK"]
        assert reader.read() == b""


def test_a_bulk_without_its_end_is_broken() -> None:
    with pytest.raises(BrokenReply):
        replies_of([b"$2\r\nabXX"]).read()


def test_an_output_that_is_only_measured_is_not_kept() -> None:
    large = 1 << 20
    reader = replies_of([array(bulk(b"blob"), bulk(bytes(large))), b"+OK\r\n"])
    assert reader.read(skim=True) == [b"blob", Skimmed(large)]
    assert reader.read() == b"OK"


def test_a_large_output_of_the_trial_is_taken(cli: Cli) -> None:
    output = bulk(bytes(66 << 20))

    def tensor_get(arguments: list[bytes], _: int) -> bytes:
        if b"META" not in arguments:
            return output
        return array(
            bulk(b"dtype"), bulk(b"FLOAT"), bulk(b"shape"), array(b":1\r\n"), bulk(b"blob"), output
        )

    with FakeRedisAI(AI_TENSORGET=tensor_get) as server:
        done = cli("run", "--port", server.port, "--model", "m", "--shape", 8, "--max-queries", 1)
    assert done.returncode == 0, done.stderr


def test_a_server_without_bounds_is_one_line(cli: Cli) -> None:
    with talking(lambda: iter([b"*1000000000\r\n" * 1000])) as server:
        done = cli("run", "--port", server.port, "--model", "m", "--shape", 8, code=3)
    assert done.stderr.count("\n") == 1
    assert "1,000,000,000 elements" in done.stderr


def test_an_output_of_very_many_axes_is_refused() -> None:
    """The product of their lengths would take minutes."""
    told = {"name": "y", "datatype": "FP32", "shape": [1_000_003] * 500_000}
    with FakeInference(
        infer=lambda *_: json_reply({"outputs": [{**told, "data": [1.0]}]})
    ) as server:
        config = RunConfig(file=None, url=server.url, model="m", max_queries=1)
        with pytest.raises(ServerError, match="does not follow the protocol") as raised:
            run(config)
    assert len(str(raised.value)) < 5000
