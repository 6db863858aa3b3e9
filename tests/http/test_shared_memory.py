"""Tensors in shared memory: servers that cannot map it, and machines without room for it."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commandline import Cli
from fake_inference import (
    OUTPUT_BYTES,
    Asked,
    FakeInference,
    binary_reply,
    json_reply,
    output,
    reply,
)
from smallruns import against

from aibench_fast.load.kinds import InputTensor
from aibench_fast.protocols.openinference import sharedmemory
from aibench_fast.protocols.openinference.settings import SharedMemory
from aibench_fast.tensortype import split_strings

REGIONS = Path("/dev/shm")
EXTENDED = {"name": "triton", "version": "2", "extensions": ["system_shared_memory"]}
ROOM = {"/v2": json_reply(EXTENDED), "/v2/systemsharedmemory/status": json_reply([])}


class Mapping(dict[str, Any]):
    """The paths of a server that maps every region, as Triton does with some of them."""

    def __init__(self) -> None:
        super().__init__(ROOM)
        self.files: dict[str, int] = {}

    def __contains__(self, path: object) -> bool:
        return super().__contains__(path) or str(path).startswith("/v2/systemsharedmemory/region/")

    def __missing__(self, path: str) -> Callable[[Asked], bytes]:
        *_, name, verb = path.split("/")
        return partial(self._map if verb == "register" else self._forget, name)

    def _map(self, name: str, asked: Asked) -> bytes:
        self.files[name] = os.open(f"/dev/shm{asked.document['key']}", os.O_RDONLY)
        assert os.fstat(self.files[name]).st_size == asked.document["byte_size"]
        return reply(b"")

    def _forget(self, name: str, asked: Asked) -> bytes:
        os.close(self.files.pop(name))
        return reply(b"")

    def read(self, asked: Asked) -> list[bytes]:
        """The inputs of a request."""
        found = []
        for one in asked.document["inputs"]:
            place = one["parameters"]
            file = self.files[place["shared_memory_region"]]
            size, offset = place["shared_memory_byte_size"], place["shared_memory_offset"]
            found.append(os.pread(file, size, offset))
        return found


def told_of(cli: Cli, server: FakeInference, *words: object) -> tuple[int, str]:
    """The exit code and the line of a run that does not begin; nothing is left of it."""
    done = cli("run", "--url", server.url, "--model", "m", "--shared-memory", *words)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert not list(REGIONS.glob(f"aibench-fast-*-{os.getpid()}-*"))
    return done.returncode, done.stderr


def test_a_server_without_the_extension_is_one_line(cli: Cli) -> None:
    with FakeInference() as server:
        code, line = told_of(cli, server)
    assert code == 3
    assert f"{server.url} does not announce the extension system_shared_memory" in line
    assert "leave out --shared-memory" in line
    assert not server.asked  # nothing was tried


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (json_reply({"error": "no such thing"}, "404 Not Found"), "no such thing"),
        (json_reply({"name": "a"}), "does not follow the protocol"),
        (reply(b"[{}]"), "does not follow the protocol"),
    ],
)
def test_a_list_of_regions_that_is_none_is_one_line(cli: Cli, status: bytes, words: str) -> None:
    with FakeInference(paths={**ROOM, "/v2/systemsharedmemory/status": status}) as server:
        code, line = told_of(cli, server)
    assert code == 3
    assert words in line


def test_more_tensors_than_there_is_room_are_one_line(cli: Cli, tmp_path: Path) -> None:
    found = os.statvfs(REGIONS)
    with (tmp_path / "large.out").open("wb") as large:
        large.truncate((found.f_blocks * found.f_frsize // 16 + 1000) * 16)  # takes no room
    with FakeInference(paths=ROOM) as server:
        code, line = told_of(cli, server, "--file", tmp_path / "large.out", "--shape", 4)
    assert code == 2
    assert "--shared-memory: no region of " in line
    assert "which has room for " in line
    assert "send fewer tensors with --max-queries" in line


def test_requests_that_memory_has_no_room_for_are_one_line(cli: Cli) -> None:
    with FakeInference(paths=Mapping()) as server:
        code, line = told_of(cli, server, "--json-memory", 2000)
    assert code == 2
    assert "--json-memory: there are 2.0 KiB for m, one of whose requests takes " in line


@pytest.mark.parametrize("batch_size", [1, 4])
def test_strings_are_placed_by_their_lengths(tmp_path: Path, batch_size: int) -> None:
    lines = [b"hello", b"", "caf\u00e9".encode(), b"x" * 3000, b"tab\there", b"more"]
    (tmp_path / "lines.txt").write_bytes(b"\n".join(lines))
    paths, read = Mapping(), []

    def infer(asked: Asked, number: int) -> bytes:
        (strings,) = paths.read(asked)
        read.append(split_strings(strings))
        assert asked.document["inputs"][0]["shape"] == [batch_size, 1]
        return binary_reply(bytes(batch_size * OUTPUT_BYTES), output((batch_size, 1001)))

    model = {
        "name": "m", "platform": "none",
        "inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [-1, 1]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1001]}],
    }  # fmt: skip
    with FakeInference(paths=paths, model=model, infer=infer) as server:
        result = against(
            server, shared_memory=SharedMemory.INPUTS,
            inputs=(InputTensor(tmp_path / "lines.txt", (1,), "BYTES", "TEXT"),),
            batch_size=batch_size, max_queries=10 * batch_size,
        )  # fmt: skip
        lengths = {len(asked.body) for asked in server.asked}
    assert (result.successes, len(lengths), paths.files) == (10, 1, {})
    cycled = [lines[place % len(lines)] for place in range(10 * batch_size)]
    expected = [cycled[place : place + batch_size] for place in range(0, len(cycled), batch_size)]
    assert read == [expected[0], *expected]  # the trial first


def test_outputs_of_strings_are_not_put_there(cli: Cli) -> None:
    """Their sizes differ."""
    told = {**output(datatype="BYTES"), "parameters": {"binary_data_size": 4004}}
    answered = binary_reply(bytes(4004), told)
    with FakeInference(paths=Mapping(), infer=lambda *_: answered) as server:
        code, line = told_of(cli, server, "all")
    assert code == 2
    assert "--shared-memory all: output y is of strings" in line


def test_a_server_that_sends_outputs_all_the_same_is_one_line(cli: Cli) -> None:
    def infer(asked: Asked, number: int) -> bytes:
        if number == 0:
            return binary_reply()
        assert asked.document["outputs"][0]["parameters"]["shared_memory_byte_size"] >= OUTPUT_BYTES
        return json_reply({"outputs": [{**output(), "data": [0.0] * 1001}]})

    with FakeInference(paths=Mapping(), infer=infer) as server:
        code, line = told_of(cli, server, "all")
    assert code == 3
    assert "output y has values, which were requested in shared memory" in line


def test_there_is_no_json_in_memory(cli: Cli) -> None:
    with FakeInference(paths=Mapping()) as server:
        code, line = told_of(cli, server, "--encoding", "json")
    assert code == 2
    assert "--encoding json with --shared-memory" in line


def test_redisai_has_none(cli: Cli) -> None:
    done = cli("run", "--shared-memory", "--shape", 4, code=2, errors=1)
    assert "--shared-memory without --url" in done.stderr


def test_a_region_says_whose_it_is() -> None:
    region = sharedmemory.Region(1000)
    try:
        assert not sharedmemory.is_abandoned(region.name)
        *others, pid, started, number = region.name.split("-")
        before = "-".join([*others, pid, str(int(started) - 1), number])
        assert sharedmemory.is_abandoned(before)
        elsewhere = "-".join([*others[:-1], "1", pid, str(int(started) - 1), number])
        assert not sharedmemory.is_abandoned(elsewhere)
        assert not sharedmemory.is_abandoned(f"{region.name}-more")
        assert not sharedmemory.is_abandoned("someone-elses")
    finally:
        region.close()
    region.close()
