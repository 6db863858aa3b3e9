"""A real Triton with a decoupled model, by streams of inferences."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commandline import Cli
from echomodels import VALUES
from modelservers import DecoupledTriton, EchoTriton

REPLIES = [3, 0, 1, 2]
"""To the requests of a pass."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with DecoupledTriton("mobilenet") as server:
        yield server.grpc_url


@pytest.mark.parametrize("outstanding", [1, 8])
def test_a_decoupled_model(cli: Cli, url: str, tmp_path: Path, outstanding: int) -> None:
    np.array(REPLIES, np.int32).tofile(tmp_path / "x.out")
    cli(
        "run", "--url", url, "--model", "decoupled", "--stream", "--file", "x.out", "--shape", 1,
        "--dtype", "INT32", "--workers", 2, "--pipeline", outstanding, "--max-queries", 440,
        "--burn-in", 40, "--json-out-file", "r.json", code=0, errors=0,
    )  # fmt: skip
    saved = json.loads((tmp_path / "r.json").read_text())
    assert saved["Failures"] == {}
    # Which requests are of the warm-up differs from run to run.
    assert saved["RepliesPerRequest"] == pytest.approx(sum(REPLIES) / len(REPLIES), rel=0.1)
    assert saved["FirstReply"]["q50"] > 0


def test_a_model_that_replies_once(cli: Cli, url: str, tmp_path: Path) -> None:
    cli(
        "run", "--url", url, "--model", "null", "--stream", "--workers", 2, "--pipeline", 4,
        "--max-queries", 200, "--json-out-file", "r.json", code=0, errors=0,
    )  # fmt: skip
    saved = json.loads((tmp_path / "r.json").read_text())
    assert (saved["Failures"], saved["RepliesPerRequest"]) == ({}, 1)


@pytest.mark.parametrize(("what", "outstanding"), [("inputs", 3), ("all", 1)])
def test_tensors_in_shared_memory(
    cli: Cli, url: str, tmp_path: Path, what: str, outstanding: int
) -> None:
    done = cli(
        "run", "--url", url, "--model", "mobilenet", "--stream", "--shared-memory", what,
        "--workers", 2, "--pipeline", outstanding, "--max-queries", 60, "--json-out-file", "r.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    saved = json.loads((tmp_path / "r.json").read_text())
    assert (saved["Failures"], saved["RepliesPerRequest"]) == ({}, 1)
    assert saved["Facts"]["SharedMemory"] == what


@pytest.mark.parametrize("outstanding", [1, 4])
def test_strings(cli: Cli, tmp_path: Path, outstanding: int) -> None:
    rows = [[f"{'x' * 50 * n}{place}" for place in range(VALUES)] for n in range(9)]
    (tmp_path / "words.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    numbers = np.arange(9 * VALUES, dtype=np.int16)
    numbers.tofile(tmp_path / "numbers.out")
    with EchoTriton("mobilenet") as server:
        cli(
            "run", "--url", server.grpc_url, "--model", "words", "--stream", "--input",
            f"x0:BYTES:{VALUES}=words.jsonl", "--input", f"x1:INT16:{VALUES}=numbers.out",
            "--pipeline", outstanding, "--workers", 2, "--max-queries", 90, "--json-out-file",
            "r.json", code=0,
        )  # fmt: skip
    saved = json.loads((tmp_path / "r.json").read_text())
    assert (saved["Successes"], saved["Failures"], saved["RepliesPerRequest"]) == (90, {}, 1)
