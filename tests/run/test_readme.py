"""Every command of the README's tour, in order, as a reader types them."""

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

from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.server.ports import free_port

# A reader's port 6379 may be taken here, and a reader types more slowly than a server starts.
PREAMBLE = """
trap 'kill %1; wait' EXIT
aibench-fast() {
    case "$1" in
        serve) exec "$(type -P aibench-fast)" "$@" --port "$PORT" > serve.log ;;
        model | run | stats | sweep)
            until [ -s serve.log ]; do sleep 0.1; done
            command aibench-fast "$@" --port "$PORT" ;;
        *) command aibench-fast "$@" ;;
    esac
}
"""
README = (Path(__file__).parents[2] / "README.md").read_text()


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
def test_the_tour_runs_as_it_stands(tmp_path: Path, model_url: tuple[str, str]) -> None:
    tour = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    url, digest = model_url
    process = subprocess.Popen(
        ["bash", "-euxc", PREAMBLE + tour],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PORT": str(free_port()),
            "MODEL_URL": url,
            "MODEL_SHA256": digest,
        },
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        out, _ = process.communicate(timeout=280)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, out
    for made in ("vision_tensors.out", "sheet.png", "mobilenet_v1.pb", "report.html"):
        assert (tmp_path / made).stat().st_size > 0, made
    assert len(list((tmp_path / "results").glob("*.json"))) == 12


def test_the_servers_of_the_tour_are_a_sweep(cli: Cli, tmp_path: Path) -> None:
    (servers,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "servers.toml").write_text(servers)
    done = cli("sweep", "--grid", "servers.toml", "--shape", "224,224,3", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("24 runs: 0 done, 24 to do\n")
    assert {line.split()[1].split("_")[0] for line in done.stdout.splitlines()[:-1]} == {
        "embedded", "triton",
    }  # fmt: skip


def test_the_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "vision_tensors.out").write_bytes(os.urandom(602_112 * 3))
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"[\d.]+ \[[\d.]+, [\d.]+\]", done.stdout)
