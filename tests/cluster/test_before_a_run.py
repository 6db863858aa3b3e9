"""A cluster that is not at rest when a run begins, and one that nobody said is a cluster."""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commandline import Cli
from fake_redisai import OK, FakeRedisAI, array, bulk
from smallruns import against
from test_cluster import SHAPE, keys, load_null, over

from aibench_fast import ConfigError, ServerAddress, ServerError
from aibench_fast.models.load import Backend, ModelSpec, load_model, stored_model
from aibench_fast.protocols.redisai.cluster import Shard, key_slot, read_cluster
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.protocols.redisai.connection import Connection, text
from aibench_fast.server.cluster import EmbeddedCluster


class Move:
    """A slot on its way from one primary to another."""

    def __init__(self, slot: int, giver: ServerAddress, taker: ServerAddress) -> None:
        self._slot, self._giver, self._taker = slot, giver, taker
        self._ask(taker, "IMPORTING", self._id(giver))
        self._ask(giver, "MIGRATING", self._id(taker))

    def _id(self, node: ServerAddress) -> str:
        with Connection(node) as connection:
            return text(connection.call("CLUSTER", "MYID"))

    def _ask(self, node: ServerAddress, state: str, other: str) -> None:
        with Connection(node) as connection:
            connection.call("CLUSTER", "SETSLOT", self._slot, state, other)

    def move_keys(self) -> None:
        with Connection(self._giver) as connection:
            while found := connection.call("CLUSTER", "GETKEYSINSLOT", self._slot, 100):
                where = (self._taker.host, self._taker.port, "", 0, 5000)
                connection.call("MIGRATE", *where, "REPLACE", "KEYS", *found)

    def finish(self) -> None:
        self.move_keys()
        for node in (self._taker, self._giver):
            self._ask(node, "NODE", self._id(self._taker))


@contextmanager
def on_its_way(giver: Shard, taker: Shard, *, with_keys: bool) -> Iterator[None]:
    """While the block lasts the giver's slot is on its way, its keys there already or not yet."""
    slot = key_slot(giver.tag)
    move = Move(slot, giver.primary, taker.primary)
    if with_keys:
        move.move_keys()
    try:
        yield
    finally:
        move.finish()
        Move(slot, taker.primary, giver.primary).finish()


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"dialect": Dialect.MODELEXECUTE},
        {"use_dag": True},
        {"use_dag": True, "dialect": Dialect.MODELEXECUTE},
        {"use_dag": True, "persist_results": True},
    ],
    ids=str,
)
def test_a_run_may_begin_while_a_slot_is_on_its_way(
    cluster: EmbeddedCluster, form: dict[str, object]
) -> None:
    one, two, _ = load_null(cluster)
    with on_its_way(one, two, with_keys=True):
        result = over(cluster, workers=6, max_queries=300, **form)
        assert (result.failures, result.successes) == ({}, 300)
        assert result.connections.asked >= 2  # one for each worker of the shard
        left = {key for node in (one, two) for key in keys(node.primary)}
        persisted = {key for key in left if key.startswith("classificationTensor")}
        assert left - persisted == {one.key("null"), two.key("null")}
        assert bool(persisted) == bool(form.get("persist_results"))
    for shard in read_cluster([cluster.address]).shards:
        with Connection(shard.primary) as connection:
            for key in keys(shard.primary):
                if key.startswith("classificationTensor"):
                    connection.call("DEL", key)


