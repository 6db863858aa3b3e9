"""A whole run against the embedded server: real Valkey, real inference, real signals."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commandline import Cli, command, without_coverage
from redisclient import connect, load_into

from aibench_fast import RunConfig, run
from aibench_fast.load.runner import PreparedRun
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.results.events import ignore
from aibench_fast.results.result import Interval
from aibench_fast.server import EmbeddedServer

MEMORY_OVER_MAP_BYTES = 44_000_000
"""Some 28 MB of it are Python with its modules; the rest differs by a megabyte between runs."""
TENSOR_BYTES = 602_112


def server_pid(announced: str) -> int:
    """The process id in the line that a run prints once its server answers."""
    return int(announced.partition("pid ")[2].partition(";")[0])


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # one that has ended, and that nobody has asked after yet


def test_one_command_from_tensors_to_figures(cli: Cli, tensor_file: Path, tmp_path: Path) -> None:
    done = cli(
        "run", "--embedded", "--file", tensor_file, "--workers", 2, "--burn-in", 5,
        "--max-queries", 30, "--json-out-file", "r.json", code=0,
    )  # fmt: skip
    assert "Run complete after 25 inferences with 2 workers" in done.stdout
    assert "Server: aibench-fast embedded server" in done.stdout
    saved = json.loads((tmp_path / "r.json").read_text())
    assert saved["Server"]["Kind"] == "aibench-fast embedded server"
    assert saved["ServerPeriods"]["overall"]["model_calls"] == 30
    assert not is_running(server_pid(done.stderr))


def test_batches_go_as_one_tensor(null_server: EmbeddedServer, tensor_file: Path) -> None:
    config = RunConfig(
        file=tensor_file, address=null_server.address, model="null", batch_size=4, max_queries=40
    )
    result = run(config)
    assert (result.requests, result.inferences, result.failed) == (10, 40, 0)
    assert result.server.periods["overall"]["model_samples"] == 40


@pytest.mark.parametrize("workers", [1, 50])
def test_a_run_leaves_no_key_but_the_model(
    null_server: EmbeddedServer, tensor_file: Path, workers: int
) -> None:
    run(
        RunConfig(
            file=tensor_file,
            address=null_server.address,
            model="null",
            workers=workers,
            max_queries=200,
        )
    )
    with connect(null_server.address) as client:
        assert client.keys() == [b"null"]


def test_an_observer_that_raises_ends_the_run_and_leaves_nothing(
    null_server: EmbeddedServer, tensor_file: Path
) -> None:
    def observe(event: object) -> None:
        if isinstance(event, Interval):
            raise RuntimeError("enough")

    config = RunConfig(
        file=tensor_file, address=null_server.address, model="null", workers=3, duration_s=60,
        reporting_period_s=0.2,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="enough"):
        run(config, observe)
    assert not {thread.name for thread in threading.enumerate()} & {"aibench-stats"}
    with connect(null_server.address) as client:
        assert client.keys() == [b"null"]


def test_a_file_that_shrinks_before_the_start_leaves_nothing(
    null_server: EmbeddedServer, tmp_path: Path
) -> None:
    file = tmp_path / "tensors"
    file.write_bytes(bytes(100 * 64))
    config = RunConfig(
        file=file, shape=(16,), address=null_server.address, model="null", max_queries=5
    )
    with PreparedRun(config, ignore) as prepared:
        os.truncate(file, 0)
        assert prepared.measure().failed > 0
    with connect(null_server.address) as client:
        assert client.keys() == [b"null"]


def test_a_dag_gives_the_same_outputs_as_three_commands(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    file = tmp_path / "tensors.out"
    rng.random((3, 224 * 224 * 3), np.float32).tofile(file)
    references = tmp_path / "references.out"
    spec = ModelSpec(name="mobilenet", backend=Backend.ONNX, blob=_onnx())
    with EmbeddedServer(password=None) as server:
        with connect(server.address) as client:
            load_into(server.address, spec)
            _reference_outputs(client, file).tofile(references)
        for use_dag in (False, True):
            result = run(
                RunConfig(
                    file=file, address=server.address, model="mobilenet", workers=2,
                    max_queries=12, reference_file=references, use_dag=use_dag,
                )
            )  # fmt: skip
            assert (result.successes, result.failures) == (12, {})


def _onnx() -> bytes:
    from aibench_fast.models import ModelFormat, built_in_model

    return built_in_model(ModelFormat.ONNX)


def _reference_outputs(
    client: "object", file: Path
) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
    """Return the server's answers to the tensors, each asked alone and one after another."""
    data = file.read_bytes()
    outputs = []
    for start in range(0, len(data), TENSOR_BYTES):
        tensor = data[start : start + TENSOR_BYTES]
        ask = client.execute_command  # type: ignore[attr-defined]
        ask("AI.TENSORSET", "in", "FLOAT", 1, 224, 224, 3, "BLOB", tensor)
        ask("AI.MODELRUN", "mobilenet", "INPUTS", "in", "OUTPUTS", "out")
        outputs.append(np.frombuffer(ask("AI.TENSORGET", "out", "BLOB"), np.float32))
    return np.concatenate(outputs)


