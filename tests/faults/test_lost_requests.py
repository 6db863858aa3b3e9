"""Requests over HTTP whose connection ends: which are sent again, and which are lost."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
import smallruns
from commandline import Cli
from fake_inference import Answer, Asked, FakeInference, binary_reply

from aibench_fast.report.text import format_summary

CRASHES = {21, 50, 100, 150}


against = partial(smallruns.against, max_queries=200)


async def late(_: Asked, number: int) -> Answer:
    if number in CRASHES:
        await asyncio.sleep(0.01)
    return binary_reply()


@pytest.mark.parametrize("workers", [1, 4])
def test_a_request_that_a_server_worked_on_is_lost(workers: int) -> None:
    with FakeInference(infer=late, reset_for=CRASHES) as server:
        result = against(server, workers=workers)
    assert len(server.asked) == 1 + 200  # none was sent again, and one was the trial
    assert {kind: one.count for kind, one in result.failures.items()} == {"connection_lost": 4}
    assert (result.connections.resent, result.connections.reconnects) == (0, 0)
    assert 1 <= result.connections.remade <= 4  # a worker that ends makes none
    assert not result.went_well


def test_a_crash_at_once_is_told_from_a_close_once_it_was_tried() -> None:
    """A reset at once may be a close behind the last reply: one request has the benefit of that."""
    with FakeInference(reset_for=CRASHES) as server:
        result = against(server)
    lost = result.failures["connection_lost"].count
    assert lost + result.connections.resent == 4
    assert result.connections.resent <= 1
    assert len(server.asked) == 1 + result.counts.all_requests.sent + result.connections.resent


def test_an_orderly_end_behind_the_request_is_a_loss() -> None:
    behaviour: Callable[[Asked, int], Answer] = lambda _, number: (  # noqa: E731
        None if number in CRASHES else binary_reply()
    )
    with FakeInference(infer=behaviour) as server:
        result = against(server)
    assert result.failures["connection_lost"].count == 4
    assert (result.connections.resent, result.connections.remade) == (0, 4)


def test_a_lost_request_may_end_the_run(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    with FakeInference(infer=late, reset_for={21}) as server:
        done = cli(
            "run", "--url", server.url, "--model", "m", "--max-queries", "100", "--quiet",
            "--on-disconnect", "stop", "--json-out-file", str(file), code=1,
        )  # fmt: skip
    assert "connection_lost: 1, first: receiving: Connection reset by peer" in done.stdout
    assert json.loads(file.read_text())["AllRequests"]["Sent"] == 21


@pytest.mark.parametrize("replies", [3, 10])
def test_a_server_may_close_after_some_replies_without_a_word(replies: int) -> None:
    """The first close is met with a request on its way, and then the client knows of it.

    Where a busy machine lets the server close only after 5 ms, it may have begun the request: that
    is a failure, and the run is made again.
    """
    for _ in range(5):
        with FakeInference(replies_a_connection=replies) as server:
            result = against(server, max_queries=60)
        if not result.failures:
            break
    assert (result.successes, result.failures) == (60, {})
    assert result.connections.resent == 1
    assert result.connections.reconnects in (60 // replies, 60 // replies - 1)
    assert result.connections.remade == 0
    told = format_summary(result)
    assert (
        f"Connections: {result.connections.reconnects} made after the server closed one between"
        in told
    )
    assert "Resent: 1 requests that the server had not processed" in told


@pytest.mark.usefixtures("closes_are_waited_for")
def test_a_close_behind_each_reply_is_seen_on_trial() -> None:
    with FakeInference(close_each=True) as server:
        result = against(server, workers=2)
    assert (result.successes, result.connections.resent, result.connections.reconnects) == (
        200,
        0,
        198,
    )


@contextmanager
def hasty(receive_buffer: int) -> Iterator[tuple[str, list[str]]]:
    """Answers as FakeInference, and ends one connection when its second inference begins.

    Its system takes no more of a request than `receive_buffer` allows. The list says when it did.
    """
    ended: list[str] = []
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    def pass_on(client: socket.socket, port: int) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            inferences = 0
            while head := _head(client):
                inferences += head.startswith(b"POST")
                if inferences == 2 and not ended:
                    ended.append("at the second")
                    time.sleep(0.02)  # not at once, which would be looked on more kindly
                    client.shutdown(socket.SHUT_WR)
                    client.settimeout(1)
                    with suppress(TimeoutError):  # until the client ends it, too
                        while client.recv(1 << 16, socket.MSG_PEEK):
                            time.sleep(0.01)
                    return
                server.sendall(head + _read(client, _length(head)))
                client.sendall(_reply(server))

    def accept(port: int) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=pass_on, args=(client, port), daemon=True).start()

    with FakeInference() as behind, listener:
        threading.Thread(target=accept, args=(behind.port,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", ended
        listener.shutdown(socket.SHUT_RDWR)


def _head(of: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = of.recv(1)
        if not byte:
            return b""
        head += byte
    return head


def _read(of: socket.socket, length: int) -> bytes:
    body = bytearray(length)
    room = memoryview(body)
    while room:
        got = of.recv_into(room)
        if not got:
            return b""
        room = room[got:]
    return bytes(body)


def _reply(of: socket.socket) -> bytes:
    head = _head(of)
    return head + _read(of, _length(head))


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n")[0]) if found else 0


@pytest.mark.parametrize(
    ("values", "receive_buffer"), [(2_000, 4096), (3_000_000, 1 << 20)], ids=["small", "large"]
)
def test_what_a_server_cannot_have_had_whole_is_sent_again(
    values: int, receive_buffer: int
) -> None:
    """Of the small one all is handed to the system, of the large one not."""
    batch_size = values // 4
    with hasty(receive_buffer) as (url, ended):
        result = against(url, max_queries=3 * batch_size, batch_size=batch_size)
    assert len(ended) == 1
    assert (result.successes, result.failures) == (3, {})
    assert (
        result.connections.resent,
        result.connections.reconnects,
        result.connections.remade,
    ) == (1, 1, 0)
