"""Endpoints of real programs that speak no protocol of model servers: FastAPI and BentoML."""

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import Cli
from serverprocesses import HERE, answers, program, serving

from aibench_fast import Result, RunConfig, run
from aibench_fast.server.base import free_port
from aibench_fast.tensors.photographs import SAMPLE_FOLDER


@pytest.fixture(scope="module")
def fastapi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    # KServe's server is made of FastAPI, so that its environment has it.
    command = [str(program("kserve", "python")), str(HERE / "endpoint_fastapi.py"), str(port)]
    url = f"http://127.0.0.1:{port}"
    with serving(command, tmp_path_factory.mktemp("f"), lambda: answers(f"{url}/health")):
        yield url


@pytest.fixture(scope="module")
def bentoml(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    command = [
        str(program("bentoml", "bentoml")), "serve", "endpoint_bentoml:Sums", "--host",
        "127.0.0.1", "--port", str(port), "--working-dir", str(HERE),
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with serving(command, tmp_path_factory.mktemp("b"), lambda: answers(f"{url}/readyz")):
        yield url


def test_photographs_go_out_as_the_jpegs_that_they_are(
    cli: Cli, fastapi: str, tmp_path: Path
) -> None:
    """At a path such as TorchServe's; by two addresses of the server."""
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    files = [*SAMPLE_FOLDER.glob("*.jpg")]
    for file in files:
        (photographs / file.name).write_bytes(file.read_bytes())
    url = f"{fastapi}/predictions/resnet-18"
    done = cli(
        "run", "--url", url, "--url", url.replace("127.0.0.1", "localhost"), "--body", photographs,
        "--content-type", "image/jpeg", "--workers", 4, "--max-queries", 10 * len(files),
        "--reply", "json", "--json-out-file", "r.json", code=0,
    )  # fmt: skip
    assert json.loads((tmp_path / "r.json").read_text())["Successes"] == 10 * len(files)
    assert "uvicorn" in done.stdout
    with urllib.request.urlopen(f"{fastapi}/seen") as reply:
        seen = json.load(reply)
    # What the server got is what lies there, and each as often, beside the trials.
    first, *others = (hashlib.sha256(one.read_bytes()).hexdigest() for one in sorted(files))
    assert seen == {first: 12, **dict.fromkeys(others, 10)}


def test_a_moved_path_is_one_line_that_says_where(cli: Cli, fastapi: str, lines: Path) -> None:
    done = cli("run", "--url", f"{fastapi}/old/resnet-18", "--body", lines, code=3, errors=1)
    assert "with HTTP 301:  (Location: /predictions/resnet-18)" in done.stderr


def endpoint(url: str, body: Path | None, **settings: object) -> Result:
    usual: dict[str, object] = {"file": None, "url": url, "body": body, "max_queries": 30}
    return run(RunConfig(**(usual | settings)))  # type: ignore[arg-type]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    file = tmp_path / "lines.jsonl"
    file.write_text("[1, 2]\n[10, 20]\n[30, 40]\n")
    return file


def test_fastapi_takes_lines_of_json(fastapi: str, lines: Path) -> None:
    assert endpoint(f"{fastapi}/sums", lines, reply="json").successes == 30
    assert endpoint(f"{fastapi}/queue", lines, success=(202,), reply="same-size").failures
    assert endpoint(f"{fastapi}/health", None, method="GET").successes == 30


def test_a_body_that_fastapi_refuses_is_a_failure(fastapi: str, lines: Path) -> None:
    lines.write_text('[1, 2]\n["x"]\n')
    result = endpoint(f"{fastapi}/sums", lines)
    assert result.successes == 15
    assert result.failures["error_reply"].count == 15
    assert result.failures["error_reply"].first_message.startswith("HTTP 422: ")


def test_bentoml_takes_lines_of_json(bentoml: str, lines: Path) -> None:
    lines.write_text('{"numbers": [1, 2]}\n{"numbers": []}\n')
    result = endpoint(f"{bentoml}/add", lines, workers=2, reply="json")
    assert (result.successes, result.failures) == (30, {})
