"""Rows of `make perf` that are measured with Triton."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from commandline import completed

ROOT = Path(__file__).parents[2]


def test_rows_over_http_are_measured(
    tmp_path: Path, system_program: Callable[[str, str], Path]
) -> None:
    system_program("wrk", "wrk")
    completed(
        sys.executable, "-m", "benchmarks.perf", "--quick", "--out", tmp_path, "--rows", "wrk",
        "tritonclient", cwd=ROOT,
    )  # fmt: skip
    rows = {row["name"]: row for row in json.loads((tmp_path / "perf.json").read_text())["rows"]}
    assert [*rows] == [
        "wrk, 2 workers",
        "client CPU over HTTP, 2 workers",
        "wrk, 2 workers, distinct tensors",
        "client CPU over HTTP, 2 workers, distinct tensors",
        "tritonclient, 1 worker",
    ]
    assert rows["wrk, 2 workers"]["at_least"] == 0.95
    assert rows["client CPU over HTTP, 2 workers"]["at_most"] == 1.1
    assert all(len(row["rounds"]) == 2 and min(row["rounds"]) > 0 for row in rows.values())
