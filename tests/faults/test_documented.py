"""The page on faults names tests that exist."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "faults.md").read_text()
NAMED = re.findall(r"`((?:\w+/)?\w+\.py)::(\w+)`", PAGE)


@pytest.mark.parametrize(("module", "test"), sorted(set(NAMED)))
def test_each_fault_is_shown_by_a_test(module: str, test: str) -> None:
    folder = HERE.parent if "/" in module else HERE
    assert f"def {test}(" in (folder / module).read_text()


def test_each_row_names_one() -> None:
    rows = PAGE.partition("| fault |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(rows) == len(NAMED) > 15


def test_the_table_of_failure_kinds_has_all_of_them() -> None:
    root = HERE.parents[1]
    header = (root / "src" / "aibench_fast" / "native" / "failures.h").read_text()
    page = (root / "docs" / "measuring.md").read_text()
    table = page.partition("| kind | what happened |")[2].partition("\n\n")[0]
    counted = re.findall(r'X\(FAILURE_\w+, "(\w+)"\)', header)
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == sorted(counted)
    assert len(counted) >= 15
