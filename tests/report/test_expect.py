"""--expect: what a run's figures have to be, for people and for CI."""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commandline import Cli
from fake_redisai import META, OK, FakeRedisAI
from hypothesis import given
from hypothesis import strategies as st
from resultfiles import changed, our_result

from aibench_fast import ConfigError, Result
from aibench_fast.studies.thresholds import least_count, parse_expectation


@pytest.mark.parametrize(
    ("words", "held"),
    [
        ("p50<25ms", True),
        ("p50 < 5ms", False),
        ("p50>=5ms", True),
        ("mean<1s", True),
        ("max>10s", False),
        ("rate>50", True),
        ("rate>=5e3", False),
        ("errors<=0", True),
        ("errors<0.1%", True),
        ("shed<1%", True),
        ("p99.9<1m", True),
    ],
)
def test_a_figure_is_held_against_its_limit(words: str, held: bool) -> None:
    check = parse_expectation(words).check(our_result())
    assert (check.held, check.expected) == (held, words)


def test_failures_are_a_share_of_the_requests() -> None:
    result = our_result(failures=5)
    check = parse_expectation("errors<0.1%").check(result)
    assert not check.held
    assert check.value == pytest.approx((result.requests - result.successes) / result.requests)


def test_a_quantile_of_too_few_requests_is_not_known_and_not_held() -> None:
    few = our_result(rate=2.0, seconds=20)
    assert few.latencies.count < 100
    check = parse_expectation("p99<1h").check(few)
    assert (check.held, check.value, check.found) == (False, None, "not known")
    assert parse_expectation("p50<1h").check(few).held


@given(st.integers(1, 9), st.integers(0, 4))
def test_a_quantile_takes_so_many_values(digit: int, nines: int) -> None:
    quantile = 1 - digit / 10 ** (nines + 1)
    count = least_count(quantile)
    assert count * (1 - quantile) >= 1 - 1e-6
    assert (count - 1) * (1 - quantile) < 1 + 1e-6


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("p99", "write a figure, < or >, and a limit"),
        ("p99<fast", "'fast' is not a duration"),
        ("p100<1s", "unknown figure 'p100'"),
        ("speed>3", "unknown figure 'speed'"),
        ("errors<many", "'many' is not a number"),
        ("rate>-1", "'-1' is not a number"),
    ],
)
def test_what_is_no_expectation_is_told(words: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_expectation(words)


def test_a_run_says_what_held_and_leaves_with_1_where_something_did_not(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    with FakeRedisAI() as server:
        common = (
            "run", "--file", tensor_file, "--port", server.port, "--quiet", "--max-queries", 20,
            "--json-out-file", "r.json", "--junit", "r.xml", "--expect", "p50<10s",
        )  # fmt: skip
        held = cli(*common)
        broken = cli(*common, "--expect", "rate>1e9", "--expect", "p99<1s")
    assert held.returncode == 0, held.stderr
    assert "Expected p50<10s: " in held.stdout
    assert " ms, held\n" in held.stdout
    assert broken.returncode == 1
    assert "Expected rate>1e9: " in broken.stdout
    assert " inferences/s, broken\n" in broken.stdout
    assert "Expected p99<1s: not known, broken\n" in broken.stdout
    saved = json.loads((tmp_path / "r.json").read_text())["Expectations"]
    assert [one["Held"] for one in saved] == [True, False, False]
    suite = ElementTree.parse(tmp_path / "r.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    assert [case.get("name") for case in suite] == ["p50<10s", "rate>1e9", "p99<1s"]


def test_a_bad_expectation_sends_nothing(cli: Cli, tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        done = cli("run", "--file", tensor_file, "--port", server.port, "--expect", "p99=1s")
        assert server.connections == 0
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_sweep_holds_every_run_and_repeats_what_did_not(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    done = cli(
        "sweep", "--embedded", "--file", tensor_file, "--workers", "1,2", "--max-queries", 8,
        "--results-dir", "out", "--keep-going", "--junit", "s.xml", "--expect", "rate>1e9", code=1,
    )  # fmt: skip
    assert len(re.findall(r"^    Expected rate>1e9: .* broken$", done.stdout, re.MULTILINE)) == 2
    assert "2 of 2 runs had failures or broke an --expect" in done.stderr
    suite = ElementTree.parse(tmp_path / "s.xml").getroot()
    assert [suite.get("tests"), suite.get("failures")] == ["2", "2"]
    again = cli(
        "sweep", "--embedded", "--file", tensor_file, "--workers", "1,2", "--max-queries", 8,
        "--results-dir", "out", "--expect", "rate>0", code=0,
    )  # fmt: skip
    assert len(re.findall(r"^    Expected rate>0: .* held$", again.stdout, re.MULTILINE)) == 2
    assert again.stdout.count("inferences/s, p50") == 2


def open_loop(shed: int, unsent: int, expected: Sequence[str] = ()) -> Result:
    """Of 1,000 requests that were due; in a run with --expect."""
    sent = our_result(rate=50.0, seconds=20)
    result = changed(
        sent,
        successes=1000 - shed - unsent, failures={},
        shed=shed, unsent=unsent,
    )  # fmt: skip
    return replace(
        result, expectations=[parse_expectation(words).check(result) for words in expected]
    )


@pytest.mark.parametrize(
    ("shed", "unsent", "expected", "well"),
    [
        (0, 0, (), True),
        (0, 10, (), True),
        (0, 11, (), False),
        (11, 0, (), False),
        (6, 6, (), False),
        (0, 500, ("p99<2s", "errors<1%", "shed<1%"), False),
        (500, 0, ("unsent<1%",), False),
        (0, 500, ("unsent<60%",), True),
        (500, 0, ("shed<=60%",), True),
        (300, 300, ("shed<60%",), False),
        (300, 300, ("shed<60%", "unsent < 60%"), True),
    ],
)
def test_an_overloaded_schedule_is_no_pass_unless_that_was_expected(
    shed: int, unsent: int, expected: Sequence[str], well: bool
) -> None:
    result = open_loop(shed, unsent, expected)
    assert result.held
    assert result.went_well == well


def test_what_was_not_sent_is_a_share_of_what_was_due() -> None:
    check = parse_expectation("unsent<40%").check(open_loop(shed=100, unsent=400))
    assert (check.value, check.found, check.held) == (0.4, "40.000%", False)
    assert parse_expectation("shed<=10%").check(open_loop(shed=100, unsent=400)).held


async def slow(*_: object) -> bytes:
    await asyncio.sleep(0.05)
    return OK


def test_an_overloaded_sweep_leaves_with_1_and_repeats_its_run(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    with FakeRedisAI(AI_MODELRUN=slow, AI_MODELGET=lambda *_: META) as server:
        sweep = (
            "sweep", "--file", tensor_file, "--port", server.port, "--workers", "1",
            "--limit-rps", "200", "--duration", "500ms",
        )  # fmt: skip
        done = cli(*sweep)
        again = cli(*sweep)
        allowed = cli(*sweep, "--expect", "unsent<100%")
        after = cli(*sweep, "--expect", "unsent<100%")
    for one in (done, again):
        assert one.returncode == 1
        assert re.search(r"failures|% of the due requests were not sent", one.stdout)
        assert "done already" not in one.stdout
    assert (allowed.returncode, after.returncode) == (0, 0)
    assert "1 of 1 runs are done already" in after.stdout
    (file,) = (tmp_path / "results").glob("*.json")
    result = json.loads(file.read_text())
    assert not result["Overloaded"]
    assert "not_sent" in {one["Kind"] for one in result["Warnings"]}
