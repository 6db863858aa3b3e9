"""Whether values rise or fall all along."""

import pytest
from scipy import stats

from aibench_fast.results.significance import trend, trend_p


def test_a_trend_is_as_likely_as_mann_and_kendall_say() -> None:
    rising = [1.0, 2, 3, 4, 5, 6, 7, 8]
    assert trend_p(rising) < 0.002
    assert trend_p(rising) == pytest.approx(trend_p(rising[::-1]))
    assert trend_p([1.0, 2, 3]) == 1.0
    tau = stats.kendalltau(range(8), [3, 1, 4, 1.5, 5, 9, 2, 6], method="asymptotic")
    assert trend_p([3, 1, 4, 1.5, 5, 9, 2, 6]) == pytest.approx(tau.pvalue, abs=0.1)


def test_the_ends_alone_do_not_say_how_much_it_changed() -> None:
    rising = [130.0, *range(101, 121), 95.0]
    found = trend(rising)
    assert found.change == pytest.approx(0.12, abs=0.01)


def test_a_change_that_does_not_matter_is_no_trend() -> None:
    small = [100 + n / 10 for n in range(40)]
    assert trend_p(small) < 1e-9
    assert trend(small) is None
    assert trend([100.0 + n for n in range(40)]) is not None
