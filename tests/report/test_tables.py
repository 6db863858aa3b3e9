"""The summary tables, as a user of aibench knows them."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import Cli, completed
from resultfiles import go_document, our_result, result_name, write, write_go_results

GOLDEN = Path(__file__).parents[1] / "golden"
SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(name: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return completed(sys.executable, SCRIPTS / name, *arguments, code=None)


def test_tables_of_the_go_tools_results_are_byte_for_byte_aibenchs(
    cli: Cli, go_results: Path
) -> None:
    done = cli("tables", "--dir", go_results, code=0, errors=0)
    assert done.stdout == (GOLDEN / "tables.txt").read_text()


def test_the_script_of_the_same_name_prints_the_same(go_results: Path) -> None:
    done = script("redisai_produce_results_table.py", "--dir", go_results)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (GOLDEN / "tables.txt").read_text()


def test_our_own_results_are_tabulated_the_same(cli: Cli, tmp_path: Path) -> None:
    result = our_result(workers=8, batch_size=4, rate=123.4567)
    result.save(tmp_path / "results" / "any_name.json")
    p50 = result.latencies.quantiles_ms([0.5])[0]
    done = cli("tables", "--dir", "results")
    assert (
        "## Tensor-batching overall throughput (inferences/sec) ((higher is better))\n"
        f"Workers,Tensor-batching 4\n8 workers,{result.inferences_per_s:.3f}\n\n"
        "## Tensor-batching p50 latency results (latency in ms including RTT) "
        f"((lower is better))\nWorkers,Tensor-batching 4\n8 workers,{p50:.3f}\n"
    ) in done.stdout


def test_prefix_keeps_versions_apart(cli: Cli, go_results: Path) -> None:
    write(go_results, result_name("v1.2", (1, 0, 1)), go_document(1, 0, 1, 999.0, 1.0))
    done = cli("tables", "--dir", go_results, "--prefix", "JSON_redisai_v1.0")
    assert done.stdout == (GOLDEN / "tables.txt").read_text()
    done = cli("tables", "--dir", go_results, "--prefix", "JSON_redisai_v1.2")
    assert "1 workers,999.000\n" in done.stdout
    assert "10 workers" not in done.stdout


@pytest.fixture
def repeated(tmp_path: Path) -> Path:
    """Three runs of one cell, and one of a cell that only the auto-batching tables have."""
    folder = tmp_path / "results"
    for run, (rate, p50) in enumerate([(100.0, 11.0), (90.0, 10.0), (95.0, 13.0)], 1):
        write(folder, result_name("", (2, 0, 1), run), go_document(2, 0, 1, rate, p50))
    write(folder, result_name("", (4, 8, 1)), go_document(4, 8, 1, 200.0, 20.0))
    return folder


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("tables_best", []),
        ("tables_median", ["--stat", "median"]),
        ("tables_csv", ["--stat", "median", "--format", "csv"]),
        ("tables_markdown", ["--format", "markdown"]),
    ],
)
def test_repeated_runs_are_as_the_golden_file(
    cli: Cli, repeated: Path, name: str, arguments: list[str]
) -> None:
    done = cli("tables", "--dir", repeated, *arguments, code=0, errors=0)
    assert done.stdout == (GOLDEN / f"{name}.txt").read_text()


def test_csv_and_json_say_the_same(cli: Cli, repeated: Path) -> None:
    rows = json.loads(cli("tables", "--dir", repeated, "--format", "json").stdout)
    read = csv.DictReader(io.StringIO(cli("tables", "--dir", repeated, "--format", "csv").stdout))
    assert [{name: str(value) for name, value in row.items()} for row in rows] == list(read)


def server_stats(memory: str, seconds: float) -> dict[str, object]:
    return {
        "localhost:6379": {
            "used_memory_human": memory,
            "ai_self_used_cpu_sys": seconds * 0.25,
            "ai_self_used_cpu_user": seconds,
            "ai_main_thread_used_cpu_sys": 0.1 * seconds,
            "ai_main_thread_used_cpu_user": 0.1 * seconds,
            "ai_queue_CPU_bthread_n1_used_cpu_total": 0.5 * seconds,
            "ai_queue_CPU_bthread_n2_used_cpu_total": 0.25 * seconds,
            "ai_queue_GPU:0_bthread_n1_used_cpu_total": 0.0,
        }
    }


def test_server_statistic_is_the_fastest_runs_last(cli: Cli, repeated: Path) -> None:
    for run, rate, memory in ((1, 100.0, "2.00M"), (2, 90.0, "9.00M")):
        document = go_document(2, 0, 1, rate, 10.0) | {
            "ServerRunTimeStats": {"1": server_stats("1.00M", 1.0), "2": server_stats(memory, 2.0)}
        }
        write(repeated, result_name("", (2, 0, 1), run), document)
    golden = (GOLDEN / "tables_server_stat.txt").read_text()
    done = cli("tables", "--dir", repeated, "--server-stat", "used_memory_human")
    assert (done.returncode, done.stdout) == (0, golden)
    done = script("redisai_produce_server_stats_results_table.py", "--dir", repeated)
    assert (done.returncode, done.stdout) == (0, golden)


def test_memory_of_our_result_is_written_as_redis_writes_it(cli: Cli, tmp_path: Path) -> None:
    period = {"1596741779490": {"used_memory_bytes": 2_621_440}}
    our_result(periods={"overall": {}} | period).save(tmp_path / "r.json")
    done = cli("tables", "--dir", ".", "--server-stat", "used_memory_human")
    assert "4 workers,2.50M\n" in done.stdout


def test_cpu_of_every_queue_and_device_of_a_go_result(tmp_path: Path) -> None:
    stats = {
        str(1_596_741_778_490_000_000 + second * 1_000_000_000): server_stats("1M", second * 0.8)
        for second in range(3)
    }
    path = write(
        tmp_path, "r.json", go_document(1, 0, 1, 10.0, 1.0) | {"ServerRunTimeStats": stats}
    )
    done = script("process_json_create_cpu_secs_table.py", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (GOLDEN / "tables_cpu.txt").read_text()


def test_cpu_of_our_result_is_by_period(cli: Cli, tmp_path: Path) -> None:
    periods = {
        str(1_596_741_778_490 + 2000): {"process_cpu_user_s": 2.5, "process_cpu_sys_s": 0.5},
        str(1_596_741_778_490 + 3000): {
            "process_cpu_user_s": 0.5,
            "main_thread_cpu_user_s": 0.1,
            "queue_CPU_thread_1_cpu_s": 0.2,
        },
    }
    stats = {"overall": {"process_cpu_user_s": 3.5}, **periods}
    our_result(periods=stats).save(tmp_path / "r.json")
    done = cli("tables", "--cpu", "r.json")
    assert done.stdout.splitlines()[1:] == [
        "2.000,150.000,n/a,n/a,n/a",
        "1.000,50.000,10.000,20.000,40.000",
    ]


def test_a_result_without_cpu_seconds_is_one_line(cli: Cli, tmp_path: Path) -> None:
    our_result().save(tmp_path / "r.json")
    done = cli("tables", "--cpu", "r.json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "r.json has no CPU time" in done.stderr


def test_two_go_folders_of_two_versions(cli: Cli, tmp_path: Path) -> None:
    golden = (GOLDEN / "tables.txt").read_text()
    write_go_results(tmp_path / "results", "v1.0", golden)
    write_go_results(tmp_path / "results", "v1.2", golden.replace("10 workers,", "11 workers,"))
    done = cli("tables", "--dir", "results", "--prefix", "JSON_redisai_v1.0")
    assert done.stdout == golden