def test_a_model_that_is_not_there_yet_is_told_as_that(
    cluster: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aibench_fast.protocols.redisai.cluster.TRY_AGAIN_FOR_S", 0.2)
    one, two, _ = load_null(cluster)
    with on_its_way(one, two, with_keys=False), pytest.raises(ServerError) as told:
        over(cluster, workers=3, max_queries=30)
    words = str(told.value)
    assert "refused AI.MODELRUN: TRYAGAIN" in words
    assert words.endswith("the slot is on its way to another node: wait until that is over")


def test_the_only_node_of_a_cluster_may_refuse_to_delete() -> None:
    with FakeRedisAI(DEL=lambda *_: b"-NOPERM no DEL\r\n") as node:
        serving = array(bulk(b""), b":%d\r\n" % node.port, bulk(b"a"))
        slots = array(array(b":0\r\n", b":16383\r\n", serving))
        state = bulk(b"cluster_state:ok\r\n")
        node.behave("CLUSTER", lambda words, _: state if words[1] == b"INFO" else slots)
        address = ServerAddress("127.0.0.1", node.port)
        settings = {"address": address, "shape": SHAPE, "model": "m", "cluster_mode": True}
        assert against(node, **settings, max_queries=20).successes == 20


@pytest.mark.parametrize("named", ["127.0.0.1", ""])
def test_a_slot_that_moved_since_the_cluster_was_read_is_followed(named: str) -> None:
    with FakeRedisAI() as old, FakeRedisAI() as new:
        moved = f"-MOVED 7 {named}:{new.port}\r\n".encode()
        for command in ("AI.MODELGET", "AI.TENSORSET", "AI.MODELRUN", "AI.TENSORGET", "DEL"):
            old.behave(command, lambda *_: moved)
        slots = array(
            array(b":0\r\n", b":16383\r\n", array(bulk(b""), b":%d\r\n" % old.port, bulk(b"a")))
        )
        state = bulk(b"cluster_state:ok\r\n")
        old.behave("CLUSTER", lambda words, _: state if words[1] == b"INFO" else slots)
        new.behave("ASKING", lambda *_: OK)
        result = against(old, shape=SHAPE, model="m", cluster_mode=True, max_queries=20)
        assert new.counts["AI.MODELRUN"] == 20 + 1
        assert new.counts["DEL"] == 1
    assert (result.failures, result.successes) == ({}, 20)


def test_redirects_in_a_circle_end_the_trial_in_one_line() -> None:
    with FakeRedisAI() as fake:
        circle = f"-MOVED 7 127.0.0.1:{fake.port}\r\n".encode()
        fake.behave("AI.TENSORSET", lambda *_: circle)
        slots = array(
            array(b":0\r\n", b":16383\r\n", array(bulk(b"?"), b":%d\r\n" % fake.port, bulk(b"a")))
        )
        state = bulk(b"cluster_state:ok\r\n")
        fake.behave("CLUSTER", lambda words, _: state if words[1] == b"INFO" else slots)
        with pytest.raises(ServerError, match=r"from one to the other.*do they agree on who has"):
            against(fake, shape=SHAPE, model="m", cluster_mode=True, max_queries=20)


@pytest.mark.parametrize("coverage", ["yes", "no"])
def test_a_run_over_slots_whose_primary_is_gone_says_so(cli: Cli, coverage: str) -> None:
    with EmbeddedCluster(node_timeout_ms=300) as cluster:
        load_null(cluster)
        for node in cluster.primaries:
            with Connection(node.address) as connection:
                connection.call("CONFIG", "SET", "cluster-require-full-coverage", coverage)
        os.kill(cluster.primaries[2].pid, signal.SIGKILL)
        with Connection(cluster.address) as connection:
            while b"cluster_slots_fail:0" in connection.call("CLUSTER", "INFO"):
                time.sleep(0.05)
        done = cli(
            "run", "--host", "127.0.0.1", "--port", cluster.address.port, "--cluster-mode",
            "--model", "null", "--shape", 16, "--max-queries", 10,
        )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (ServerError.exit_code, 1), done.stderr
    assert "slots whose primary is down: bring it back" in done.stderr
    assert "model load" not in done.stderr


def test_what_a_node_refuses_has_one_hint(cluster: EmbeddedCluster, cli: Cli) -> None:
    """Whether the model's slot is this node's or another's, and whether it is there or not."""
    load_null(cluster)
    node = cluster.primaries[0]
    here = next(n for n in range(100) if key_slot(str(n)) < 5000)
    there = next(n for n in range(100) if key_slot(str(n)) > 6000)
    stored = f"stored{{{here}}}"
    with Connection(node.address) as connection:
        load_model(connection, ModelSpec(name=stored, backend=Backend.NULL))
    for model in (stored, f"null{{{here}}}-missing", f"null{{{there}}}"):
        done = cli(
            "run", "--host", "127.0.0.1", "--port", node.port, "--model", model, "--shape", 16,
            "--workers", 4, "--max-queries", 10,
        )  # fmt: skip
        assert (done.returncode, done.stderr.count("\n")) == (ServerError.exit_code, 1), done.stderr
        assert done.stderr.endswith("it is a node of a cluster: give --cluster-mode\n")
        assert "model load" not in done.stderr
    with Connection(node.address) as connection:
        connection.call("DEL", stored)


def sweep(cluster: EmbeddedCluster, cli: Cli, *more: object) -> "object":
    return cli(
        "sweep", "--host", "127.0.0.1", "--port", cluster.replicas[0].port, "--cluster-mode",
        "--model", "null", "--shape", 16, "--max-queries", 60, "--batch-size", 1, *more,
    )  # fmt: skip


def test_a_sweep_goes_over_the_cluster(cluster: EmbeddedCluster, cli: Cli, tmp_path: Path) -> None:
    shards = load_null(cluster)
    done = sweep(cluster, cli, "--workers", "3,6", "--autobatching", "0,2")
    assert done.returncode == 0, done.stderr
    files = (tmp_path / "results").glob("JSON_*")
    results = [json.loads(file.read_text()) for file in files]
    found = {(one["Workers"], one["MetadataAutobatching"]) for one in results}
    assert found == {(3, 0), (3, 2), (6, 0), (6, 2)}
    assert all(len(one["Servers"]) == 3 for one in results)
    assert {one["AllRequests"]["Succeeded"] for one in results} == {60}
    for shard in shards:  # as they were
        with Connection(shard.primary) as connection:
            assert stored_model(connection, shard.key("null")).batch_size == 0
    done = sweep(cluster, cli, "--workers", "2,4", "--suffix", "few")
    assert (done.returncode, done.stderr.count("\n")) == (ConfigError.exit_code, 1), done.stderr
    assert "--workers 2 in a cluster of 3 primaries: each needs at least one" in done.stderr


def test_a_sweep_of_a_model_that_is_not_there_says_how_to_load_it(
    cluster: EmbeddedCluster, cli: Cli
) -> None:
    for shard in read_cluster([cluster.address]).shards:
        with Connection(shard.primary) as connection:
            connection.call("DEL", shard.key("null"))
    done = sweep(cluster, cli, "--workers", 3)
    assert (done.returncode, done.stderr.count("\n")) == (ServerError.exit_code, 1), done.stderr
    assert done.stderr.endswith("load it with `aibench-fast model load --cluster-mode`\n")