def test_memory_is_the_mapped_file_and_little_more(
    null_server: EmbeddedServer, tensor_file: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        command(
            "run", "--file", tensor_file, "--port", null_server.port, "--model", "null",
            "--workers", 50, "--duration", "10m", "--reporting-period", "100ms",
        ),
        cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=without_coverage(),
    )  # fmt: skip
    try:
        for _ in range(10):  # a second of it
            process.stdout.readline()
        status = Path(f"/proc/{process.pid}/status").read_text()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    assert peak_kib * 1024 - tensor_file.stat().st_size < MEMORY_OVER_MAP_BYTES


@pytest.fixture
def long_run(tensor_file: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A run with a server of its own that would go on for ten minutes, in its own group."""
    process = subprocess.Popen(
        command(
            "run", "--embedded", "--file", tensor_file, "--duration", "10m",
            "--reporting-period", "100ms", "--json-out-file", "r.json",
        ),
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("to_the_group", [True, False])
def test_ctrl_c_leaves_no_server_behind(
    long_run: "subprocess.Popen[str]", tmp_path: Path, to_the_group: bool
) -> None:
    pid = server_pid(long_run.stderr.readline())
    assert is_running(pid)
    for _ in range(3):
        long_run.stdout.readline()
    # A terminal sends Ctrl-C to the whole group.
    (os.killpg if to_the_group else os.kill)(long_run.pid, signal.SIGINT)
    out, err = long_run.communicate(timeout=20)
    assert long_run.returncode == 130, err
    assert "Run complete after" in out
    assert "Failures" not in out
    assert json.loads((tmp_path / "r.json").read_text())["Successes"] > 0
    assert not is_running(pid)


def test_a_killed_client_leaves_no_server_behind(long_run: "subprocess.Popen[str]") -> None:
    pid = server_pid(long_run.stderr.readline())
    long_run.kill()
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)


def test_embedded_and_an_address_contradict_each_other(cli: Cli, tensor_file: Path) -> None:
    done = cli("run", "--embedded", "--port", 1234, "--file", tensor_file, code=2, errors=1)
    assert "--embedded" in done.stderr


def test_a_unix_socket_carries_a_run(cli: Cli, tensor_file: Path, tmp_path: Path) -> None:
    socket = tmp_path / "server.sock"
    with EmbeddedServer(socket=socket, password=None) as server:
        assert cli("model", "load", "--socket", socket, "--backend", "NULL").returncode == 0
        done = cli("run", "--socket", socket, "--file", tensor_file, "--workers", 3, code=0)
        assert "Run complete after 7 inferences" in done.stdout
        assert f"at {socket}" in done.stdout
        with connect(server.address) as client:
            statistics = client.info("commandstats")
    assert statistics["cmdstat_ai.modelrun"]["calls"] == 8  # seven, and the trial
