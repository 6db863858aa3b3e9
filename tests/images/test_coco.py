"""The data set's download and unpacking, from a server that cuts connections; real sockets."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pictures import encode, noise

from aibench_fast.cli import main
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.tensors import coco

PHOTOGRAPHS = {f"val2017/{n:012}.jpg": encode(noise(300, 260, n), "JPEG") for n in range(3)}
SENT_AT_ONCE = 50_000


def pack(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.mkdir("val2017")
        for name, data in files.items():
            archive.writestr(name, data)
    return packed.getvalue()


ARCHIVE = pack(PHOTOGRAPHS)


class CuttingHandler(BaseHTTPRequestHandler):
    """Knows ranges, and cuts every connection after SENT_AT_ONCE bytes."""

    requests = 0

    def do_GET(self) -> None:
        type(self).requests += 1
        wanted = self.headers["Range"]
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Range", f"bytes {start}-{len(ARCHIVE) - 1}/{len(ARCHIVE)}")
        self.send_header("Content-Length", str(len(ARCHIVE) - start))
        self.end_headers()
        self.wfile.write(ARCHIVE[start : start + SENT_AT_ONCE])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    CuttingHandler.requests = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), CuttingHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/zips/val2017.zip"
        server.shutdown()
        thread.join()


@pytest.fixture
def small_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's archive in the place of the real one."""
    monkeypatch.setattr(coco, "SHA256", hashlib.sha256(ARCHIVE).hexdigest())
    monkeypatch.setattr(coco, "SIZE_BYTES", len(ARCHIVE))


def test_fetched_over_cut_connections_unpacked_and_prepared(
    tmp_path: Path, url: str, small_set: None, capsys: pytest.CaptureFixture[str]
) -> None:
    dest = tmp_path / "coco"
    assert main(["fetch", "coco", "--dest", str(dest), "--url", url]) == 0
    assert CuttingHandler.requests > 1
    found = {str(path.relative_to(dest)): path.read_bytes() for path in dest.rglob("*.jpg")}
    assert found == PHOTOGRAPHS
    assert capsys.readouterr().out == (
        f"3 photographs in {dest}/val2017; next: aibench-fast prepare --input {dest}/val2017\n"
    )
    output = tmp_path / "t.out"
    assert main(["prepare", "--input", f"{dest}/val2017", "--output", str(output)]) == 0
    assert output.stat().st_size == 3 * 602_112


def test_fetched_again_nothing_is_transferred(tmp_path: Path, url: str, small_set: None) -> None:
    arguments = ["fetch", "coco", "--quiet", "--dest", str(tmp_path), "--url", url]
    assert main(arguments) == 0
    before = CuttingHandler.requests
    assert main(arguments) == 0
    assert CuttingHandler.requests == before


def test_another_archive_than_cocos_is_refused(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "coco", "--dest", str(tmp_path), "--url", url]) == 3
    assert f"it has {len(ARCHIVE):,} bytes, expected 815,585,330" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def write_archive(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "val2017.zip"
    path.write_bytes(pack(files))
    return path


@pytest.mark.parametrize(
    "name", ["../escaped.jpg", "/tmp/escaped.jpg", "val2017/../../escaped.jpg"]
)
def test_a_name_that_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    archive = write_archive(tmp_path, {"val2017/good.jpg": b"good", name: b"escaped"})
    with pytest.raises(ServerError, match="leads out of it"):
        coco.unpack(archive, tmp_path / "dest")
    assert list(tmp_path.iterdir()) == [archive]


def test_a_stopped_unpacking_is_gone_on_with(tmp_path: Path) -> None:
    archive = write_archive(tmp_path, PHOTOGRAPHS)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        coco.unpack(archive, tmp_path, stop)
    folder = tmp_path / "val2017"
    half_way = {path: path.stat().st_ino for path in folder.iterdir()}
    assert len(half_way) == 2
    assert coco.unpack(archive, tmp_path) == 3
    assert {path.name for path in folder.iterdir()} == {Path(name).name for name in PHOTOGRAPHS}
    assert all(path.stat().st_ino == inode for path, inode in half_way.items())


def test_a_damaged_archive(tmp_path: Path) -> None:
    archive = write_archive(tmp_path, {"val2017/a.jpg": b"photograph"})
    archive.write_bytes(archive.read_bytes().replace(b"photograph", b"phOtograph"))
    with pytest.raises(ServerError, match="is damaged"):
        coco.unpack(archive, tmp_path)
    assert not list((tmp_path / "val2017").iterdir())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    archive = write_archive(tmp_path, {"val2017/a.jpg": b"photograph"})
    (tmp_path / "val2017").write_bytes(b"a file")
    with pytest.raises(ConfigError, match="cannot write"):
        coco.unpack(archive, tmp_path)
