"""The time that new connections take in a run: whose latency it is in, and who is told."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from certificates import Authority, Certificate
from fake_inference import FakeInference, binary_reply
from fake_redisai import OK, FakeRedisAI

from aibench_fast import Result, RunConfig, run
from aibench_fast.protocols.address import ServerAddress, TlsSettings
from aibench_fast.report.text import format_summary
from aibench_fast.results.files import read_record

SLOW_S = 0.03
"""How long a connection takes at least."""


@contextmanager
def slow_door(port: int) -> Iterator[int]:
    """A port that passes on to another, each connection's first byte after SLOW_S."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def serve(client: socket.socket) -> None:
        time.sleep(SLOW_S)
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            back = threading.Thread(target=pump, args=(server, client), daemon=True)
            back.start()
            pump(client, server)
            back.join()

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def has_them_in_its_response_latency(result: Result, waited: int) -> None:
    """So many of its requests waited for a connection, and the others for none."""
    assert result.service_latencies.count == result.latencies.count == result.successes
    above_ms = result.latencies.mean_ms - result.service_latencies.mean_ms
    assert above_ms * result.successes >= 0.99 * waited * SLOW_S * 1000
    assert result.latencies.min_ms < SLOW_S * 1000
    assert result.connections.times.count == waited
    assert result.connections.times.min_ms >= 0.99 * SLOW_S * 1000


def test_a_handshake_for_each_request_is_in_the_response_latency(
    authority: Authority, certificate: Certificate, tmp_path: Path
) -> None:
    file = tmp_path / "result.json"
    last = binary_reply().replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    with (
        FakeInference(lambda *_: last, close_each=True, tls=certificate.for_server) as server,
        slow_door(server.port) as port,
    ):
        result = run(
            RunConfig(
                file=None, url=f"https://127.0.0.1:{port}", model="m", max_queries=20,
                tls=TlsSettings(ca_file=authority.file),
            )
        )  # fmt: skip
    has_them_in_its_response_latency(result, waited=19)
    assert result.connect_share > 0.1
    assert "connecting" in {one.kind for one in result.warnings}
    told = "Connections: 19 made after the server closed one between requests; in the measured time"
    assert told in format_summary(result)
    result.save(file)
    record = read_record(file)
    assert record.connections.startswith("19 made after the server closed one")
    assert record.setup["latency"] is None  # as of every closed loop


def test_a_log_in_after_a_loss_is_in_the_response_latency() -> None:
    """The next requests were meant to start when the one before them was lost."""

    async def log_in(_: Sequence[bytes], _number: int) -> bytes:
        await asyncio.sleep(SLOW_S)
        return OK

    def lose_some(_: Sequence[bytes], number: int) -> bytes | None:
        return None if number in (10, 20) else OK

    with FakeRedisAI(AUTH=log_in, AI_MODELRUN=lose_some) as server:
        result = run(
            RunConfig(
                file=None, shape=(4,), model="m", max_queries=40,
                address=ServerAddress("127.0.0.1", server.port, password="secret"),
            )
        )  # fmt: skip
    assert result.failures["connection_lost"].count == 2
    assert (result.connections.remade, result.connections.reconnects) == (2, 0)
    has_them_in_its_response_latency(result, waited=2)
    assert "Connections: 2 made after one was lost; in the" in format_summary(result)


def test_a_pipeline_waits_for_its_connection_as_a_whole() -> None:
    async def log_in(_: Sequence[bytes], _number: int) -> bytes:
        await asyncio.sleep(SLOW_S)
        return OK

    with FakeRedisAI(
        AUTH=log_in, AI_MODELRUN=lambda _, number: None if number == 10 else OK
    ) as server:
        result = run(
            RunConfig(
                file=None, shape=(4,), model="m", max_queries=40, pipeline=4,
                address=ServerAddress("127.0.0.1", server.port, password="secret"),
            )
        )  # fmt: skip
    assert result.connections.remade == 1
    counts = result.latencies.counts_up_to([SLOW_S * 1000, result.latencies.max_ms])
    assert counts[1] - counts[0] >= 4


def test_a_closed_loop_that_keeps_its_connections_has_one_latency() -> None:
    with FakeInference() as server:
        result = run(RunConfig(file=None, url=server.url, model="m", max_queries=20))
    assert result.service_latencies is None
    assert (result.connections.times.count, result.connect_share) == (0, 0.0)
    assert "Connections:" not in format_summary(result)
