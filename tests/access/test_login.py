"""Who may do what: users of an ACL, and the rights of a unix socket."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redisclient import connect, load_into

from aibench_fast import RunConfig, run
from aibench_fast.errors import ServerError
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.server import EmbeddedServer

ROOT = Path(__file__).parents[2]
NOBODY = 65534


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        load_into(running.address, ModelSpec(name="null", backend=Backend.NULL))
        yield running


def as_user(server: EmbeddedServer, *rules: str) -> ServerAddress:
    with connect(server.address) as client:
        client.execute_command("ACL", "SETUSER", "bench", "reset", "on", ">pw", *rules)
    return replace(server.address, user="bench", password="pw")


def config(address: ServerAddress, **changes: object) -> RunConfig:
    settings: dict[str, object] = {
        "file": None, "shape": (4,), "model": "null", "address": address, "max_queries": 100,
    }  # fmt: skip
    return RunConfig(**settings | changes)  # type: ignore[arg-type]


def told_rules() -> list[str]:
    """The rules that the documentation has for a user of a run."""
    lines = (ROOT / "docs" / "access.md").read_text().splitlines()
    (rules,) = (line for line in lines if line.startswith("ACL SETUSER bench on "))
    return rules.removeprefix("ACL SETUSER bench on >PASSWORD ").split()


def test_a_user_with_only_the_commands_that_a_run_needs(server: EmbeddedServer) -> None:
    result = run(config(as_user(server, *told_rules()), workers=3))
    assert (result.successes, result.failures) == (100, {})


@pytest.mark.parametrize("command", ["ping", "ai.modelget", "ai.tensorset", "ai.modelrun", "del"])
def test_one_that_is_missing_is_named(server: EmbeddedServer, command: str) -> None:
    address = as_user(server, *told_rules(), f"-{command}")
    if command == "del":  # what a run leaves is all that it is for
        assert run(config(address)).successes == 100
        return
    with pytest.raises(ServerError) as told:
        run(config(address))
    assert "NOPERM" in str(told.value) and command in str(told.value).lower()
    assert len(str(told.value).splitlines()) == 1


def test_a_password_that_is_changed_during_the_run(server: EmbeddedServer) -> None:
    address = as_user(server, *told_rules())

    def change() -> None:
        time.sleep(0.5)
        with connect(server.address) as client:
            client.execute_command("ACL", "SETUSER", "bench", "resetpass", ">another")
            client.execute_command("CLIENT", "KILL", "USER", "bench")

    thread = threading.Thread(target=change)
    thread.start()
    result = run(config(address, max_queries=0, duration_s=20.0, workers=2, reconnect_for_s=0.3))
    thread.join()
    assert result.duration_s < 10
    assert set(result.failures) == {"connection_lost", "connect"}
    assert "WRONGPASS" in result.failures["connect"].first_message


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, who has them all."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_unix_socket_without_the_right_to_write_to_it(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with EmbeddedServer(socket=path) as server:
        assert path.stat().st_mode & 0o777 == 0o700
        path.chmod(0)
        with as_nobody(), pytest.raises(ServerError, match=f"no permission for .* {path}"):
            Connection(server.address)


def test_a_unix_socket_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ServerError, match="is not a unix socket"):
        Connection(ServerAddress(socket=file))
    with pytest.raises(ServerError, match="no such file or directory"):
        Connection(ServerAddress(socket=tmp_path / "none"))
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(left))
    with pytest.raises(ServerError, match="connection refused; is it running"):
        Connection(ServerAddress(socket=left))


# ---- the embedded server ----


def test_the_embedded_server_lets_in_who_it_handed_its_password_to(server: EmbeddedServer) -> None:
    stranger = replace(server.address, password=None)
    with pytest.raises(ServerError, match=r"NOAUTH .*required; give the password"):
        Connection(stranger)
    with pytest.raises(ServerError, match=r"WRONGPASS .*; see whether `user` and the password"):
        Connection(replace(server.address, password="guessed"))
    assert len(server.address.password or "") >= 32
    assert (server.address.password or "-") not in repr(server.address)


def test_it_listens_on_loopback_and_keeps_its_folder_to_itself(server: EmbeddedServer) -> None:
    lines = Path(f"/proc/{server.pid}/net/tcp").read_text().splitlines()[1:]
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    assert f"0100007F:{server.port:04X}" in listening
    assert not [one for one in listening if one == f"00000000:{server.port:04X}"]
    folder = Path(f"/proc/{server.pid}/cwd").readlink()
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "command",
    [
        "DEBUG SLEEP 0", "EVAL 1 0", "SCRIPT FLUSH", "FUNCTION LIST", "REPLICAOF NO ONE",
        "SLAVEOF NO ONE", "MIGRATE h 1 k 0 1", "FAILOVER", "PSYNC ? -1", "BGREWRITEAOF",
        "MODULE LOAD /x.so", "CONFIG SET dir /tmp", "CONFIG SET dbfilename x",
    ],
)  # fmt: skip
def test_it_refuses_what_reaches_beyond_it(server: EmbeddedServer, command: str) -> None:
    with Connection(server.address) as connection:
        assert connection.optional(*command.split()) is None


def test_what_a_benchmark_needs_is_let_be(server: EmbeddedServer) -> None:
    with Connection(server.address) as connection:
        for command in ("CONFIG RESETSTAT", "CONFIG GET save", "INFO", "ACL WHOAMI", "DBSIZE"):
            assert connection.optional(*command.split()) is not None
