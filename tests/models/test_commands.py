"""The AI.* commands as servers of each version expect them, and their encoding."""

from collections.abc import Sequence
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibench_fast.errors import InternalError
from aibench_fast.models.load import Backend, ModelSpec, model_set
from aibench_fast.protocols.redisai.commands import TENSOR_BLOB, Command, Dialect, encode
from aibench_fast.protocols.redisai.request import Request
from aibench_fast.protocols.session import AskedInput

IMAGE = (1, 224, 224, 3)


def words(command: Command) -> str:
    return " ".join("<tensor>" if a is TENSOR_BLOB else str(a) for a in command)


def asked(
    names: Sequence[str], inputs: Sequence[AskedInput] = (AskedInput("FLOAT", IMAGE),), **more: Any
) -> list[str]:
    """The commands of a request, which have these names for its keys."""
    request = Request(model="m", inputs=inputs, **more)
    sources, targets = request.keys(0)
    commands = [words(command) for command in request.commands(0)]
    for key, name in zip([*sources, *targets], names, strict=True):
        commands = [command.replace(key, name) for command in commands]
    return commands


def test_tensor_commands() -> None:
    first, _, last = asked(["in", "out"], dialect=Dialect.MODELRUN)
    assert first == "AI.TENSORSET in FLOAT 1 224 224 3 BLOB <tensor>"
    assert last == "AI.TENSORGET out BLOB"


@pytest.mark.parametrize(
    ("dialect", "timeout_ms", "expected"),
    [
        (Dialect.MODELRUN, None, "AI.MODELRUN m INPUTS a b OUTPUTS c"),
        (Dialect.MODELRUN, 50, "AI.MODELRUN m TIMEOUT 50 INPUTS a b OUTPUTS c"),
        (Dialect.MODELEXECUTE, None, "AI.MODELEXECUTE m INPUTS 2 a b OUTPUTS 1 c"),
        (Dialect.MODELEXECUTE, 50, "AI.MODELEXECUTE m INPUTS 2 a b OUTPUTS 1 c TIMEOUT 50"),
    ],
)
def test_model_run(dialect: Dialect, timeout_ms: int | None, expected: str) -> None:
    inputs = [AskedInput("FLOAT", IMAGE)] * 2
    commands = asked(["a", "b", "c"], inputs, dialect=dialect, timeout_ms=timeout_ms)
    assert commands[2] == expected


@pytest.mark.parametrize(
    ("dialect", "persist", "timeout_ms", "expected"),
    [
        (
            Dialect.MODELRUN,
            False,
            None,
            "AI.DAGRUN |> AI.TENSORSET in FLOAT 1 224 224 3 BLOB <tensor> "
            "|> AI.MODELRUN m INPUTS in OUTPUTS out |> AI.TENSORGET out BLOB",
        ),
        (
            Dialect.MODELRUN,
            True,
            50,
            "AI.DAGRUN PERSIST 1 out TIMEOUT 50 |> AI.TENSORSET in FLOAT 1 224 224 3 BLOB <tensor> "
            "|> AI.MODELRUN m INPUTS in OUTPUTS out |> AI.TENSORGET out BLOB",
        ),
        (
            Dialect.MODELEXECUTE,
            False,
            50,
            "AI.DAGEXECUTE LOAD 1 out:dag TIMEOUT 50 "
            "|> AI.TENSORSET in FLOAT 1 224 224 3 BLOB <tensor> "
            "|> AI.MODELEXECUTE m INPUTS 1 in OUTPUTS 1 out |> AI.TENSORGET out BLOB",
        ),
        (
            Dialect.MODELEXECUTE,
            True,
            None,
            "AI.DAGEXECUTE PERSIST 1 out |> AI.TENSORSET in FLOAT 1 224 224 3 BLOB <tensor> "
            "|> AI.MODELEXECUTE m INPUTS 1 in OUTPUTS 1 out |> AI.TENSORGET out BLOB",
        ),
    ],
)
def test_dag_run(dialect: Dialect, persist: bool, timeout_ms: int | None, expected: str) -> None:
    dag = {"dialect": dialect, "use_dag": True, "persist": persist, "timeout_ms": timeout_ms}
    assert asked(["in", "out"], **dag) == [expected]


