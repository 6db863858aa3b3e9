"""The facts in a result about where its figures come from, and the secrets that are never in it."""

import hashlib
import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from commandline import Cli
from fake_redisai import FakeRedisAI, array, bulk
from redisclient import load_into

from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.session import RedisAiSession
from aibench_fast.protocols.redisai.settings import RedisAiSettings
from aibench_fast.protocols.session import AskedInput, AskedKind, Workload
from aibench_fast.server import EmbeddedServer

TENSOR_BYTES = 602_112
PASSWORD = "correct horse battery staple"


def test_a_result_names_the_machine_the_software_and_the_data(
    cli: Cli, server: EmbeddedServer, tensor_file: Path, tmp_path: Path, onnx_blob: bytes
) -> None:
    spec = ModelSpec(name="onnx", backend=Backend.ONNX, blob=onnx_blob)
    load_into(server.address, spec)
    arguments = (
        "run", "--file", tensor_file, "--port", server.port, "--model", "onnx",
        "--max-queries", 2, "--json-out-file", "a result.json",
    )  # fmt: skip
    assert cli(*arguments).returncode == 0
    found = json.loads((tmp_path / "a result.json").read_text())["Facts"]
    assert list(found) == [
        "Host", "CpuModel", "Cores", "Governor", "Kernel", "Python", "Package", "Hiredis",
        "ServerConfig", "ModelDigest", "DataDigest", "CommandLine",
    ]  # fmt: skip
    assert found["DataDigest"] == hashlib.sha256(tensor_file.read_bytes()).hexdigest()
    assert found["ModelDigest"] == hashlib.sha256(onnx_blob).hexdigest()
    assert found["Cores"] == len(os.sched_getaffinity(0))
    assert found["Kernel"] == f"Linux {os.uname().release}"
    assert found["ServerConfig"]["maxmemory-policy"] == "noeviction"
    assert found["ServerConfig"]["ai_threads_per_queue"] == "1"
    assert found["Hiredis"].count(".") == 2
    assert shlex.split(found["CommandLine"]) == ["aibench-fast", *map(str, arguments)]


def test_a_password_is_nowhere(
    cli: Cli, tensor_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBENCH_PASSWORD", PASSWORD)
    with EmbeddedServer(password=PASSWORD) as server:
        load_into(server.address, ModelSpec(name="null", backend=Backend.NULL))
        common = ("--file", tensor_file, "--port", server.port, "--model", "null")
        outputs = [
            cli("run", *common, "--json-out-file", "r.json", "--hdr-log-file", "r.hlog"),
            cli("sweep", *common, "--workers", "1,2", "--autobatching", "0,2"),
            cli("stats", "--port", server.port, "--model", "null", "--result", "r.json"),
        ]
        monkeypatch.setenv("AIBENCH_PASSWORD", PASSWORD + "!")
        refused = cli("run", *common)
    assert [done.returncode for done in outputs] == [0, 0, 0], [done.stderr for done in outputs]
    assert refused.returncode == 3
    said = "".join(done.stdout + done.stderr for done in (*outputs, refused))
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 7
    for text in (said, *written):
        assert PASSWORD not in text
        assert "correct" not in text  # nor a part of it, from a message that cut it


def test_a_model_in_chunks_and_over_a_unix_socket(server: EmbeddedServer, tmp_path: Path) -> None:
    def chunks(*_: object) -> bytes:
        return array(bulk(b"first "), bulk(b"second"))

    with FakeRedisAI(AI_MODELGET=chunks) as fake:
        digest = digest_of(fake.address, "any")
    assert digest == hashlib.sha256(b"first second").hexdigest()
    path = tmp_path / "s"
    with EmbeddedServer(socket=path, password=PASSWORD) as guarded:
        spec = ModelSpec(name="named", backend=Backend.NULL, blob=b"content", inputs=(), outputs=())
        load_into(guarded.address, spec)
        assert guarded.address.socket == path
        assert digest_of(guarded.address, "named") == hashlib.sha256(b"content").hexdigest()


def test_a_model_that_is_not_given_out_has_no_digest() -> None:
    def meta_alone(words: Sequence[bytes], _number: int) -> bytes:
        return b"-NOPERM no blob\r\n" if words[-1] == b"BLOB" else array()

    with FakeRedisAI(AI_MODELGET=meta_alone) as fake:
        assert digest_of(fake.address, "any") is None


def test_a_model_larger_than_what_is_received_at_once() -> None:
    blob = os.urandom(300_000)
    with FakeRedisAI(AI_MODELGET=lambda *_: array(bulk(blob), bulk(blob))) as fake:
        digest = digest_of(fake.address, "any")
    assert digest == hashlib.sha256(2 * blob).hexdigest()


def digest_of(address: ServerAddress, model: str) -> str | None:
    """The model's digest as a visit reports it."""
    kind = AskedKind(model, [AskedInput("FLOAT", (1, 1), trial=bytes(4))])
    settings = RedisAiSettings(address=address, dialect=None)
    session = RedisAiSession(address, settings, Workload(kinds=[kind]))
    (digest,) = session.record.model_digests
    return digest
