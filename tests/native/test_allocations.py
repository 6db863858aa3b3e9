"""No memory is allocated for a request over gRPC, once the first ones were answered.

Counted in instructions of the I/O threads in the functions that allocate.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_grpc import FakeGrpc
from grpcfaults import well

from benchmarks.perf import callgrind, programs
from vendored_sources import Sources

TENSOR_BYTES = 150_528
GENERATED = "-"
ALLOCATING = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"}


@pytest.fixture(scope="module")
def driver(
    libraries: Sources,
    tmp_path_factory: pytest.TempPathFactory,
    system_program: Callable[[str, str], Path],
) -> Path:
    system_program("valgrind", "valgrind")
    return programs.compile_driver(
        tmp_path_factory.mktemp("driver") / "driver", libraries,
        flags=callgrind.counted_flags(TENSOR_BYTES), library_flags=("-O1",),
    )  # fmt: skip


def spent_on_allocating(profile: Path) -> int:
    """Return the instructions of the functions themselves."""
    spent, counts, is_call = 0, False, False
    for line in profile.read_text().splitlines():
        name, is_named, value = line.partition("=")
        if is_named:
            counts = value.lstrip("_") in ALLOCATING if name == "fn" else counts
            is_call = name == "calls"
        elif line[:1].isdigit():
            spent += int(line.split()[1]) if counts and not is_call else 0
            is_call = False
    return spent


@pytest.mark.parametrize("streams", [1, 8])
def test_a_request_allocates_nothing(driver: Path, tmp_path: Path, streams: int) -> None:
    spent = []
    for requests in (60, 180):
        profile = tmp_path / f"{requests}.out"
        with FakeGrpc(well) as server:
            words = (server.port, 2, 1, requests, GENERATED, 0, 0, streams, 1, "grpc")
            done = subprocess.run(
                ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}",
                 "--compress-pos=no", "--compress-strings=no", callgrind.IO_THREADS_ALONE, driver,
                 *map(str, words)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
        assert done.stdout.split()[:2] == [str(requests), str(requests - 2)]
        spent.append(spent_on_allocating(profile))
    assert spent[0] == spent[1]