def test_a_dag_sets_all_inputs_before_it_runs() -> None:
    inputs = [AskedInput("INT64", (1, 8)), AskedInput("BOOL", (1, 8))]
    (told,) = asked(["ids", "mask", "out"], inputs, dialect=Dialect.MODELRUN, use_dag=True)
    assert told == (
        "AI.DAGRUN |> AI.TENSORSET ids INT64 1 8 BLOB <tensor> "
        "|> AI.TENSORSET mask BOOL 1 8 BLOB <tensor> "
        "|> AI.MODELRUN m INPUTS ids mask OUTPUTS out |> AI.TENSORGET out BLOB"
    )


@pytest.mark.parametrize("persist", [False, True])
@pytest.mark.parametrize("dialect", Dialect)
def test_every_key_that_a_dag_loads_is_set_up(dialect: Dialect, persist: bool) -> None:
    inputs = [AskedInput("FLOAT", IMAGE)]
    request = Request(dialect=dialect, model="m", inputs=inputs, use_dag=True, persist=persist)
    (command,) = request.commands(0)
    loaded = [command[command.index("LOAD") + 2]] if "LOAD" in command else []
    stored = [setup[1] for setup in request.setup(0)]
    assert stored == loaded
    assert all(f"{{{request.run_id}-w0}}" in str(key) for key in stored)


def test_model_set_with_every_option() -> None:
    def stored(dialect: Dialect) -> str:
        spec = ModelSpec(
            name="m", tag="v1", batch_size=8, min_batch_size=2, min_batch_timeout_ms=50,
            inputs=("a",), outputs=("c",), blob=b"xy",
        )  # fmt: skip
        return words(model_set(dialect, spec, 1))

    options = "m TF CPU TAG v1 BATCHSIZE 8 MINBATCHSIZE 2 MINBATCHTIMEOUT 50"
    assert stored(Dialect.MODELRUN) == (f"AI.MODELSET {options} INPUTS a OUTPUTS c BLOB b'x' b'y'")
    assert stored(Dialect.MODELEXECUTE) == (
        f"AI.MODELSTORE {options} INPUTS 1 a OUTPUTS 1 c BLOB b'x' b'y'"
    )


def test_model_set_leaves_out_what_is_not_given() -> None:
    spec = ModelSpec(name="m", backend=Backend.NULL)
    assert words(model_set(Dialect.MODELRUN, spec, 1)) == "AI.MODELSET m NULL CPU"


def packed(*arguments: str | bytes | int) -> bytes:
    command: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]  # a tuple of one
    return command


Plain = list[str | bytes | int]
plain_arguments = st.lists(st.text() | st.binary() | st.integers(), min_size=1)


@given(plain_arguments)
def test_encode_agrees_with_hiredis(arguments: Plain) -> None:
    assert encode([*arguments]) == [packed(*arguments)]


@given(plain_arguments, st.binary(), st.lists(st.text() | st.binary() | st.integers()))
def test_encode_around_a_tensor_agrees_with_hiredis(
    before: Plain, blob: bytes, after: Plain
) -> None:
    prefix, suffix = encode([*before, TENSOR_BLOB, *after], len(blob))
    assert prefix + blob + suffix == packed(*before, blob, *after)


@given(st.binary(), st.binary())
def test_encode_around_two_tensors_agrees_with_hiredis(one: bytes, other: bytes) -> None:
    first, between, last = encode(["AI.X", TENSOR_BLOB, "and", TENSOR_BLOB], len(one), len(other))
    assert first + one + between + other + last == packed("AI.X", one, "and", other)


def test_encode_refuses_a_tensor_without_a_size() -> None:
    with pytest.raises(InternalError, match="2 tensors"):
        encode(["AI.X", TENSOR_BLOB, TENSOR_BLOB], 4)
