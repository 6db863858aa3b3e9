"""Bodies of any endpoint are sent from the files that they lie in, which nothing copies."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commandline import Cli
from rawserver import RawServer, raw_server

from aibench_fast import ConfigError, RunConfig, run
from aibench_fast._core import Tensors
from aibench_fast.load import sources
from aibench_fast.load.runner import PreparedRun
from aibench_fast.results.events import ignore

MIB = 1 << 20


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def endpoint(server: RawServer, body: Path | None, **settings: object) -> RunConfig:
    usual: dict[str, object] = {"file": None, "url": f"{server.address}/p", "body": body}
    return RunConfig(**(usual | settings))  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bodies"
    made.mkdir()
    draw = random.Random(1)
    for number, size in enumerate((1, 0, 4096, 70_000, 5)):
        (made / f"{number}.bin").write_bytes(draw.randbytes(size))
    return made


def contents(folder: Path) -> list[bytes]:
    return [one.read_bytes() for one in sorted(folder.iterdir())]


@pytest.mark.parametrize("seed", [0, 7])
def test_bodies_go_around(folder: Path, seed: int) -> None:
    """From the first file on, or from the one that the seed chooses; each with its own length."""
    with raw_server(lambda head, body: OK) as server:
        result = run(endpoint(server, folder, max_queries=13, seed=seed))
    assert (result.successes, result.failures) == (13, {})
    first = random.Random(seed).randrange(5) if seed else 0
    expected = contents(folder)
    assert [body for _, body in server.asked] == [
        expected[(first + max(0, number)) % 5] for number in range(-1, 13)
    ]


def test_workers_of_several_servers_share_the_bodies(folder: Path) -> None:
    with raw_server(lambda head, body: OK) as one, raw_server(lambda head, body: OK) as other:
        result = run(
            endpoint(one, folder, others=(f"{other.address}/p",), workers=4, max_queries=20)
        )
    assert (result.successes, result.failures) == (20, {})
    sent = [body for server in (one, other) for _, body in server.asked[1:]]
    assert sorted(sent) == sorted(4 * contents(folder))
    assert len(one.asked) > 1 < len(other.asked)


def anonymous_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) << 10


def test_a_folder_is_mapped_and_not_read_into_memory(tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    for number in range(80):
        with (folder / f"{number:02}").open("wb") as file:
            file.truncate(8 * MIB)
            file.write(b"%02d" % number)
    with raw_server(lambda head, body: OK) as server:
        before_bytes = anonymous_bytes()
        with PreparedRun(endpoint(server, folder, max_queries=5), ignore) as prepared:
            assert anonymous_bytes() - before_bytes < 80 * MIB
            result = prepared.measure()
    assert (result.successes, result.failures) == (5, {})
    assert [body[:2] for _, body in server.asked[1:]] == [b"00", b"01", b"02", b"03", b"04"]


def test_a_file_that_shrinks_ends_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "bodies"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_bytes(bytes(1 << 16))

    def shrink(head: bytes, body: bytes) -> bytes:
        if len(server.asked) == 4:
            os.truncate(folder / "b", 16)
        return OK

    with raw_server(shrink) as server:
        result = run(endpoint(server, folder, max_queries=20))
    assert {kind: one.count for kind, one in result.failures.items()} == {"tensor_file": 1}
    assert result.successes == 4


LINES = {
    b"": [],
    b"\n \r\n\t\n": [],
    b"[1]": [b"[1]"],
    b" [1] \r\n\n\x0b[2]\n[3]": [b"[1]", b"[2]", b"[3]"],
    b"[1]\n\n\n[2]\n  ": [b"[1]", b"[2]"],
    b"x" * 10_000 + b"\n" + b"y": [b"x" * 10_000, b"y"],
}


@pytest.mark.parametrize("text", LINES)
def test_lines(text: bytes, tmp_path: Path) -> None:
    file = tmp_path / "l.jsonl"
    file.write_bytes(text)
    found = Tensors.open_lines(file)
    assert [found.read(place, 1) for place in range(len(found))] == LINES[text]


def test_a_line_may_be_the_end_of_a_page(tmp_path: Path) -> None:
    file = tmp_path / "l.jsonl"
    file.write_bytes(b" " * 4000 + b"z" * 96 + b"\n" + b"y" * 4095)
    found = Tensors.open_lines(file)
    assert [found.batch_bytes(1, place) for place in range(len(found))] == [96, 4095]


def test_a_ring_begins_anywhere(folder: Path) -> None:
    ring = Tensors.open_files(sorted(folder.iterdir())).ring(3, 7)
    expected = contents(folder)
    assert [ring.read(place, 1) for place in range(len(ring))] == [
        expected[place % 5] for place in range(3, 10)
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: (folder / "gone").symlink_to("nowhere"), "/gone: No such file"),
        (lambda folder: os.mkfifo(folder / "pipe"), "/pipe: it is not a file; leave it out"),
    ],
)
def test_what_cannot_be_mapped_is_one_line(
    cli: Cli, folder: Path, make: Callable[[Path], None], words: str
) -> None:
    make(folder)
    with raw_server(lambda head, body: OK) as server:
        done = cli("run", "--url", f"{server.address}/p", "--body", folder, code=2, errors=1)
        assert words in done.stderr
        assert server.asked == []


def test_more_files_than_the_system_maps(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "max_map_count"
    limit.write_text("2004\n")
    monkeypatch.setattr(sources, "_MAPS", limit)
    with pytest.raises(ConfigError, match=r"5 files, and this system maps 4 of them at most: "):
        sources.open_bodies(folder)


REPLIES = {
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'8;x="y"\r\n{"a": [1\r\n2\r\n]}\r\n0\r\nX: y\r\n\r\n',
        1,
    ),
    "with an end of the connection": (
        b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\n{"a": 1}',
        5,
    ),
    "of HTTP/1.0, without a length": (b'HTTP/1.0 200 OK\r\n\r\n{"a": 1}', 5),
    "after one that says to go on": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        1,
    ),
    "without a body": (b"HTTP/1.1 204 No Content\r\n\r\n", 1),
}


@pytest.mark.parametrize("name", REPLIES)
def test_replies_of_every_form(name: str, folder: Path) -> None:
    reply, connections = REPLIES[name]
    rule = "any" if name == "without a body" else "json"
    with raw_server(lambda head, body: reply) as server:
        result = run(endpoint(server, folder, reply=rule, max_queries=5))
    assert (result.successes, result.failures) == (5, {})
    # The trial has a connection of its own.
    assert server.connections == 1 + connections


@pytest.mark.parametrize("lasts", [1, 3])
def test_a_server_may_close_connections_without_a_word(folder: Path, lasts: int) -> None:
    """Of one that a busy machine closes late a request may be lost: the run is made again."""
    for _ in range(5):
        with raw_server(lambda head, body: OK, lasts) as server:
            result = run(endpoint(server, folder, max_queries=30, workers=2))
        if not result.failures:
            break
    assert (result.successes, result.failures) == (30, {})
    assert len(server.asked) == 31
    assert server.connections >= 31 / lasts


def test_a_moved_endpoint_is_a_failure_that_says_where(folder: Path) -> None:
    """It is not followed: what is measured is what was asked for."""
    moved = b"HTTP/1.1 301 Moved Permanently\r\nLocation: http://other/p?" + b"x" * 300
    moved += b"\r\nContent-Length: 0\r\n\r\n"
    with raw_server(lambda head, body: OK if len(server.asked) == 1 else moved) as server:
        result = run(endpoint(server, folder, max_queries=3))
    assert {kind: one.count for kind, one in result.failures.items()} == {"error_reply": 3}
    message = result.failures["error_reply"].first_message
    assert message.startswith("HTTP 301:  (Location: http://other/p?xxx")


def test_a_redirection_may_be_a_success(folder: Path) -> None:
    seen = b"HTTP/1.1 303 See Other\r\nLocation: /jobs/1\r\nContent-Length: 0\r\n\r\n"
    with raw_server(lambda head, body: seen) as server:
        result = run(endpoint(server, folder, max_queries=3, success=(202, 303)))
    assert (result.successes, result.failures) == (3, {})


@pytest.mark.parametrize("text", ["image/jpeg\r\nX: y", "image/jpeg\n", "im\0age/jpeg", ""])
def test_a_content_type_is_one_line(cli: Cli, folder: Path, text: str) -> None:
    done = cli("run", "--url", "http://127.0.0.1:1/p", "--body", folder, "--content-type", text)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "--content-type" in done.stderr


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("l.jsonl", b'{"a": 1}\n\n \r\n[2]\n{"a": 1,}\n[3]', "l.jsonl, line 5: it is not JSON: "),
        ("l.jsonl", b"[1]\n[2] [3]\n", "l.jsonl, line 2: it is not JSON: "),
        ("one.json", b'{"a": "\xff"}', "one.json: it is not JSON: "),
        ("none.json", b"", "none.json: it is not JSON: it is empty"),
    ],
)
def test_a_body_that_is_no_json_is_found_before_anything_is_sent(
    cli: Cli, tmp_path: Path, name: str, text: bytes, where: str
) -> None:
    (tmp_path / name).write_bytes(text)
    with raw_server(lambda head, body: OK) as server:
        command = ["run", f"--url={server.address}/p", f"--body={tmp_path / name}"]
        done = cli(*command)
        assert server.asked == []
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert where in done.stderr
        for own in ("--content-type=text/plain", "--header=content-type: text/plain"):
            assert cli(*command, own, "--max-queries=3").returncode == 0


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/Vnd.x+JSON"])
def test_files_of_a_folder_are_checked_where_they_are_sent_as_json(
    content_type: str, tmp_path: Path
) -> None:
    folder = tmp_path / "bodies"
    folder.mkdir()
    (folder / "a").write_bytes(b"[1]")
    (folder / "b").write_bytes(b"[1")
    with raw_server(lambda head, body: OK) as server:
        with pytest.raises(ConfigError, match=r"bodies/b: it is not JSON: .* at byte 3; mend it"):
            run(endpoint(server, folder, content_type=content_type, max_queries=1))
        assert server.asked == []
        assert run(endpoint(server, folder, max_queries=2)).successes == 2


def test_a_file_that_shrinks_while_it_is_checked_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_bytes(b"[" + b"1," * 10_000 + b"1]")
    mapped = Tensors.open_files([file])
    os.truncate(file, 0)
    with pytest.raises(ConfigError, match="cannot read the tensors"):
        mapped.first_not_json()


def test_lines_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of many gigabytes takes long to read."""
    file = tmp_path / "b.jsonl"
    file.write_text("{}\n" * 3)
    opened, usual = [], Path.open

    def noted(path: Path, *arguments: Any, **named: Any) -> Any:
        opened.append(path)
        return usual(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", noted)
    config = RunConfig(file=None, url="http://127.0.0.1:9/path", body=file)
    assert config.count_tensors() == [3]
    assert opened == [file]


def test_a_folder_with_a_link_that_cannot_be_looked_at(folder: Path) -> None:
    (folder / "link").symlink_to("long" * 64)
    config = RunConfig(file=None, url="http://127.0.0.1:1/p", body=folder)
    with pytest.raises(ConfigError, match=r"cannot read \S+/bodies: File name too long"):
        config.count_tensors()
