"""Journals of runs: what they hold, cut anywhere, and what `recover` makes of them."""

import dataclasses
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ci import examples
from commandline import Cli
from hypothesis import given, settings
from hypothesis import strategies as st
from resultfiles import changed, our_result

from aibench_fast.errors import ConfigError
from aibench_fast.results import journal as journals
from aibench_fast.results.figures import Failure, KindFigures, StepFigures
from aibench_fast.results.groups import Outage
from aibench_fast.results.journal import Journal, recover
from aibench_fast.results.result import Result


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("", "is empty"),
        ("{}\n", "is not a run's journal: name the .journal file"),
        ("[1]\n", "is not a run's journal"),
        ("half a li", "is not a run's journal"),
        ('{"Journal": "2.0"}\n', "is a journal of result format 2.0, this program's is 1."),
        ('{"Journal": "VERSION"}\n', "holds nothing: the run was killed before its first"),
        ('{"Journal": "VERSION"}\n{"ClientRunTimeStats": {}, "ServerPeriods"', "holds nothing"),
        ('{"Journal": "VERSION"}\n{"SoFar": {"Model": 1}}\n', "is a damaged journal"),
    ],
)
def test_what_cannot_be_recovered_is_one_line(
    cli: Cli, tmp_path: Path, content: str | None, words: str
) -> None:
    if content is not None:
        told = content.replace("VERSION", journals.FORMAT_VERSION)
        (tmp_path / "r.json.journal").write_text(told)
    done = cli("recover", "r.json.journal")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
    assert not (tmp_path / "r.json").exists()


