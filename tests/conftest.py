"""Shared by tests: tensors, C libraries, programs, the command line as a user calls it."""

import gc
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from certificates import Authority, Certificate, has_openssl
from ci import examples, missing
from commandline import Cli, as_process, in_process, signals_kept
from hypothesis import settings
from redisclient import load_into

import vendored_sources
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.protocols.openinference.http import client
from aibench_fast.server import EmbeddedServer, base

settings.register_profile("examples", max_examples=examples(100), deadline=None)
settings.load_profile("examples")

# jsonschema would import it to check IRIs, and it makes parsers of their grammar for two seconds.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

# grpcio reads this when it is imported: its servers are in processes whose stderr tests read.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

ROOT = Path(__file__).parents[1]
TENSOR_BYTES = 224 * 224 * 3 * 4


def pytest_collection_finish() -> None:
    """Spare the garbage collector what all tests import: it would look at it time and again."""
    gc.freeze()


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """A command that is called in this process answers signals."""
    with signals_kept():
        yield


@pytest.fixture(scope="session", autouse=True)
def little_wait_for_a_close() -> Iterator[None]:
    """Servers here leave connections open, and no run waits for them to close one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "CLOSING_TIMEOUT_S", 0.005)
        yield


@pytest.fixture
def closes_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server closes each connection behind its reply."""
    monkeypatch.setattr(client, "CLOSING_TIMEOUT_S", 10.0)


@pytest.fixture(scope="session")
def tensor_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven tensors that all differ."""
    path = tmp_path_factory.mktemp("tensors") / "vision_tensors.out"
    path.write_bytes(os.urandom(7 * TENSOR_BYTES))
    return path


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> vendored_sources.Sources:
    """The C libraries that are linked in, from the archives that the build fetched."""
    folder = tmp_path_factory.mktemp("vendored")
    for archive in ROOT.glob("build/vendored/*.tar.gz"):
        shutil.copy(archive, folder)
    return vendored_sources.find_sources(folder)


@pytest.fixture(scope="session")
def system_program() -> Callable[[str, str], Path]:
    """Find a program by its name; without it, given its Debian package, skip or, in CI, fail."""

    def find(name: str, package: str) -> Path:
        found = shutil.which(name)
        if found is None:
            missing(f"no {name}: apt-get install {package}")
        return Path(found)

    return find


@pytest.fixture(scope="session")
def openssl() -> None:
    """The client has TLS: it was built with the headers of OpenSSL."""
    if not has_openssl():
        missing("no headers of OpenSSL: apt-get install libssl-dev")


@pytest.fixture
def taken_port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The next port that is found to be free, and that someone else takes at once."""
    with socket.socket() as other:
        other.bind((base.HOST, 0))
        other.listen()
        port: int = other.getsockname()[1]
        found, find = iter([port]), base.free_port
        monkeypatch.setattr(base, "free_port", lambda: next(found, None) or find())
        yield port


@pytest.fixture(scope="module")
def null_server() -> Iterator[EmbeddedServer]:
    """A server whose model `null` answers at once."""
    with EmbeddedServer(password=None) as server:
        load_into(server.address, ModelSpec(name="null", backend=Backend.NULL))
        yield server


@pytest.fixture(scope="session")
def authority(openssl: None, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> Certificate:
    """Of the servers here."""
    return authority.sign("server", "localhost", "127.0.0.1")


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Run `aibench-fast` in an empty folder, within this process."""
    return partial(in_process, tmp_path)


@pytest.fixture
def process(tmp_path: Path) -> Cli:
    """Run `aibench-fast` in an empty folder as a process, where that is what a test is about."""
    return partial(as_process, tmp_path)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
