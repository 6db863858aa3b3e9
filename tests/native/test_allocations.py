"""No memory is allocated for a request, once the first ones were answered.

Counted in instructions of the I/O threads in the functions that allocate.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import completed
from fake_grpc import FakeGrpc
from grpcfaults import well
from token_server import CHUNKED, DONE, Piece, chunked, delta, token_server, usage

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
        defines=callgrind.counted(TENSOR_BYTES),
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


def spent_by(
    driver: Path, profile: Path, port: int, requests: int, streams: int, protocol: str
) -> int:
    """Run two workers; return the instructions of their thread in allocating functions."""
    words = (port, 2, 1, requests, GENERATED, 0, 0, streams, 1, protocol)
    done = completed(
        "valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}", "--compress-pos=no",
        "--compress-strings=no", callgrind.IO_THREADS_ALONE, driver, *words,
    )  # fmt: skip
    assert done.stdout.split()[:2] == [str(requests), str(requests - 2)]
    return spent_on_allocating(profile)


@pytest.mark.parametrize("streams", [1, 8])
def test_a_request_over_grpc_allocates_nothing(driver: Path, tmp_path: Path, streams: int) -> None:
    spent = []
    for requests in (60, 180):
        with FakeGrpc(well) as server:
            port = server.port
            spent.append(spent_by(driver, tmp_path / "of", port, requests, streams, "grpc"))
    assert spent[0] == spent[1]


def of_tokens(events: int) -> list[Piece]:
    """A stream whose events come in segments that cut some of them."""
    stream = CHUNKED + chunked([*[delta(content="word")] * events, usage(events), DONE])
    return [stream[at : at + 1000] for at in range(0, len(stream), 1000)]


@pytest.mark.parametrize(
    ("requests", "events"),
    [((60, 180), (60, 60)), ((60, 60), (60, 180))],
    ids=["streams", "events"],
)
def test_a_stream_of_tokens_allocates_nothing(
    driver: Path, tmp_path: Path, requests: tuple[int, int], events: tuple[int, int]
) -> None:
    spent = []
    for request_count, event_count in zip(requests, events, strict=True):
        pieces = of_tokens(event_count)
        with token_server(lambda _, pieces=pieces: pieces) as server:  # type: ignore[misc]
            port = server.port
            spent.append(spent_by(driver, tmp_path / "of", port, request_count, 1, "tokens"))
    assert spent[0] == spent[1]
