"""AI.MODELRUN, AI.MODELEXECUTE, what AI.INFO counts of them, and what can go wrong meanwhile."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import redis

NewClient = Callable[[], redis.Redis]
STATS = ("duration", "samples", "calls", "errors")


def stats(client: redis.Redis, model: str) -> dict[str, int]:
    reply = client.execute_command("AI.INFO", model)
    facts = dict(zip(reply[::2], reply[1::2], strict=True))
    return {name: facts[name.encode()] for name in STATS}


def put(client: redis.Redis, key: str, array: Any) -> None:
    values = np.asarray(array, np.float32)
    client.execute_command("AI.TENSORSET", key, "FLOAT", *values.shape, "BLOB", values.tobytes())


def get(client: redis.Redis, key: str) -> Any:
    reply = client.execute_command("AI.TENSORGET", key, "META", "BLOB")
    return np.frombuffer(reply[5], np.float32).reshape(reply[3]).tolist()


@pytest.fixture
def doubling(client: redis.Redis, doubler: bytes) -> redis.Redis:
    """The server has the model `m`, y = 2 x."""
    client.execute_command("AI.MODELSET", "m", "ONNX", "CPU", "BLOB", doubler)
    return client


@pytest.fixture
def busy(client: redis.Redis, slow_model: bytes, new_client: NewClient) -> Callable[[], Any]:
    """Start an inference that takes long, of the model `slow`; the result waits for its end."""
    client.execute_command("AI.MODELSET", "slow", "ONNX", "CPU", "BLOB", slow_model)
    put(client, "one", [[1]])

    def start() -> Any:
        connection = new_client().connection_pool.get_connection()
        connection.send_command("AI.MODELRUN", "slow", "INPUTS", "one", "OUTPUTS", "slow-out")
        while not waiting_clients(client):
            time.sleep(0.001)
        return connection

    return start


def waiting_clients(client: redis.Redis) -> int:
    return int(client.info("clients")["blocked_clients"])


# ---- results ----


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_the_output_is_the_models(doubling: redis.Redis, rows: int) -> None:
    x = np.arange(3 * rows).reshape(rows, 3)
    put(doubling, "x", x)
    assert doubling.execute_command("AI.MODELRUN", "m", "INPUTS", "x", "OUTPUTS", "y") == b"OK"
    assert get(doubling, "y") == (2 * x).tolist()
    assert (
        doubling.execute_command("AI.MODELEXECUTE", "m", "INPUTS", 1, "y", "OUTPUTS", 1, "y")
        == b"OK"
    )
    assert get(doubling, "y") == (4 * x).tolist()


def test_many_shapes_one_after_another(doubling: redis.Redis) -> None:
    for rows in [*range(1, 12), *range(11, 0, -1)]:
        put(doubling, "x", np.full((rows, 3), rows))
        doubling.execute_command("AI.MODELRUN", "m", "INPUTS", "x", "OUTPUTS", "y")
        assert get(doubling, "y") == np.full((rows, 3), 2 * rows).tolist()


@pytest.mark.parametrize("rows", [1, 5])
def test_null_answers_zeros_of_as_many_rows(client: redis.Redis, rows: int) -> None:
    client.execute_command("AI.MODELSET", "n", "NULL", "CPU")
    client.execute_command("AI.TENSORSET", "x", "UINT8", rows, 2)
    client.execute_command("AI.MODELRUN", "n", "INPUTS", "x", "OUTPUTS", "y")
    reply = client.execute_command("AI.TENSORGET", "y", "META", "BLOB")
    assert reply[1::2] == [b"FLOAT", [rows, 1001], bytes(rows * 1001 * 4)]


def test_null_takes_a_blob_and_names(client: redis.Redis) -> None:
    client.execute_command(
        "AI.MODELSET", "n", "NULL", "CPU", "INPUTS", "a", "b", "OUTPUTS", "c", "BLOB", "any"
    )
    client.execute_command("AI.TENSORSET", "x", "FLOAT", 2)
    client.execute_command("AI.MODELRUN", "n", "INPUTS", "x", "x", "OUTPUTS", "y")
    with pytest.raises(redis.ResponseError, match="1 were given, the model has 2"):
        client.execute_command("AI.MODELRUN", "n", "INPUTS", "x", "OUTPUTS", "y")


# ---- statistics ----


def test_info_counts_requests_rows_errors_and_time(doubling: redis.Redis) -> None:
    assert stats(doubling, "m") == dict.fromkeys(STATS, 0)
    for rows in (1, 4):
        put(doubling, "x", np.zeros((rows, 3)))
        doubling.execute_command("AI.MODELRUN", "m", "INPUTS", "x", "OUTPUTS", "y")
    put(doubling, "bad", np.zeros((1, 4)))
    with pytest.raises(redis.ResponseError):
        doubling.execute_command("AI.MODELRUN", "m", "INPUTS", "bad", "OUTPUTS", "y")
    counted = stats(doubling, "m")
    assert counted.pop("duration") > 0
    assert counted == {"samples": 5, "calls": 3, "errors": 1}
    assert doubling.execute_command("AI.INFO", "m", "RESETSTAT") == b"OK"
    assert stats(doubling, "m") == dict.fromkeys(STATS, 0)


def test_a_model_stored_again_starts_from_zero(client: redis.Redis) -> None:
    client.execute_command("AI.TENSORSET", "x", "FLOAT", 1)
    for _ in range(2):
        client.execute_command("AI.MODELSET", "n", "NULL", "CPU")
        client.execute_command("AI.MODELRUN", "n", "INPUTS", "x", "OUTPUTS", "y")
    assert stats(client, "n")["calls"] == 1


def test_commandstats_counts_the_time_in_the_background(
    client: redis.Redis, busy: Callable[[], Any]
) -> None:
    started = time.monotonic()
    busy().read_response()
    elapsed_us = (time.monotonic() - started) * 1e6
    counted = client.info("commandstats")["cmdstat_ai.modelrun"]
    duration_us = stats(client, "slow")["duration"]
    assert 0.9 * duration_us <= counted["usec"] <= elapsed_us


# ---- refusals ----


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("AI.MODELRUN nosuch INPUTS x OUTPUTS y", "model key is empty: 'nosuch'"),
        ("AI.MODELRUN m INPUTS nosuch OUTPUTS y", "tensor key is empty.*: 'nosuch'"),
        ("AI.MODELRUN m INPUTS m OUTPUTS y", "wrong kind of value: 'm'"),
        ("AI.MODELRUN x INPUTS x OUTPUTS y", "wrong kind of value: 'x'"),
        ("AI.MODELRUN m OUTPUTS y INPUTS x", "INPUTS not specified"),
        ("AI.MODELRUN m INPUTS x y OUTPUTS", "does not match model definition"),
        ("AI.MODELRUN m INPUTS x x x", "does not match model definition"),
        ("AI.MODELRUN m TIMEOUT x INPUTS x OUTPUTS y", "Invalid value for TIMEOUT"),
        ("AI.MODELRUN m TIMEOUT 0 INPUTS x OUTPUTS y", "Invalid value for TIMEOUT"),
        ("AI.MODELRUN m INPUTS x OUTPUTS text", "wrong kind of value: 'text'"),
        ("AI.MODELEXECUTE m INPUTS 0 x OUTPUTS 1 y", "must be a positive integer"),
        ("AI.MODELEXECUTE m INPUTS x 1 OUTPUTS 1 y", "Invalid argument for input_count"),
        ("AI.MODELEXECUTE m INPUTS 99 x OUTPUTS 1 y", "keys given as INPUTS here does not match"),
        ("AI.MODELEXECUTE m INPUTS 1 x OUTPUTS 99 y", "keys given as OUTPUTS here does not match"),
        ("AI.MODELEXECUTE m INPUTS 1 x OUTPUTS 1 y TIMEOUT", "No value provided for TIMEOUT"),
        ("AI.MODELEXECUTE m INPUTS 1 x OUTPUTS 1 y MORE 5", "Invalid argument: MORE"),
        ("AI.MODELEXECUTE m INPUTS 1 x y OUTPUTS 1", "OUTPUTS not specified"),
        ("AI.MODELRUN m INPUTS wide OUTPUTS y", r"Got: \[1,4\] Expected: \[\?,3\]"),
        ("AI.MODELRUN m INPUTS flat OUTPUTS y", r"Got: \[3\] Expected: \[\?,3\]"),
        ("AI.MODELRUN m INPUTS double OUTPUTS y", "Actual: DOUBLE, expected: FLOAT"),
        ("AI.MODELRUN m INPUTS words OUTPUTS y", "Actual: STRING, expected: FLOAT"),
    ],
)
def test_a_bad_run_is_refused_with_the_reason(
    doubling: redis.Redis, command: str, reason: str
) -> None:
    put(doubling, "x", [[1, 2, 3]])
    put(doubling, "wide", [[1, 2, 3, 4]])
    put(doubling, "flat", [1, 2, 3])
    doubling.execute_command("AI.TENSORSET", "double", "DOUBLE", 1, 3)
    doubling.execute_command("AI.TENSORSET", "words", "STRING", 1, 3)
    doubling.set("text", "untouched")
    with pytest.raises(redis.ResponseError, match=reason) as refused:
        doubling.execute_command(*command.split())
    assert " ".join(command.split()[:2]) in str(refused.value)
    assert doubling.exists("y") == 0
    assert doubling.get("text") == b"untouched"


def test_a_run_that_would_wait_is_refused_in_a_transaction(doubling: redis.Redis) -> None:
    put(doubling, "x", [[1, 2, 3]])
    with doubling.pipeline(transaction=True) as transaction:
        transaction.execute_command("AI.MODELRUN", "m", "INPUTS", "x", "OUTPUTS", "y")
        (reply,) = transaction.execute(raise_on_error=False)
    assert "within a transaction" in str(reply)


# ---- while an inference runs ----


def test_the_server_answers_during_an_inference(
    client: redis.Redis, busy: Callable[[], Any]
) -> None:
    running = busy()
    assert client.ping()
    assert waiting_clients(client) == 1, "the inference was over before the server answered"
    assert running.read_response() == b"OK"


def test_a_request_whose_time_runs_out_in_the_queue_is_not_run(
    doubling: redis.Redis, busy: Callable[[], Any], new_client: NewClient
) -> None:
    put(doubling, "x", [[1, 2, 3]])
    running = busy()
    other = new_client()
    reply = other.execute_command("AI.MODELRUN", "m", "TIMEOUT", 1, "INPUTS", "x", "OUTPUTS", "y")
    assert reply == b"TIMEDOUT"
    assert running.read_response() == b"OK"
    assert doubling.exists("y") == 0
    assert stats(doubling, "m")["calls"] == 0
    in_time = other.execute_command(
        "AI.MODELEXECUTE", "m", "INPUTS", 1, "x", "OUTPUTS", 1, "y", "TIMEOUT", 60000
    )
    assert in_time == b"OK"


@pytest.mark.parametrize("remove", ["AI.MODELDEL", "FLUSHALL", "FLUSHALL ASYNC", "AI.MODELSET"])
def test_a_model_may_go_while_it_runs(
    client: redis.Redis, busy: Callable[[], Any], slow_model: bytes, remove: str
) -> None:
    running = busy()
    if remove == "AI.MODELDEL":
        client.execute_command("AI.MODELDEL", "slow")
    elif remove == "AI.MODELSET":
        client.execute_command("AI.MODELSET", "slow", "ONNX", "CPU", "BLOB", slow_model)
    else:
        client.execute_command(*remove.split())
    assert running.read_response() == b"OK"
    assert client.exists("slow-out") == 1


def test_a_client_may_go_while_its_inference_runs(
    client: redis.Redis, busy: Callable[[], Any]
) -> None:
    busy().disconnect()
    while stats(client, "slow")["calls"] == 0:
        time.sleep(0.01)
    assert client.ping()
    assert client.exists("slow-out") == 0


def test_many_clients_at_a_time_each_get_their_own(
    doubling: redis.Redis, new_client: NewClient
) -> None:
    clients, rounds = 8, 20
    wrong: list[object] = []

    def run(number: int, connection: redis.Redis) -> None:
        for round_number in range(rounds):
            x = [[number, round_number, number * round_number]]
            put(connection, f"x{number}", x)
            connection.execute_command(
                "AI.MODELRUN", "m", "INPUTS", f"x{number}", "OUTPUTS", f"y{number}"
            )
            if get(connection, f"y{number}") != (2 * np.array(x)).tolist():
                wrong.append((number, round_number))

    threads = [threading.Thread(target=run, args=(n, new_client())) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert stats(doubling, "m")["calls"] == clients * rounds
