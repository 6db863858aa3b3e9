"""AI.TENSORSET and AI.TENSORGET."""

from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

NUMPY = {
    "FLOAT": np.float32,
    "DOUBLE": np.float64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "BOOL": np.bool_,
}

TOO_LARGE = 1 << 40


def number(word: bytes | int, dtype: str) -> float | int:
    return float(word) if dtype in ("FLOAT", "DOUBLE") else int(word)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), dtype=st.sampled_from(sorted(NUMPY)))
def test_every_value_comes_back_as_it_went(
    client: redis.Redis, data: st.DataObject, dtype: str
) -> None:
    elements = {"allow_nan": False} if dtype in ("FLOAT", "DOUBLE") else None
    shape = npst.array_shapes(max_dims=4, max_side=5)
    array = data.draw(npst.arrays(NUMPY[dtype], shape, elements=elements))
    blob = array.tobytes()
    assert client.execute_command("AI.TENSORSET", "a", dtype, *array.shape, "BLOB", blob) == b"OK"
    assert client.execute_command("AI.TENSORGET", "a", "BLOB") == blob
    values = client.execute_command("AI.TENSORGET", "a", "VALUES")
    assert [number(value, dtype) for value in values] == array.ravel().tolist()

    written = [repr(value) for value in array.ravel().tolist()]
    if dtype.startswith("INT") and array.min() < 0:
        with pytest.raises(redis.ResponseError, match="invalid value"):
            client.execute_command("AI.TENSORSET", "b", dtype, *array.shape, "VALUES", *written)
        return
    if dtype == "BOOL":
        written = [str(int(value)) for value in array.ravel()]
    client.execute_command("AI.TENSORSET", "b", dtype, *array.shape, "VALUES", *written)
    meta_and_blob = client.execute_command("AI.TENSORGET", "b", "META", "BLOB")
    assert meta_and_blob == [
        b"dtype", dtype.encode(), b"shape", list(array.shape), b"blob", blob,
    ]  # fmt: skip


def test_strings_come_back_with_their_terminators(client: redis.Redis) -> None:
    client.execute_command("AI.TENSORSET", "s", "STRING", 3, "VALUES", "one", "", "three\0")
    assert client.execute_command("AI.TENSORGET", "s", "BLOB") == b"one\0\0three\0"
    assert client.execute_command("AI.TENSORGET", "s", "VALUES") == [b"one", b"", b"three"]
    client.execute_command("AI.TENSORSET", "s", "STRING", 2, "BLOB", b"a\0bc\0")
    assert client.execute_command("AI.TENSORGET", "s", "VALUES") == [b"a", b"bc"]


def test_a_tensor_without_data_is_of_zeros(client: redis.Redis) -> None:
    client.execute_command("AI.TENSORSET", "t", "INT16", 2, 2)
    assert client.execute_command("AI.TENSORGET", "t", "VALUES") == [0, 0, 0, 0]


def test_names_are_read_in_any_case(client: redis.Redis) -> None:
    client.execute_command("ai.tensorset", "t", "float", 1, "values", 2)
    assert client.execute_command("ai.tensorget", "t", "meta", "values")[1] == b"FLOAT"


def test_a_tensor_is_held_once(client: redis.Redis) -> None:
    blob = bytes(8 << 20)
    client.execute_command("AI.TENSORSET", "warm", "UINT8", len(blob), "BLOB", blob)
    client.delete("warm")
    before = client.info("memory")["used_memory"]
    client.execute_command("AI.TENSORSET", "t", "UINT8", len(blob), "BLOB", blob)
    grown = client.info("memory")["used_memory"] - before
    assert len(blob) <= grown < 1.5 * len(blob)
    assert len(blob) <= client.memory_usage("t") < len(blob) + 1000


def test_a_tensor_set_in_a_transaction_outlives_it(client: redis.Redis) -> None:
    with client.pipeline(transaction=True) as transaction:
        transaction.execute_command("AI.TENSORSET", "t", "UINT8", 3, "BLOB", b"abc")
        transaction.execute_command("AI.TENSORGET", "t", "BLOB")
        transaction.execute_command("FLUSHALL", "ASYNC")
        transaction.execute_command("AI.TENSORSET", "u", "UINT8", 3, "BLOB", b"def")
        assert transaction.execute()[1] == b"abc"
    assert client.execute_command("AI.TENSORGET", "u", "BLOB") == b"def"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["FLOAT"], "wrong number of arguments"),
        (["FLOAT16", 1, "VALUES", 1], "invalid data type"),
        (["FLOAT", -1], "invalid or negative value found in tensor shape"),
        (["FLOAT", 0], "invalid or negative value found in tensor shape"),
        (["FLOAT", "1.5"], "invalid or negative value found in tensor shape"),
        (["FLOAT", "9" * 30], "invalid or negative value found in tensor shape"),
        (["FLOAT", TOO_LARGE], "make it smaller"),
        (["FLOAT", TOO_LARGE, TOO_LARGE, "BLOB", "x"], "make it smaller"),
        (["STRING", TOO_LARGE, "VALUES", "x"], "make it smaller"),
        (["FLOAT", 2, "BLOB", b"1234567"], "7 bytes were given, 8 are needed"),
        (["FLOAT", 2, "BLOB"], "a single binary string should come after the BLOB"),
        (["FLOAT", 2, "BLOB", b"12345678", "x"], "a single binary string"),
        (["FLOAT", 2, "VALUES"], "wrong number of values"),
        (["FLOAT", 2, "VALUES", 1, "x"], "number 2 is not a FLOAT"),
        (["INT8", 1, "VALUES", 128], "number 1 is not a INT8"),
        (["UINT8", 1, "VALUES", -1], "number 1 is not a UINT8"),
        (["INT32", 1, "VALUES", "1.5"], "number 1 is not a INT32"),
        (["BOOL", 1, "VALUES", 2], "number 1 is not a BOOL"),
        (["BOOL", 1, "BLOB", b"\2"], "must be 0 or 1"),
        (["STRING", 2, "BLOB", b"one\0two"], "Number of string elements"),
        (["STRING", 1, "BLOB", b"one\0two\0"], "Number of string elements"),
        (["STRING", 1, "BLOB", b""], "Number of string elements"),
        (["STRING", 1, "VALUES", b"a\0b"], "contains null character"),
    ],
)
def test_a_bad_tensor_is_refused_and_nothing_is_stored(
    client: redis.Redis, arguments: list[Any], reason: str
) -> None:
    with pytest.raises(redis.ResponseError, match=reason):
        client.execute_command("AI.TENSORSET", "bad", *arguments)
    assert client.exists("bad") == 0


def test_a_key_of_another_type_is_left_alone(client: redis.Redis) -> None:
    client.set("text", "x")
    with pytest.raises(redis.ResponseError, match="wrong kind of value: 'text'"):
        client.execute_command("AI.TENSORSET", "text", "FLOAT", 1)
    with pytest.raises(redis.ResponseError, match="wrong kind of value: 'text'"):
        client.execute_command("AI.TENSORGET", "text")
    assert client.get("text") == b"x"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["NOSUCH"], "unsupported data format"),
        (["BLOB", "VALUES"], "both BLOB and VALUES"),
        (["META", "BLOB", "VALUES"], "wrong number of arguments"),
    ],
)
def test_an_unknown_format_is_refused(client: redis.Redis, words: list[str], reason: str) -> None:
    client.execute_command("AI.TENSORSET", "t", "FLOAT", 1)
    with pytest.raises(redis.ResponseError, match=reason):
        client.execute_command("AI.TENSORGET", "t", *words)
