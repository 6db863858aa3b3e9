"""Every command of the README and of the tour, in order, as a reader types them."""

import dataclasses
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
from commandline import Cli, completed
from fake_inference import FakeInference

from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.server import EmbeddedServer
from aibench_fast.server.base import free_port
from aibench_fast.server.tokenserver import Simulation, TokenServer

# The README's runs of 10 and 30 seconds are short here: the last of several options counts.
SHORT_RUNS = """
aibench-fast() {
    case "$*" in
        run*tokens*) set -- "$@" --output-tokens 4 --burn-in 2 --max-queries 32 ;;
        run*) set -- "$@" --burn-in 2 --max-queries 32 ;;
    esac
    command aibench-fast "$@"
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
                run) set -- "$@" --burn-in 5 --max-queries 20 ;;
                sweep) set -- "$@" --max-queries 8 ;;
            esac
            until [ -s serve.log ]; do sleep 0.1; done
            command aibench-fast "$@" --port "$PORT" ;;
        *) command aibench-fast "$@" ;;
    esac
}
"""
# Runs are short here too, and may break an expectation on a busy machine, or compare as worse. The
# server of tokens has no embeddings.
SERVERS_OF_STREAMS = """
trap 'kill $(jobs -p) 2> /dev/null || true' EXIT
aibench-fast() {
    may_end_with=0
    case "$*" in
        *--expect* | search* | compare* | *localhost:8001*) may_end_with=1 ;;
    esac
    case "$1 $*" in
        serve*) exec "$(type -P aibench-fast)" "$@" --port "$PORT" > serve.log ;;
        run*--trace* | run*conversations*) ;;
        *--embedded*) set -- "$@" --output-tokens 4 --burn-in 2 --max-queries 32 ;;
        run*) set -- "$@" --burn-in 2 --max-queries 32 ;;
        search*) set -- "$@" --from 200 --to 400 --burn-in 10 --max-queries 120 --within 30s ;;
        sweep*) set -- "$@" --burn-in 2 --max-queries 8 ;;
    esac
    case "$*" in
        *localhost:8001*) until [ -s serve.log ]; do sleep 0.1; done ;;
    esac
    set -- "${@/localhost:8001/localhost:$PORT}"
    command aibench-fast "${@/$URL\\/v1\\/embeddings/$EMBEDDINGS_URL}" ||
        [ $? = "$may_end_with" ]
}
"""
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
TOUR = (ROOT / "docs" / "tour.md").read_text()
STREAMS = (ROOT / "docs" / "streams.md").read_text()


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
    for made in ("tokens.json", "tokens.html", "first.json", "second.json", "report.html"):
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


class Embeddings(http.server.BaseHTTPRequestHandler):
    """Answers each POST with one JSON document."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = b'{"data": [{"embedding": [0.5]}]}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.timeout(300)
def test_the_page_of_streams_runs(tmp_path: Path) -> None:
    quick = Simulation(prefill_s=0.002, prefill_token_s=0.0, decode_s=0.0002)
    with (
        TokenServer(quick) as server,
        TokenServer(dataclasses.replace(quick, decode_s=0.0004)) as other,
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), Embeddings) as embeddings,
    ):
        threading.Thread(target=embeddings.serve_forever, daemon=True).start()
        run_blocks(
            STREAMS, SERVERS_OF_STREAMS, tmp_path,
            URL=f"http://127.0.0.1:{server.port}", OTHER_URL=f"http://127.0.0.1:{other.port}",
            EMBEDDINGS_URL=f"http://127.0.0.1:{embeddings.server_port}", MODEL=quick.model,
            PORT=str(free_port()),
        )  # fmt: skip
        embeddings.shutdown()
    for made in (
        "first.json", "vllm.json", "profile_export_aiperf.json", "searched/search.json",
        "report.html", "charts/streams-ttft-workers.png", "charts/streams-ttft-percentiles.png",
    ):  # fmt: skip
        assert (tmp_path / made).stat().st_size > 0, made
    assert len(list((tmp_path / "swept").glob("*.json"))) == 9


def test_no_command_of_the_page_of_streams_is_left_out() -> None:
    """Blocks without a language are what the program prints."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", STREAMS, re.DOTALL | re.MULTILINE)
    assert any(language == "sh" for language, _ in found)
    assert not any("aibench-fast " in text for language, text in found if not language)


def test_the_servers_of_the_tour_are_a_sweep(cli: Cli, tmp_path: Path) -> None:
    (servers,) = blocks(TOUR, "toml")
    (tmp_path / "servers.toml").write_text(servers)
    done = cli("sweep", "--grid", "servers.toml", "--shape", "224,224,3", "--dry-run", code=0)
    assert done.stdout.endswith("24 runs: 0 done, 24 to do\n")
    assert {line.split()[1].split("_")[0] for line in done.stdout.splitlines()[:-1]} == {
        "embedded", "triton",
    }  # fmt: skip


def test_the_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    example, *_ = blocks((ROOT / "docs" / "api.md").read_text(), "python")
    (tmp_path / "vision_tensors.out").write_bytes(os.urandom(602_112 * 3))
    done = completed(sys.executable, "-c", example, cwd=tmp_path)
    assert re.match(r"[\d.]+ \[[\d.]+, [\d.]+\]", done.stdout)
