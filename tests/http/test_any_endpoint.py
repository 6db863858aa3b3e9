"""Any HTTP endpoint: bodies go out as they lie, and replies are judged by status and rule."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from commandline import Cli

from aibench_fast import ConfigError, RunConfig, run

PICTURES = {"a.jpg": b"\xff\xd8 one", "b.jpg": b"\xff\xd8 another\r\n\r\n", "c.jpg": b""}


@dataclass
class Asked:
    """A request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Endpoint:
    """A server that answers what `replies` says of a path: a status, a body, and headers."""

    url: str = ""
    replies: dict[str, tuple[int, bytes, dict[str, str]]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    own = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one segment

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            own.asked.append(Asked(self.command, self.path, dict(self.headers), body))
            status, reply, headers = own.replies.get(self.path, (200, b'{"n": 1}', {}))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(reply)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply)

        do_GET = do_POST = do_PUT = _answer

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        own.url = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield own
        server.shutdown()
        serving.join()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, body in PICTURES.items():
        (folder / name).write_bytes(body)
    (folder / ".hidden").write_bytes(b"not sent")
    return folder


def test_files_of_a_folder_go_out_in_order_as_they_lie(
    cli: Cli, endpoint: Endpoint, pictures: Path
) -> None:
    target = "/predictions/resnet/?top=5&lang=en"
    done = cli(
        "run", "--url", endpoint.url + target, "--body", pictures, "--content-type", "image/jpeg",
        "--header", "X-Tenant: a", "--json-out-file", "r.json", code=0,
    )  # fmt: skip
    trial, *sent = endpoint.asked
    assert [one.body for one in sent] == list(PICTURES.values())
    for one in endpoint.asked:
        assert (one.method, one.target) == ("POST", target)
        assert one.headers["Content-Type"] == "image/jpeg"
        assert one.headers["X-Tenant"] == "a"
        assert one.headers["Host"] == endpoint.url.removeprefix("http://")
    assert trial.body == PICTURES["a.jpg"]
    assert f"HTTP POST - {target}:" in done.stdout


def test_each_line_of_jsonl_is_a_body(cli: Cli, endpoint: Endpoint, tmp_path: Path) -> None:
    lines = [b'{"instances": [1, 2]}', b'{"instances": []}', b"[3]"]
    (tmp_path / "lines.jsonl").write_bytes(b"\n".join(lines) + b"\r\n\n")
    cli("run", "--url", f"{endpoint.url}/v1/models/m:predict", "--body", "lines.jsonl", code=0)
    assert [one.body for one in endpoint.asked[1:]] == lines
    assert {one.headers["Content-Type"] for one in endpoint.asked} == {"application/json"}


def test_a_file_is_one_body_and_may_be_put(cli: Cli, endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "one.bin").write_bytes(b"a\nb\n")
    done = cli(
        "run", "--url", endpoint.url, "--body", "one.bin", "--method", "PUT", "--max-queries", 4
    )
    assert done.returncode == 0, done.stderr
    assert [(one.method, one.target, one.body) for one in endpoint.asked] == [
        ("PUT", "/", b"a\nb\n")
    ] * 5
    assert endpoint.asked[0].headers["Content-Type"] == "application/octet-stream"


def test_a_get_has_no_body(cli: Cli, endpoint: Endpoint) -> None:
    cli("run", "--url", f"{endpoint.url}/health", "--method", "GET", "--max-queries", 3, code=0)
    assert [(one.method, one.target, one.body) for one in endpoint.asked] == [
        ("GET", "/health", b"")
    ] * 4
    assert not {"Content-Type", "Content-Length"} & endpoint.asked[-1].headers.keys()


@pytest.mark.parametrize(
    ("reply", "options", "words"),
    [
        ((404, b'{"error": "no such path"}', {}), (), "HTTP 404: no such path"),
        ((302, b"", {"Location": "/other"}), (), "HTTP 302:  (Location: /other)"),
        ((202, b"queued", {}), ("--success", "200,201"), "HTTP 202: queued"),
        ((429, b"", {"Retry-After": "7"}), (), "HTTP 429:  (Retry-After: 7)"),
        ((200, b"<html>", {}), ("--reply", "json"), "the reply is not JSON"),
    ],
)
def test_the_first_reply_has_to_be_a_success(
    cli: Cli,
    endpoint: Endpoint,
    pictures: Path,
    reply: tuple[int, bytes, dict[str, str]],
    options: tuple[str, ...],
    words: str,
) -> None:
    endpoint.replies["/p"] = reply
    done = cli("run", "--url", f"{endpoint.url}/p", "--body", pictures, *options)
    line = f"aibench-fast: {endpoint.url} answered POST /p on trial with {words}\n"
    assert (done.returncode, done.stderr) == (3, line)
    assert len(endpoint.asked) == 1


