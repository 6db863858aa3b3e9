"""The slots of a cluster as it reports them, and the addresses of its nodes."""

import random
import string
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from fake_redisai import FakeRedisAI, array, bulk
from redis.crc import key_slot as redis_key_slot

from aibench_fast import ServerAddress, ServerError
from aibench_fast.protocols.redisai import session
from aibench_fast.protocols.redisai.cluster import RedisCluster, key_slot, read_cluster
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.server.base import free_port

NIL = b"$-1\r\n"
OK_STATE = b"cluster_state:ok\r\ncluster_slots_fail:0\r\n"


def node(host: bytes, port: int, name: str, *metadata: bytes) -> bytes:
    """A node as servers from 7.0 on report it; without metadata, as those before."""
    more = [array(*metadata)] if metadata else []
    return array(host, b":%d\r\n" % port, bulk(name.encode()), *more)


def slots(*ranges: tuple[int, int, Sequence[bytes]]) -> bytes:
    return array(
        *(array(b":%d\r\n" % first, b":%d\r\n" % last, *nodes) for first, last, nodes in ranges)
    )


def read(reply: bytes, state: bytes = OK_STATE) -> RedisCluster:
    """The cluster as read from a node that reports these slots, asked by the name localhost."""

    def answer(arguments: Sequence[bytes], _number: int) -> bytes:
        return bulk(state) if arguments[1] == b"INFO" else reply

    with FakeRedisAI(CLUSTER=answer) as fake:
        return read_cluster([ServerAddress("localhost", fake.port, user="u", password=None)])


def test_keys_are_in_the_slots_that_redis_has_them_in() -> None:
    drawn = random.Random(1)
    keys = ["", "0", "5461", *("".join(drawn.choices(string.printable, k=n)) for n in range(60))]
    tags = [key for key in keys if "{" not in key]
    assert [key_slot(tag) for tag in tags] == [redis_key_slot(tag.encode()) for tag in tags]
    assert key_slot("123456789") == 0x31C3  # of the specification


def test_slots_are_read_with_replicas_and_in_pieces() -> None:
    one, two = node(bulk(b"10.0.0.1"), 7000, "a"), node(bulk(b"fd00::2"), 7001, "b")
    replica = node(bulk(b"10.0.0.3"), 7002, "c")
    found = read(
        slots((8000, 16383, [two]), (0, 5, [one, replica]), (6, 6, [two]), (7, 7999, [one]))
    )
    first, second = found.shards
    assert [(one.primary.host, one.primary.port) for one in found.shards] == [
        ("10.0.0.1", 7000),
        ("fd00::2", 7001),
    ]
    assert {one.host for one in found.nodes} == {"10.0.0.1", "fd00::2", "10.0.0.3"}
    assert found.owners[6] == second.primary
    assert found.owner(first.tag) == first.primary
    assert all(one.user == "u" for one in found.nodes)


@pytest.mark.parametrize("host", [NIL, bulk(b""), bulk(b"?")], ids=["null", "empty", "unknown"])
def test_nodes_without_a_host_are_at_the_one_that_was_asked(host: bytes) -> None:
    found = read(slots((0, 99, [node(host, 7000, "a")]), (100, 16383, [node(host, 7001, "b")])))
    assert [(one.primary.host, one.primary.port) for one in found.shards] == [
        ("localhost", 7000),
        ("localhost", 7001),
    ]


def test_a_node_that_lacks_the_name_it_prefers_is_at_its_address() -> None:
    ip = [bulk(b"ip"), bulk(b"10.0.0.9")]
    found = read(slots((0, 16383, [node(bulk(b"?"), 7000, "a", *ip)])))
    assert found.shards[0].primary.host == "10.0.0.9"
    assert {name for name, _ in found.named_nodes} == {"?", "10.0.0.9"}


def test_a_node_is_known_by_all_of_its_names() -> None:
    names = [bulk(b"ip"), bulk(b"10.0.0.9"), bulk(b"hostname"), bulk(b"node.example")]
    found = read(slots((0, 16383, [node(bulk(b"node.example"), 7000, "a", *names)])))
    asked = ServerAddress("other", 1)
    for name in ("10.0.0.9", "node.example"):
        assert found.node(name, 7000, asked) == found.shards[0].primary
    assert found.node("", 7005, asked) == ServerAddress("other", 7005)


def test_two_machines_without_a_host_cannot_be_told_apart() -> None:
    nodes = [node(NIL, 7000, "a"), node(NIL, 7000, "b")]
    with pytest.raises(
        ServerError, match="announces no hosts, and two of its nodes have port 7000"
    ):
        read(slots((0, 99, nodes[:1]), (100, 16383, nodes[1:])))


@pytest.mark.parametrize(
    "reply",
    [b"+OK\r\n", array(b":1\r\n"), array(array(b":0\r\n", b":9\r\n", array(NIL))), b":3\r\n"],
)
def test_what_is_no_list_of_slots_is_one_line(reply: bytes) -> None:
    with pytest.raises(ServerError, match=r"answered CLUSTER SLOTS with .*, which are not slots"):
        read(reply)


def test_a_primary_that_is_down_is_told_before_anything_is_sent() -> None:
    whole = slots((0, 16383, [node(bulk(b"h"), 7000, "a")]))
    with pytest.raises(ServerError) as told:
        read(whole, b"cluster_state:fail\r\ncluster_slots_fail:5461\r\n")
    assert "has 5461 slots whose primary is down: bring it back" in str(told.value)
    with pytest.raises(ServerError, match=r"serves nothing now \(cluster_state:fail\)"):
        read(whole, b"cluster_state:fail\r\ncluster_slots_fail:0\r\n")


def test_of_a_name_with_several_addresses_the_one_that_listens_is_taken(
    monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    """As localhost is, of a server that has no IPv6."""
    told = ["::1", "127.0.0.1"]
    monkeypatch.setattr(session, "all_addresses", lambda _host, _port: told)
    with FakeRedisAI() as fake:
        found = session.endpoint_of(ServerAddress("name", fake.port))
        assert (found.host, found.port) == ("127.0.0.1", fake.port)
    assert session.endpoint_of(ServerAddress("name", closed_port)).host == "::1"


def test_a_real_redis_is_read_whatever_it_announces(
    tmp_path: Path, system_program: Callable[[str, str], Path]
) -> None:
    program = system_program("redis-server", "redis-server")
    port, bus = free_port(), free_port()
    words = {
        "port": port, "cluster-enabled": "yes", "cluster-port": bus, "bind": "127.0.0.1",
        "dir": tmp_path, "save": "''",
    }  # fmt: skip
    options = [word for name, value in words.items() for word in (f"--{name}", str(value))]
    address = ServerAddress("localhost", port)
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:
        try:
            with wait_for(address) as connection:
                connection.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
                while b"cluster_state:ok" not in connection.call("CLUSTER", "INFO"):
                    time.sleep(0.05)
                for kind in ("ip", "hostname", "unknown-endpoint"):
                    connection.call("CONFIG", "SET", "cluster-preferred-endpoint-type", kind)
                    (shard,) = read_cluster([address]).shards
                    with Connection(shard.primary) as stored:
                        assert stored.call("SET", shard.key("x"), 1) == b"OK"
        finally:
            server.terminate()


def wait_for(address: ServerAddress) -> Connection:
    """A connection to a server that is starting."""
    for _ in range(200):
        try:
            return Connection(address)
        except ServerError:
            time.sleep(0.05)
    return Connection(address)
