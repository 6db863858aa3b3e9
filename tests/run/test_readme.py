"""Every command of the README and of the tour, in order, as a reader types them."""

import hashlib
import http.server
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from commandline import Cli
from fake_inference import FakeInference

from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.server import EmbeddedServer
from aibench_fast.server.ports import free_port

# The README's runs of 10 and 30 seconds take one here: the last of several options counts.
SHORT_RUNS = """
aibench-fast() {
    case "$1" in
        run) command aibench-fast "$@" --burn-in 2 --duration 1s ;;
        *) command aibench-fast "$@" ;;
    esac
}
"""
# A reader's port 6379 may be taken here, and a reader types more slowly than a server starts.
# Runs are short: the last of several options counts.
A_SERVER_OF_THE_TOUR = """
trap 'kill %1; wait' EXIT
aibench-fast() {
    case "$1" in
        serve) exec "$(type -P aibench-fast)" "$@" --port "$PORT" > serve.log ;;
        model | run | stats | sweep)
            case "$1" in
                run) set -- "$@" --burn-in 5 --max-queries 60 ;;
                sweep) set -- "$@" --duration 100ms ;;
            esac
            until [ -s serve.log ]; do sleep 0.1; done
            command aibench-fast "$@" --port "$PORT" ;;
        *) command aibench-fast "$@" ;;
    esac
}
"""
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TOUR = (ROOT / "docs" / "tour.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    """The blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def run_blocks(page: str, preamble: str, folder: Path, **variables: str) -> None:
    """Run the page's blocks of `sh` as one script; they end with exit code 0."""
    process = subprocess.Popen(
        ["bash", "-euxc", preamble + "".join(blocks(page, "sh"))],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **variables,
        },
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        out, _ = process.communicate(timeout=280)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, out


@pytest.fixture
def model_url(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A model file on a web server, and its digest."""
    folder = tmp_path / "web"
    folder.mkdir()
    blob = built_in_model(ModelFormat.PB)
    (folder / "model.pb").write_bytes(blob)
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/model.pb", hashlib.sha256(blob).hexdigest()
        server.shutdown()


@pytest.mark.timeout(300)
def test_the_readme_runs_with_the_readers_servers_filled_in(tmp_path: Path) -> None:
    with EmbeddedServer(password=None) as redisai, FakeInference() as inference:
        run_blocks(
            README, SHORT_RUNS, tmp_path,
            URL=inference.url, MODEL="m",
            REDISAI=f"redis://{redisai.address.host}:{redisai.address.port}",
        )  # fmt: skip
    for made in ("first.json", "second.json", "report.html"):
        assert (tmp_path / made).stat().st_size > 0, made


@pytest.mark.timeout(300)
def test_the_tour_runs(tmp_path: Path, model_url: tuple[str, str]) -> None:
    url, digest = model_url
    run_blocks(
        TOUR, A_SERVER_OF_THE_TOUR, tmp_path,
        PORT=str(free_port()), MODEL_URL=url, MODEL_SHA256=digest,
    )  # fmt: skip
    for made in ("vision_tensors.out", "sheet.png", "mobilenet_v1.pb", "report.html"):
        assert (tmp_path / made).stat().st_size > 0, made
    assert len(list((tmp_path / "results").glob("*.json"))) == 12


def test_the_servers_of_the_tour_are_a_sweep(cli: Cli, tmp_path: Path) -> None:
    (servers,) = blocks(TOUR, "toml")
    (tmp_path / "servers.toml").write_text(servers)
    done = cli("sweep", "--grid", "servers.toml", "--shape", "224,224,3", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("24 runs: 0 done, 24 to do\n")
    assert {line.split()[1].split("_")[0] for line in done.stdout.splitlines()[:-1]} == {
        "embedded", "triton",
    }  # fmt: skip


def test_the_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    example, *_ = blocks((ROOT / "docs" / "api.md").read_text(), "python")
    (tmp_path / "vision_tensors.out").write_bytes(os.urandom(602_112 * 3))
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"[\d.]+ \[[\d.]+, [\d.]+\]", done.stdout)
