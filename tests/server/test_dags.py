"""AI.DAGRUN, AI.DAGEXECUTE and their read-only forms."""

import pytest
import redis

DAG_COMMANDS = ["AI.DAGRUN", "AI.DAGEXECUTE", "AI.DAGRUN_RO", "AI.DAGEXECUTE_RO"]


def run_of(command: str, model: str, key: str, output: str) -> list[object]:
    """The step that runs a model, in the dialect of the DAG command."""
    if "EXECUTE" in command:
        return ["AI.MODELEXECUTE", model, "INPUTS", 1, key, "OUTPUTS", 1, output]
    return ["AI.MODELRUN", model, "INPUTS", key, "OUTPUTS", output]


@pytest.fixture
def ready(client: redis.Redis, doubler: bytes) -> redis.Redis:
    """The server has the models `m`, y = 2 x, and `n`, NULL, and the tensor `x`."""
    client.execute_command("AI.MODELSET", "m", "ONNX", "CPU", "BLOB", doubler)
    client.execute_command("AI.MODELSET", "n", "NULL", "CPU")
    client.execute_command("AI.TENSORSET", "x", "FLOAT", 1, 3, "VALUES", 1, 2, 3)
    return client


@pytest.mark.parametrize("command", DAG_COMMANDS)
def test_steps_hand_tensors_on(ready: redis.Redis, command: str) -> None:
    reply = ready.execute_command(
        command, "LOAD", 1, "x",
        "|>", *run_of(command, "m", "x", "y"),
        "|>", *run_of(command, "m", "y", "z"),
        "|>", "AI.TENSORGET", "z", "VALUES",
        "|>", "AI.TENSORGET", "x", "VALUES",
    )  # fmt: skip
    assert reply == [b"OK", b"OK", [b"4", b"8", b"12"], [b"1", b"2", b"3"]]
    assert ready.exists("y", "z") == 0


def test_a_name_written_again_is_read_as_it_was_at_each_step(ready: redis.Redis) -> None:
    reply = ready.execute_command(
        "AI.DAGRUN", "PERSIST", 1, "a",
        "|>", "AI.TENSORSET", "a", "FLOAT", 1, 3, "VALUES", 1, 1, 1,
        "|>", "AI.TENSORGET", "a", "VALUES",
        "|>", "AI.MODELRUN", "m", "INPUTS", "a", "OUTPUTS", "a",
        "|>", "AI.TENSORGET", "a", "VALUES",
        "|>", "AI.TENSORSET", "a", "FLOAT", 1, 3, "VALUES", 5, 5, 5,
    )  # fmt: skip
    assert reply == [b"OK", [b"1"] * 3, b"OK", [b"2"] * 3, b"OK"]
    assert ready.execute_command("AI.TENSORGET", "a", "VALUES") == [b"5"] * 3


def test_persist_stores_and_load_reads(ready: redis.Redis) -> None:
    ready.execute_command(
        "AI.DAGEXECUTE", "LOAD", 1, "x", "PERSIST", 2, "y", "t", "TIMEOUT", 60000,
        "|>", *run_of("AI.DAGEXECUTE", "m", "x", "y"),
        "|>", "AI.TENSORSET", "t", "INT8", 1, "VALUES", 7,
    )  # fmt: skip
    assert ready.execute_command("AI.TENSORGET", "y", "VALUES") == [b"2", b"4", b"6"]
    assert ready.execute_command("AI.TENSORGET", "t", "VALUES") == [7]


def test_after_a_failed_step_nothing_runs_and_nothing_is_stored(ready: redis.Redis) -> None:
    reply = ready.execute_command(
        "AI.DAGRUN", "PERSIST", 1, "y",
        "|>", "AI.TENSORSET", "wide", "FLOAT", 1, 4,
        "|>", "AI.MODELRUN", "m", "INPUTS", "wide", "OUTPUTS", "y",
        "|>", "AI.TENSORGET", "y", "VALUES",
    )  # fmt: skip
    assert reply[0] == b"OK"
    assert isinstance(reply[1], redis.ResponseError)
    assert reply[2] == b"NA"
    assert ready.exists("y") == 0


def test_an_instant_dag_may_be_in_a_transaction(ready: redis.Redis) -> None:
    with ready.pipeline(transaction=True) as transaction:
        transaction.execute_command(
            "AI.DAGRUN", "LOAD", 1, "x", "|>", *run_of("AI.DAGRUN", "n", "x", "y"),
            "|>", "AI.TENSORGET", "y", "META",
        )  # fmt: skip
        (reply,) = transaction.execute()
    assert reply == [b"OK", [b"dtype", b"FLOAT", b"shape", [1, 1001]]]


