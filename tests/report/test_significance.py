"""p-values against published ones, and comparisons of many cells by them."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
from commandline import Cli
from resultfiles import go_document, our_result, result_name, write

from aibench_fast.results.compare import ComparisonVerdict, compare
from aibench_fast.results.significance import holm, student_p, welch_p
from benchmarks.same_twice import NOISES, simulated, simulated_worse

GOLDEN = Path(__file__).parents[1] / "golden"
# The hours of sleep of Student's paper of 1908.
ONE = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
OTHER = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_welchs_test_of_students_data() -> None:
    assert welch_p(ONE, OTHER) == pytest.approx(0.07939, abs=5e-6)  # as R's t.test has it
    assert welch_p(OTHER, ONE) == welch_p(ONE, OTHER)


@pytest.mark.parametrize(
    ("t", "degrees"), [(12.706, 1), (4.303, 2), (2.776, 4), (2.228, 10), (1.98, 120)]
)
def test_students_table_at_five_percent(t: float, degrees: float) -> None:
    assert student_p(t, degrees) == pytest.approx(0.05, abs=1e-4)


def test_values_without_any_spread() -> None:
    assert welch_p([1.0, 1.0], [1.0, 1.0]) == 1
    assert welch_p([1.0, 1.0], [2.0, 2.0]) == 0
    # Only rounding is in doubt, by one standard deviation.
    assert welch_p([1.0, 1.0], [2.0, 2.0], known_variance=1.0) == pytest.approx(0.3173, abs=1e-4)


def test_holms_correction() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("name", [name for name in NOISES if "slows" not in name])
@pytest.mark.parametrize("turns", [True, False])
def test_a_server_is_hardly_ever_worse_than_itself(name: str, turns: bool) -> None:
    assert simulated_worse(NOISES[name], 20, turns) <= 1


def test_a_machine_that_slows_is_no_worse_server_where_sides_take_turns() -> None:
    assert simulated_worse(NOISES["3 %, and it slows by 10 %"], 20, turns=True) <= 1


def test_a_drift_is_seen_and_is_no_verdict_where_one_side_was_last() -> None:
    """The runs wander but little, so that each p-value by itself would be sure."""
    rng = np.random.default_rng(2)
    noise = NOISES["3 %, and it slows by 10 %"]
    several = [compare(*simulated(noise, rng, turns=False)) for _ in range(20)]
    drifts = [max(one.drift for one in report.comparisons) for report in several]
    assert sum(drift > 1.02 for drift in drifts) >= 15
    assert sum(report.worse for report in several) <= 4


def test_one_slower_cell_of_four_is_worse_and_no_other() -> None:
    rng = np.random.default_rng(3)
    noise = NOISES["log-normal, 1 %"]
    report = compare(*simulated(noise, rng, slower=1.15))
    worse = {(one.cell, one.metric.name) for one in report.comparisons if one.verdict == "worse"}
    first = report.comparisons[0].cell
    assert {cell for cell, _ in worse} == {first}
    assert {name for _, name in worse} >= {"throughput", "p50"}


def sixteen(folder: Path, p_like: float, seed: int) -> Path:
    """Four cells, five runs each; in the first one a change that is sure only by itself."""
    rng = random.Random(seed)
    for workers in (1, 2, 4, 8):
        for run in range(1, 6):
            change = p_like if workers == 1 else 1.0
            rate = 100 * change * rng.gauss(1, 0.04)
            write(
                folder, result_name("", (workers, 0, 1), run),
                go_document(workers, 0, 1, rate, 20 * rng.gauss(1, 0.04)),
            )  # fmt: skip
    return folder


def test_what_chance_may_have_made_is_unclear(cli: Cli, tmp_path: Path) -> None:
    sixteen(tmp_path / "a", 1.0, seed=1)
    sixteen(tmp_path / "b", 0.92, seed=5)
    done = cli("compare", "a", "b", code=0, errors=0)
    assert done.stdout == (GOLDEN / "compare_cells.txt").read_text()
    told = json.loads(cli("compare", "a", "b", "--format", "json").stdout)
    assert (told["judged"], told["leave_out_1_by_chance"]) == (16, pytest.approx(0.8))
    first = told["comparisons"][0]
    assert (first["verdict"], told["leave_out_1"]) == ("unclear", 1)
    assert first["interval"][1] < 1
    assert first["p"] < 0.05 < first["corrected_p"]


def test_more_runs_are_advised_where_few_tell_nothing(cli: Cli, tmp_path: Path) -> None:
    for side, rates in (("a", (100, 150, 60)), ("b", (90, 160, 75))):
        for run, rate in enumerate(rates, 1):
            write(
                tmp_path / side, result_name("", (1, 0, 1), run),
                go_document(1, 0, 1, rate, 1000 / rate),
            )  # fmt: skip
    done = cli("compare", "a", "b", code=0)
    (line,) = done.stderr.splitlines()
    assert "make 5 runs on each side, or more" in line
    low, high = (float(word) for word in line.split("as wide as ")[1].split(":")[0].split(" to "))
    assert low < 0.5 < 2 < high


def test_drift_is_told_and_is_in_the_json(cli: Cli, tmp_path: Path) -> None:
    for number in range(10):
        result = our_result(
            rate=100.0 * math.exp(-0.02 * number), start_unix_ms=number * 60_000, seed=number
        )
        result.save(tmp_path / "ab"[number >= 5] / f"{number}.json")
    done = cli("compare", "a", "b")
    assert "The machine drifted within A and within B. From A to B, drift may" in done.stdout
    assert "let A and B take turns" in done.stdout
    told = json.loads(cli("compare", "a", "b", "--format", "json").stdout)["comparisons"]
    throughput = next(one for one in told if one["metric"] == "throughput")
    # Five runs apart, but only the four steps of one side are known.
    assert throughput["drift"] == pytest.approx(math.exp(-0.02 * 4), rel=1e-3)
    assert throughput["verdict"] == ComparisonVerdict.UNCLEAR
    assert done.returncode == 0
