"""The user-space instructions of a request: a guard that the load of the machine does not move."""

import os
import platform
import subprocess
from collections.abc import Callable
from pathlib import Path

import grpcfaults
import pytest
from fake_grpc import FakeGrpc
from fake_inference import FakeInference
from fake_redisai import OK, OUTPUT_BYTES, FakeRedisAI, bulk

from benchmarks.perf import callgrind, programs
from vendored_sources import Sources

TENSOR_BYTES = 16
GENERATED = Path("-")  # in place of a tensor file
REQUESTS = (200, 1200)
PINNED = {("gcc", "12", "x86_64"): {"resp": 2000, "http": 3070, "grpc": 13_650}}
"""Counts by compiler, its major version and the machine; kept within 5 %."""
WITHIN = 0.05
AT_MOST = 20_000
"""On any other."""


@pytest.fixture(scope="module")
def driver(
    libraries: Sources,
    tmp_path_factory: pytest.TempPathFactory,
    system_program: Callable[[str, str], Path],
) -> Path:
    system_program("valgrind", "valgrind")
    program = tmp_path_factory.mktemp("driver") / "driver"
    return programs.compile_driver(program, libraries, flags=callgrind.counted_flags(TENSOR_BYTES))


def compiler() -> tuple[str, str]:
    """Return its name and its major version."""
    found = subprocess.run(
        [os.environ.get("CC", "cc"), "-dM", "-E", "-"],
        input="", check=True, capture_output=True, text=True,
    )  # fmt: skip
    macros = dict(line.split(" ", 2)[1:] for line in found.stdout.splitlines())
    if "__clang__" in macros:
        return "clang", macros["__clang_major__"]
    return "gcc", macros.get("__GNUC__", "")


def all_at_once() -> FakeRedisAI:
    """Send all replies at once: a request is one sendmsg, one epoll_wait and one recv."""
    return FakeRedisAI(
        AI_TENSORSET=lambda *_: b"",
        AI_MODELRUN=lambda *_: b"",
        AI_TENSORGET=lambda *_: OK + OK + bulk(bytes(OUTPUT_BYTES)),
    )


def over_grpc() -> FakeGrpc:
    """Send all frames of a reply at once."""
    return FakeGrpc(grpcfaults.well)


SERVERS: dict[str, Callable[[], FakeRedisAI | FakeInference | FakeGrpc]] = {
    "resp": all_at_once, "http": FakeInference, "grpc": over_grpc,
}  # fmt: skip


@pytest.mark.parametrize(
    ("protocol", "workers", "threads"),
    [
        ("resp", 1, 1), ("resp", 8, 1), ("resp", 8, 2), ("http", 1, 1), ("http", 8, 2),
        ("grpc", 1, 1), ("grpc", 8, 2),
    ],
)  # fmt: skip
def test_a_request_costs_no_more_instructions_than_it_did(
    driver: Path, protocol: str, workers: int, threads: int
) -> None:
    with SERVERS[protocol]() as server:
        counted = callgrind.instructions_per_request(
            driver, server.port, GENERATED, workers=workers, threads=threads, requests=REQUESTS,
            protocol=protocol,
        )  # fmt: skip
    pinned = PINNED.get((*compiler(), platform.machine()))
    if pinned is None:
        assert counted <= AT_MOST
    else:
        assert counted == pytest.approx(pinned[protocol], rel=WITHIN)
