"""Downloads from servers that cut, ignore, refuse and change; real sockets."""

import hashlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aibench_fast import fetch
from aibench_fast.cli import main
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.fetch import download

CONTENT = bytes(range(256)) * 4000  # about 1 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()

# An answer to the request with the given number, counted from 0.
Answer = Callable[["Handler", int], None]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.requests: list[Message] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/models/model%20v1.pb?version=2"

    def ranges(self) -> list[str | None]:
        """The Range header of each request, in order."""
        return [headers["Range"] for headers in self.requests]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.headers)
        self.server.answer(self, len(self.server.requests) - 1)

    def log_message(self, *arguments: object) -> None:
        pass

    def send(
        self, content: bytes = CONTENT, *, upto: int | None = None, ranges: bool = True
    ) -> None:
        """Answer as a good server does, but send no byte of the file after the one at `upto`."""
        wanted = self.headers["Range"]
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and ranges else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if wanted and ranges else 200)
        if wanted and ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:upto])


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    with Server(answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def whole(handler: Handler, number: int) -> None:
    handler.send()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "RETRY_DELAYS_S", (0.0, 0.0))


def test_a_whole_file(tmp_path: Path) -> None:
    seen = []
    with serving(whole) as server:
        download(
            server.url,
            tmp_path / "new" / "model.pb",
            sha256=SHA256,
            progress=lambda done, total: seen.append((done, total)),
        )
    assert (tmp_path / "new" / "model.pb").read_bytes() == CONTENT
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["model.pb"]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("sha256", [SHA256, SHA256.upper()])
def test_a_cut_connection_is_gone_on_with(tmp_path: Path, sha256: str) -> None:
    def cut_twice(handler: Handler, number: int) -> None:
        handler.send(upto=[300_000, 700_000, None][number])

    with serving(cut_twice) as server:
        download(server.url, tmp_path / "model.pb", sha256=sha256)
    assert (tmp_path / "model.pb").read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=300000-", "bytes=700000-"]


def test_any_number_of_cuts_is_survived_while_bytes_come(tmp_path: Path) -> None:
    def cut_often(handler: Handler, number: int) -> None:
        handler.send(upto=(number + 1) * 100_000)

    with serving(cut_often) as server:
        download(server.url, tmp_path / "model.pb", sha256=SHA256)
    assert (tmp_path / "model.pb").read_bytes() == CONTENT
    assert len(server.requests) == 11


def test_a_server_that_ignores_range_starts_the_file_again(tmp_path: Path) -> None:
    def cut_then_ignore(handler: Handler, number: int) -> None:
        handler.send(upto=300_000 if number == 0 else None, ranges=False)

    with serving(cut_then_ignore) as server:
        download(server.url, tmp_path / "model.pb", sha256=SHA256)
    assert (tmp_path / "model.pb").read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=300000-"]


def test_a_stopped_download_is_gone_on_with_by_the_next(tmp_path: Path) -> None:
    destination = tmp_path / "model.pb"
    with (
        serving(lambda handler, number: handler.send(upto=400_000)) as server,
        pytest.raises(ServerError, match="400,000 bytes are kept"),
    ):
        download(server.url, destination, sha256=SHA256)
    assert not destination.exists()
    with serving(whole) as server:
        download(server.url, destination, sha256=SHA256)
    assert destination.read_bytes() == CONTENT
    assert server.ranges() == ["bytes=400000-"]


@pytest.mark.parametrize("left", [b"of another file", CONTENT + b"and more", CONTENT[::-1]])
def test_what_is_left_of_another_file_is_replaced(tmp_path: Path, left: bytes) -> None:
    (tmp_path / ".model.pb.part").write_bytes(left)
    with serving(whole) as server:
        download(server.url, tmp_path / "model.pb", sha256=SHA256)
    assert (tmp_path / "model.pb").read_bytes() == CONTENT


def test_a_partial_file_that_is_whole_is_taken(tmp_path: Path) -> None:
    (tmp_path / ".model.pb.part").write_bytes(CONTENT)
    with serving(whole) as server:
        download(server.url, tmp_path / "model.pb", sha256=SHA256)
    assert (tmp_path / "model.pb").read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_a_wrong_part_is_not_appended(tmp_path: Path) -> None:
    (tmp_path / ".model.pb.part").write_bytes(CONTENT[:1000])

    def wrong_part(handler: Handler, number: int) -> None:
        if number > 0:
            handler.send()
            return
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
        handler.end_headers()
        handler.wfile.write(CONTENT)

    with serving(wrong_part) as server:
        download(server.url, tmp_path / "model.pb", sha256=SHA256)
    assert (tmp_path / "model.pb").read_bytes() == CONTENT
    assert server.ranges() == ["bytes=1000-", None]


