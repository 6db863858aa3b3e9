"""Results in a notebook: tables, HTML, and the example that a newcomer opens."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from resultfiles import our_result

import aibench_fast
from aibench_fast import ConfigError

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "first_run.ipynb"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        our_result(rate=100.0 + number, seed=number).save(tmp_path / f"{number}.json")
    (tmp_path / "broken.json").write_text("{")
    return tmp_path


def test_results_are_read_as_the_tables_see_them(folder: Path) -> None:
    results = aibench_fast.read_results(folder)
    assert [run.path.name for run in results] == ["0.json", "1.json", "2.json"]
    assert [one.path.name for one in results.skipped] == ["broken.json"]
    assert len(aibench_fast.read_results(str(folder), prefix="1")) == 1
    with pytest.raises(ConfigError, match="there is no file or folder"):
        aibench_fast.read_results(folder / "none")


def test_results_as_a_data_frame(folder: Path) -> None:
    frame = aibench_fast.read_results(folder).to_pandas()
    assert list(frame["file"]) == ["0.json", "1.json", "2.json"]
    assert frame["inferences_per_s"].mean() == pytest.approx(101, rel=0.02)
    assert (frame["workers"] == 4).all()


def test_a_result_shows_its_summary_and_its_percentiles() -> None:
    shown = our_result()._repr_html_()
    assert "Run complete after" in shown
    assert "<svg" in shown
    assert "http://" not in shown.replace("http://www.w3.org", "")  # it needs no network


def test_results_and_a_comparison_show_tables(folder: Path) -> None:
    results = aibench_fast.read_results(folder)
    shown = results._repr_html_()
    assert shown.count("<tr>") == 4
    assert "broken.json" in shown
    compared = aibench_fast.compare(results, results)._repr_html_()
    assert "same" in compared
    assert "throughput, inferences/s" in compared


def test_reading_results_imports_neither_pandas_nor_the_native_core(folder: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['aibench_fast._core'] = None\n"
        "import aibench_fast\n"
        f"aibench_fast.read_results({str(folder)!r})\n"
        "assert 'pandas' not in sys.modules and 'altair' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_pandas_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = aibench_fast.read_results(folder)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"aibench-fast\[notebook\]"):
        results.to_pandas()


def test_the_example_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    for cell in notebook.cells:
        cell.source = re.sub(r"duration_s=[0-9.]+", "duration_s=0.1", cell.source)
    NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [
        output["data"]["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "text/html" in output.get("data", {})
    ]
    assert any("Run complete after" in html for html in shown)
    assert any("B / A" in html for html in shown)