def test_a_key_of_another_type_is_not_persisted_to(ready: redis.Redis) -> None:
    ready.set("text", "untouched")
    reply = ready.execute_command(
        "AI.DAGRUN", "PERSIST", 1, "text", "|>", "AI.TENSORSET", "text", "FLOAT", 1
    )
    assert isinstance(reply[-1], redis.ResponseError)
    assert ready.get("text") == b"untouched"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("AI.DAGRUN", "wrong number of arguments for 'AI.DAGRUN'"),
        ("AI.DAGRUN_RO", "wrong number of arguments for 'AI.DAGRUN_RO'"),
        ("AI.DAGEXECUTE_RO", "missing arguments for 'AI.DAGEXECUTE_RO'"),
        ("AI.DAGRUN LOAD 1 x", "DAG is empty"),
        ("AI.DAGRUN LOAD x 1 |> AI.TENSORGET x", "invalid or negative value.*to LOAD"),
        ("AI.DAGRUN LOAD 99 x |> AI.TENSORGET x", "number of keys to LOAD into DAG does not match"),
        ("AI.DAGRUN LOAD 1 nosuch |> AI.TENSORGET x", "tensor key is empty.*'nosuch'"),
        ("AI.DAGRUN LOAD 1 m |> AI.TENSORGET x", "wrong kind of value"),
        ("AI.DAGRUN PERSIST 0 y |> AI.TENSORGET x", "invalid or negative value.*to PERSIST"),
        ("AI.DAGRUN PERSIST 2 y y |> AI.TENSORSET y FLOAT 1", "must be unique"),
        ("AI.DAGRUN PERSIST 1 y |> AI.TENSORSET z FLOAT 1", "PERSIST key cannot be found.*'y'"),
        ("AI.DAGRUN_RO PERSIST 1 y |> AI.TENSORSET y FLOAT 1", "PERSIST cannot be specified"),
        ("AI.DAGRUN TIMEOUT 0 |> AI.TENSORSET y FLOAT 1", "Invalid value for TIMEOUT"),
        ("AI.DAGRUN NOSUCH 1 |> AI.TENSORSET y FLOAT 1", "Unexpected argument: NOSUCH"),
        ("AI.DAGRUN LOAD 1 x |>", "Unexpected argument: |>"),
        ("AI.DAGRUN LOAD 1 x |> |> AI.TENSORGET x", "Unexpected argument: |>"),
        ("AI.DAGRUN |> AI.TENSORSET y FLOAT", "wrong number of arguments for 'AI.TENSORSET'"),
        ("AI.DAGRUN |> AI.TENSORSET y FLOAT 0", "invalid or negative"),
        ("AI.DAGEXECUTE ROUTING x |> AI.TENSORGET |> AI.TENSORGET x", "'AI.TENSORGET'"),
        ("AI.DAGRUN LOAD 1 x |> AI.TENSORGET x NOSUCH", "unsupported data format"),
        ("AI.DAGRUN |> AI.TENSORGET nosuch BLOB", "cannot be found in DAG: 'nosuch'"),
        ("AI.DAGRUN |> AI.MODELRUN m INPUTS nosuch OUTPUTS y", "cannot be found.*'nosuch'"),
        ("AI.DAGRUN LOAD 1 x |> AI.MODELRUN no INPUTS x OUTPUTS y", "model key is empty: 'no'"),
        ("AI.DAGRUN LOAD 1 x |> AI.MODELRUN m TIMEOUT 5 INPUTS x OUTPUTS y", "TIMEOUT not allowed"),
        ("AI.DAGRUN LOAD 1 x |> SET a b", "Unsupported command within DAG: SET"),
        ("AI.DAGRUN LOAD 1 x |> AI.SCRIPTRUN s f INPUTS x OUTPUTS y", "script key is empty"),
        ("AI.DAGEXECUTE |> AI.TENSORSET y FLOAT 1 2", "at least one out of ROUTING"),
        ("AI.DAGEXECUTE LOAD 1 x |> AI.MODELRUN m INPUTS x OUTPUTS y", "Deprecated AI.MODELRUN"),
    ],
)
def test_a_bad_dag_is_refused_with_the_reason(
    ready: redis.Redis, command: str, reason: str
) -> None:
    with pytest.raises(redis.ResponseError, match=reason):
        ready.execute_command(*command.split())
    assert ready.exists("y") == 0


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        ("AI.MODELRUN m TIMEOUT 5 INPUTS a b OUTPUTS c", "m a b c"),
        ("AI.MODELEXECUTE m INPUTS 2 a b OUTPUTS 1 c TIMEOUT 5", "m a b c"),
        (
            "AI.DAGRUN LOAD 1 a PERSIST 1 c TIMEOUT 5 |> AI.MODELRUN m INPUTS a OUTPUTS b "
            "|> AI.MODELRUN n INPUTS b OUTPUTS c",
            "a c m n",
        ),
        (
            "AI.DAGEXECUTE ROUTING r |> AI.TENSORSET t FLOAT 1 "
            "|> AI.MODELEXECUTE m INPUTS 1 t OUTPUTS 1 c",
            "r m",
        ),
    ],
)
def test_the_keys_of_a_command_are_known(client: redis.Redis, command: str, keys: str) -> None:
    found = client.execute_command("COMMAND", "GETKEYS", *command.split())
    assert found == keys.encode().split()
