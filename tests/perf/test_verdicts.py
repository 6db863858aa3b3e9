"""The set-ups whose truth is known: what they start, what they report, and how it is judged."""

import os
import subprocess
from pathlib import Path

import pytest

from aibench_fast.load.machine import CpuGroups
from aibench_fast.results.clientside import Verdict
from benchmarks import verdicts
from benchmarks.verdicts import SETUPS, Missing, Outcome, Setup

SETUP = Setup(
    "a set-up", "the client waits", Verdict.CLIENT_BOUND, "of the client's cores",
    ("sleep", 20_000, 4), client_neighbours=1, options="--workers 2",
)  # fmt: skip


def outcome(verdict: Verdict, reason: str, foreign: float = 0.0, steal: float = 0.0) -> Outcome:
    return Outcome(verdict, reason, 1.0, 2.0, foreign, steal)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("verdicts") / "known_server"
    compiler = os.environ.get("CC", "cc")
    flags = ("-O2", "-Wall", "-Wextra", "-Werror", "-pthread")
    subprocess.run([compiler, *flags, "-o", path, verdicts.SOURCE], check=True)
    return path


def test_a_server_takes_the_time_that_it_is_given_and_both_records_have_it(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "DURATION", "1s")
    cores = (sorted(os.sched_getaffinity(0)) * 2)[:2]
    found = verdicts.run_once(SETUP, program, cores)
    assert found.server_p99_ms >= 20
    assert found.client_p99_ms is None or found.client_p99_ms >= 20
    assert found.reason
    assert -0.1 < found.foreign < 1
    worked = Setup("busy", "", Verdict.SERVER_BOUND, "", ("work", 5000, 300), options="--workers 3")
    assert verdicts.run_once(worked, program, cores).server_p99_ms >= 5


def test_a_verdict_is_right_with_the_right_reason_alone() -> None:
    right = outcome(Verdict.CLIENT_BOUND, "other programs used 50% of the client's cores")
    assert verdicts.is_right(SETUP, right)
    assert not verdicts.is_right(SETUP, outcome(Verdict.CLIENT_BOUND, "use more --threads"))
    assert not verdicts.is_right(SETUP, outcome(Verdict.UNCLEAR, right.reason))


def test_runs_that_were_disturbed_are_made_again_and_never_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = outcome(Verdict.CLIENT_BOUND, "of the client's cores")
    wrong = outcome(Verdict.SERVER_BOUND, "", foreign=0.5)
    runs = iter([wrong, right, wrong, right])
    monkeypatch.setattr(verdicts, "run_once", lambda *_: next(runs))
    monkeypatch.setattr(verdicts, "QUIET_S", 0.0)
    row, is_right = verdicts.tried(SETUP, 2, Path("none"), [0, 1])
    assert is_right
    assert row.endswith("| `client-bound` | 1.0 / 2.0, 1.0 / 2.0 | 2 of 2 |")
    monkeypatch.setattr(verdicts, "run_once", lambda *_: outcome(Verdict.UNCLEAR, "", steal=0.5))
    row, is_right = verdicts.tried(SETUP, 1, Path("none"), [0, 1])
    assert not is_right
    assert f"{verdicts.TRIES} runs were disturbed" in row


def test_what_cannot_be_set_up_here_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CpuGroups, "__init__", lambda self: setattr(self, "folders", []))
    with pytest.raises(Missing), verdicts.limited_group(0.5):
        pass


def test_all_set_ups_differ_and_each_verdict_is_among_them() -> None:
    assert len({one.name for one in SETUPS}) == len(SETUPS) >= 12
    assert {one.expected for one in SETUPS} == set(Verdict)
