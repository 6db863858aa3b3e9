"""`make perf`, in short: all forms of the table; the figures themselves are not looked at."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import completed

from benchmarks.perf import table
from benchmarks.perf.row import Measured, Row, alternate, fastest, ratios

ROOT = Path(__file__).parents[2]
PNG = b"\x89PNG"


def test_rows_are_measured_and_left_in_three_forms(
    tmp_path: Path, system_program: Callable[[str, str], Path]
) -> None:
    system_program("redis-benchmark", "redis-tools")
    done = completed(
        sys.executable, "-m", "benchmarks.perf", "--quick", "--out", tmp_path, "--rows", "memory",
        "small-sets", "recording", cwd=ROOT,
    )  # fmt: skip
    rows = {row["name"]: row for row in json.loads((tmp_path / "perf.json").read_text())["rows"]}
    for name in ("SET of 64 bytes, 16 workers", "recording a latency"):
        assert len(rows[name]["rounds"]) == 2
        assert min(rows[name]["rounds"]) > 0
        assert name in done.stderr
    assert len(rows["memory, 50 workers"]["rounds"]) == 1
    assert rows["recording a latency"]["at_least"] == 40
    assert (tmp_path / "perf.txt").read_text() == done.stdout
    assert (tmp_path / "perf.png").read_bytes().startswith(PNG)


def test_what_is_not_there_is_a_row_that_is_not_reached(tmp_path: Path) -> None:
    done = completed(
        sys.executable, "-m", "benchmarks.perf", "--quick", "--out", tmp_path, "--rows",
        "instructions", cwd=ROOT, env={**os.environ, "PATH": str(tmp_path)},
    )  # fmt: skip
    assert "valgrind is missing: install valgrind" in done.stdout
    assert "not reached: instructions" in done.stdout


def test_rounds_alternate_and_ratios_are_of_one_round() -> None:
    order = []

    def client(name: str, *rates: float) -> Callable[[], Measured]:
        left = list(rates)

        def measure() -> Measured:
            order.append(name)
            return Measured(left.pop(0))

        return measure

    rounds = alternate({"a": client("a", 10, 20, 90), "b": client("b", 5, 40, 30)}, 3)
    assert "".join(order) == "abbaab"
    assert ratios(rounds, "a", "b") == (2, 0.5, 3)
    assert fastest({1: client("1", 5, 9), 2: client("2", 7, 8)}) == (1, Measured(9))


@pytest.mark.parametrize(
    ("rounds", "limits", "reached"),
    [
        ((0.9, 1.0, 2.0), {"at_least": 1}, True),
        ((0.9, 0.99, 2.0), {"at_least": 1}, False),
        ((0.9, 1.1, 1.2), {"at_most": 1.1}, True),
        ((0.9, 1.2, 1.2), {"at_most": 1.1}, False),
        ((0.8,), {"at_least": 0.9, "at_most": 1.1}, False),
        ((1.0,), {}, None),
        ((), {"at_least": 1}, False),
    ],
)
def test_the_median_is_held_against_the_limits(
    rounds: tuple[float, ...], limits: dict[str, float], reached: bool | None
) -> None:
    assert Row(name="row", figure="figure", rounds=rounds, **limits).reached is reached


def test_the_table() -> None:
    rows = [
        Row(
            name="loop, 1 worker", figure="over the loop's", rounds=(0.9, 0.97, 1.0),
            at_least=0.95, beside={"loop": 5100.4, "ours": 4900.0}, unit="requests/s",
        ),
        Row(name="instructions", figure="instructions", rounds=(2176.2,), at_most=20_000),
        Row(
            name="loop, 4 workers", figure="over the loop's", rounds=(0.5,), at_least=0.95,
            note="2 threads in the loop",
        ),
        Row(name="large file", figure="not measured", rounds=(), at_least=1, note="no room"),
    ]  # fmt: skip
    assert table.text(rows, {"Cores": 2}) == TABLE


TABLE = """\
Cores: 2

  row              measured    rounds   to reach  reached

over the loop's
  loop, 1 worker       0.97  0.9 to 1    >= 0.95      yes
      loop 5,100, ours 4,900 requests/s
  loop, 4 workers       0.5              >= 0.95       no
      2 threads in the loop

instructions
  instructions        2,176            <= 20,000      yes

not measured
  large file           none                 >= 1       no
      no room

not reached: loop, 4 workers; large file
"""
