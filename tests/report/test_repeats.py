"""The statistics of repeated runs."""

import math
import random
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resultfiles import our_result
from scipy import stats

from aibench_fast.results import repeats
from aibench_fast.results.repeats import Repeats, Spread
from aibench_fast.studies.repeat import repeated

NOISES: dict[str, Callable[[random.Random], float]] = {
    "normal": lambda rng: rng.gauss(100, 3),
    "skewed": lambda rng: 100 * rng.lognormvariate(0, 0.2),
    "with outliers above": lambda rng: (
        100 * rng.lognormvariate(0, 0.02) * rng.paretovariate(0.7)
        if rng.random() < 0.5
        else 100 * rng.lognormvariate(0, 0.02) / (1 + rng.expovariate(20))
    ),
}


@pytest.mark.parametrize("runs", [5, 6, 10, 50])
@pytest.mark.parametrize("noise", NOISES)
def test_the_interval_covers_the_true_median(noise: str, runs: int) -> None:
    rng = random.Random(7)
    one = NOISES[noise]
    truth = statistics.median(one(rng) for _ in range(100_001))
    covered = 0
    for _ in range(1000):
        interval = Spread([one(rng) for _ in range(runs)], "ms").interval
        covered += interval[0] <= truth <= interval[1]
    assert covered >= 900


@given(st.lists(st.floats(0.01, 1e4), min_size=2, max_size=60))
def test_the_median_of_the_runs_is_in_its_interval(values: list[float]) -> None:
    spread = Spread(values, "ms")
    low, high = spread.interval
    assert low <= spread.median * (1 + 1e-12)
    assert spread.median <= high * (1 + 1e-12)


def test_the_level_is_the_binomial_laws() -> None:
    for runs in (6, 7, 20, 50, 2000):
        levels = repeats._median_levels(runs)
        for place in range(1, runs // 2):
            wanted = 1 - 2 * stats.binom.cdf(place - 1, runs, 0.5)
            assert levels[place - 1] == pytest.approx(wanted)


def test_the_table_of_student_is_students() -> None:
    for degrees, t in enumerate(repeats._T, start=1):
        assert t == pytest.approx(stats.t.ppf(0.975, degrees), abs=6e-4)


def test_a_steady_server_is_stable_and_a_drifting_one_is_not() -> None:
    rng = random.Random(1)
    alarms = sum(
        bool(Spread([rng.gauss(100, 2) for _ in range(10)], "inferences/s").doubts())
        for _ in range(100)
    )
    assert alarms <= 5
    drifting = Spread([100 - 3 * n + rng.gauss(0, 1) for n in range(10)], "inferences/s")
    assert any("drifts, by -" in doubt for doubt in drifting.doubts())
    assert any("deviates by" in doubt for doubt in Spread([50, 100, 150], "ms").doubts())
    assert any("one run had 300" in doubt for doubt in Spread([100, 101, 99, 300], "ms").doubts())


def test_it_repeats_until_the_interval_is_narrow_or_gives_up() -> None:
    steady = repeated(lambda n: our_result(rate=100 + n % 2, seed=n), 3, until=0.02)
    assert 3 <= len(steady.results) < 10
    assert not steady.gave_up
    wild = repeated(lambda n: our_result(rate=100 if n % 2 else 300, seed=n), 3, until=0.02, most=8)
    assert (len(wild.results), wild.gave_up) == (8, True)
    many = repeated(lambda n: our_result(rate=100, seed=n, seconds=6), 60)
    assert (len(many.results), many.gave_up) == (60, False)


def test_the_width_of_an_interval_is_that_of_its_wider_side() -> None:
    rates = Spread([100, 100.1, 100.1, 100.1, 100.1, 104], "inferences/s")
    assert rates.interval == (100, 104)
    assert rates.half_width == pytest.approx(3.9 / 100.1)
    assert Spread([0.0] * 6, "inferences/s").half_width == math.inf
    assert Spread([1.0], "inferences/s").half_width == math.inf


def test_one_run_has_no_interval() -> None:
    made = Repeats([our_result()])
    assert made.rate.interval is None
    assert made.to_json(["a.json"])["Repeats"]["Figures"]["rate"]["Low"] is None
