"""The shell script that mirrors aibench's, by its environment variables."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from fake_inference import FakeInference
from redisclient import load_into

from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.server import EmbeddedServer

SCRIPTS = Path(__file__).parents[2] / "scripts"
VISION = SCRIPTS / "run_inference_redisai_vision.sh"
TRITON = SCRIPTS / "run_inference_triton_mobilenet.sh"
VARIABLES = (
    "DATABASE_HOST", "DATABASE_PORT", "BACKEND", "DEVICE", "VISION_MODEL_NAME", "MIN_BATCHSIZE",
    "MAX_BATCHSIZE", "BATCHSIZE_STEP", "BATCHSIZE", "MIN_TENSOR_BATCHSIZE", "MAX_TENSOR_BATCHSIZE",
    "TENSOR_BATCHSIZE_STEP", "TENSOR_BATCHSIZE", "MIN_CLIENTS", "MAX_CLIENTS", "CLIENTS_STEP",
    "NUM_WORKERS", "RUNS_PER_VARIATION", "NUM_VISION_INFERENCES", "VISION_QUERIES_BURN_IN",
    "RATE_LIMIT", "OUTPUT_NAME_SUFIX", "SLEEP_BETWEEN_RUNS", "OUTPUT_VISION_FILE_NAME", "DEBUG",
    "MODELSERVER_HOST", "TRITON_PORT",
)  # fmt: skip

Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def script(
    server: EmbeddedServer, client: redis.Redis, tensor_file: Path, tmp_path: Path
) -> Script:
    spec = ModelSpec(name="mobilenet_v1_100_224_cpu", backend=Backend.NULL)
    load_into(server.address, spec)
    client.config_resetstat()

    def run(*arguments: str, **variables: object) -> "subprocess.CompletedProcess[str]":
        given = {"DATABASE_PORT": server.port, "OUTPUT_VISION_FILE_NAME": tensor_file, **variables}
        return run_script(VISION, tmp_path, *arguments, **given)

    return run


def run_script(
    path: Path, folder: Path, *arguments: str, **variables: object
) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    given = {
        "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}",
        "NUM_VISION_INFERENCES": 30,
        "VISION_QUERIES_BURN_IN": 5,
        **variables,
    }
    return subprocess.run(
        [path, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env=environment | {name: str(value) for name, value in given.items()},
    )  # fmt: skip


def named(tmp_path: Path) -> dict[str, dict[str, object]]:
    return {p.name: json.loads(p.read_text()) for p in (tmp_path / "results").glob("JSON_*")}


def test_the_number_of_images_alone_is_one_run(script: Script, tmp_path: Path) -> None:
    done = script(TENSOR_BATCHSIZE=10, BATCHSIZE=32, RATE_LIMIT=100)
    assert done.returncode == 0, done.stderr
    name = "redisai__cpu_run_1_workers_1_autobatching_32_tensorbatchsize_10_rate_100"
    (found,) = named(tmp_path).items()
    assert found[0] == f"JSON_{name}.json"
    assert (found[1]["TensorBatchSize"], found[1]["MaxRps"]) == (10, 100)
    # 5 images of burn-in are one request of 10.
    assert (found[1]["BurnInRequests"], found[1]["Inferences"]) == (1, 20)
    assert "Benchmarking inference performance with 1 workers." in done.stdout
    assert f"Saving files with file suffix: {name}" in done.stdout
    raw = (tmp_path / "results" / f"RAW_{name}.txt").read_text()
    assert "Run complete after 20 inferences" in raw
    assert raw in done.stdout


def test_the_number_of_workers_alone_is_one_run(script: Script, tmp_path: Path) -> None:
    assert script(NUM_WORKERS=3, OUTPUT_NAME_SUFIX="v1.0.3_").returncode == 0
    assert list(named(tmp_path)) == [
        "JSON_redisai_v1.0.3__cpu_run_1_workers_3_autobatching_0_tensorbatchsize_1_rate_0.json"
    ]


def test_both_sweeps_leave_the_files_that_aibenchs_readers_look_for(
    script: Script, client: redis.Redis, tmp_path: Path
) -> None:
    client.set("someone's", "work")
    done = script(
        MIN_CLIENTS=0, MAX_CLIENTS=4, CLIENTS_STEP=2, MIN_BATCHSIZE=0, MAX_BATCHSIZE=4,
        BATCHSIZE_STEP=4, MIN_TENSOR_BATCHSIZE=0, MAX_TENSOR_BATCHSIZE=10, RUNS_PER_VARIATION=2,
        TENSOR_BATCHSIZE_STEP=10, SLEEP_BETWEEN_RUNS=0, OUTPUT_NAME_SUFIX="v1.2_", DEBUG=1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cells = [(w, a, t) for w in (1, 2, 4) for a, t in ((0, 1), (0, 10), (4, 1)) if w >= a]
    assert set(named(tmp_path)) == {
        f"JSON_redisai_v1.2__cpu_run_{run}_workers_{w}_autobatching_{a}_tensorbatchsize_{t}"
        "_rate_0.json"
        for w, a, t in cells
        for run in (1, 2)
    }
    assert len(list((tmp_path / "results").glob("RAW_*_rate_0.txt"))) == len(cells) * 2
    assert client.exists("someone's")


def test_tensorflow_lite_has_no_auto_batching(script: Script, tmp_path: Path) -> None:
    done = script("--dry-run", BACKEND="TFLITE", MAX_CLIENTS=17, MAX_TENSOR_BATCHSIZE=10)
    assert done.returncode == 0, done.stderr
    assert "autobatching_10" not in done.stdout
    assert done.stdout.endswith("12 runs: 0 done, 12 to do\n")


def test_the_defaults_are_aibenchs(script: Script) -> None:
    done = script("--dry-run", NUM_VISION_INFERENCES=5000, VISION_QUERIES_BURN_IN=100)
    assert done.returncode == 0, done.stderr
    workers = range(1, 161, 16)
    batched = sum(3 for w in workers for a in (0, 10, 20, 30, 40, 50) if w >= a)
    assert f"{batched} runs: 0 done" in done.stdout
    assert f"{len(workers) * 6 * 3} runs: 0 done" in done.stdout


@pytest.mark.parametrize("variables", [{}, {"NUM_WORKERS": 2}])
def test_a_failure_is_the_scripts_exit_code(script: Script, variables: dict[str, int]) -> None:
    done = script(VISION_MODEL_NAME="nosuch", SLEEP_BETWEEN_RUNS=0, **variables)
    assert done.returncode == 3
    assert "model nosuch" in done.stdout + done.stderr


def test_triton_is_asked_over_http_and_gives_the_files_their_name(tmp_path: Path) -> None:
    (tmp_path / "tensors.out").write_bytes(bytes(4 * 4 * 40))
    with FakeInference() as fake:
        variables = {
            "TRITON_PORT": fake.port, "VISION_MODEL_NAME": "m", "OUTPUT_NAME_SUFIX": "v1_",
            "OUTPUT_VISION_FILE_NAME": "tensors.out", "SLEEP_BETWEEN_RUNS": 0,
        }  # fmt: skip
        done = run_script(TRITON, tmp_path, **variables)
    assert done.returncode == 0, done.stderr
    assert f"over HTTP at http://127.0.0.1:{fake.port}: gRPC" in done.stdout.splitlines()[0]
    found = named(tmp_path)
    assert set(found) == {
        f"JSON_triton_v1__cpu_run_{run}_workers_{w}_autobatching_-1_tensorbatchsize_1_rate_0.json"
        for run in (1, 2, 3)
        for w in (1, 8, 16, 24)
    }
    assert {(one["BurnInRequests"], one["Inferences"]) for one in found.values()} == {(5, 25)}


def test_a_triton_that_is_not_there_is_the_scripts_exit_code(tmp_path: Path) -> None:
    (tmp_path / "tensors.out").write_bytes(bytes(4 * 4))
    done = run_script(TRITON, tmp_path, TRITON_PORT=1, OUTPUT_VISION_FILE_NAME="tensors.out")
    assert done.returncode == 3
    assert "no server answers at http://127.0.0.1:1" in done.stderr
