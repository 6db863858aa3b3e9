"""Against a real Triton: its answers are those that its own client gets, and its counts agree."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.http as tritonclient
from commandline import Cli, command
from modelservers import port_of_triton

from aibench_fast import RunConfig, ServerError, run
from aibench_fast.models.mobilenet import INPUT, OUTPUT
from aibench_fast.server import base, triton
from aibench_fast.server.base import free_port
from aibench_fast.server.triton import TritonServer

MODEL = "mobilenet"
IMAGES = 4


@pytest.fixture(scope="module")
def server() -> Iterator[TritonServer]:
    with TritonServer(MODEL) as server:
        yield server


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "images.out"
    np.random.default_rng(1).random((IMAGES, 224, 224, 3), np.float32).tofile(path)
    return path


def asked_by_its_own_client(server: TritonServer, images: npt.NDArray[np.float32]) -> bytes:
    client = tritonclient.InferenceServerClient(f"{server.host}:{server.port}")
    asked = tritonclient.InferInput(INPUT, images.shape, "FP32")
    asked.set_data_from_numpy(images)
    wanted = [tritonclient.InferRequestedOutput(OUTPUT, binary_data=True)]
    answer = client.infer(MODEL, [asked], outputs=wanted).as_numpy(OUTPUT)
    client.close()
    return bytes(answer.tobytes())


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_outputs_are_those_that_its_own_client_gets(
    server: TritonServer, images: Path, tmp_path: Path, batch_size: int, protocol: str
) -> None:
    """The references come over HTTP: so over gRPC it answers the same, bit for bit."""
    data = np.fromfile(images, np.float32).reshape(IMAGES, 224, 224, 3)
    batches = [data[first : first + batch_size] for first in range(0, IMAGES, batch_size)]
    references = tmp_path / "references.out"
    references.write_bytes(b"".join(asked_by_its_own_client(server, one) for one in batches))
    config = RunConfig(
        file=images, url=server.url if protocol == "http" else server.grpc_url, model=MODEL,
        batch_size=batch_size, max_queries=2 * IMAGES, reference_file=references, tolerance=0.0,
    )  # fmt: skip
    result = run(config)
    assert (result.inferences, result.failures) == (2 * IMAGES, {})
    references.write_bytes(references.read_bytes()[::-1])  # the check can fail
    assert run(config).failures["wrong_output"].count == 2 * IMAGES // batch_size


def test_what_triton_counted_agrees_with_what_was_sent(
    cli: Cli, server: TritonServer, tmp_path: Path
) -> None:
    done = cli(
        "run", "--url", server.url, "--model", "null", "--workers", 3, "--max-queries", 200,
        "--shape", "224,224,3", "--burn-in", 10, "--quiet", "--json-out-file", "r.json", code=0,
    )  # fmt: skip
    assert "A mean request's " in done.stdout
    told = json.loads((tmp_path / "r.json").read_text())
    counted = told["ServerPeriods"]["overall"]
    assert counted["model_calls"] == counted["model_samples"] == 200
    assert counted["model_errors"] == 0
    assert 0 < counted["model_infer_us"] < counted["model_duration_us"]
    assert told["Server"]["Kind"] == "triton"


def test_triton_says_what_is_wrong(cli: Cli, server: TritonServer) -> None:
    done = cli("run", "--url", server.url, "--model", "other", code=3, errors=1)
    assert "Request for unknown model: 'other' is not found" in done.stderr
    done = cli("run", "--url", server.url, "--model", MODEL, "--dtype", "INT8", code=2, errors=1)
    assert f"the model's input is {INPUT} of any x 224 x 224 x 3 FP32" in done.stderr
    done = cli("run", "--url", server.url.replace("http", "https"), "--model", MODEL)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "the server does not speak TLS; connect without it" in done.stderr


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_run_starts_its_own_and_ends_it(cli: Cli, protocol: str) -> None:
    done = cli(
        "run", "--embedded", "triton", "--protocol", protocol, "--model", "null",
        "--max-queries", 20, "--workers", 2, code=0,
    )  # fmt: skip
    assert "Run complete after 20 inferences" in done.stdout
    assert "Server: triton " in done.stdout
    assert "serving mobilenet_v1_100_224_cpu, null\n" in done.stderr
    assert "Tensors: 224 x 224 x 3 FLOAT, generated" in done.stdout  # as its models take them
    port = int(done.stderr.split(f"{protocol}://127.0.0.1:")[1].split(",")[0])
    assert f"Server: triton 2.51.0 at {protocol}://127.0.0.1:{port}\n" in done.stdout
    with pytest.raises(ServerError, match="connection refused"):
        run(RunConfig(file=None, url=f"{protocol}://127.0.0.1:{port}", model="null"))


def test_embedded_servers_are_there_while_they_are_measured_alone(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "grid.toml").write_text(
        f'file = "{tensor_file}"\nmax-queries = 20\nburn-in = 2\n'
        '[[server]]\nname = "ours"\nembedded = "redisai"\n'
        '[[server]]\nname = "triton"\nembedded = "triton"\n'
        '[[server]]\nname = "triton-grpc"\nembedded = "triton"\nprotocol = "grpc"\n'
    )
    done = cli("sweep", "--grid", "grid.toml", code=0)
    for pid in (int(line.split("pid ")[1].split(";")[0]) for line in done.stderr.splitlines()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    results = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*.json")]
    by_name = {one["ServerName"]: one for one in results}
    ours, triton, grpc = (by_name[name] for name in ("ours", "triton", "triton-grpc"))
    assert "embedded server" in ours["Server"]["Kind"]
    assert triton["Server"]["Kind"] == grpc["Server"]["Kind"] == "triton"
    assert triton["Server"]["Address"].startswith("http://")
    assert grpc["Server"]["Address"].startswith("grpc://")
    for one in (ours, triton, grpc):
        used = one["ServerPeriods"]["overall"]
        assert used["process_cpu_user_s"] > 0
        assert used["process_rss_bytes"] > 50_000_000  # with its model
        assert "servers_meanwhile" not in {warning["Kind"] for warning in one["Warnings"]}


def test_serve_tells_where_it_listens_and_ends_in_order() -> None:
    process = subprocess.Popen(
        command("serve", "--kind", "triton", "--port", 0), stdout=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    assert line.startswith("Triton 2.")
    http, grpc = line.split(" on ")[1].split(",")[0].split(" and ")
    for url in (http, grpc):
        assert run(RunConfig(file=None, url=url, model="null", max_queries=3)).successes == 3
    told = urllib.request.urlopen(line.rstrip().rpartition("metrics on ")[2]).read()
    assert b'nv_inference_request_success{model="null"' in told
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_grpc_has_the_port_after_that_of_http(cli: Cli) -> None:
    port = port_of_triton()
    with TritonServer(MODEL, port) as server:
        assert (server.url, server.grpc_url) == (
            f"http://127.0.0.1:{port}", f"grpc://127.0.0.1:{port + 1}",
        )  # fmt: skip
        in_use = rf"port {port + 1} of 127\.0\.0\.1 is in use by another program"
        with pytest.raises(ServerError, match=in_use), TritonServer(MODEL, port):
            pass
    done = cli("serve", "--kind", "triton", "--port", 65535, code=2, errors=1)
    assert "a port is a number from 1 to 65534, as gRPC gets the next one" in done.stderr


def test_what_an_embedded_one_cannot_do_is_refused_before_it_starts(cli: Cli) -> None:
    done = cli("run", "--embedded", "triton", "--use-dag")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert (
        "--use-dag with --url: the Open Inference Protocol over HTTP has no such setting"
        in done.stderr
    )


def test_what_is_redisais_alone_is_refused(cli: Cli, tmp_path: Path) -> None:
    done = cli("serve", "--kind", "triton", "--require-password", code=2, errors=1)
    assert "--require-password with --kind triton" in done.stderr


def test_a_free_port_that_is_taken_meanwhile_is_let_go(taken_port: int) -> None:
    with TritonServer(MODEL) as server:
        assert server.port != taken_port
        result = run(RunConfig(file=None, url=server.url, model="null", max_queries=3))
        assert result.successes == 3


@pytest.mark.parametrize("name", ["grpc_port", "metrics_port"])
def test_another_port_that_is_taken_meanwhile_is_let_go(
    taken_port: int, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    take, before = base.free_port, iter([free_port()] if name == "metrics_port" else [])
    monkeypatch.setattr(triton, "free_port", lambda: next(before, 0) or take())
    monkeypatch.setattr(base, "free_port", free_port)
    with TritonServer(MODEL) as server:
        assert taken_port not in (server.grpc_port, server.metrics_port)
        assert run(RunConfig(file=None, url=server.grpc_url, model="null", max_queries=3)).successes
        told = urllib.request.urlopen(f"http://{server.host}:{server.metrics_port}/metrics").read()
        assert b'nv_inference_request_success{model="null"' in told


@pytest.mark.parametrize("after_s", [0.2, 0.25, 0.3])
def test_one_that_ends_while_it_starts_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, after_s: float
) -> None:
    """The process that runs its models, if it had just begun, would stay for good."""
    groups = []

    def never_ready(server: TritonServer) -> bool:
        groups.append(server.pid)
        return False

    monkeypatch.setattr(base, "START_TIMEOUT_S", after_s)
    monkeypatch.setattr(base, "STOP_TIMEOUT_S", 0.05)
    monkeypatch.setattr(TritonServer, "_is_ready", never_ready)
    with (
        pytest.raises(ServerError, match="Triton is not ready after"),
        TritonServer(MODEL),
    ):
        pass
    until_s = time.monotonic() + 10
    while group_of(groups[0]):
        assert time.monotonic() < until_s
        time.sleep(0.05)


STARTED_IN_A_THREAD = """
import sys, threading
from aibench_fast.server.triton import TritonServer

def launched(server):
    print(server.pid, flush=True)
    sys.stdin.read()

if sys.argv[1:]:
    TritonServer._is_ready = launched
server = TritonServer("mobilenet")
thread = threading.Thread(target=server.__enter__)
thread.start()
thread.join()
print(server.pid, server.url, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("is_starting", [False, True])
def test_one_started_in_a_thread_lives_as_long_as_the_process(is_starting: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARTED_IN_A_THREAD, *["starting"] * is_starting],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        pid, *url = parent.stdout.readline().split()
        if url:
            result = run(RunConfig(file=None, url=url[0], model="null", max_queries=3))
            assert result.successes == 3
        parent.kill()
    until_s = time.monotonic() + 60
    while group_of(int(pid)):
        assert time.monotonic() < until_s
        time.sleep(0.05)


def group_of(leader: int) -> list[str]:
    """The processes of a group."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            told = file.read_text()
            if told.rpartition(")")[2].split()[2] == str(leader):
                found.append(told)
    return found
