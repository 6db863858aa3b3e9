"""Auto-batching: requests of different clients in one execution."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import redis

NewClient = Callable[[], redis.Redis]
CLIENTS = 10


def batches(client: redis.Redis, model: str) -> dict[str, int]:
    counted = client.info("modules")[f"ai_batch_{model}"]
    return {name: int(counted[name]) for name in ("executions", "rows")}


def run_all(new_client: NewClient, commands: list[list[object]]) -> list[object]:
    """Send each command on a connection of its own, all before any is answered."""
    connections = [new_client().connection_pool.get_connection() for _ in commands]
    for connection, command in zip(connections, commands, strict=True):
        connection.send_command(*command)
    return [reply(connection) for connection in connections]


def reply(connection: Any) -> object:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


def put_rows(client: redis.Redis, key: str, *values: float) -> None:
    """A tensor of a row of three equal elements for each value."""
    array = np.repeat(np.array(values, np.float32), 3)
    client.execute_command("AI.TENSORSET", key, "FLOAT", len(values), 3, "BLOB", array.tobytes())


def doubled(client: redis.Redis, key: str) -> list[float]:
    """The tensor's rows, each of three equal elements."""
    tensor = client.execute_command("AI.TENSORGET", key, "META", "BLOB")
    array = np.frombuffer(tensor[5], np.float32).reshape(tensor[3])
    assert (array == array[:, :1]).all()
    return [float(value) for value in array[:, 0]]


def store(client: redis.Redis, blob: bytes, *limits: object) -> None:
    client.execute_command("AI.MODELSTORE", "m", "ONNX", "CPU", *limits, "BLOB", blob)


def run(key: str, output: str) -> list[object]:
    return ["AI.MODELEXECUTE", "m", "INPUTS", 1, key, "OUTPUTS", 1, output]


def test_requests_that_wait_run_together_and_each_gets_its_rows(
    client: redis.Redis, new_client: NewClient, doubler: bytes
) -> None:
    store(client, doubler, "BATCHSIZE", CLIENTS, "MINBATCHSIZE", CLIENTS)
    for number in range(CLIENTS):
        put_rows(client, f"x{number}", number)
    replies = run_all(new_client, [run(f"x{n}", f"y{n}") for n in range(CLIENTS)])
    assert replies == [b"OK"] * CLIENTS
    assert [doubled(client, f"y{n}") for n in range(CLIENTS)] == [[2 * n] for n in range(CLIENTS)]
    assert batches(client, "m") == {"executions": 1, "rows": CLIENTS}


def test_info_counts_each_request_of_a_batch(
    client: redis.Redis, new_client: NewClient, doubler: bytes
) -> None:
    store(client, doubler, "BATCHSIZE", 4, "MINBATCHSIZE", 4)
    put_rows(client, "x", 1)
    run_all(new_client, [run("x", f"y{n}") for n in range(4)])
    pairs = client.execute_command("AI.INFO", "m")
    facts = dict(zip(pairs[::2], pairs[1::2], strict=True))
    assert (facts[b"calls"], facts[b"samples"], facts[b"errors"]) == (4, 4, 0)


def test_a_batch_has_no_more_rows_than_its_limit(
    client: redis.Redis, new_client: NewClient, doubler: bytes
) -> None:
    store(client, doubler, "BATCHSIZE", 5, "MINBATCHSIZE", 4)
    put_rows(client, "two", 1, 2)
    replies = run_all(new_client, [run("two", f"y{n}") for n in range(4)])
    assert replies == [b"OK"] * 4
    assert batches(client, "m") == {"executions": 2, "rows": 8}
    assert doubled(client, "y3") == [2, 4]


def test_a_request_with_more_rows_than_the_limit_runs_alone(
    client: redis.Redis, doubler: bytes
) -> None:
    store(client, doubler, "BATCHSIZE", 2, "MINBATCHSIZE", 2)
    put_rows(client, "x", 1, 2, 3)
    client.execute_command(*run("x", "y"))
    assert doubled(client, "y") == [2, 4, 6]
    assert batches(client, "m") == {"executions": 1, "rows": 3}


def test_requests_that_wait_behind_another_inference_are_batched(
    client: redis.Redis, new_client: NewClient, doubler: bytes, slow_model: bytes
) -> None:
    store(client, doubler, "BATCHSIZE", CLIENTS)
    client.execute_command("AI.MODELSET", "slow", "ONNX", "CPU", "BLOB", slow_model)
    client.execute_command("AI.TENSORSET", "one", "FLOAT", 1, 1, "VALUES", 1)
    put_rows(client, "x", 1)
    slow = ["AI.MODELRUN", "slow", "INPUTS", "one", "OUTPUTS", "slow-out"]
    run_all(new_client, [slow, *[run("x", f"y{n}") for n in range(CLIENTS)]])
    counted = batches(client, "m")
    assert counted["rows"] / counted["executions"] >= 5


