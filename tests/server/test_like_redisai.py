"""Replies that RedisAI 1.2.7 gives and that are in none of the recorded ones, by its source.

What the error was about comes after RedisAI's own words.
"""

import pytest
import redis
from redisclient import connect
from resp import reply_lines

from aibench_fast.server import EmbeddedServer

UNCOUNTED = "Number of keys given as %s here does not match model definition"


@pytest.fixture
def ready(client: redis.Redis) -> redis.Redis:
    """With a model of one input and one output, a tensor and a text."""
    client.execute_command("AI.MODELSTORE", "m", "NULL", "CPU")
    client.execute_command("AI.TENSORSET", "i", "FLOAT", 1, "VALUES", 1)
    client.set("text", "x")
    return client


def error_of(client: redis.Redis, command: str) -> str:
    with pytest.raises(redis.ResponseError) as raised:
        client.execute_command(*command.split())
    # The client takes off the code of a usual error.
    return str(raised.value).removeprefix("ERR ")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        # The count is held against the model before the keys are looked for.
        ("AI.MODELEXECUTE m INPUTS 2 i OUTPUTS 1 o", UNCOUNTED % "INPUTS"),
        ("AI.MODELEXECUTE m INPUTS 9 i OUTPUTS 1 o", UNCOUNTED % "INPUTS"),
        ("AI.MODELEXECUTE m INPUTS 1 i OUTPUTS 2 o", UNCOUNTED % "OUTPUTS"),
        ("AI.MODELEXECUTE m INPUTS 1 i OUTPUTS 9 o", UNCOUNTED % "OUTPUTS"),
        ("AI.MODELEXECUTE m INPUTS 0 i OUTPUTS 1 o", "Input count must be a positive integer"),
        ("AI.MODELEXECUTE m INPUTS -1 i OUTPUTS 1 o", "Input count must be a positive integer"),
        ("AI.MODELEXECUTE m INPUTS 1 i OUTPUTS 0 o", "Output count must be a positive integer"),
        ("AI.MODELEXECUTE m INPUTS x i OUTPUTS 1 o", "Invalid argument for input_count"),
        ("AI.MODELEXECUTE m INPUTS 1 i OUTPUTS x o", "Invalid argument for output_count"),
        ("AI.MODELEXECUTE m INPUTS 1 i TIMEOUT 5 o", "OUTPUTS not specified"),
        ("AI.MODELEXECUTE m INPUTS 1 i OUTPUTS 1 o x", "Invalid argument: x"),
        ("AI.MODELRUN m INPUTS i i OUTPUTS o", UNCOUNTED % "INPUTS"),
        (
            "AI.DAGEXECUTE LOAD 1 i |> AI.MODELEXECUTE m INPUTS 2 i OUTPUTS 1 o",
            UNCOUNTED % "INPUTS",
        ),
        ("AI.SCRIPTGET nosuch", "script key is empty"),
        ("AI.SCRIPTGET nosuch META", "script key is empty"),
        ("AI.SCRIPTDEL nosuch", "script key is empty"),
        ("AI.SCRIPTRUN nosuch f INPUTS i OUTPUTS o", "script key is empty"),
        ("AI.SCRIPTEXECUTE nosuch f INPUTS 1 i OUTPUTS 1 o", "script key is empty"),
        ("AI.SCRIPTGET text", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("AI.SCRIPTRUN m f", "WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("AI.SCRIPTRUN nosuch", "wrong number of arguments for 'AI.SCRIPTRUN' command"),
        ("AI.SCRIPTEXECUTE nosuch", "wrong number of arguments for 'AI.SCRIPTEXECUTE' command"),
        ("AI.SCRIPTGET", "wrong number of arguments for 'ai.scriptget' command"),
        ("AI.SCRIPTDEL a b", "wrong number of arguments for 'ai.scriptdel' command"),
        ("AI.SCRIPTSET s CPU SOURCE", "wrong number of arguments for 'ai.scriptset' command"),
        ("AI.SCRIPTSET s CPU SOURCE x", "Could not load backend"),
        ("AI.SCRIPTSTORE s CPU SOURCE x", "wrong number of arguments for 'ai.scriptstore' command"),
        ("AI.SCRIPTSTORE s CPU ENTRY_POINTS 1 f SOURCE x", "Could not load backend"),
        ("AI.DAGRUN LOAD 1 i |> AI.SCRIPTRUN nosuch f", "script key is empty"),
        ("AI.DAGEXECUTE LOAD 1 i |> AI.SCRIPTEXECUTE nosuch f", "script key is empty"),
        (
            "AI.DAGEXECUTE_RO LOAD 1 i |> AI.SCRIPTEXECUTE nosuch f",
            "AI.SCRIPTEXECUTE command cannot be specified in a read-only DAG",
        ),
        (
            "AI.DAGEXECUTE LOAD 1 i |> AI.SCRIPTRUN nosuch f",
            "Deprecated AI.SCRIPTRUN cannot be used in AI.DAGEXECUTE command",
        ),
        (
            "AI.DAGRUN LOAD 1 i |> AI.MODELEXECUTE m INPUTS 1 i OUTPUTS 1 o",
            "AI.MODELEXECUTE cannot be used in a deprecated AI.DAGRUN command",
        ),
        (
            "AI.DAGRUN LOAD 1 i |> AI.SCRIPTEXECUTE s f",
            "AI.SCRIPTEXECUTE cannot be used in a deprecated AI.DAGRUN command",
        ),
        (
            "AI.DAGRUN LOAD 9 i |> AI.TENSORGET i META",
            "number of keys to LOAD into DAG does not match the number of given arguments",
        ),
        (
            "AI.DAGRUN PERSIST 9 i |> AI.TENSORGET i META",
            "number of keys to PERSIST after DAG execution does not match the number of given",
        ),
        ("AI.MODELSTORE n ONNX CPU BLOB", "wrong number of arguments for 'ai.modelstore' command"),
        ("AI.CONFIG BACKENDSPATH", "BACKENDSPATH: missing path argument"),
        ("AI.CONFIG MODEL_CHUNK_SIZE", "MODEL_CHUNK_SIZE: missing chunk size"),
        ("AI.CONFIG GET", "wrong number of arguments for 'ai.config' command"),
    ],
)
def test_a_refusal_is_redisais(ready: redis.Redis, command: str, words: str) -> None:
    assert error_of(ready, command).startswith(words)


