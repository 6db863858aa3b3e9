"""The shell script that mirrors aibench's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import completed
from fake_redisai import KnownRedisAI

SCRIPT = Path(__file__).parents[2] / "scripts" / "load_models_mobilenet_redisai.sh"
VARIABLES = ("DEVICE", "BACKEND", "BATCHSIZE", "DATABASE_HOST", "VISION_MODEL_NAME")


def run(
    server: KnownRedisAI, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return completed(
        SCRIPT, *arguments, code=None,
        env=environment | variables | {"DATABASE_PORT": str(server.port)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "stored"),
    [
        (
            {},
            "AI.MODELSET mobilenet_v1_100_224_cpu TF CPU "
            "INPUTS input OUTPUTS MobilenetV1/Predictions/Reshape_1 BLOB",
        ),
        (
            {"DEVICE": "gpu", "BATCHSIZE": "32", "DATABASE_HOST": "127.0.0.1"},
            "AI.MODELSET mobilenet_v1_100_224_gpu TF GPU BATCHSIZE 32 "
            "INPUTS input OUTPUTS MobilenetV1/Predictions/Reshape_1 BLOB",
        ),
        ({"BACKEND": "TFLITE"}, "AI.MODELSET mobilenet_v1_100_224_cpu TFLITE CPU BLOB"),
        (
            {"BACKEND": "ONNX", "VISION_MODEL_NAME": "mine"},
            "AI.MODELSET mine ONNX CPU BLOB",
        ),
        ({"BACKEND": "NULL"}, "AI.MODELSET mobilenet_v1_100_224_cpu NULL CPU"),
    ],
)
def test_the_environment_decides(variables: dict[str, str], stored: str) -> None:
    with KnownRedisAI("AI.MODELSET", "AI.MODELRUN") as server:
        done = run(server, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    ((*command,),) = server.stored()
    words = stored.encode().split()
    assert command[: len(words)] == words
    assert len(command) - len(words) == words.count(b"BLOB")


def test_arguments_go_on_to_the_command(tmp_path: Path) -> None:
    file = tmp_path / "trained.pb"
    file.write_bytes(b"trained")
    with KnownRedisAI("AI.MODELSET", "AI.MODELRUN") as server:
        assert run(server, "--model-file", str(file)).returncode == 0
    assert server.stored()[0][-1] == b"trained"


def test_a_refusal_ends_the_script_with_the_commands_code() -> None:
    with KnownRedisAI() as server:
        done = run(server, BACKEND="NULL")
    assert done.returncode == 3
    assert "knows no AI.* commands" in done.stderr