def test_a_file_that_is_there_is_not_fetched(tmp_path: Path) -> None:
    destination = tmp_path / "model.pb"
    destination.write_bytes(CONTENT)
    with serving(whole) as server:
        download(server.url, destination, sha256=SHA256)
        download(server.url, destination, sha256=SHA256, size=len(CONTENT))
    assert server.requests == []


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ({"sha256": "0" * 64}, f"its SHA-256 is {SHA256}, expected {'0' * 64}"),
        ({"sha256": SHA256, "size": 5}, "it has 1,024,000 bytes, expected 5"),
    ],
)
def test_another_file_than_asked_for(
    tmp_path: Path, checks: dict[str, object], message: str
) -> None:
    destination = tmp_path / "model.pb"
    destination.write_bytes(b"before")
    with serving(whole) as server, pytest.raises(ServerError, match=message):
        download(server.url, destination, **checks)  # type: ignore[arg-type]
    assert destination.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["model.pb"]


def test_a_refusal_is_not_repeated(tmp_path: Path) -> None:
    with (
        serving(lambda handler, number: handler.send_error(404)) as server,
        pytest.raises(ServerError, match="answers 404 Not Found"),
    ):
        download(server.url, tmp_path / "model.pb", sha256=SHA256)
    assert len(server.requests) == 1


def test_a_failing_server_is_asked_again_and_then_given_up(tmp_path: Path) -> None:
    with (
        serving(lambda handler, number: handler.send_error(503)) as server,
        pytest.raises(ServerError, match=r"answers 503 .*, 3 times in a row"),
    ):
        download(server.url, tmp_path / "model.pb", sha256=SHA256)
    assert len(server.requests) == 3


def test_a_name_that_is_not_ascii_is_asked_for_as_browsers_do(tmp_path: Path) -> None:
    paths = []

    def note(handler: Handler, number: int) -> None:
        paths.append(handler.path)
        handler.send()

    with serving(note) as server:
        address = server.url.partition("/models")[0]
        download(f"{address}/m%C3%B6del öß 1.pb?v=ü", tmp_path / "model.pb", sha256=SHA256)
    assert paths == ["/m%C3%B6del%20%C3%B6%C3%9F%201.pb?v=%C3%BC"]


def test_a_length_that_is_not_a_number_is_not_known(tmp_path: Path) -> None:
    totals = []

    def odd(handler: Handler, number: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "many")
        handler.end_headers()
        handler.wfile.write(CONTENT)

    with serving(odd) as server:
        download(
            server.url,
            tmp_path / "model.pb",
            sha256=SHA256,
            progress=lambda done, total: totals.append(total),
        )
    assert (tmp_path / "model.pb").read_bytes() == CONTENT
    assert set(totals) == {None}


def test_nothing_listens(tmp_path: Path) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as free:
        port = free.server_address[1]
    with pytest.raises(ServerError, match="Connection refused"):
        download(f"http://127.0.0.1:{port}/model.pb", tmp_path / "model.pb", sha256=SHA256)


@pytest.mark.parametrize(
    "url",
    [
        "model.pb", "file:///etc/passwd", "ftp://host/model.pb", "https:", "http://host:x/model.pb",
        "http://host:65536/model.pb",
    ],
)  # fmt: skip
def test_only_addresses_of_the_web(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="cannot fetch"):
        download(url, tmp_path / "model.pb", sha256=SHA256)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with serving(whole) as server, pytest.raises(ConfigError, match="cannot write"):
        download(server.url, tmp_path / "file" / "model.pb", sha256=SHA256)


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(whole) as server:
        assert main(["fetch", "model", server.url, "--sha256", SHA256.upper()]) == 0
        assert main(["fetch", "model", server.url, "--sha256", "12"]) == 2
        assert main(["fetch", "model", "http://host/", "--sha256", SHA256]) == 2
    assert (tmp_path / "model v1.pb").read_bytes() == CONTENT
    captured = capsys.readouterr()
    assert captured.out == f"wrote model v1.pb: 1,024,000 bytes, SHA-256 {SHA256}\n"
    assert captured.err.splitlines() == [
        "aibench-fast: '12' is not a SHA-256; give its 64 hexadecimal digits",
        "aibench-fast: http://host/ does not end with a file name; give one with --out",
    ]