@pytest.mark.parametrize("dtype", ["INT8", "INT16", "INT32", "INT64"])
def test_negative_integers_are_taken_as_a_blob_alone(client: redis.Redis, dtype: str) -> None:
    assert error_of(client, f"AI.TENSORSET t {dtype} 2 VALUES 1 -1").startswith("invalid value")
    width = int(dtype.removeprefix("INT")) // 8
    blob = (-5).to_bytes(width, "little", signed=True)
    assert client.execute_command("AI.TENSORSET", "t", dtype, 1, "BLOB", blob) == b"OK"
    assert client.execute_command("AI.TENSORGET", "t", "VALUES") == [-5]


@pytest.mark.parametrize(
    ("dtype", "given", "shown"),
    [
        ("DOUBLE", "0.1", "0.10000000000000001"),
        ("DOUBLE", "1e300", "1.0000000000000001e+300"),
        ("DOUBLE", "-2.5", "-2.5"),
        ("DOUBLE", "100", "100"),
        ("DOUBLE", "-inf", "-inf"),
        ("FLOAT", "0.1", "0.10000000149011612"),
        ("FLOAT", "inf", "inf"),
    ],
)
def test_floats_have_seventeen_digits(
    client: redis.Redis, server: EmbeddedServer, dtype: str, given: str, shown: str
) -> None:
    client.execute_command("AI.TENSORSET", "t", dtype, 1, "VALUES", given)
    lines = reply_lines(server.address, b"AI.TENSORGET", b"t", b"VALUES")
    assert lines == [b"*1", b"$%d" % len(shown), shown.encode()]


def test_floats_are_numbers_in_resp3(client: redis.Redis, server: EmbeddedServer) -> None:
    client.execute_command("AI.TENSORSET", "t", "DOUBLE", 2, "VALUES", 0.1, -3)
    with redis.Redis(port=server.port, protocol=3) as newer:
        assert newer.execute_command("AI.TENSORGET", "t", "VALUES") == [0.1, -3.0]


def test_info_answers_whatever_word_is_behind_the_key(ready: redis.Redis) -> None:
    told = ready.execute_command("AI.INFO", "m")
    assert told[:4] == [b"key", b"m", b"type", b"MODEL"]
    assert ready.execute_command("AI.INFO", "m", "FOO") == told
    assert error_of(ready, "AI.INFO m FOO BAR").startswith("wrong number of arguments")
    assert error_of(ready, "AI.INFO nosuch FOO").startswith("cannot find run info for key")


def test_more_words_behind_a_setting_are_passed_over(ready: redis.Redis) -> None:
    assert ready.execute_command("AI.CONFIG", "MODEL_CHUNK_SIZE", 511 << 20, "x") == b"OK"
    assert ready.execute_command("AI.CONFIG", "GET", "MODEL_CHUNK_SIZE", "x") == 511 << 20


def test_a_renamed_model_keeps_its_figures_unlike_redisais(ready: redis.Redis) -> None:
    """RedisAI counts under the name that the model was stored under, and finds none by the new."""
    ready.execute_command("AI.MODELRUN", "m", "INPUTS", "i", "OUTPUTS", "o")
    ready.rename("m", "n")
    told = ready.execute_command("AI.INFO", "n")
    assert told[told.index(b"calls") + 1] == 1


def test_null_models_run_in_a_transaction(ready: redis.Redis, server: EmbeddedServer) -> None:
    with connect(server.address) as other, other.pipeline(transaction=True) as pipeline:
        pipeline.execute_command("AI.MODELRUN", "m", "INPUTS", "i", "OUTPUTS", "o")
        assert pipeline.execute() == [b"OK"]
        ready.execute_command("AI.MODELSTORE", "b", "NULL", "CPU", "BATCHSIZE", 8)
        pipeline.execute_command("AI.MODELRUN", "b", "INPUTS", "i", "OUTPUTS", "o")
        with pytest.raises(redis.ResponseError, match="within a transaction"):
            pipeline.execute()
    assert error_of(ready, "EVAL return(1) 0").startswith("unknown command")
