"""Tensors and models that outlive the server, when that is asked for."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import redis
from commandline import command
from redisclient import connect

from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.server import EmbeddedServer

TENSORS = {
    "FLOAT": (np.float32, [1.5, -2]),
    "INT64": (np.int64, [1 << 62, -1]),
    "BOOL": (np.bool_, [True, False]),
}


def store_everything(client: redis.Redis, doubler: bytes) -> None:
    for dtype, (kind, values) in TENSORS.items():
        blob = np.array(values, kind).tobytes()
        client.execute_command("AI.TENSORSET", dtype, dtype, 1, 2, "BLOB", blob)
    client.execute_command("AI.TENSORSET", "STRING", "STRING", 2, "VALUES", "one", "")
    client.execute_command("AI.TENSORSET", "x", "FLOAT", 1, 3, "VALUES", 1, 2, 3)
    client.execute_command(
        "AI.MODELSTORE", "m", "ONNX", "CPU", "TAG", "v 1", "BATCHSIZE", 8, "MINBATCHSIZE", 2,
        "MINBATCHTIMEOUT", 5, "BLOB", doubler,
    )  # fmt: skip
    client.execute_command("AI.MODELSET", "n", "NULL", "CPU")


def everything(client: redis.Redis) -> list[object]:
    return [
        *(client.execute_command("AI.TENSORGET", key) for key in [*TENSORS, "STRING", "x"]),
        *(client.execute_command("AI.MODELGET", key) for key in "mn"),
        sorted(client.execute_command("AI._MODELSCAN")),
    ]


def test_everything_survives_a_restart(tmp_path: Path, doubler: bytes) -> None:
    with EmbeddedServer(data_dir=tmp_path) as server, connect(server.address) as client:
        store_everything(client, doubler)
        before = everything(client)
    with EmbeddedServer(data_dir=tmp_path) as server, connect(server.address) as client:
        assert everything(client) == before
        client.execute_command("AI.MODELRUN", "m", "INPUTS", "x", "OUTPUTS", "y")
        assert client.execute_command("AI.TENSORGET", "y", "VALUES") == [b"2", b"4", b"6"]


def test_a_saved_database_survives_a_kill(tmp_path: Path, doubler: bytes) -> None:
    with EmbeddedServer(data_dir=tmp_path) as server, connect(server.address) as client:
        store_everything(client, doubler)
        before = everything(client)
        assert client.save()
        client.execute_command("AI.TENSORSET", "later", "FLOAT", 1)
        client.shutdown(nosave=True)
        server.wait()
    with EmbeddedServer(data_dir=tmp_path) as server, connect(server.address) as client:
        assert everything(client) == before
        assert client.exists("later") == 0


def test_a_folder_that_cannot_be_written_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match="--dir /proc: the database cannot be saved there"):
        EmbeddedServer(data_dir=Path("/proc"))


def test_a_save_that_fails_at_the_stop_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    server = EmbeddedServer(data_dir=folder).start()
    pid = server.pid
    with connect(server.address) as client:
        client.execute_command("AI.TENSORSET", "x", "FLOAT", 1)
    folder.rmdir()
    with pytest.raises(ConfigError, match=r"could not be saved.* is lost: .*No such file"):
        server.stop()
    assert not Path(f"/proc/{pid}").exists()
    server.stop()


def test_serve_says_that_its_database_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    process = subprocess.Popen(
        command("serve", "--port", 0, "--dir", folder),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline()
    folder.rmdir()
    process.terminate()
    _, told = process.communicate(timeout=30)
    assert process.returncode == 2
    assert told.startswith(f"aibench-fast: --dir {folder}: the database could not be saved")
    assert told.count("\n") == 1


def test_a_file_is_not_taken_for_a_socket(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.write_text("mine")
    with pytest.raises(ConfigError, match="a file of that name is there"):
        EmbeddedServer(socket=notes)
    assert notes.read_text() == "mine"


def test_nothing_is_kept_unless_asked_for() -> None:
    with EmbeddedServer() as server, connect(server.address) as client:
        client.execute_command("AI.TENSORSET", "x", "FLOAT", 1)
        folder = Path(client.config_get("dir")["dir"])
        assert client.config_get("save")["save"] == ""
    assert not folder.exists()


def test_dump_and_restore(client: redis.Redis, doubler: bytes) -> None:
    store_everything(client, doubler)
    before = everything(client)
    dumped = {key: client.dump(key) for key in client.scan_iter()}
    client.flushall()
    for key, dump in dumped.items():
        client.restore(key, 0, dump)
    assert everything(client) == before


def test_a_damaged_database_is_refused_and_said_so(tmp_path: Path, doubler: bytes) -> None:
    with EmbeddedServer(data_dir=tmp_path) as server, connect(server.address) as client:
        store_everything(client, doubler)
    file = next(tmp_path.glob("*.rdb"))
    saved = bytearray(file.read_bytes())
    saved[-1] ^= 1  # of its checksum
    file.write_bytes(saved)
    with pytest.raises(ServerError, match="did not start"):
        EmbeddedServer(data_dir=tmp_path).start()
