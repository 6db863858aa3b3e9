"""Results for other programs, read back by such programs' own readers."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from commandline import Cli
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from resultfiles import go_document, our_result, write

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """One result of ours and one of the Go tool's."""
    folder = tmp_path / "results"
    our_result(workers=3, batch_size=2, failures=4, model='a "b"\\c').save(folder / "ours.json")
    write(folder, "go.json", go_document(10, 20, 1, 91.401, 217.599))
    return folder


def test_csv_has_a_row_for_each_result(cli: Cli, results: Path) -> None:
    done = cli("export", results, "--format", "csv", code=0)
    go, ours = csv.DictReader(io.StringIO(done.stdout))
    assert (go["file"], go["client"], go["workers"], go["autobatching"]) == (
        "go.json", "aibench", "10", "20",
    )  # fmt: skip
    assert (go["inferences_per_s"], go["q50_ms"], go["model"]) == ("91.401", "217.599", "")
    assert (ours["batch_size"], ours["failed"], ours["model"]) == ("2", "4", 'a "b"\\c')


def test_openmetrics_is_read_by_prometheus(cli: Cli, results: Path, tmp_path: Path) -> None:
    done = cli("export", results, "--format", "openmetrics", "--out", "out/results.prom")
    assert (done.returncode, done.stdout) == (0, "")
    text = (tmp_path / "out/results.prom").read_text()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    rates = {s.labels["file"]: s.value for s in families["aibench_inferences_per_second"].samples}
    assert rates["go.json"] == 91.401
    latency = families["aibench_request_latency_seconds"]
    assert (latency.type, latency.unit) == ("summary", "seconds")
    found = {
        (sample.labels["file"], sample.labels["quantile"]): sample for sample in latency.samples
    }
    assert found["go.json", "0.5"].value == pytest.approx(0.217599)
    assert found["ours.json", "0.99"].labels["model"] == 'a "b"\\c'
    assert found["ours.json", "0.99"].labels["workers"] == "3"
    failed = {s.labels["file"]: s.value for s in families["aibench_failed_requests"].samples}
    assert failed == {"ours.json": 4, "go.json": 0}


def test_openmetrics_has_the_series_that_it_had(cli: Cli, results: Path) -> None:
    """Names, types, units, labels and values, to which dashboards refer."""
    # A name that is no UTF-8, which a file may have.
    (results / "go.json").rename(results / "go-\udc80.json")
    done = cli("export", "results", "--format", "openmetrics", code=0)

    def families(text: str) -> dict[str, Any]:
        return {
            family.name: (
                family.type,
                family.unit,
                sorted((sorted(one.labels.items()), one.value) for one in family.samples),
            )
            for family in text_string_to_metric_families(text)
        }

    assert families(done.stdout) == families((GOLDEN / "results.prom").read_text())
