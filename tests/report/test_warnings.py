"""Causes of doubtful figures are found and named in the summary, the result and the report."""

import dataclasses
import json
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commandline import Cli
from fake_redisai import OUTPUT_BYTES, FakeRedisAI, bulk
from resultfiles import our_result
from smallruns import against

from aibench_fast import Result, RunConfig, run
from aibench_fast.load.doubts import doubts_of_figures, warnings
from aibench_fast.load.surroundings import on_same_machine
from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.results.result import Interval
from aibench_fast.server import EmbeddedServer

TENSOR_BYTES = 602_112


def kinds(result: Result) -> set[str]:
    return {one.kind for one in result.warnings}


def answering(arguments: Sequence[bytes], number: int) -> bytes:
    """Another output each time."""
    output = bulk(number.to_bytes(4, "little") * (OUTPUT_BYTES // 4))
    if b"META" in arguments:
        return (
            b"*6\r\n"
            + bulk(b"dtype")
            + bulk(b"FLOAT")
            + bulk(b"shape")
            + b"*0\r\n"
            + (bulk(b"blob") + output)
        )
    return output


def test_a_model_that_answers_all_inputs_alike(tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        alike = against(server, tensor_file, max_queries=1000, seed=3)
    with FakeRedisAI(AI_TENSORGET=answering) as server:
        different = against(server, tensor_file, max_queries=1000)
    assert "equal_outputs" in kinds(alike)
    assert "equal_outputs" not in kinds(different)
    assert "few_requests" not in kinds(alike) | kinds(different)
    assert {"same_machine"} <= kinds(alike) & kinds(different)


def test_a_server_on_cores_of_its_own_is_no_warning(tensor_file: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("there is one core for both")
    with EmbeddedServer(password=None) as server:
        with Connection(server.address) as connection:
            load_model(connection, ModelSpec(name="m", backend=Backend.NULL))
        config = RunConfig(file=tensor_file, address=server.address, model="m", max_queries=100)
        shared = run(config)
        for task in Path(f"/proc/{server.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores[1:])
        os.sched_setaffinity(0, cores[:1])
        try:
            apart = run(config)
        finally:
            os.sched_setaffinity(0, cores)
    assert "same_machine" in kinds(shared)
    assert "same_machine" not in kinds(apart)


def test_a_server_at_an_address_of_this_machine_is_on_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # of documentation: only the way there is looked up
        except OSError:
            pytest.skip("this machine has no address but the loopback's")
        own = asking.getsockname()[0]
    assert on_same_machine(own) and on_same_machine("127.0.0.1") and on_same_machine("::1")
    assert not on_same_machine("192.0.2.1")


@pytest.mark.parametrize("where", ["others", "server_others"])
@pytest.mark.parametrize(("share", "expected"), [(0.2, False), (0.21, True)])
def test_other_programs_that_take_the_cores_are_warned_of(
    where: str, share: float, expected: bool
) -> None:
    usual = our_result()
    result = our_result(check=dataclasses.replace(usual.client.check, **{where: share}))
    config = RunConfig(file=None, shape=(4,))
    found = dict(doubts_of_figures(config, result))
    assert ("other_programs" in found) == expected
    assert "used 21% of their cores" in found.get("other_programs", "used 21% of their cores")


def test_equal_tensors_in_the_whole_file(tmp_path: Path) -> None:
    equal, one_other = tmp_path / "equal.out", tmp_path / "other.out"
    tensor = os.urandom(TENSOR_BYTES)
    equal.write_bytes(3 * tensor)
    one_other.write_bytes(2 * tensor + os.urandom(TENSOR_BYTES))
    with FakeRedisAI() as server:
        found = kinds(against(server, equal))
        assert "equal_tensors" in found
        assert "equal_outputs" not in found  # for the tensors are no others
        assert "equal_tensors" not in kinds(against(server, one_other))


def test_few_requests_tell_no_p99(cli: Cli, tensor_file: Path, tmp_path: Path) -> None:
    with FakeRedisAI() as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--quiet", "--max-queries", 20,
            "--json-out-file", "r.json",
        )  # fmt: skip
    assert "q99: not known, max:" in done.stdout
    assert "Warning: 20 measured requests are too few for a p99: measure 100" in done.stdout
    saved = json.loads((tmp_path / "r.json").read_text())["Warnings"]
    assert "few_requests" in [one["Kind"] for one in saved]
    cli("report", "r.json", "--out", "page.html", code=0)
    page = (tmp_path / "page.html").read_text()
    assert "20 measured requests are too few for a p99" in page
    assert re.search(r"p99 at the highest throughput.{,80}not known", page, re.DOTALL)


def periods(rates: list[float]) -> list[Interval]:
    return [
        Interval(
            unix_ms=1000 * n, images=n, instantaneous_rate=rate, overall_rate=rate,
            quantiles_ms=(1, 1, 1, 1, 1),
        )
        for n, rate in enumerate(rates)
    ]  # fmt: skip


def warned_of(result: Result) -> list[tuple[str, str]]:
    """The warnings of a run against a server elsewhere, in which nothing else is of note."""
    run: Any = SimpleNamespace(
        config=RunConfig(file=None, shape=(4,)),
        surroundings=SimpleNamespace(same_cores=False),
        equal_tensors=False,
    )
    outputs = [{1: b"a", 2: b"b"}, {1: b"a"}]
    watch: Any = SimpleNamespace(outputs=outputs, unsteady=None, unfilled=False)
    return [*warnings(run, watch, result)]


@pytest.mark.parametrize(
    ("rates", "warned"),
    [
        ([100 - 2 * n for n in range(12)], "fell by "),
        ([100 + 2 * n for n in range(12)], "rose by "),
        ([100, 101, 99, 100, 102, 98, 100, 101, 99, 100, 101, 99], None),
        ([100.0 + n / 100 for n in range(12)], None),  # sure, and too small to matter
        ([100, 90, 80], None),
    ],
)
def test_a_trend_in_the_measured_time(rates: list[float], warned: str | None) -> None:
    result = dataclasses.replace(our_result(), intervals=periods([*rates, 1.0]))
    found = [message for kind, message in warned_of(result) if kind == "trend"]
    assert (warned is None) == (found == [])
    if warned:
        assert warned in found[0]


def test_a_server_elsewhere_and_a_good_run_have_none() -> None:
    assert warned_of(our_result()) == []
