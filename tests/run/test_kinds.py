"""A mix of kinds in the load generator: shares by weight, parts that add up, several inputs."""

from collections import Counter
from pathlib import Path

from fake_redisai import OK, OUTPUT_BYTES, FakeRedisAI

from aibench_fast._core import LoadGenerator, Tensors
from aibench_fast.coretypes import Endpoint, Kind, RespPlan, Schedule, Segment
from aibench_fast.protocols.redisai.commands import TENSOR_BLOB, encode

REQUESTS = 2000


def texts(model: str, inputs: int) -> list[bytes]:
    """A request of TENSORSETs of 16 bytes, a run and a TENSORGET, cut where the tensors go."""
    parts = [b""]
    for number in range(inputs):
        command = ["AI.TENSORSET", f"in{number}", "FLOAT", 1, 4, "BLOB", TENSOR_BLOB]
        head, tail = encode(command, 16)
        parts[-1] += head
        parts.append(tail)
    names = [f"in{number}" for number in range(inputs)]
    for command in (
        ["AI.MODELRUN", model, "INPUTS", *names, "OUTPUTS", "out"],
        ["AI.TENSORGET", "out", "BLOB"],
    ):
        parts[-1] += encode([*command])[0]
    return parts


def kind(model: str, inputs: int, weight: float, workers: int) -> Kind:
    tensors = [Tensors.generate(10, 16, "FLOAT", seed) for seed in range(inputs)]
    return Kind(
        inputs=tensors,
        requests=[texts(model, inputs)] * workers,
        plan=RespPlan([None] * (inputs + 1) + [OUTPUT_BYTES]),
        weight=weight,
    )


def mixed(server: FakeRedisAI, seed: int) -> LoadGenerator:
    return LoadGenerator(
        kinds=[kind("one", 1, 3.0, 4), kind("two", 2, 1.0, 4)],
        endpoints=[Endpoint("127.0.0.1", server.port)],
        threads=2,
        burn_in_requests=0,
        max_requests=REQUESTS,
        duration_ns=0,
        reply_timeout_ns=10**10,
        connect_timeout_ns=10**9,
        stop_on_failure=False,
        mix_seed=seed,
    )


def test_kinds_are_drawn_by_their_weights_and_add_up(tmp_path: Path) -> None:
    asked: Counter[bytes] = Counter()

    def refuse_some(words: list[bytes], number: int) -> bytes:
        asked[words[1]] += 1
        return b"-ERR no\r\n" if number % 10 == 9 else OK

    with FakeRedisAI(AI_MODELRUN=refuse_some) as server:  # type: ignore[arg-type]
        generator = mixed(server, seed=1)
        generator.start()
        assert generator.wait(60)
        one, two = [part.figures for part in generator.parts()]
        whole = generator.snapshot().measured
        generator.close()
    one_well, two_well, all_well = (part.counters["successes"] for part in (one, two, whole))
    assert one_well + two_well == all_well
    counts = [part.failures["error_reply"][0] for part in (one, two, whole)]
    assert counts[0] + counts[1] == counts[2] == REQUESTS // 10
    assert asked[b"one"] + asked[b"two"] == REQUESTS
    assert abs(asked[b"one"] / REQUESTS - 0.75) < 0.05
    assert asked[b"two"] == two_well + counts[1]


def test_the_inputs_of_a_request_are_those_of_one_number() -> None:
    sent: dict[bytes, list[bytes]] = {b"in0": [], b"in1": []}

    def note(words: list[bytes], _number: int) -> bytes:
        sent[words[1]].append(words[-1])
        return OK

    with FakeRedisAI(AI_TENSORSET=note) as server:  # type: ignore[arg-type]
        generator = LoadGenerator(
            kinds=[kind("two", 2, 1.0, 1)], endpoints=[Endpoint("127.0.0.1", server.port)],
            threads=1, burn_in_requests=0, max_requests=20, duration_ns=0,
            reply_timeout_ns=10**10, connect_timeout_ns=10**9, stop_on_failure=False,
        )  # fmt: skip
        generator.start()
        assert generator.wait(60)
        assert generator.snapshot().measured.counters["successes"] == 20
        generator.close()
    for seed, name in enumerate((b"in0", b"in1")):
        tensors = Tensors.generate(10, 16, "FLOAT", seed)
        assert sent[name] == [tensors.read(number % 10, 1) for number in range(20)]


def test_the_parts_of_each_dimension_add_up_to_the_whole() -> None:
    even = [Segment(400.0, 400.0, 0.25, step=step) for step in range(3)]
    with FakeRedisAI() as first, FakeRedisAI() as second:
        generator = LoadGenerator(
            kinds=[kind("one", 1, 3.0, 4), kind("two", 2, 1.0, 4)],
            endpoints=[Endpoint("127.0.0.1", server.port) for server in (first, second)],
            threads=2, burn_in_requests=20, max_requests=0, duration_ns=0,
            reply_timeout_ns=10**10, connect_timeout_ns=10**9, stop_on_failure=False,
            schedule=Schedule("even", even),
        )  # fmt: skip
        generator.start()
        assert generator.wait(60)
        snapshot, parts = generator.snapshot(), generator.parts()
        generator.close()
    assert [(part.dimension, part.number) for part in parts] == [
        ("kind", 0), ("kind", 1), ("server", 0), ("server", 1),
        ("step", 0), ("step", 1), ("step", 2),
    ]  # fmt: skip
    assert snapshot.measured.counters["successes"] == 300 - 20
    assert snapshot.burn_in.counters["successes"] == 20
    assert snapshot.counters["requests"] == snapshot.counters["begun"] == 300
    for counter in ("successes", "inferences", "late_starts"):
        by_dimension: Counter[str] = Counter()
        for part in parts:
            by_dimension[part.dimension] += part.figures.counters[counter]
        whole = snapshot.measured.counters[counter]
        assert [*by_dimension.values()] == [whole] * 3
    successes = [part.figures.counters["successes"] for part in parts]
    assert successes[4:] == [100 - 20, 100, 100]
    assert successes[0] > successes[1] > 0
    assert min(successes[2:4]) > 0
    latencies = sum(memoryview(parts[0].figures.histograms["latencies"].counts).cast("q"))
    assert latencies == successes[0]
