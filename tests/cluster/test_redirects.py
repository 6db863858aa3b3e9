"""MOVED and ASK as workers follow them, by servers that redirect on order."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from fake_redisai import OK, OUTPUT_BYTES, FakeRedisAI, array, bulk

from aibench_fast._core import LoadGenerator, Tensors
from aibench_fast.coretypes import ClusterNodes, Endpoint, Kind, Snapshot
from aibench_fast.protocols.redisai.cluster import Shard
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.protocols.redisai.request import Request
from aibench_fast.protocols.session import AskedInput

REQUEST = Request(
    dialect=Dialect.MODELRUN,
    model="m",
    inputs=[AskedInput("FLOAT", (4,))],
    output_bytes=[OUTPUT_BYTES],
    shard=Shard(primary=None, tag="3"),  # type: ignore[arg-type]
)
DAG = replace(REQUEST, use_dag=True)


def kind(request: Request, workers: int, *, asking: bool = False) -> Kind:
    return Kind(
        inputs=[Tensors.generate(10, 16, "FLOAT", 1)],
        requests=[request.texts(worker, asking=asking) for worker in range(workers)],
        plan=request.plan(asking=asking),
    )


def drive(
    first: FakeRedisAI,
    others: Sequence[FakeRedisAI] = (),
    *,
    requests: int = 100,
    workers: int = 1,
    pipeline: int = 1,
    request: Request = REQUEST,
) -> Snapshot:
    """Return the outcome of a run against the first; the others are nodes of its cluster."""
    ends = [Endpoint("127.0.0.1", fake.port, greeting=request.probe()) for fake in (first, *others)]
    generator = LoadGenerator(
        kinds=[kind(request, workers)], endpoints=ends[:1],
        cluster=ClusterNodes(
            nodes=[(f"node{n}", end) for n, end in enumerate(ends)],
            asking_kinds=[kind(request, workers, asking=True)],
            asking_greetings=[request.probe(asking=True)],
        ),
        threads=1, burn_in_requests=0, max_requests=requests, duration_ns=0,
        reply_timeout_ns=5 * 10**9, connect_timeout_ns=10**9, reconnect_for_ns=5 * 10**9,
        stop_on_failure=False, pipeline=pipeline,
    )  # fmt: skip
    generator.start()
    assert generator.wait(30)
    found = generator.snapshot()
    generator.close()
    failed = sum(count for count, _ in found.measured.failures.values())
    ended = found.counters["requests"]
    assert found.counters["begun"] == ended == found.measured.counters["successes"] + failed
    assert ended == requests
    return found


def redirected(found: Snapshot) -> tuple[int, int]:
    """How many MOVED and ASK were followed."""
    return found.counters["moved"], found.counters["asked"]


def redirects(fake: FakeRedisAI, words: bytes, from_number: int) -> None:
    """Have it answer so from this request on, and to probes then."""
    names = ("AI.TENSORSET", "AI.MODELRUN", "AI.TENSORGET", "AI.DAGRUN")
    usual = {name: fake.behaviour(name) for name in names}
    seen = {"requests": 0}

    def answer(arguments: Sequence[bytes], number: int) -> object:
        name = arguments[0].decode().upper()
        is_probe = arguments[1].startswith(b"probe")
        if name == "AI.DAGRUN" or (name == "AI.TENSORSET" and not is_probe):
            seen["requests"] += 1
        return words if seen["requests"] > from_number else usual[name](arguments, number)

    for name in usual:
        fake.behave(name, answer)  # type: ignore[arg-type]


@pytest.mark.parametrize("pipeline", [1, 4])
@pytest.mark.parametrize("named", ["127.0.0.1", "node1", ""])
def test_a_slot_that_moved_is_followed(named: str, pipeline: int) -> None:
    with FakeRedisAI() as old, FakeRedisAI() as new:
        redirects(old, f"-MOVED 7 {named}:{new.port}\r\n".encode(), 20)
        found = drive(old, [new], workers=2, pipeline=pipeline)
        assert new.counts["AI.TENSORGET"] >= 70
    assert found.measured.failures == {}
    assert redirected(found) == (2, 0)  # one for each worker


def test_a_request_that_asks_is_sent_with_asking() -> None:
    with FakeRedisAI() as old, FakeRedisAI(ASKING=lambda *_: OK) as new:
        redirects(old, f"-ASK 7 127.0.0.1:{new.port}\r\n".encode(), 20)
        found = drive(old, [new])
        commands = sum(new.counts[n] for n in ("AI.TENSORSET", "AI.MODELRUN", "AI.TENSORGET"))
        assert new.counts["ASKING"] == commands >= 3 * 80
    assert found.measured.failures == {}
    assert redirected(found) == (0, 1)


def test_a_dag_that_asks_is_sent_behind_one_asking() -> None:
    with FakeRedisAI() as old, FakeRedisAI(ASKING=lambda *_: OK) as new:
        redirects(old, f"-ASK 7 127.0.0.1:{new.port}\r\n".encode(), 20)
        found = drive(old, [new], request=DAG)
        assert new.counts["ASKING"] - 1 == new.counts["AI.DAGRUN"] == 80  # and one before the probe
    assert found.measured.failures == {}
    assert found.measured.counters["successes"] == 100
    assert redirected(found) == (0, 1)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (array(OK, OK), "wrong_reply", "an array of 2 replies, expected 3"),
        (array(OK, bulk(b""), OK), "wrong_reply", "reply 3 is a bulk, expected a status"),
        (OK, "wrong_reply", "found a status where the command answers an array"),
        (b"-ERR no\r\n", "error_reply", "ERR no"),
    ],
)
def test_a_dag_behind_asking_is_judged_by_its_array(answer: bytes, kind: str, words: str) -> None:
    asked = FakeRedisAI(ASKING=lambda *_: OK, AI_DAGRUN=lambda *_: answer)
    with FakeRedisAI() as old, asked as new:
        redirects(old, f"-ASK 7 127.0.0.1:{new.port}\r\n".encode(), 20)
        found = drive(old, [new], request=DAG)
    assert found.measured.failures == {kind: (80, words)}


def test_a_redirect_is_in_the_latency_of_its_request() -> None:
    with FakeRedisAI() as old, FakeRedisAI() as new:
        usual = new.behaviour("AI.TENSORSET")

        def late(arguments: Sequence[bytes], number: int) -> object:
            return asyncio.sleep(0.3, OK) if number == 0 else usual(arguments, number)

        new.behave("AI.TENSORSET", late)  # type: ignore[arg-type]
        redirects(old, f"-MOVED 7 127.0.0.1:{new.port}\r\n".encode(), 20)
        found = drive(old, [new])
    assert found.measured.failures == {}
    assert found.measured.histograms["latencies"].max_us >= 300_000


def test_redirects_in_a_circle_end_as_a_failure() -> None:
    with FakeRedisAI() as one, FakeRedisAI() as two:
        for fake, other in ((one, two), (two, one)):
            words = f"-MOVED 7 127.0.0.1:{other.port}\r\n".encode()
            fake.behave("AI.MODELRUN", lambda *_, words=words: words)
        found = drive(one, [two], requests=3)
    count, message = found.measured.failures["redirected"]
    assert count == 3
    assert message.startswith("redirected too often, last by: MOVED 7 127.0.0.1:")
    assert redirected(found) == (3 * 16, 0)


def test_a_redirect_to_nowhere_is_a_failure() -> None:
    with FakeRedisAI(AI_MODELRUN=lambda *_: b"-MOVED 7 elsewhere:7\r\n") as fake:
        found = drive(fake, requests=3)
    count, first = found.measured.failures["redirected"]
    assert count == 3
    assert first.startswith("redirected to a host name that is not of a known node")


def test_a_cluster_that_is_down_is_a_failure_of_its_own_kind() -> None:
    with FakeRedisAI(AI_MODELRUN=lambda *_: b"-CLUSTERDOWN Hash slot not served\r\n") as fake:
        found = drive(fake, requests=3)
    assert found.measured.failures == {"cluster_down": (3, "CLUSTERDOWN Hash slot not served")}


def test_another_node_is_asked_where_ones_own_is_gone() -> None:
    """It knows who has the slot now, a third one that nobody knew before."""
    with FakeRedisAI() as old, FakeRedisAI() as knows, FakeRedisAI() as new:
        old.leave_after("AI.MODELRUN", 20)
        knows.behave("AI.TENSORSET", lambda *_: f"-MOVED 7 127.0.0.1:{new.port}\r\n".encode())
        found = drive(old, [knows])
        assert knows.counts["AI.MODELRUN"] == 0
        assert new.counts["AI.MODELRUN"] == 79
    assert {*found.measured.failures} == {"connection_lost"}
    assert found.measured.counters["successes"] == 99


def test_other_errors_are_no_redirects() -> None:
    with FakeRedisAI(
        AI_MODELRUN=lambda *_: b"-MOVEDX 1 a:1\r\n", AI_TENSORGET=lambda *_: bulk(b"")
    ) as fake:
        found = drive(fake, requests=3)
    assert {*found.measured.failures} == {"error_reply"}