def test_statuses_that_are_given_are_the_successes(
    cli: Cli, endpoint: Endpoint, pictures: Path
) -> None:
    endpoint.replies["/p"] = (404, b"none of these", {})
    cli(
        "run", "--url", f"{endpoint.url}/p", "--body", pictures, "--success", "200,404",
        "--json-out-file", "r.json", code=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "later", "kind"),
    [
        ("any", (200, b"longer than before", {}), None),
        ("any", (503, b"busy", {}), "unavailable"),
        ("same-size", (200, b'{"m": 2}', {}), None),
        ("same-size", (200, b'{"n": 12}', {}), "wrong_size"),
        ("json", (200, b"[1, 2, 3]", {}), None),
        ("json", (200, b"[1, 2", {}), "wrong_reply"),
        ("json", (200, b"", {}), "wrong_reply"),
    ],
)
def test_replies_in_the_run_are_judged_alike(
    endpoint: Endpoint,
    pictures: Path,
    rule: str,
    later: tuple[int, bytes, dict[str, str]],
    kind: str | None,
) -> None:
    class Replies(dict[str, tuple[int, bytes, dict[str, str]]]):
        def get(self, path: str, usual: object = None) -> object:  # type: ignore[override]
            return usual if len(endpoint.asked) == 1 else later

    endpoint.replies = Replies()
    result = run(RunConfig(file=None, url=endpoint.url, body=pictures, reply=rule, max_queries=5))  # type: ignore[arg-type]
    assert result.successes == (5 if kind is None else 0)
    assert {name: one.count for name, one in result.failures.items()} == (
        {} if kind is None else {kind: 5}
    )


def test_a_reply_may_be_large(endpoint: Endpoint, pictures: Path) -> None:
    endpoint.replies["/"] = (200, json.dumps(["x" * 99] * 40_000).encode(), {})
    result = run(RunConfig(file=None, url=endpoint.url, body=pictures, reply="json"))  # type: ignore[arg-type]
    assert (result.successes, result.failures) == (3, {})


WRONG = {
    "no files": (["--body", "empty"], "empty has no files; give a folder that has"),
    "not there": (["--body", "none"], "cannot read none: No such file or directory"),
    "no lines": (["--body", "e.jsonl"], "e.jsonl has no lines; each line is a request"),
    "nothing": (["--method", "POST"], "--method POST without --body: give what to send"),
    "GET": (["--method", "GET", "--body", "e.jsonl"], "--method GET with --body: a GET has none"),
    "status": (["--body", "e.jsonl", "--success", "20"], "--success 20: a status is from 200 to"),
    "model": (["--body", "e.jsonl", "--model", "m"], "--model with --body or --method: a body is"),
    "shape": (["--body", "e.jsonl", "--shape", "3"], "--shape with --body or --method: a body is"),
    "batch": (["--body", "e.jsonl", "--batch-size", "2"], "--batch-size with --body: a body is"),
    "pipeline": (["--body", "e.jsonl", "--pipeline", "2"], "--pipeline with --url: an HTTP endp"),
    "two types": (
        ["--body", "e.jsonl", "--content-type", "a/b", "--header", "Content-Type: c/d"],
        "--header Content-Type with --content-type: give one of them",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_one_line_before_anything_is_sent(
    cli: Cli, endpoint: Endpoint, tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "e.jsonl").write_bytes(b"\n \n")
    options, words = WRONG[name]
    done = cli("run", "--url", endpoint.url, *options, "--max-queries", 3, code=2, errors=1)
    assert words in done.stderr
    assert endpoint.asked == []


def test_body_without_a_url(cli: Cli) -> None:
    done = cli("run", "--body", "x", code=2, errors=1)
    assert (
        "--body, --method, --prompts, --prompt-tokens, --trace or --api without --url"
        in done.stderr
    )


def test_a_batch_of_bodies_is_refused_from_python(pictures: Path) -> None:
    with pytest.raises(ConfigError, match="`batch_size` with `body`"):
        RunConfig(file=None, url="http://localhost:1/p", body=pictures, batch_size=2)
