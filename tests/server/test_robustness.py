"""Everything that goes wrong, repeated: the server goes on, and its memory returns to its level."""

import contextlib
import random
import struct
import time
from collections.abc import Callable

import pytest
import redis
from ci import examples
from redisclient import connect
from sanitized import sanitized

from aibench_fast.server import EmbeddedServer

ROUNDS = 20 if sanitized() else examples(200, 10)  # of which the sanitizer makes slow work
SLACK_BYTES = 300_000  # what the server's own tables and buffers may differ by


def attempt(client: redis.Redis, *command: object) -> None:
    """Send a command that may be refused."""
    with contextlib.suppress(redis.ResponseError):
        client.execute_command(*command)


def abandon(server: EmbeddedServer, *command: object) -> None:
    """Send a command, and be gone before its reply comes."""
    client = connect(server.address)
    connection = client.connection_pool.get_connection()
    connection.send_command(*command)
    connection.disconnect()
    client.close()


def settled_memory(client: redis.Redis) -> int:
    """The server's own figure when nothing runs, and everything is deleted."""
    client.flushall()
    deadline = time.monotonic() + 60
    while (
        client.info("clients")["blocked_clients"]
        or client.info("memory")["lazyfree_pending_objects"]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    client.execute_command("MEMORY", "PURGE")
    return int(client.info("memory")["used_memory"])


def a_round(server: EmbeddedServer, client: redis.Redis, doubler: bytes, seed: int) -> None:
    chance = random.Random(seed)
    image = chance.randbytes(120_000)
    model = ["AI.MODELSET", "m", "ONNX", "CPU", "BATCHSIZE", "4", "BLOB", doubler]
    run = ["AI.MODELRUN", "m", "INPUTS", "x", "OUTPUTS", "y"]
    attempt(client, *model)
    attempt(client, "AI.TENSORSET", "x", "FLOAT", 10_000, 3, "BLOB", image)
    attempt(client, "AI.TENSORSET", "x2", "FLOAT", 10_000, 3, "BLOB", image[:-1])
    attempt(client, "AI.TENSORSET", "x2", "FLOAT", -1, 1 << 62, 1 << 62)
    attempt(client, "AI.MODELSET", "bad", "ONNX", "CPU", "BLOB", doubler[: chance.randrange(100)])
    attempt(client, "AI.MODELSET", "bad", "TF", "CPU", "INPUTS", "a", "OUTPUTS", "b", "BLOB", image)
    attempt(client, "AI.MODELSET", "bad", "TFLITE", "CPU", "BLOB", image)
    attempt(client, *run)
    abandon(server, *run)
    attempt(client, *model)
    abandon(server, *run)
    attempt(client, "AI.MODELDEL", "m")
    attempt(client, *model)
    attempt(client, "AI.TENSORSET", "bad", "FLOAT", 1, 4)
    attempt(client, "AI.MODELRUN", "m", "INPUTS", "bad", "OUTPUTS", "y")
    attempt(client, "AI.DAGRUN", "LOAD", 1, "x", "|>", *run, "|>", "AI.TENSORGET", "y", "META")
    attempt(client, "AI.DAGRUN", "LOAD", 1, "x", "|>", *run, "|>", "AI.TENSORGET", "no", "META")
    small = ["AI.TENSORSET", "x", "FLOAT", 1, 3]
    abandon(server, "AI.DAGRUN", "PERSIST", 1, "y", "|>", *small, "|>", *run)
    client.flushall(asynchronous=chance.random() < 0.5)


def test_memory_returns_after_everything_that_goes_wrong(doubler: bytes) -> None:
    with (
        EmbeddedServer(engine_threads=1, password=None) as server,
        connect(server.address) as client,
    ):
        for seed in range(10):
            a_round(server, client, doubler, seed)
        before = settled_memory(client)
        for seed in range(ROUNDS):
            a_round(server, client, doubler, seed)
        assert settled_memory(client) - before < SLACK_BYTES
        assert client.ping()


@pytest.mark.skipif(sanitized(), reason="the sanitizer keeps freed memory for a while")
def test_the_engines_memory_returns_too(doubler: bytes) -> None:
    """The engine's is not in the server's own figure, so the process's is looked at."""
    with (
        EmbeddedServer(engine_threads=1, password=None) as server,
        connect(server.address) as client,
    ):

        def resident() -> int:
            return int(client.info("memory")["used_memory_rss"])

        def store_and_run(times: int) -> None:
            client.execute_command("AI.TENSORSET", "x", "FLOAT", 1, 3)
            for _ in range(times):
                client.execute_command("AI.MODELSET", "m", "ONNX", "CPU", "BLOB", doubler)
                client.execute_command("AI.MODELRUN", "m", "INPUTS", "x", "OUTPUTS", "y")

        store_and_run(20)
        before = resident()
        store_and_run(examples(300))
        assert resident() - before < 30 << 20


HUGE = [struct.pack("<Q", 1 << 63), b"\0" * 1000, b"|>", b"\xff" * 50, "é".encode()]


@pytest.mark.parametrize("argument", HUGE)
@pytest.mark.parametrize(
    "command",
    ["AI.TENSORSET", "AI.TENSORGET", "AI.MODELSET", "AI.MODELRUN", "AI.DAGRUN", "AI.CONFIG"],
)
def test_odd_arguments_are_errors(client: redis.Redis, command: str, argument: bytes) -> None:
    for count in range(1, 8):
        attempt(client, command, *[argument] * count)
    assert client.ping()


def test_the_names_in_an_error_cannot_break_the_protocol(
    client: redis.Redis, new_client: Callable[[], redis.Redis]
) -> None:
    connection = new_client().connection_pool.get_connection()
    connection.send_command("AI.MODELRUN", "a\r\n+OK\r\nb", "INPUTS", "x", "OUTPUTS", "y")
    with pytest.raises(redis.ResponseError, match="model key is empty"):
        connection.read_response()
    connection.send_command("PING")
    assert connection.read_response() == b"PONG"
