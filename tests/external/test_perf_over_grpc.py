"""Rows of `make perf` over gRPC: to Triton, and to the benchmarks' own server."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import completed

from benchmarks.perf.bench import QUICK, Bench
from benchmarks.perf.grpc_programs import H2load
from benchmarks.perf.over_grpc import INFER, SMALL_REPLY

ROOT = Path(__file__).parents[2]


def test_rows_over_grpc_are_measured(
    tmp_path: Path, system_program: Callable[[str, str], Path]
) -> None:
    system_program("h2load", "nghttp2-client")
    completed(
        sys.executable, "-m", "benchmarks.perf", "--quick", "--out", tmp_path, "--rows", "grpc",
        "grpc-small", cwd=ROOT, timeout=200,
    )  # fmt: skip
    rows = {row["name"]: row for row in json.loads((tmp_path / "perf.json").read_text())["rows"]}
    for name in (
        "gRPC to h2load, 1 worker",
        "gRPC to h2load, 8 workers",
        "gRPC to h2load, 16 floats, 50 workers",
        "gRPC to h2load, 16 floats, 1 worker with 8 streams",
    ):
        assert rows[name]["at_least"] == 0.95
    assert rows["client CPU, gRPC to h2load, 8 workers"]["at_most"] == 1.1
    assert rows["client CPU, gRPC to ours over HTTP, 1 worker"]["at_most"] == 1.1
    without = rows.pop("perf_analyzer over gRPC, 1 worker")
    assert "--perf-analyzer" in without["note"]
    del rows["perf_analyzer over gRPC, 8 workers"]
    assert all(len(row["rounds"]) == 2 and min(row["rounds"]) > 0 for row in rows.values())


def test_errors_of_grpc_are_no_successes_of_h2load(
    tmp_path: Path, system_program: Callable[[str, str], Path]
) -> None:
    program = system_program("h2load", "nghttp2-client")
    body = tmp_path / "body"
    body.write_bytes(bytes(5))
    with Bench(tmp_path, QUICK) as bench:
        url = bench.grpc_server(SMALL_REPLY).replace("grpc:", "http:")
        assert H2load(program, url + INFER, (), body).run(1, 1, 1, 5000).per_s > 0
        with pytest.raises(RuntimeError, match="errors of gRPC"):
            H2load(program, f"{url}/other.Service/ModelInfer", (), body).run(1, 1, 1, 10)