def test_a_lone_request_waits_for_a_second(
    client: redis.Redis, new_client: NewClient, doubler: bytes
) -> None:
    store(client, doubler, "BATCHSIZE", 4, "MINBATCHSIZE", 2)
    put_rows(client, "x", 3)
    first = new_client().connection_pool.get_connection()
    first.send_command(*run("x", "y1"))
    while client.info("clients")["blocked_clients"] == 0:
        time.sleep(0.001)
    assert not first.can_read(timeout=0.2)
    client.execute_command(*run("x", "y2"))
    assert first.read_response() == b"OK"
    assert batches(client, "m") == {"executions": 1, "rows": 2}


def test_the_time_out_ends_the_wait(client: redis.Redis, doubler: bytes) -> None:
    store(client, doubler, "BATCHSIZE", 4, "MINBATCHSIZE", 2, "MINBATCHTIMEOUT", 100)
    put_rows(client, "x", 3)
    started = time.monotonic()
    client.execute_command(*run("x", "y"))
    assert time.monotonic() - started >= 0.1
    assert doubled(client, "y") == [6]


def test_a_request_may_time_out_while_it_waits_for_a_batch(
    client: redis.Redis, doubler: bytes
) -> None:
    store(client, doubler, "BATCHSIZE", 4, "MINBATCHSIZE", 2)
    put_rows(client, "x", 3)
    assert client.execute_command(*run("x", "y"), "TIMEOUT", 20) == b"TIMEDOUT"


def test_a_request_that_waits_does_not_hold_up_other_models(
    client: redis.Redis, new_client: NewClient, doubler: bytes
) -> None:
    store(client, doubler, "BATCHSIZE", 4, "MINBATCHSIZE", 2)
    client.execute_command("AI.MODELSET", "other", "ONNX", "CPU", "BLOB", doubler)
    put_rows(client, "x", 3)
    waiting = new_client().connection_pool.get_connection()
    waiting.send_command(*run("x", "y"))
    assert client.execute_command("AI.MODELRUN", "other", "INPUTS", "x", "OUTPUTS", "z") == b"OK"
    client.execute_command(*run("x", "y2"))
    assert waiting.read_response() == b"OK"


def test_only_the_same_shapes_are_batched(
    client: redis.Redis, new_client: NewClient, doubler: bytes
) -> None:
    store(client, doubler, "BATCHSIZE", 4, "MINBATCHSIZE", 2, "MINBATCHTIMEOUT", 50)
    put_rows(client, "x", 3)
    client.execute_command("AI.TENSORSET", "bad", "FLOAT", 1, 4)
    good, bad = run_all(new_client, [run("x", "y"), run("bad", "z")])
    assert good == b"OK"
    assert isinstance(bad, redis.ResponseError)


def test_a_failed_batch_fails_each_of_its_requests(
    client: redis.Redis, new_client: NewClient, doubler: bytes
) -> None:
    store(client, doubler, "BATCHSIZE", 2, "MINBATCHSIZE", 2)
    client.execute_command("AI.TENSORSET", "bad", "FLOAT", 1, 4)
    replies = run_all(new_client, [run("bad", "y"), run("bad", "z")])
    assert all(isinstance(answer, redis.ResponseError) for answer in replies)
    pairs = client.execute_command("AI.INFO", "m")
    assert dict(zip(pairs[::2], pairs[1::2], strict=True))[b"errors"] == 2


def test_steps_of_dags_are_batched(
    client: redis.Redis, new_client: NewClient, doubler: bytes
) -> None:
    store(client, doubler, "BATCHSIZE", 2, "MINBATCHSIZE", 2)
    dag = [
        "AI.DAGEXECUTE", "ROUTING", "m",
        "|>", "AI.TENSORSET", "a", "FLOAT", 1, 3, "VALUES", 1, 1, 1,
        "|>", *run("a", "b"),
        "|>", *run("b", "c"),
        "|>", "AI.TENSORGET", "c", "VALUES",
    ]  # fmt: skip
    replies = run_all(new_client, [dag, dag])
    assert replies == [[b"OK", b"OK", b"OK", [b"4"] * 3]] * 2
    assert batches(client, "m") == {"executions": 2, "rows": 4}


def test_ten_clients_at_a_time_get_their_own_rows(
    client: redis.Redis, new_client: NewClient, doubler: bytes
) -> None:
    rounds = 20
    store(client, doubler, "BATCHSIZE", CLIENTS, "MINBATCHSIZE", 2, "MINBATCHTIMEOUT", 5)
    wrong: list[object] = []

    def work(number: int, connection: redis.Redis) -> None:
        for round_number in range(rounds):
            value = 100 * number + round_number
            put_rows(connection, f"x{number}", value)
            connection.execute_command(*run(f"x{number}", f"y{number}"))
            if doubled(connection, f"y{number}") != [2 * value]:
                wrong.append(value)

    threads = [
        threading.Thread(target=work, args=(number, new_client())) for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert batches(client, "m")["rows"] == CLIENTS * rounds
