"""Results of aibench's older programs, which lack keys, under everything that reads results."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from commandline import Cli
from resultfiles import go_document, our_result, result_name, write

from aibench_fast import compare, read_results
from aibench_fast.results.details import read_details
from aibench_fast.results.files import read_record
from aibench_fast.results.index import MIN_FILES, NAME

LACKING = {
    "966e9a2": (),
    "cd2108e": ("OverallRatesIncludingWarmup",),
    "3a5d678": (
        "OverallRatesIncludingWarmup", "TestDescription", "ClientRunTimeStats",
        "ServerRunTimeStats",
    ),
}  # fmt: skip
"""The keys that the programs of these commits did not write yet."""
BEFORE_HISTOGRAMS = "3a5d678"


def older(commit: str, rate: float, workers: int = 4) -> dict[str, Any]:
    """A result as that program wrote it; q0 is 0 in all of them."""
    document = go_document(workers, 0, 1, rate, 4000 / rate) | {"TestDescription": ""}
    for key in LACKING[commit]:
        del document[key]
    document["OverallQuantiles"]["AllQueries"]["q0"] = 0
    if commit == BEFORE_HISTOGRAMS:
        del document["OverallQuantiles"]["EncodedHistogram"]
    return document


def folder_of(folder: Path, commit: str, rate: float = 100.0) -> Path:
    for run in range(1, 6):
        write(folder, result_name(commit, (4, 0, 1), run), older(commit, rate + run))
    return folder


@pytest.fixture(params=LACKING)
def commit(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def test_its_figures_are_read_and_what_it_lacks_is_not_known(tmp_path: Path, commit: str) -> None:
    record = read_record(write(tmp_path, "r.json", older(commit, 100.0)))
    assert (record.client, record.inferences_per_s) == ("aibench", 100.0)
    assert (record.quantile_ms("q0"), record.quantile_ms("q50")) == (None, 40.0)
    has_warm_up = "OverallRatesIncludingWarmup" not in LACKING[commit]
    assert record.inferences_per_s_with_burn_in == (100.0 if has_warm_up else None)
    assert record.latencies().count == (0 if commit == BEFORE_HISTOGRAMS else 3)
    assert read_details(record.path).timeline == []


@pytest.mark.parametrize("how", ["text", "csv", "markdown", "json"])
def test_tables_have_it(cli: Cli, tmp_path: Path, commit: str, how: str) -> None:
    done = cli("tables", "--dir", folder_of(tmp_path / "r", commit), "--format", how)
    assert (done.returncode, done.stderr) == (0, "")
    assert "105.0" in done.stdout


def test_a_server_statistic_is_not_there(cli: Cli, tmp_path: Path, commit: str) -> None:
    folder = folder_of(tmp_path / "r", commit)
    done = cli("tables", "--dir", folder, "--server-stat", "used_memory_human", code=0, errors=0)
    assert "4 workers,n/a" in done.stdout
    done = cli("tables", "--cpu", next(folder.iterdir()), code=2, errors=1)
    assert "has no CPU time of the server by reporting period" in done.stderr


def test_a_report_is_made_of_it(cli: Cli, tmp_path: Path, commit: str) -> None:
    cli("report", folder_of(tmp_path / "r", commit), "--out", "page.html", code=0, errors=0)
    page = (tmp_path / "page.html").read_text()
    assert "<td>103.000</td>" in page
    assert "Skipped files" not in page


def test_it_is_exported(cli: Cli, tmp_path: Path, commit: str) -> None:
    folder = folder_of(tmp_path / "r", commit)
    header, first, *_ = cli("export", folder, "--format", "csv").stdout.splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert (row["inferences_per_s"], row["q0_ms"], row["requests"]) == ("101.0", "", "")
    told = cli("export", folder, "--format", "openmetrics").stdout
    assert told.count('quantile="0.5"') == 5
    assert 'quantile="0.0"' not in told


def test_it_is_compared(cli: Cli, tmp_path: Path, commit: str) -> None:
    a, b = folder_of(tmp_path / "a", commit), folder_of(tmp_path / "b", commit, rate=50.0)
    done = cli("compare", a, b, code=1, errors=0)
    assert "Verdicts: 4 worse" in done.stdout
    newest = folder_of(tmp_path / "newest", "966e9a2")
    assert cli("compare", a, newest).returncode == 0
    assert compare(read_results(a), read_results(newest)).comparisons[0].ratio == 1


def test_a_folder_of_all_of_them_and_ours(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    for place, commit in enumerate(LACKING):
        folder_of(folder, commit, rate=100.0 + 10 * place)
    our_result(rate=200.0).save(folder / "ours.json")
    done = cli("tables", "--dir", folder)
    assert done.stderr.count("\n") == 1  # that ours and aibench's are taken together
    assert "4 workers,200.000" in done.stdout
    cli("report", folder, "--out", "page.html", code=0)
    assert "Skipped files" not in (tmp_path / "page.html").read_text()
    assert len(cli("export", folder, "--format", "csv").stdout.splitlines()) == 1 + 16
    shown = read_results(folder)
    assert (len(shown), shown.skipped) == (16, [])
    assert shown._repr_html_().count("<tr>") == 1 + 16
    assert cli("compare", folder, folder, "--force").returncode == 0


def test_an_index_has_them_as_they_are(tmp_path: Path, commit: str) -> None:
    folder = tmp_path / "r"
    path = write(folder, "0.json", older(commit, 100.0))
    for number in range(1, MIN_FILES):
        write(folder, f"{number}.json", older(commit, 100.0 + number))
    for file in folder.iterdir():
        os.utime(file, (1_600_000_000, 1_600_000_000))  # of one just written nothing is kept
    as_new = read_results(folder)
    assert (folder / NAME).exists()
    assert [*read_results(folder)] == [*as_new]
    assert read_record(path) in as_new.records


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"OverallQuantiles": None}, "not a result: OverallQuantiles is missing"),
        ({"OverallRates": None}, "not a result: OverallRates is missing"),
        ({"Workers": None}, "not a result: Workers is None, a number is expected"),
        ({"OverallQuantiles": {"AllQueries": {"q99": 1}}}, "not a result: q50 is missing"),
        (
            {"OverallRatesIncludingWarmup": {"overallOpsRate": "fast"}},
            "not a result: overallOpsRate is 'fast', a number is expected",
        ),
        (
            {"OverallQuantiles": {"AllQueries": {"q0": 0, "q50": 0, "q100": 0}}},
            "it measured nothing: no request succeeded after the warm-up",
        ),
    ],
)
def test_what_is_no_result_is_still_refused(
    cli: Cli, tmp_path: Path, commit: str, changes: dict[str, Any], words: str
) -> None:
    write(tmp_path, "r.json", json.loads(json.dumps(older(commit, 100.0) | changes)))
    done = cli("tables", "--dir", tmp_path, code=2, errors=1)
    assert words in done.stderr
