"""Figures of streams of tokens in all that shows results: by name, and apart from tensors'."""

import csv
import io
import json
from pathlib import Path

import pytest
from commandline import Cli
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from resultfiles import changed, our_result, token_result

import aibench_fast
from aibench_fast.results.result import ServerFacts
from aibench_fast.results.streamnames import TIMES
from aibench_fast.studies.thresholds import parse_expectation

GOLDEN = Path(__file__).parents[1] / "golden"
TRITON = ServerFacts("triton", "2.60", "http://gpu-1:8000")


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """Results of tensors and of tokens in one folder, at the same settings."""
    folder = tmp_path / "results"
    for run in (1, 2):
        our_result(
            workers=4, autobatching=-1, rate=99.0 + run, seed=run, server={"facts": TRITON}
        ).save(folder / f"tensors_{run}.json")
        for workers in (4, 16):
            result = token_result(
                workers=workers, ttft_ms=60.0 + 5 * workers + run, gap_ms=10.0 + run, seed=run
            )
            result.save(folder / f"tokens_{workers}_{run}.json")
    return folder


@pytest.mark.parametrize("form", ["text", "markdown", "csv"])
def test_tables_are_as_the_golden_files(cli: Cli, both: Path, form: str) -> None:
    done = cli("tables", "--dir", both, "--stat", "median", "--format", form)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (GOLDEN / f"tables_tokens_{form}.txt").read_text()


def test_tables_of_tokens_alone_have_no_batches(cli: Cli, both: Path) -> None:
    done = cli("tables", "--dir", both, "--prefix", "tokens")
    assert done.returncode == 0
    assert "batching" not in done.stdout
    assert done.stdout.startswith("-------------------\n## Streams of tokens\nWorkers,")
    done = cli("tables", "--dir", both, "--prefix", "tokens", "--server-stat", "used_memory")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_of_named_servers_the_table_has_a_column(cli: Cli, tmp_path: Path) -> None:
    for name, ttft_ms in (("vllm", 50.0), ("sglang", 70.0)):
        token_result(ttft_ms=ttft_ms, name=name).save(tmp_path / f"r/{name}.json")
    rows = cli("tables", "--dir", "r").stdout.splitlines()[2:]
    table = [*csv.DictReader(rows[:3])]
    assert [one["Server"] for one in table] == ["sglang", "vllm"]
    assert float(table[0]["ttft.p50 (ms)"]) > float(table[1]["ttft.p50 (ms)"])


def test_a_comparison_of_tokens_is_as_the_golden_file(cli: Cli, tmp_path: Path) -> None:
    for run in range(1, 6):
        token_result(seed=run).save(tmp_path / f"a/{run}.json")
        token_result(seed=run + 10, ttft_ms=120.0).save(tmp_path / f"b/{run}.json")
    done = cli("compare", "a", "b")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == (GOLDEN / "compare_tokens.txt").read_text()
    found = json.loads(cli("compare", "a", "b", "--format", "json").stdout)["comparisons"]
    assert {one["streams"] for one in found} == {True}
    assert {one["autobatching"] for one in found} == {None}
    by_name = {one["metric"]: one["verdict"] for one in found}
    assert (by_name["ttft.p50"], by_name["tpot.p50"]) == ("worse", "same")


def test_tokens_are_not_compared_with_tensors(cli: Cli, both: Path) -> None:
    done = cli("compare", both / "tensors_1.json", both / "tokens_4_1.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "aibench-fast: nothing to compare: A has 4 workers, tensor batch 1, and B has 4 workers, "
        "tokens\n"
    )
    compared = cli("compare", both, both).stdout
    tensors, tokens = compared.index("4 workers, tensor"), compared.index("4 workers, tokens")
    assert tensors < compared.index("ttft.p50") > tokens


def test_figures_that_do_not_apply_are_empty_in_an_export(cli: Cli, both: Path) -> None:
    rows = {
        row["file"]: row
        for row in csv.DictReader(io.StringIO(cli("export", both, "--format", "csv").stdout))
    }
    tensors, tokens = rows["tensors_1.json"], rows["tokens_4_1.json"]
    assert (tensors["batch_size"], tokens["batch_size"], tokens["autobatching"]) == ("1", "", "")
    assert (tensors["streams"], tokens["streams"]) == ("", "True")
    result = json.loads((both / "tokens_4_1.json").read_text())["Stream"]
    for times in TIMES:
        assert tensors[f"{times.name}_q99_ms"] == ""
        assert float(tokens[f"{times.name}_q99_ms"]) == result[times.key]["q99"]
    assert (tensors["output_tokens"], tokens["output_tokens"]) == ("", "15000")
    assert (tensors["tokens_from"], tokens["tokens_from"]) == ("", "usage")


def test_openmetrics_has_the_figures_of_streams(cli: Cli, both: Path) -> None:
    text = cli("export", both, "--format", "openmetrics").stdout
    families = {family.name: family for family in text_string_to_metric_families(text)}
    rates = families["aibench_output_tokens_per_second"].samples
    assert {one.labels["file"] for one in rates} == {
        f"tokens_{workers}_{run}.json" for workers in (4, 16) for run in (1, 2)
    }
    assert all("batch_size" not in one.labels for one in rates)
    result = json.loads((both / "tokens_4_1.json").read_text())["Stream"]
    (median,) = (
        one.value
        for one in families["aibench_time_to_first_token_seconds"].samples
        if (one.labels["file"], one.labels["quantile"]) == ("tokens_4_1.json", "0.5")
    )
    assert median == pytest.approx(result["TimeToFirstToken"]["q50"] / 1000)


def test_under_a_schedule_times_are_from_when_requests_were_due(tmp_path: Path) -> None:
    due = token_result(ttft_ms=900.0).tokens.first_tokens
    changed(token_result(), first_tokens_due=due).save(tmp_path / "r.json")
    (row,) = aibench_fast.read_results(tmp_path / "r.json").to_pandas().to_dict("records")
    assert row["ttft_q50_ms"] == due.quantiles_ms([0.5])[0]


def test_options_have_the_same_names() -> None:
    for times in TIMES:
        parse_expectation(f"{times.name}.p99<1s")


def test_a_notebook_shows_figures_of_streams(both: Path) -> None:
    shown = aibench_fast.read_results(both)._repr_html_()
    assert "<th>ttft.p50 ms</th>" in shown
    compared = aibench_fast.compare(*[aibench_fast.read_results(both)] * 2)._repr_html_()
    assert "tpot.p99, ms" in compared
