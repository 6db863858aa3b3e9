"""Shared by the rows: how much to measure; servers, tensor files, programs, made when needed."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import trustme

import vendored_sources
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.protocols.address import ServerAddress, TlsSettings
from aibench_fast.protocols.redisai.connection import Connection, info
from aibench_fast.server import EmbeddedServer
from aibench_fast.server.base import HOST, free_port
from aibench_fast.server.embedded import server_program
from aibench_fast.server.triton import TritonServer
from benchmarks.perf import programs

MODEL = "null"
TENSOR_BYTES = 224 * 224 * 3 * 4
START_TIMEOUT_S = 20.0
MEMORY_SPARE_BYTES = 2 << 30  # for the servers and this program, beside a file in the page cache


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    run_s: float
    """About how long a client runs in a round."""
    probe_s: float
    """And to find out which of its settings is the best."""
    tensors: int
    """Distinct ones of 602,112 bytes, but for the rows about the file's size."""
    small_file_tensors: int
    large_file_tensors: int
    many_workers: int
    http_workers: tuple[int, ...]
    instruction_requests: tuple[int, int]


FULL = Effort(
    rounds=30, run_s=0.5, probe_s=0.4, tensors=2000, small_file_tensors=167,
    large_file_tensors=9965, many_workers=1000, http_workers=(1, 8, 50),
    instruction_requests=(300, 1300),
)  # fmt: skip
QUICK = Effort(
    rounds=2, run_s=0.1, probe_s=0.05, tensors=20, small_file_tensors=10,
    large_file_tensors=40, many_workers=100, http_workers=(2,),
    instruction_requests=(100, 200),
)  # fmt: skip
"""Shows that everything works; its figures mean nothing."""


class Unavailable(Exception):
    """Something that a row needs is not there; says what, and what to do."""


