"""The script that counts how often a server is called worse than itself, and no count of it."""

import sys
from pathlib import Path

import pytest
from commandline import completed

from benchmarks import same_twice

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("order", [[], ["--one-after-the-other"]])
def test_a_trial_is_two_sweeps_and_a_comparison(
    order: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["--trials", "1", "--duration", "30ms", *order, "--", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["same_twice", *words])
    monkeypatch.setattr(same_twice, "RUNS", 2)
    monkeypatch.setattr(same_twice, "WORKERS", (1,))
    code = same_twice.main()
    out, err = capfd.readouterr()
    assert err == ""
    *_, trial, summary = out.splitlines()
    assert trial.startswith("trial 1: exit code ")
    worse = int(trial.split("exit code ")[1].split(",")[0])
    assert summary == f"{worse} of 1 comparisons of a server with itself have exit code 1"
    assert code == worse


def test_a_sweep_that_fails_ends_it() -> None:
    done = completed(
        sys.executable, "-m", "benchmarks.same_twice", "--trials", "1", "--", "--nosuch", code=1,
        cwd=ROOT,
    )  # fmt: skip
    assert "unrecognized arguments: --nosuch" in done.stderr
