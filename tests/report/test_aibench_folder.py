"""Real results of aibench beside ours, and results of ours under aibench's own scripts."""

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from commandline import Cli
from redisclient import load_into
from resultfiles import our_result

from aibench_fast import RunConfig, run
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.server import EmbeddedServer

ROOT = Path(__file__).parents[2]
REAL = sorted((ROOT / "tests" / "golden" / "results").glob("go_*.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The two real files, and twelve results of a sweep of ours: four cells, three runs each."""
    results = tmp_path / "results"
    results.mkdir()
    for file in REAL:
        shutil.copy(file, results)
    for workers in (1, 2):
        for batch_size in (1, 10):
            for number in range(3):
                result = our_result(
                    workers=workers, batch_size=batch_size, rate=150.0 + number, seed=number
                )
                result.save(results / f"ours_{workers}_{batch_size}_{number}.json")
    return results


def test_one_table_of_both(cli: Cli, folder: Path) -> None:
    done = cli("tables", "--dir", folder, "--format", "csv", "--stat", "median", code=0)
    rows = [line.split(",") for line in done.stdout.splitlines()[1:]]
    assert len(rows) > 0
    assert {row[-1] for row in rows} == {"3", "4"}  # runs: ours, and with one of the real ones


def test_one_report_of_both(cli: Cli, folder: Path) -> None:
    done = cli("report", folder, "--out", "report.html")
    assert (done.returncode, done.stdout) == (0, "report.html\n")
    page = Path(folder.parent / "report.html").read_text()
    assert "aibench-fast" in page
    assert "go_workers_1.json" not in page.partition("skipped")[2]  # nothing was left out


def test_one_comparison_of_both(cli: Cli, folder: Path) -> None:
    done = cli("compare", "--force", "--format", "json", folder, folder, code=0)
    compared = json.loads(done.stdout)["comparisons"]
    cells = {(one["workers"], one["batch_size"]) for one in compared}
    assert len(cells) == 4


def test_what_a_real_file_does_not_have_is_absent(cli: Cli, folder: Path) -> None:
    done = cli("export", folder, "--format", "csv")
    header, *lines = done.stdout.splitlines()
    names = header.split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines]
    real = [row for row in rows if row["client"] == "aibench"]
    assert len(real) == 2
    assert {(row["requests"], row["model"], row["server"]) for row in real} == {("", "", "")}
    assert all(row["requests"] for row in rows if row["client"] == "aibench-fast")


CPU_KEYS = (
    "ai_main_thread_used_cpu_sys",
    "ai_main_thread_used_cpu_user",
    "ai_queue_CPU_bthread_n1_used_cpu_total",
    "ai_self_used_cpu_sys",
    "ai_self_used_cpu_user",
)
"""The times that aibench's CPU script sums over the hosts."""


@pytest.fixture(scope="module")
def fresh(
    tensor_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A result of a run of ours, as a file and as aibench's scripts load it."""
    path = tmp_path_factory.mktemp("fresh") / "fresh.json"
    with EmbeddedServer(password=None) as server:
        load_into(server.address, ModelSpec(name="null", backend=Backend.NULL))
        config = RunConfig(
            file=tensor_file, address=server.address, model="null", duration_s=0.5,
            reporting_period_s=0.1,
        )  # fmt: skip
        run(config).save(path)
    return path, json.loads(path.read_text())


def test_the_keys_of_aibenchs_statistics_table(fresh: tuple[Path, dict[str, Any]]) -> None:
    _, result = fresh
    for key in ("Workers", "MetadataAutobatching", "TensorBatchSize"):
        assert isinstance(result[key], int)
    assert result["OverallRates"]["overallOpsRate"] > 0
    assert result["OverallQuantiles"]["AllQueries"]["q50"] > 0
    stats = result["ServerRunTimeStats"]
    last = stats[list(stats.keys())[-1]]
    first_host = last[next(iter(last))]
    assert first_host["used_memory_human"].endswith("M")
    assert int(first_host["ai_info.calls"]) > 0
    assert first_host["cmdstat_ai.tensorset"].startswith("calls=")
    assert all(isinstance(value, str) for value in first_host.values())


def test_the_keys_of_aibenchs_cpu_script(fresh: tuple[Path, dict[str, Any]]) -> None:
    _, result = fresh
    times = list(result["ServerRunTimeStats"].items())
    assert len(times) >= 3
    totals = []
    for _, hosts in times:
        for key in CPU_KEYS:
            assert sum(float(fields[key]) for fields in hosts.values()) >= 0
        totals.append(sum(float(fields["ai_self_used_cpu_user"]) for fields in hosts.values()))
    assert totals == sorted(totals)
    frames_s = [
        (float(later) - float(earlier)) / 1e9 for (earlier, _), (later, _) in pairwise(times)
    ]
    assert all(0 < frame_s < 5 for frame_s in frames_s)


def test_our_own_cpu_script_reads_it_too(fresh: tuple[Path, dict[str, Any]]) -> None:
    path, _ = fresh
    script = ROOT / "scripts" / "process_json_create_cpu_secs_table.py"
    done = subprocess.run([sys.executable, script, path], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) >= 3


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.py")), ids=lambda p: p.name)
def test_a_script_without_the_package_says_so(script: Path) -> None:
    program = (
        "import runpy, sys; sys.modules['aibench_fast'] = None; "
        f"runpy.run_path({str(script)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "aibench-fast is not installed" in done.stderr
