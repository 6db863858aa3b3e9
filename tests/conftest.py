"""What tests share: a small tensor file, and the command line as a user calls it."""

import os
import subprocess
from pathlib import Path

import pytest
from commandline import Cli, command

TENSOR_BYTES = 224 * 224 * 3 * 4


@pytest.fixture(scope="session")
def tensor_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven tensors that all differ."""
    path = tmp_path_factory.mktemp("tensors") / "vision_tensors.out"
    path.write_bytes(os.urandom(7 * TENSOR_BYTES))
    return path


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run `aibench-fast` in an empty folder, its output into pipes."""

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    return run