class Bench:
    """Use it as a context manager; at its end the servers it started end too."""

    def __init__(self, folder: Path, effort: Effort, perf_analyzer: Path | None = None) -> None:
        """Start nothing yet; `folder` is for files, and is the caller's to remove."""
        self.folder = folder
        self.effort = effort
        self.perf_analyzer = perf_analyzer
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what was started."""
        self._ends.close()

    def say(self, text: str) -> None:
        """Tell on standard error how far it is."""
        print(text, file=sys.stderr, flush=True)

    @cached_property
    def null_server(self) -> ServerAddress:
        """The embedded server with MODEL on its NULL backend, which answers at once."""
        server = self._ends.enter_context(EmbeddedServer(password=None))
        with Connection(server.address) as connection:
            load_model(connection, ModelSpec(name=MODEL, backend=Backend.NULL))
        return server.address

    @cached_property
    def plain_server_program(self) -> Path:
        """Redis's own server where there is one, else the embedded server's Valkey."""
        return Path(shutil.which("redis-server") or server_program(None))

    @cached_property
    def plain_server(self) -> ServerAddress:
        """A server without a module, which saves nothing."""
        address = ServerAddress(HOST, free_port())
        self._start(self.plain_server_program, address.port)
        wait_until_it_answers(address)
        return address

    @cached_property
    def plain_port_of_tls_server(self) -> int:
        """Where the same server listens without TLS."""
        return free_port()

    @cached_property
    def tls_server(self) -> ServerAddress:
        """A plain server, which is Redis's own, for Valkey's wheel has no TLS."""
        authority = trustme.CA()
        certificate = authority.issue_cert(HOST)
        trusted, own, key = (self.folder / name for name in ("ca.pem", "own.pem", "own.key"))
        authority.cert_pem.write_to_path(str(trusted))
        certificate.cert_chain_pems[0].write_to_path(str(own))
        certificate.private_key_pem.write_to_path(str(key))
        address = ServerAddress(HOST, free_port(), tls=TlsSettings(ca_file=trusted))
        self._start(
            installed("redis-server", "redis-server"), self.plain_port_of_tls_server,
            "--tls-port", str(address.port), "--tls-cert-file", own, "--tls-key-file", key,
            "--tls-ca-cert-file", trusted, "--tls-auth-clients", "no",
        )  # fmt: skip
        wait_until_it_answers(address)
        return address

    def _start(self, program: Path, port: int, *more: str | Path) -> None:
        """Start a server that saves nothing; it ends with the bench."""
        process = subprocess.Popen(
            [program, "--bind", HOST, "--port", str(port), "--save", "", "--appendonly", "no",
             *more],
            stdout=subprocess.DEVNULL, cwd=self.folder,
        )  # fmt: skip
        self._ends.callback(process.wait)
        self._ends.callback(process.terminate)

    @cached_property
    def triton(self) -> TritonServer:
        """A real Triton, which has a model that answers zeros.

        Unavailable where the package that has it is not installed.
        """
        try:
            return self._ends.enter_context(TritonServer("mobilenet"))
        except ConfigError as error:
            raise Unavailable(str(error)) from error

    @cached_property
    def bare_grpc(self) -> Path:
        """The bare C loop over gRPC."""
        return self._of_nghttp2("bare_grpc")

    def grpc_server(self, reply: bytes) -> str:
        """Start a server of gRPC that answers every inference with one message; return its URL."""
        file = self.folder / "reply"
        file.write_bytes(reply)
        process = subprocess.Popen(
            [self._of_nghttp2("grpc_server"), file], stdout=subprocess.PIPE, text=True
        )
        self._ends.enter_context(process)
        self._ends.callback(process.terminate)
        assert process.stdout is not None
        return f"grpc://{HOST}:{process.stdout.readline().strip()}"

    def _of_nghttp2(self, name: str) -> Path:
        """Build a C program of this folder with nghttp2."""
        return programs.compile_c(
            self.folder / name, programs.HERE / f"{name}.c",
            libraries=self.libraries.only("nghttp2"),
        )  # fmt: skip

    @cached_property
    def redis_benchmark(self) -> Path:
        """Redis's own benchmark program."""
        return installed("redis-benchmark", "redis-tools")

    @cached_property
    def libraries(self) -> vendored_sources.Sources:
        """The C libraries that are linked in."""
        return vendored_sources.find_sources(self.folder / "vendored")

    @cached_property
    def bare_loop(self) -> Path:
        """The bare C loop."""
        source = programs.HERE / "bare_loop.c"
        return programs.compile_c(self.folder / "bare_loop", source, libraries=self.libraries)

    @cached_property
    def bare_stream(self) -> Path:
        """The bare C loop for streams of tokens."""
        return programs.compile_c(self.folder / "bare_stream", programs.HERE / "bare_stream.c")

    @cached_property
    def tensors(self) -> Path:
        """The file of distinct tensors."""
        return self.tensor_file(self.effort.tensors)

    def tensor_file(self, count: int, tensor_bytes: int = TENSOR_BYTES) -> Path:
        """A file of distinct tensors, all in the page cache.

        Unavailable where the disk or the memory has no room for it.
        """
        path = self.folder / f"{count}-of-{tensor_bytes}.out"
        if path.exists():
            return path
        self._check_room(count * tensor_bytes)
        self.say(f"writing {count} tensors of {tensor_bytes} bytes")
        values = os.urandom(tensor_bytes)
        with path.open("wb") as file:
            for number in range(count):
                file.write(number.to_bytes(8, "little"))
                file.write(values[8:])
            file.flush()
            os.fsync(file.fileno())  # else the system writes it out while something is measured
        return path

    def _check_room(self, size_bytes: int) -> None:
        disk, memory = shutil.disk_usage(self.folder).free, available_memory_bytes()
        gigabytes = f"a file of {size_bytes / 1e9:.1f} GB"
        if disk < size_bytes:
            raise Unavailable(f"{gigabytes} needs room on the disk, which has {disk / 1e9:.1f}")
        if memory < size_bytes + MEMORY_SPARE_BYTES:
            raise Unavailable(f"{gigabytes} has to stay in memory, which has {memory / 1e9:.1f}")


def installed(program: str, package: str) -> Path:
    """Where a program is; Unavailable where it is not installed."""
    found = shutil.which(program)
    if found is None:
        raise Unavailable(f"{program} is missing: install {package}")
    return Path(found)


def wait_until_it_answers(address: ServerAddress) -> None:
    """Return when the server answers; ServerError where it does not in time."""
    until = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            Connection(address).close()
            return
        except ServerError:
            if time.monotonic() > until:
                raise
        time.sleep(0.05)


def server_version(address: ServerAddress) -> str:
    """The server's name and version, such as `redis 7.0.15`."""
    with Connection(address) as connection:
        told = info(connection.call("INFO", "server"))
    kind = "valkey" if "valkey_version" in told else "redis"
    return f"{kind} {told[f'{kind}_version']}"


def available_memory_bytes() -> int:
    """The memory that the system could give a new program, with the page cache it can drop."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise OSError("/proc/meminfo does not tell MemAvailable")
