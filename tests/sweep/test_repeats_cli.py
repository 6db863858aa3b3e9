"""run --repeats and --until."""

import json
import signal
import subprocess
import time
from pathlib import Path

from commandline import Cli, command
from fake_redisai import FakeRedisAI


def test_runs_are_repeated_on_fresh_connections_and_summed_up(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    with FakeRedisAI() as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--quiet", "--max-queries", 30,
            "--repeats", 3, "--json-out-file", "r.json",
        )  # fmt: skip
        assert server.connections == 3 * 4  # the visits, statistics, a worker
    assert done.returncode == 0, done.stderr
    assert "3 runs, medians with 95 % intervals:" in done.stdout
    summary = json.loads((tmp_path / "r.json").read_text())["Repeats"]
    assert [*summary["Figures"]] == ["rate", "p50", "p95"]  # 30 requests tell no p99
    assert summary["Results"] == ["r-1.json", "r-2.json", "r-3.json"]
    rates = [
        json.loads((tmp_path / name).read_text())["OverallRates"]["overallOpsRate"]
        for name in summary["Results"]
    ]
    assert summary["Figures"]["rate"]["Values"] == rates
    assert (
        summary["Figures"]["rate"]["Low"] <= sorted(rates)[1] <= summary["Figures"]["rate"]["High"]
    )
    tables = cli("tables", "--dir", ".", "--format", "csv")
    assert tables.stdout.splitlines()[1].endswith(",3")  # the summary is no fourth run
    assert "r.json" not in tables.stderr


def test_a_run_that_is_cut_short_is_in_no_figure(tmp_path: Path) -> None:
    with FakeRedisAI() as server:
        running = subprocess.Popen(
            command(
                "run", "--shape", 4, "--port", server.port, "--quiet", "--duration", "2s",
                "--repeats", 5, "--json-out-file", "r.json", "--reporting-period", "100ms",
            ),
            cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        while not (tmp_path / "r-2.json.journal").exists():
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        told, _ = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "1 runs, medians" in told
    assert told.endswith(
        "Interrupted: one more run was cut short and is excluded from these figures\n"
    )
    summary = json.loads((tmp_path / "r.json").read_text())["Repeats"]
    assert (summary["Runs"], summary["Interrupted"]) == (1, True)
    assert summary["Results"] == ["r-1.json"]


def test_until_says_how_narrow_it_got(cli: Cli, tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--quiet", "--max-queries", 30,
            "--until", "90%", code=0,
        )  # fmt: skip
    assert "the target was 90.00%" in done.stdout


def test_bad_repeats_are_one_line(cli: Cli, tensor_file: Path) -> None:
    for words in (
        ("--repeats", 1),
        ("--repeats", "often"),
        ("--until", "0%"),
        ("--until", "narrow"),
    ):
        cli("run", "--file", tensor_file, *words, code=2, errors=1)
