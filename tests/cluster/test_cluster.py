"""A real cluster of embedded servers: where models and tensors lie, and what a run survives."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from commandline import Cli
from conservation import broken
from fake_redisai import FakeRedisAI
from redis.crc import key_slot

from aibench_fast import ConfigError, Result, RunConfig, ServerAddress, ServerError, run
from aibench_fast.cli import aibench
from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.protocols.redisai.cluster import Shard, read_cluster
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.protocols.redisai.connection import Connection, info, text
from aibench_fast.results.events import Event, IntervalLatencies, Started
from aibench_fast.server import EmbeddedServer
from aibench_fast.server.cluster import EmbeddedCluster

SHAPE = (16,)


def load_null(cluster: EmbeddedCluster) -> list[Shard]:
    """One copy of the model for each shard."""
    shards = read_cluster([cluster.address]).shards
    for shard in shards:
        with Connection(shard.primary) as connection:
            load_model(connection, ModelSpec(name=shard.key("null"), backend=Backend.NULL))
    return [*shards]


def over(
    cluster: EmbeddedCluster,
    after_s: float = 0.0,
    action: Callable[[], object] = lambda: None,
    **settings: object,
) -> Result:
    """A run over its primaries, with this done meanwhile, whose counts are what they have to be."""
    timer = threading.Timer(after_s, action)
    told: list[Event] = []

    def observe(event: Event) -> None:
        told.append(event)
        if isinstance(event, Started):
            timer.start()

    usual: dict[str, object] = {
        "file": None, "shape": SHAPE, "model": "null", "address": cluster.address,
        "cluster_mode": True, "interval_latencies": True,
    }  # fmt: skip
    try:
        result = run(RunConfig(**(usual | settings)), observe)  # type: ignore[arg-type]
    finally:
        timer.cancel()
        if timer.ident:
            timer.join()
    periods = [one.latencies for one in told if isinstance(one, IntervalLatencies)]
    assert broken(result, periods) == []
    return result


def keys(address: ServerAddress) -> list[str]:
    with Connection(address) as connection:
        return sorted(map(text, connection.call("KEYS", "*")))


def test_each_primary_has_a_copy_and_its_workers_keys_are_in_its_slot(
    cluster: EmbeddedCluster, cli: Cli
) -> None:
    where = ("--host", "127.0.0.1", "--port", cluster.replicas[1].port, "--cluster-mode")
    cli("model", "load", *where, "--model", "null", "--backend", "NULL", code=0)
    shards = read_cluster([cluster.address]).shards
    assert [shard.primary.port for shard in shards] == [one.port for one in cluster.primaries]
    assert [keys(shard.primary) for shard in shards] == [[shard.key("null")] for shard in shards]
    replicas = [keys(replica.address) for replica in cluster.replicas]
    assert replicas == [[shard.key("null")] for shard in shards]

    seen: list[list[str]] = []
    result = over(
        cluster, 0.7, lambda: seen.extend(keys(shard.primary) for shard in shards),
        address=cluster.replicas[0].address, workers=6, limit_rps=100.0, duration_s=1.5,
    )  # fmt: skip
    assert result.went_well
    for shard, found in zip(shards, seen, strict=True):
        assert len(found) >= 4  # the model, and a worker's two tensors at least
        assert {key_slot(key.encode()) for key in found} == {key_slot(shard.tag.encode())}
    assert [server.workers for server in result.servers] == [2, 2, 2]
    assert [keys(shard.primary) for shard in shards] == [[shard.key("null")] for shard in shards]


@pytest.mark.parametrize("settings", [{"use_dag": True}, {"dialect": None}, {"pipeline": 3}])
def test_requests_of_every_form_stay_in_their_shard(
    cluster: EmbeddedCluster, settings: dict[str, object]
) -> None:
    load_null(cluster)
    # On one thread, which begins with a request of each: of two one may stand still for all 300.
    result = over(cluster, workers=1, threads=1, max_queries=300, **settings)
    assert result.went_well
    assert (result.connections.moved, result.connections.asked) == (0, 0)
    assert (result.setup.workers, result.successes) == (3, 300)
    assert all(server.successes > 0 for server in result.servers)


def test_a_primary_that_is_killed_under_load_is_survived() -> None:
    """Its replica has the model, takes its place, and is found."""
    with EmbeddedCluster(replicas=1, node_timeout_ms=500) as cluster:
        load_null(cluster)
        result = over(
            cluster, 1.0, lambda: os.kill(cluster.primaries[1].pid, signal.SIGKILL),
            workers=6, limit_rps=300.0, duration_s=6.0, reporting_period_s=0.25,
        )  # fmt: skip
        left = [key for node in cluster.replicas for key in keys(node.address)]
    lost, *_ = result.connections.outages
    assert {one.server for one in result.connections.outages} == {result.servers[1].name}
    assert all(one.is_over for one in result.connections.outages)
    assert 0.4 < lost.seconds < 5
    assert {*result.failures} <= {"connection_lost", "cluster_down"}
    assert 1 <= result.servers[1].failures["connection_lost"].count <= 2
    assert result.connections.moved >= 1
    before_the_end = result.intervals[-3]
    assert before_the_end.failed == result.intervals[-1].failed
    assert result.servers[1].successes > 100
    assert not any("Tensor" in key for key in left)


@contextmanager
def named(cluster: EmbeddedCluster, host: str) -> Iterator[None]:
    """While the block lasts all primaries are named by this host; their replicas have no name."""

    def name(host: str, kind: str) -> None:
        for node in cluster.primaries:
            with Connection(node.address) as connection:
                connection.call("CONFIG", "SET", "cluster-announce-hostname", host)
                connection.call("CONFIG", "SET", "cluster-preferred-endpoint-type", kind)

    name(host, "hostname")
    try:
        while {text(one) for one in hosts_told(cluster)} != {host}:
            time.sleep(0.05)
        yield
    finally:
        name("", "ip")


def hosts_told(cluster: EmbeddedCluster) -> list[bytes | None]:
    """By what hosts each node names all."""
    found = []
    for node in cluster.primaries:
        with Connection(node.address) as connection:
            found += [first[0] for _, _, first, *_ in connection.call("CLUSTER", "SLOTS")]
    return found


def test_a_slot_that_moves_is_followed_to_a_node_of_a_name(cluster: EmbeddedCluster) -> None:
    with named(cluster, "localhost"):
        test_a_slot_that_moves_to_another_primary_under_load_is_followed(cluster, {})


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({}, id="commands"),
        pytest.param({"use_dag": True, "dialect": Dialect.MODELEXECUTE}, id="dag"),
    ],
)
def test_a_slot_that_moves_to_another_primary_under_load_is_followed(
    cluster: EmbeddedCluster, asked: dict[str, object]
) -> None:
    one, two, _ = load_null(cluster)
    slot = key_slot(one.tag.encode())

    def move(giver: ServerAddress, taker: ServerAddress) -> None:
        with Connection(giver) as source, Connection(taker) as target:
            ids = [node.call("CLUSTER", "MYID") for node in (source, target)]
            target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
            source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
            while found := source.call("CLUSTER", "GETKEYSINSLOT", slot, 100):
                source.call("MIGRATE", taker.host, taker.port, "", 0, 5000, "KEYS", *found)
            time.sleep(0.15)  # in which requests of the slot are answered with ASK
            for node in (target, source):
                node.call("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
        time.sleep(0.15)

    def there_and_back() -> None:
        move(one.primary, two.primary)
        move(two.primary, one.primary)

    load = {"workers": 3, "limit_rps": 300.0, "duration_s": 2.0}
    result = over(cluster, 0.2, there_and_back, **load, **asked)
    assert result.connections.asked >= 2
    assert result.connections.outage_count == 0
    told = result.failures.get("error_reply")
    assert {*result.failures} <= {"error_reply"}
    assert told is None or told.first_message.startswith("TRYAGAIN")
    assert result.servers[0].successes > 100
    assert keys(one.primary) == [one.key("null")]


def test_a_model_that_a_shard_lacks_is_named_by_its_key(cluster: EmbeddedCluster) -> None:
    shards = load_null(cluster)
    with Connection(shards[2].primary) as connection:
        connection.call("AI.MODELDEL", shards[2].key("null"))
    with pytest.raises(ServerError, match=r"model null\{\d+\}\); load it with `aibench-fast model"):
        over(cluster, max_queries=10)


def test_slots_that_nobody_serves_are_told_before_the_clock() -> None:
    with EmbeddedServer(password="", cluster_timeout_ms=1000) as node:
        with Connection(node.address) as connection:
            connection.call("CLUSTER", "ADDSLOTSRANGE", 0, 4999)
            connection.call("CLUSTER", "ADDSLOTSRANGE", 5002, 16383)
        with pytest.raises(ServerError) as told:
            read_cluster([node.address])
    assert str(told.value) == (
        f"the cluster at {node.address} has 2 slots that no node serves, the first is 5000: assign "
        "them (CLUSTER ADDSLOTSRANGE), or bring their primary back"
    )


@pytest.mark.parametrize(
    ("kind", "told"), [("hostname", b"?"), ("unknown-endpoint", None)], ids=str
)
def test_nodes_that_announce_no_host_are_where_one_was_asked(
    cluster: EmbeddedCluster, cli: Cli, kind: str, told: bytes | None
) -> None:
    """Also where MOVED and ASK name them."""
    with preferring(cluster, kind):
        assert set(hosts_told(cluster)) == {told}
        where = ("--host", "localhost", "--port", cluster.address.port, "--cluster-mode")
        cli("model", "load", *where, "--model", "null", "--backend", "NULL", code=0)
        cli("run", *where, "--model", "null", "--shape", 16, "--max-queries", 30, "--quiet", code=0)
        test_a_slot_that_moves_to_another_primary_under_load_is_followed(cluster, {})


@contextmanager
def preferring(cluster: EmbeddedCluster, kind: str) -> Iterator[None]:
    """While the block lasts all nodes are named by an endpoint of this kind."""

    def prefer(kind: str) -> None:
        for node in (*cluster.primaries, *cluster.replicas):
            with Connection(node.address) as connection:
                connection.call("CONFIG", "SET", "cluster-preferred-endpoint-type", kind)

    prefer(kind)
    try:
        yield
    finally:
        prefer("ip")


def test_each_connection_logs_in_where_there_is_a_password() -> None:
    with EmbeddedServer(cluster_timeout_ms=1000) as node:
        with Connection(node.address) as connection:
            connection.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while info(connection.call("CLUSTER", "INFO"))["cluster_state"] != "ok":
                time.sleep(0.02)
        (shard,) = read_cluster([node.address]).shards
        with Connection(node.address) as connection:
            load_model(connection, ModelSpec(name=shard.key("null"), backend=Backend.NULL))
        result = run(
            RunConfig(
                file=None, shape=SHAPE, model="null", address=node.address, cluster_mode=True,
                workers=2, max_queries=50,
            )
        )  # fmt: skip
        assert keys(node.address) == [shard.key("null")]
    assert (result.successes, result.servers) == (50, [])


def test_a_node_that_has_not_the_key_says_what_to_do(cluster: EmbeddedCluster) -> None:
    elsewhere = next(n for n in range(100) if key_slot(f"null{n}".encode()) > 6000)
    with pytest.raises(
        ServerError, match=r"MOVED .*it is a node of a cluster: give `cluster_mode`"
    ):
        run(RunConfig(file=None, shape=SHAPE, model=f"null{elsewhere}", address=cluster.address))


def test_aibenchs_flag_of_that_name_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    with FakeRedisAI(CLUSTER=lambda *_: b"-ERR no\r\n") as fake, TemporaryDirectory() as folder:
        tensors = Path(folder) / "tensors.out"
        tensors.write_bytes(bytes(224 * 224 * 3 * 4))
        words = [f"-port={fake.port}", f"-file={tensors}"]
        assert aibench.main([*words, "-cluster-mode"]) == ServerError.exit_code
    assert "is not a node of a cluster" in capsys.readouterr().err


def test_a_server_without_a_cluster_is_told(closed_port: int) -> None:
    with FakeRedisAI(
        CLUSTER=lambda *_: b"-ERR This instance has cluster support disabled\r\n"
    ) as fake:
        nobody = ServerAddress("127.0.0.1", closed_port)
        with pytest.raises(
            ServerError, match="is not a node of a cluster: leave out `cluster_mode`"
        ):
            read_cluster([nobody, fake.address])
    with pytest.raises(ServerError, match="no server answers"):
        read_cluster([nobody])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "http://h"}, "`cluster_mode` with `url`"),
        ({"model": "m{1}"}, "`model` m{1} with `cluster_mode`: each shard's copy gets a hash tag"),
        ({"address": ServerAddress(socket="s")}, "`cluster_mode` with `socket`"),
        ({"all_addresses": True}, "`all_addresses` with `cluster_mode`"),
    ],
)
def test_what_a_cluster_cannot_do_is_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as told:
        RunConfig(file=None, cluster_mode=True, **settings)  # type: ignore[arg-type]
    assert str(told.value).startswith(message)
    assert "\n" not in str(told.value)
