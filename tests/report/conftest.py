"""Folders of result files."""

from pathlib import Path

import pytest
from resultfiles import write_go_results

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def go_results(tmp_path: Path) -> Path:
    """The results behind the golden tables, as the Go aibench left them."""
    folder = tmp_path / "results"
    write_go_results(folder, "v1.0", (GOLDEN / "tables.txt").read_text())
    return folder
