"""A run shared out over several clients: together they send what one client would."""

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aibench_fast import ConfigError, RunConfig
from aibench_fast._core import taken_requests
from aibench_fast.clients.split import split
from aibench_fast.load.arrivals import arrivals
from aibench_fast.load.profile import parse_profile

NS_PER_S = 1e9
ENOUGH = 600

clients_and_workers = st.integers(1, 9).flatmap(
    lambda clients: st.tuples(st.just(clients), st.integers(clients, 40))
)
schedules = st.sampled_from(
    [
        {"limit_rps": 250.0},
        {"limit_rps": 80.0, "arrivals": "poisson", "seed": 7},
        {"profile": parse_profile("50/s for 1s, 50/s to 200/s over 2s, 0/s for 1s, 20/s for 2s")},
        {"profile": parse_profile("90/s to 0/s over 3s"), "arrivals": "poisson"},
    ]
)


def config(**changes: Any) -> RunConfig:
    return RunConfig(file=None, shape=(16,), **changes)


def sent(one: RunConfig, most: int = ENOUGH) -> list[tuple[int, int]]:
    """The requests that a client takes, by number and due time."""
    return taken_requests(arrivals(one).schedule, most, one.share)


@given(clients_and_workers, st.integers(0, 10_000))
def test_shares_of_a_closed_loop_are_each_request_once(
    clients_workers: tuple[int, int], requests: int
) -> None:
    clients, workers = clients_workers
    shares = split(config(workers=workers, max_queries=requests), clients)
    assert sum(one.workers for one in shares) == workers
    assert max(one.workers for one in shares) - min(one.workers for one in shares) <= 1
    counts = [one.share.count(requests) for one in shares if one.share]
    assert sum(counts) == requests
    few = min(requests, 200)
    taken = [number for one in shares for number, _ in sent(one, one.share.count(few))]
    assert sorted(taken) == list(range(few))
    assert all(number < few for number in taken)


@settings(deadline=None)
@given(clients_and_workers, schedules)
def test_clients_send_together_what_one_would_when_one_would(
    clients_workers: tuple[int, int], schedule: dict[str, Any]
) -> None:
    """So arrivals are even, Poisson or a profile's over all, exactly as those of one."""
    clients, workers = clients_workers
    whole = config(workers=workers, **schedule)
    wanted = sent(whole)
    last = wanted[-1][0]
    together = sorted(one for share in split(whole, clients) for one in sent(share))
    assert [one for one in together if one[0] <= last] == wanted


def test_even_arrivals_interleave() -> None:
    """Client i of N is one Nth of the time between two of its requests after the one before it."""
    for client, share in enumerate(split(config(workers=8, limit_rps=100.0), 4)):
        due_s = [due_ns / NS_PER_S for _, due_ns in sent(share, 50)]
        assert due_s == pytest.approx([(client + 4 * k) / 100 for k in range(50)])


def test_recorded_arrivals_are_dealt_out(tmp_path: Path) -> None:
    offsets = sorted(random.Random(3).uniform(0, 5) for _ in range(101))
    file = tmp_path / "arrivals.txt"
    file.write_text("\n".join(map(str, offsets)))
    whole = config(workers=7, arrivals_file=file)
    together = sorted(one for share in split(whole, 3) for one in sent(share))
    assert together == sent(whole)
    assert len(together) == 101


@settings(deadline=None)
@given(clients_and_workers, schedules, st.integers(0, 40), st.just(0.0) | st.floats(0.001, 1.5))
def test_all_clients_measure_from_one_moment_on(
    clients_workers: tuple[int, int], schedule: dict[str, Any], requests: int, seconds: float
) -> None:
    """By a schedule that is when the first request that is measured is due, whosever it is."""
    clients, workers = clients_workers
    burn_in = {"burn_in": requests} if requests else {"burn_in_s": seconds}
    whole = config(workers=workers, **schedule, **burn_in)
    due = arrivals(whole)
    measured = [
        due_ns
        for number, due_ns in sent(whole)
        if number >= due.burn_in_requests and due_ns >= due.burn_in_ns
    ]
    found = {arrivals(share).measured_after_ns for share in split(whole, clients)}
    assert found == {measured[0]}


@given(clients_and_workers, st.integers(0, 500))
def test_a_burn_in_by_count_is_shared_out(clients_workers: tuple[int, int], burn_in: int) -> None:
    clients, workers = clients_workers
    shares = split(config(workers=workers, burn_in=burn_in, duration_s=1.0), clients)
    assert sum(arrivals(share).burn_in_requests for share in shares) == burn_in


def test_what_is_of_the_whole_is_in_every_share() -> None:
    """Whichever client sends a request, its number says its tensors and its kind of a mix."""
    whole = config(workers=5, seed=9, max_queries=70, limit_rps=10.0, threads=4)
    for share in split(whole, 3):
        of_its_own = {"workers", "threads", "share", "results_so_far"}
        for name in {field.name for field in dataclasses.fields(RunConfig)} - of_its_own:
            assert getattr(share, name) == getattr(whole, name)
    assert [share.threads for share in split(whole, 3)] == [2, 1, 1]


@pytest.mark.parametrize(
    ("changes", "clients", "told"),
    [
        ({"workers": 2}, 3, "`clients` 3 with `workers` 2: .*fewer clients"),
        ({"workers": 2}, 0, "`clients` 0: .*at least one"),
        (
            {"workers": 2, "burn_in_until_steady": True, "duration_s": 1.0}, 2,
            "`burn_in_until_steady` over several clients: .*give requests or a time",
        ),
        ({"workers": 2, "server_pid": 1}, 2, "`server_pid` over several clients"),
    ],
)  # fmt: skip
def test_what_cannot_be_shared_out_is_told(
    changes: dict[str, Any], clients: int, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        split(config(**changes), clients)
