"""Models of several outputs by RedisAI's commands: which are fetched, and how each is judged."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from fake_redisai import OK, FakeRedisAI, array, bulk
from onnx import TensorProto, helper
from redisclient import connect, load_into
from smallruns import Heard, against

from aibench_fast import ConfigError, Result, RunConfig, ServerAddress, ServerError, run
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.protocols.redisai.cluster import read_cluster
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.results.events import Sample
from aibench_fast.server import EmbeddedServer
from aibench_fast.server.cluster import EmbeddedCluster

VALUES = 4
FORMS: Sequence[dict[str, object]] = [
    {},
    {"dialect": Dialect.MODELEXECUTE, "timeout_ms": 60_000},
    {"use_dag": True},
    {"use_dag": True, "dialect": Dialect.MODELEXECUTE},
    {"pipeline": 3},
]


def detector() -> bytes:
    """An ONNX model of x: y = x, z of two values more, and k, whole numbers."""

    def tensor(name: str, dtype: int, values: int) -> object:
        return helper.make_tensor_value_info(name, dtype, ["N", values])

    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["x"], ["y"]),
            helper.make_node("Concat", ["x", "half"], ["z"], axis=1),
            helper.make_node("Slice", ["x", "start", "end", "axes"], ["half"]),
            helper.make_node("Cast", ["x"], ["k"], to=TensorProto.INT64),
        ][::-1],
        "detector",
        [tensor("x", TensorProto.FLOAT, VALUES)],
        [
            tensor("y", TensorProto.FLOAT, VALUES),
            tensor("z", TensorProto.FLOAT, VALUES + 2),
            tensor("k", TensorProto.INT64, VALUES),
        ],
        [
            helper.make_tensor(name, TensorProto.INT64, [1], [value])
            for name, value in (("start", 0), ("end", 2), ("axes", 1))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def spec(name: str = "detector") -> ModelSpec:
    return ModelSpec(name=name, backend=Backend.ONNX, blob=detector())


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        load_into(running.address, spec())
        yield running


def asked(address: ServerAddress, **settings: object) -> Result:
    usual = {
        "file": None, "shape": (VALUES,), "model": "detector", "address": address,
        "workers": 3, "max_queries": 60,
    }  # fmt: skip
    return run(RunConfig(**(usual | settings)))  # type: ignore[arg-type]


def command_calls(result: Result, name: str) -> int:
    return int(result.server.periods["overall"][f"ai.{name}_calls"])


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_all_outputs_are_fetched(server: EmbeddedServer, form: dict[str, object]) -> None:
    result = asked(server.address, **form)
    assert (result.failures, result.successes) == ({}, 60)
    if not form.get("use_dag"):
        assert command_calls(result, "tensorget") == 3 * 60
    assert connect(server.address).keys() == [b"detector"]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize(("outputs", "count"), [(("k",), 1), (("3", "y"), 2)])
def test_chosen_outputs_alone_are_fetched(
    server: EmbeddedServer, form: dict[str, object], outputs: tuple[str, ...], count: int
) -> None:
    result = asked(server.address, outputs=outputs, **form)
    assert (result.failures, result.successes) == ({}, 60)
    if not form.get("use_dag"):
        assert command_calls(result, "tensorget") == count * 60


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_each_output_is_compared_with_its_own_reference(
    tmp_path: Path, server: EmbeddedServer, form: dict[str, object]
) -> None:
    sent = np.random.default_rng(3).normal(size=(20, VALUES)).astype(np.float32)
    sent.tofile(tmp_path / "x")
    np.concatenate([sent, sent[:, :2]], axis=1).tofile(tmp_path / "z")
    files = {"file": tmp_path / "x", "reference_file": tmp_path / "z", "tolerance": 0.0}
    result = asked(server.address, outputs=("z",), batch_size=2, max_queries=40, **files, **form)
    assert (result.failures, result.inferences) == ({}, 40)
    told = "`reference_file` compares one output.*choose one by `outputs`"
    with pytest.raises(ConfigError, match=told):
        asked(server.address, **files, **form)
    sent.tofile(tmp_path / "z")
    files["file"] = tmp_path / "wrong"
    (sent + 1).tofile(tmp_path / "wrong")
    result = asked(server.address, outputs=("1",), **files, **form)
    assert {kind: one.count for kind, one in result.failures.items()} == {"wrong_output": 60}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_persisted_outputs_stay_all(server: EmbeddedServer, form: dict[str, object]) -> None:
    client = connect(server.address)
    result = asked(server.address, outputs=("z",), persist_results=True, workers=1, **form)
    assert result.failures == {}
    left = set(client.keys()) - {b"detector"}
    client.delete(*left)
    assert len(left) == 3
    assert all(key.startswith(b"classificationTensor") for key in left)


@pytest.mark.parametrize("use_dag", [False, True])
def test_a_sample_is_of_the_first_output_that_is_fetched(
    server: EmbeddedServer, tmp_path: Path, use_dag: bool
) -> None:
    sent = np.arange(VALUES * 5, dtype=np.float32).reshape(5, VALUES)
    sent.tofile(tmp_path / "x")
    samples = Heard(Sample)
    result = against(
        server, tmp_path / "x", observe=samples, shape=(VALUES,), model="detector",
        outputs=("k", "y"), sample_responses=True, use_dag=use_dag, max_queries=50,
    )  # fmt: skip
    assert result.failures == {}
    assert samples
    for one in samples:
        assert one.dtype == "INT64"
        assert np.frombuffer(one.output, np.int64).tolist() == sent[one.tensor].tolist()


def test_the_kinds_of_a_mix_have_their_own_outputs(server: EmbeddedServer) -> None:
    load_into(server.address, ModelSpec(name="null", backend=Backend.NULL))
    tensor = InputTensor(None, (VALUES,), "FLOAT")
    mix = (RequestKind("null", (tensor,)), RequestKind("detector", (tensor,), batch_size=3))
    config = RunConfig(file=None, mix=mix, address=server.address, max_queries=100)
    result = run(config)
    connect(server.address).delete("null")
    assert (result.failures, result.successes) == ({}, 100)
    assert all(kind.successes > 0 for kind in result.kinds)


@pytest.mark.parametrize("use_dag", [False, True])
def test_a_cluster_has_them_too(use_dag: bool) -> None:
    with EmbeddedCluster() as cluster:
        for shard in read_cluster([cluster.address]).shards:
            load_into(shard.primary, spec(shard.key("detector")))
        result = asked(cluster.address, cluster_mode=True, use_dag=use_dag)
    assert (result.failures, result.successes) == ({}, 60)


def test_an_output_that_the_model_lacks_is_one_line(server: EmbeddedServer) -> None:
    for word in ("w", "0", "4"):
        with pytest.raises(ConfigError) as told:
            asked(server.address, outputs=("y", word))
        assert str(told.value) == f"`outputs` {word}: the model detector has the outputs y, z, k"


SIZES = (16, 8, 24)


def of_count(words: bytes, count: int) -> dict[str, object]:
    """How a server behaves that says by such words that its model has more outputs."""

    def model_run(arguments: Sequence[bytes], _number: int) -> bytes:
        given = arguments.index(b"OUTPUTS")
        keys = len(arguments) - given - 1 - (arguments[0] == b"AI.MODELEXECUTE")
        return OK if keys == count else b"-%b\r\n" % words

    def tensor_get(arguments: Sequence[bytes], _number: int) -> bytes:
        number = arguments[1].partition(b":")[0].partition(b"-")[2] or b"1"
        output = bulk(bytes(SIZES[int(number) - 1]))
        if b"META" not in arguments:
            return output
        return array(bulk(b"dtype"), bulk(b"UINT8"), bulk(b"shape"), array(), bulk(b"blob"), output)

    return {"AI_MODELRUN": model_run, "AI_MODELEXECUTE": model_run, "AI_TENSORGET": tensor_get}


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(
    "words",
    [
        b"Number of keys given as OUTPUTS here does not match model definition",
        b"ERR Number of names given as OUTPUTS during MODELSET and keys given as OUTPUTS here do "
        b"not match",
        b"ERR Expected 3 outputs but got 1",
    ],
)
def test_outputs_that_the_server_does_not_name_are_counted_on_trial(
    words: bytes, dialect: Dialect
) -> None:
    with FakeRedisAI(**of_count(words, 3)) as fake:  # type: ignore[arg-type]
        address = fake.address
        result = asked(address, dialect=dialect)
        assert (result.failures, result.successes) == ({}, 60)
        assert fake.counts["AI.TENSORGET"] == 3 * (60 + 1)
        result = asked(address, dialect=dialect, outputs=("3", "2"))
        assert result.failures == {}
        with pytest.raises(ConfigError) as told:
            asked(address, dialect=dialect, outputs=("y",))
    assert str(told.value) == (
        "`outputs` y: the model detector has 3 outputs, whose names the server does not know: give "
        "numbers from 1"
    )


def test_a_size_that_is_not_the_trials_is_a_failure_of_its_output() -> None:
    answers = of_count(b"OUTPUTS", 3)
    usual = answers["AI_TENSORGET"]

    def short(arguments: Sequence[bytes], number: int) -> bytes:
        if b"META" not in arguments and arguments[1].startswith(b"classificationTensor-2"):
            return bulk(bytes(7))
        return usual(arguments, number)  # type: ignore[no-any-return,operator]

    with FakeRedisAI(**answers | {"AI_TENSORGET": short}) as fake:  # type: ignore[arg-type]
        result = asked(fake.address)
    failure = result.failures["wrong_size"]
    assert (failure.count, failure.first_message) == (60, "an output of 7 bytes, expected 8")


def test_another_refusal_is_not_tried_again() -> None:
    words = b"Please fix either the inputs/outputs or the model."
    with FakeRedisAI(**of_count(words, 99)) as fake:  # type: ignore[arg-type]
        with pytest.raises(ServerError, match=r"refused AI.MODELRUN: Please fix either"):
            asked(fake.address)
        assert fake.counts["AI.MODELRUN"] == 1


def test_more_outputs_than_are_fetched_are_chosen_from() -> None:
    names = array(*(bulk(b"o%d" % n) for n in range(20)))
    meta = array(bulk(b"outputs"), names)
    with FakeRedisAI(AI_MODELGET=lambda *_: meta) as fake:
        address = fake.address
        with pytest.raises(ConfigError, match="20 outputs of the model detector: at most 16"):
            asked(address)
        result = asked(address, outputs=tuple(f"o{n}" for n in range(4, 20)))
        assert result.failures == {}
        assert len(fake.last["AI.MODELRUN"]) == len(["run", "m", "INPUTS", "i", "OUTPUTS"]) + 20
