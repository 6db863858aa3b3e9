"""Results of servers that were compared, by those who read them."""

import csv
import io
import json
from pathlib import Path

import pytest
from commandline import Cli
from resultfiles import our_result, result_name

from aibench_fast.results.cells import by_server, setting_of
from aibench_fast.results.folder import read_results
from aibench_fast.results.groups import ServerFacts
from aibench_fast.results.record import Cell
from aibench_fast.results.result import Result
from aibench_fast.results.runfigures import FIGURES

GOLDEN = Path(__file__).parents[1] / "golden"
MIB = 1 << 20


def compared(name: str, workers: int, rate: float, cores: float | None, memory: int) -> Result:
    """A run of a named server; without `cores` it is one that reported its memory alone."""
    overall = {"period_s": 20.0, "used_memory_rss_bytes": memory}
    if cores is not None:
        overall |= {"process_cpu_user_s": cores * 19, "process_cpu_sys_s": cores}
        overall["process_rss_bytes"] = memory
    return our_result(
        workers=workers, rate=rate, p50_ms=1000 * workers / rate, name=name,
        server={"facts": ServerFacts(name, "1", "127.0.0.1:1")}, periods={"overall": overall},
        autobatching=-1 if name == "triton" else 0, seed=round(rate),
    )  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two servers at one and four workers, two runs of each; a third one at one worker alone."""
    folder = tmp_path / "results"
    for workers in (1, 4):
        for run in (1, 2):
            name = f"{workers}_{run}.json"
            ours = compared("ours", workers, 50.0 * workers + run, 1.5, 120 * MIB)
            ours.save(folder / f"ours{name}")
            triton = compared("triton", workers, 40.0 * workers + run, 1.25, 180 * MIB)
            triton.save(folder / f"triton{name}")
    compared("far", 1, 30.0, None, 99 * MIB).save(folder / "far.json")
    return folder


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("tables_servers", ["--stat", "median"]),
        ("tables_servers_markdown", ["--format", "markdown"]),
        ("tables_servers_csv", ["--stat", "median", "--format", "csv"]),
    ],
)
def test_tables_by_server_are_as_the_golden_files(
    cli: Cli, results: Path, name: str, arguments: list[str]
) -> None:
    done = cli("tables", "--dir", results, *arguments, code=0, errors=0)
    assert done.stdout == (GOLDEN / f"{name}.txt").read_text()


def test_results_without_a_server_name_keep_their_tables_beside_them(
    cli: Cli, results: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    our_result(workers=2, rate=77.0).save(alone / result_name("", (2, 0, 1)))
    before = cli("tables", "--dir", alone).stdout
    by_name = cli("tables", "--dir", results).stdout
    our_result(workers=2, rate=77.0).save(results / result_name("", (2, 0, 1)))
    assert cli("tables", "--dir", results).stdout == before + by_name
    rows = csv.DictReader(io.StringIO(cli("tables", "--dir", results, "--format", "csv").stdout))
    assert {row["server"] for row in rows} == {"", "far", "ours", "triton"}


def test_a_statistic_of_each_server_is_told(cli: Cli, results: Path) -> None:
    done = cli("tables", "--dir", results, "--server-stat", "used_memory_rss_human")
    assert "## By server: used_memory_rss_human\n" in done.stdout
    assert "\n1,0,1,0,99.00M,120.00M,180.00M\n4,0,1,0,n/a,120.00M,180.00M\n" in done.stdout


def test_what_a_server_used_is_worked_out_from_its_statistics(results: Path) -> None:
    grid = by_server(read_results(results))
    (setting,) = {one for one, _ in grid if one.workers == 4}
    run = grid[setting, "ours"][0]
    figures = {figure.name: figure.value(run) for figure in FIGURES}
    document = json.loads(run.path.read_text())
    assert figures["cpu"] == pytest.approx(1.5)
    assert figures["memory"] == 120
    # All that it answered in the 20 s, burn-in included, for its 30 s of CPU time.
    answered = document["OverallRatesIncludingWarmup"]["overallOpsRate"] * 20
    assert figures["cpu_an_inference"] == pytest.approx(30_000 / answered)
    (far,) = grid[setting._replace(workers=1), "far"]
    assert [figure.value(far) for figure in FIGURES[3:]] == [None, None, 99]


def test_a_setting_of_a_mix_has_no_batch_of_zero() -> None:
    mix = Cell(workers=4, autobatching=0, batch_size=0, max_rps=0, server_name="ours")
    assert str(setting_of(mix)) == "4 workers, tensor batch of a mix"


def test_names_are_in_what_other_programs_get(cli: Cli, results: Path) -> None:
    done = cli("export", results, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["server_name"] for row in rows} == {"far", "ours", "triton"}
    assert {row["server_memory_bytes"] for row in rows} == {str(n * MIB) for n in (99, 120, 180)}
    done = cli("export", results, "--format", "openmetrics")
    assert 'server_name="triton"' in done.stdout


def test_unlike_servers_are_not_taken_for_repetitions(cli: Cli, results: Path) -> None:
    assert "unlike runs" not in cli("tables", "--dir", results).stderr


def test_one_server_is_compared_with_another_of_the_same_sweep(cli: Cli, results: Path) -> None:
    done = cli("compare", results, results, "--server-a", "ours", "--server-b", "triton", code=0)
    assert f"A: {results}, server ours\nB: {results}, server triton\n" in done.stdout
    assert "server: ours in A, triton in B" in done.stdout
    assert "4 workers, auto-batching 0, tensor batch 1 (runs: 2 in A, 2 in B)" in done.stdout
    assert "  throughput      201.499 ->      161.499 inferences/s" in done.stdout


def test_a_comparison_of_servers_is_refused_where_more_than_they_differ(
    cli: Cli, results: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "r.json"
    compared("triton", 4, 160.0, 1.0, MIB).save(other)
    other.write_text(json.dumps(json.loads(other.read_text()) | {"Threads": 7}))
    words = ("--server-a", "ours", "--server-b", "triton")
    done = cli("compare", results, other, *words, code=2, errors=1)
    assert "client threads: 1 in A, 7 in B. --force" in done.stderr
    done = cli("compare", results, results, "--server-a", "ours", "--server-b", "nosuch")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there is no result of a server nosuch; servers are far, ours, triton" in done.stderr
