"""How far other clocks are: by exchanges whose delays are not known."""

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibench_fast.clients import clocks
from aibench_fast.clients.clocks import EXCHANGES, Offset, clock_id, measure

delays_ns = st.integers(0, 10**9)
exchanges = st.lists(
    st.tuples(delays_ns, delays_ns, st.integers(0, 10**12)),
    min_size=EXCHANGES, max_size=EXCHANGES,
)  # fmt: skip


@given(exchanges, st.integers(-(10**15), 10**15))
def test_the_truth_is_within_the_uncertainty(
    delays: list[tuple[int, int, int]], true_ns: int
) -> None:
    here = iter([ns for there_ns, back_ns, at_ns in delays
                 for ns in (at_ns, at_ns + there_ns + back_ns)])  # fmt: skip
    there = iter([at_ns + there_ns + true_ns for there_ns, _, at_ns in delays])
    found = measure(partial(next, there), partial(next, here))
    assert abs(found.ns - true_ns) <= found.uncertainty_ns
    shortest_ns = min(there_ns + back_ns for there_ns, back_ns, _ in delays)
    assert found.uncertainty_ns == -(-shortest_ns // 2)


def test_an_offset_says_the_time_there() -> None:
    assert Offset(-500, 3).there(2_000) == 1_500


def test_a_machines_clock_has_one_name() -> None:
    assert clock_id() == clock_id() != ""


def test_a_clock_whose_boot_has_no_id_keeps_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clocks, "_BOOT_ID", tmp_path / "none")
    clock_id.cache_clear()
    try:
        name = clock_id()
        assert clock_id() == name
        clock_id.cache_clear()  # as in another process
        assert clock_id() != name
    finally:
        clock_id.cache_clear()
