"""The fuzzers of the native judges, for a moment; and that what they found once is mended."""

from pathlib import Path

import fuzzers
import pytest
from ci import IN_CI

from vendored_sources import Sources

SECONDS = 2 if IN_CI else 0.5
SEED = 1


@pytest.fixture(scope="module", params=fuzzers.TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def program(target: str, libraries: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fuzzers.build(target, tmp_path_factory.mktemp("fuzz"), libraries)


def test_replies_are_judged_as_they_should_be(program: Path, tmp_path: Path) -> None:
    done = fuzzers.fuzz(program, SECONDS, SEED, tmp_path / "findings")
    # It gets past the first bytes, to replies that are right and to such that nearly are.
    assert done.successes > 0
    assert done.failures > 0
    assert not (tmp_path / "findings").exists()


def test_what_was_found_is_mended(program: Path, target: str) -> None:
    findings = sorted((fuzzers.FINDINGS / target).glob("*"))
    if not findings:
        pytest.skip("nothing was found yet")
    assert fuzzers.replay(program, findings).inputs == len(findings)