def test_no_result_is_overwritten_unasked(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("whole")
    journal = Journal(tmp_path / "r.json.journal")
    journal.add(our_result(incomplete=True, periods={"overall": {}}))
    journal.close()
    done = cli("recover", "r.json.journal", code=2, errors=1)
    assert "there is a r.json already" in done.stderr
    assert (tmp_path / "r.json").read_text() == "whole"
    assert cli("recover", "r.json.journal", "--json-out-file", "other.json").returncode == 1
    assert json.loads((tmp_path / "other.json").read_text())["Incomplete"]


def run_so_far(periods: int, seed: int) -> Result:
    """The result of a run by the end of some of its periods; every kind of field is filled."""
    so_far = our_result(seconds=periods, burn_in_s=1, rate=20.0, seed=seed, failures=seed % 3)
    part: dict[str, Any] = {
        "name": "a", "successes": 2, "inferences": 2, "failures": {"cut": Failure(1, "é")},
        "shed": 0, "late_starts": 1, "latencies": so_far.latencies, "service_latencies": None,
    }  # fmt: skip
    return changed(
        so_far,
        incomplete=True,
        interrupted=True,
        service_latencies=so_far.latencies if seed % 2 else None,
        outages=(Outage(1, 0.5, 0.25, True, 3),),
        steps=(StepFigures(seconds=2.5, unsent=0, **part),),
        kinds=(KindFigures(tensors="16 FLOAT", batch_size=2, weight=0.5, **part),),
        periods={"overall": {"n": periods}, **{str(n): {"n": n} for n in range(periods)}},
        readings={str(n): {"localhost:6379": {"n": str(n)}} for n in range(periods)},
    )


def in_a_journal(so_far: Result) -> Result:
    """As it is recovered: of the server's own fields the first and the last reading are kept."""
    raw = so_far.server.readings
    times = [*raw]
    return changed(so_far, readings={time: raw[time] for time in {times[0]: 0, times[-1]: 0}})


@settings(max_examples=examples(20), deadline=None)
@given(
    ends=st.lists(st.integers(2, 12), min_size=1, max_size=6, unique=True).map(sorted),
    seed=st.integers(0, 100),
    least_stale=st.sampled_from([0, 1 << 20]),
    cut=st.floats(0, 1),
)
def test_a_journal_cut_anywhere_is_the_run_at_the_end_of_a_period(
    ends: list[int], seed: int, least_stale: int, cut: float
) -> None:
    whole = run_so_far(12, seed)
    states = [
        dataclasses.replace(run_so_far(end, seed), intervals=whole.intervals[:end]) for end in ends
    ]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(journals, "MIN_STALE_BYTES", least_stale)
        path = Path(folder) / "r.json.journal"
        journal = Journal(path)
        for state in states:
            journal.add(state)
        assert recover(path).to_json() == in_a_journal(states[-1]).to_json()
        data = path.read_bytes()
        kept = data[: round(len(data) * cut)]
        path.write_bytes(kept)
        whole_lines = kept.count(b'\n{"SoFar"') - (not kept.endswith(b"\n"))
        known = {json.dumps(in_a_journal(one).to_json()) for one in states}
        try:
            assert json.dumps(recover(path).to_json()) in known
        except ConfigError:
            assert whole_lines <= 0
        journal.remove()
        assert not any(Path(folder).iterdir())


def journal_in(path: Path, states: int = 6) -> list[Result]:
    """A journal of so many reporting periods; what the run had come to at the end of each."""
    whole = run_so_far(states, 1)
    journal = Journal(path)
    made = []
    for end in range(1, states + 1):
        made.append(dataclasses.replace(run_so_far(end, 1), intervals=whole.intervals[:end]))
        journal.add(made[-1])
    journal.close()
    return made


def overwritten(line: bytes) -> bytes:
    return line[:20] + b"7" * 5 + line[25:]


def zeroed(line: bytes) -> bytes:
    return bytes(len(line))  # its end too, so the next one is lost with it


def cut_short(line: bytes) -> bytes:
    return line[: len(line) // 2]


def without_text(line: bytes) -> bytes:
    return b"\xff\xfe\n"


@pytest.mark.parametrize("damage", [overwritten, zeroed, cut_short, without_text])
@pytest.mark.parametrize("number", [1, 2, 5, 6])
def test_what_is_behind_damage_is_recovered(
    cli: Cli, tmp_path: Path, damage: Callable[[bytes], bytes], number: int
) -> None:
    path = tmp_path / "r.json.journal"
    states = journal_in(path)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number] = damage(lines[number])
    damaged = b"".join(lines)
    path.write_bytes(damaged)
    done = cli("recover", "r.json.journal", code=1)
    assert path.read_bytes() == damaged  # it is kept
    assert done.stderr.count("\n") == 1
    assert "r.json.journal is damaged: 1 line is left out; " in done.stderr
    assert done.stderr.endswith("; r.json.journal is kept\n")
    saved = json.loads((tmp_path / "r.json").read_text())
    assert saved["Successes"] == states[-1].to_json()["Successes"]
    is_of_periods = number % 2 == 1 or damage in (zeroed, cut_short)
    assert len(saved["ClientRunTimeStats"]) == 6 - is_of_periods
    assert ("1 of 6 reporting periods is lost" in done.stderr) == is_of_periods


def test_a_damaged_end_is_the_run_up_to_then(tmp_path: Path) -> None:
    path = tmp_path / "r.json.journal"
    states = journal_in(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:-1], overwritten(lines[-1])]))
    lost: list[str] = []
    assert recover(path, lost.append).to_json() == in_a_journal(states[-2]).to_json()
    assert "after the last state that is whole" in lost[0]
    path.write_bytes(b"".join([*lines[:-1], lines[-1][:-1]]))  # as where the run was killed
    assert recover(path, lost.append).to_json() == in_a_journal(states[-2]).to_json()
    assert len(lost) == 1


def test_a_journal_is_not_overwritten_by_its_result(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "r.json.journal"
    journal_in(path)
    before = path.read_bytes()
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "same").hardlink_to(path)
    for name in ("r.json.journal", "link", "same", tmp_path / "." / "r.json.journal"):
        done = cli("recover", "r.json.journal", "--json-out-file", name)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "is that of the journal too" in done.stderr
        assert path.read_bytes() == before


def test_a_journal_is_bounded_by_its_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    least_stale = 1 << 16
    monkeypatch.setattr(journals, "MIN_STALE_BYTES", least_stale)
    whole = our_result(seconds=300, rate=5.0, incomplete=True, periods={"overall": {}})
    path = tmp_path / "r.json.journal"
    journal = Journal(path)
    largest = 0
    for end in range(1, 301):
        journal.add(dataclasses.replace(whole, intervals=whole.intervals[:end]))
        largest = max(largest, path.stat().st_size)
    journal.close()
    whole.save(tmp_path / "r.json")
    assert recover(path).to_json() == whole.to_json()
    assert largest < least_stale + 2 * (tmp_path / "r.json").stat().st_size
