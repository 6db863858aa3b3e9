"""`aibench-fast sweep`: the grid, what is done, what goes on, and what it leaves on the server."""

import argparse
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
import redis
from commandline import Cli, command
from fake_redisai import META, OK, FakeRedisAI
from redisclient import load_into, stored_in

from aibench_fast.cli.options.parser import axis
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.server import EmbeddedServer
from aibench_fast.studies.grid import Cell, Grid

Completed = subprocess.CompletedProcess[str]
Sweep = Callable[..., Completed]


@pytest.fixture
def sweep(cli: Cli, server: EmbeddedServer, tensor_file: Path) -> Sweep:
    def run(*arguments: object) -> Completed:
        where = ("--file", tensor_file, "--port", server.port, "--model", "null")
        return cli("sweep", *where, *arguments)

    return run


def results(folder: Path) -> dict[str, dict[str, object]]:
    """The results of a folder, by the part of their names that tells them apart."""
    return {
        path.stem.removeprefix("JSON_redisai_"): json.loads(path.read_text())
        for path in sorted(folder.glob("JSON_*.json"))
    }


def cells(shown: str) -> list[str]:
    return [line.split("redisai_")[1] for line in shown.splitlines() if "redisai_" in line]


@pytest.mark.parametrize(
    ("words", "read"),
    [("1,8,16", [1, 8, 16]), ("0:50:10", [1, 10, 20, 30, 40, 50]), ("0:2:1", [1, 2]), ("7", [7])],
)
def test_an_axis_is_read_as_a_list_or_as_aibench_counts(words: str, read: list[int]) -> None:
    assert axis(1)(words) == read


@pytest.mark.parametrize("words", ["", "a", "1,,2", "5:1:1", "1:5:0", "0,1", "-1"])
def test_what_is_no_axis_is_refused(words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r".+"):
        axis(1)(words)


def test_batches_that_can_never_fill_are_left_out_as_aibench_does() -> None:
    grid = Grid(workers=[1, 10], autobatching=[0, 10], batch_size=[1], runs=2)
    assert [(cell.workers, cell.autobatching, cell.run) for cell in grid.cells(0)] == [
        (1, 0, 1), (1, 0, 2), (10, 0, 1), (10, 0, 2), (10, 10, 1), (10, 10, 2),
    ]  # fmt: skip


def test_an_order_is_drawn_from_the_seed_and_loses_nothing() -> None:
    grid = Grid(workers=[1, 2, 3, 4], runs=5)
    assert grid.cells(0, shuffle=1) == grid.cells(0, shuffle=1)
    assert grid.cells(0, shuffle=1) != grid.cells(0, shuffle=2)
    assert sorted(map(str, grid.cells(0, shuffle=1))) == sorted(map(str, grid.cells(0)))


def test_names_are_aibenchs() -> None:
    assert Cell(32, 5, 250.0, None, None, workers=10, run=3).name("v1.2_", "gpu") == (
        "redisai_v1.2__gpu_run_3_workers_10_autobatching_32_tensorbatchsize_5_rate_250"
    )


def test_dry_run_is_as_the_golden_file(cli: Cli, tensor_file: Path, tmp_path: Path) -> None:
    done = cli(
        "sweep", "--dry-run", "--file", tensor_file, "--workers", "0:4:2", "--autobatching", "0,4",
        "--batch-size", "1,2", "--limit-rps", "0,12.5", "--suffix", "v1_",
    )  # fmt: skip
    golden = Path(__file__).parents[1] / "golden" / "sweep_dry_run.txt"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == golden.read_text()
    assert list(tmp_path.iterdir()) == []


def test_every_cell_is_run_once_and_a_second_sweep_runs_none(
    sweep: Sweep, server: EmbeddedServer, tmp_path: Path
) -> None:
    grid = ("--workers", "1,2", "--batch-size", "1,3", "--runs", 2, "--max-queries", 12)
    done = sweep(*grid, "--burn-in", 1)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [f"{n}/8" for n in range(1, 9)]
    found = results(tmp_path / "results")
    assert len(found) == 8
    cell = found["_cpu_run_2_workers_2_autobatching_0_tensorbatchsize_3_rate_0"]
    assert (cell["Workers"], cell["TensorBatchSize"], cell["Successes"]) == (2, 3, 3)
    assert cell["MetadataAutobatching"] == 0
    raw = next((tmp_path / "results").glob("RAW_*run_2_workers_2*size_3_rate_0.txt")).read_text()
    assert raw.startswith("time (ms),total queries")
    assert "Run complete after 9 inferences with 2 workers" in raw

    again = sweep(*grid, "--burn-in", 1)
    assert (again.returncode, again.stdout) == (0, "8 of 8 runs are done already\n")
    assert results(tmp_path / "results") == found


def test_what_is_broken_or_interrupted_is_run_again(sweep: Sweep, tmp_path: Path) -> None:
    grid = ("--workers", "1,2,3", "--max-queries", 6, "--suffix", "a")
    assert sweep(*grid).returncode == 0
    one, two, three = sorted((tmp_path / "results").glob("JSON_*.json"))
    kept = three.stat().st_mtime_ns
    one.write_text(one.read_text()[:100])
    two.write_text(json.dumps({**json.loads(two.read_text()), "Interrupted": True}))
    done = sweep(*grid)
    assert done.returncode == 0
    assert done.stdout.startswith("1 of 3 runs are done already\n2/3 1 workers")
    assert [saved["Interrupted"] for saved in results(tmp_path / "results").values()] == [False] * 3
    assert three.stat().st_mtime_ns == kept


def test_results_of_other_settings_are_not_taken_for_done(sweep: Sweep, tmp_path: Path) -> None:
    assert sweep("--max-queries", 6).returncode == 0
    done = sweep("--max-queries", 7)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "its Limit is 6, this sweep's is 7" in done.stderr
    even = ("--max-queries", 6, "--limit-rps", 200)
    assert sweep(*even).returncode == 0
    for other in (("--arrivals", "poisson"), ("--max-lag", "1s")):
        done = sweep(*even, *other)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert "its Arrivals is {'Kind': 'even'" in done.stderr


def failing_at(*numbers: int) -> FakeRedisAI:
    return FakeRedisAI(
        AI_MODELRUN=lambda _, n: b"-ERR out of luck\r\n" if n in numbers else OK,
        AI_MODELGET=lambda *_: META,
    )


def test_a_run_with_failures_stops_the_sweep(cli: Cli, tensor_file: Path, tmp_path: Path) -> None:
    arguments = ("sweep", "--file", tensor_file, "--workers", "1,2,3")
    with failing_at(12) as server:  # the second run's: a trial and seven requests a run
        done = cli(*arguments, "--port", server.port)
        assert (done.returncode, len(results(tmp_path / "results"))) == (1, 2)
        assert "2/3 2 workers" in done.stdout
        assert "1 failures" in done.stdout
        assert "1 of 3 runs had failures or broke an --expect, and 1 were not made" in done.stderr
        assert "or with --keep-going to make the others too" in done.stderr
        again = cli(*arguments, "--port", server.port, code=0)
    assert again.stdout.startswith("1 of 3 runs are done already\n")
    assert len(results(tmp_path / "results")) == 3


def test_a_sweep_goes_on_after_a_failure_if_told_to(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    with failing_at(8, 20) as server:  # the second run's trial, a request of the third
        done = cli(
            "sweep", "--file", tensor_file, "--workers", "1,2,3,4", "--port", server.port,
            "--keep-going", code=1,
        )  # fmt: skip
    assert "2/4 2 workers, auto-batching 0, tensor batch 1, run 1: failed: " in done.stdout
    assert "4/4 4 workers" in done.stdout
    assert "2 of 4 runs had failures" in done.stderr
    assert len(results(tmp_path / "results")) == 3


def test_the_model_has_each_batch_size_and_at_last_its_own(
    sweep: Sweep, server: EmbeddedServer, client: redis.Redis, tmp_path: Path, onnx_blob: bytes
) -> None:
    spec = ModelSpec(
        name="onnx", backend=Backend.ONNX, blob=onnx_blob, tag="mine", batch_size=3,
        min_batch_size=2, min_batch_timeout_ms=20,
    )  # fmt: skip
    load_into(server.address, spec)
    before = stored_in(server.address, "onnx")
    done = sweep("--model", "onnx", "--workers", "1,4", "--autobatching", "0,4", "--max-queries", 8)
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "results")
    assert [saved["MetadataAutobatching"] for saved in found.values()] == [0, 0, 4]
    assert stored_in(server.address, "onnx") == before
    assert (before.blob, before.batch_size, before.tag) == (onnx_blob, 3, "mine")


def test_a_run_finds_the_batch_size_that_its_name_says(
    cli: Cli, tensor_file: Path, tmp_path: Path
) -> None:
    seen: list[object] = []

    def store(words: Sequence[bytes], _: int) -> bytes:
        seen.append(int(words[words.index(b"BATCHSIZE") + 1]) if b"BATCHSIZE" in words else 0)
        return OK

    def execute(*_: object) -> bytes:
        if seen[-1:] != ["run"]:
            seen.append("run")
        return OK

    with FakeRedisAI(AI_MODELGET=lambda *_: META, AI_MODELRUN=execute) as server:
        server.behave("AI.MODELSTORE", store)
        arguments = ("--port", server.port, "--workers", 4, "--autobatching", "4,0,2")
        assert cli("sweep", "--file", tensor_file, *arguments).returncode == 0
    assert seen == [4, "run", 0, "run", 2, "run", 0]  # its own is 0


def test_without_the_axis_the_model_is_as_it_is(
    sweep: Sweep, server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    load_into(server.address, ModelSpec(name="null", backend=Backend.NULL, batch_size=6))
    client.config_resetstat()
    assert sweep("--max-queries", 3).returncode == 0
    (name,) = results(tmp_path / "results")
    assert name == "_cpu_run_1_workers_1_autobatching_6_tensorbatchsize_1_rate_0"
    commands = client.info("commandstats")
    assert not {"cmdstat_ai.modelset", "cmdstat_ai.modelstore", "cmdstat_flushall"} & set(commands)


@pytest.mark.parametrize("allowed", [False, True])
def test_the_server_is_emptied_only_where_that_is_allowed(
    sweep: Sweep, client: redis.Redis, allowed: bool
) -> None:
    client.set("someone's", "work")
    flags = ["--allow-flush"] if allowed else []
    assert sweep("--autobatching", "0,1", "--max-queries", 3, *flags).returncode == 0
    assert client.exists("someone's") == (not allowed)
    assert client.exists("null") == 1
    assert client.info("commandstats").get("cmdstat_flushall", {}).get("calls", 0) == 2 * allowed


GRID = """\
workers = [1, 2]
batch-size = "0:4:2"
limit-rps = [0, 500.0]
max-queries = 12
burn-in-images = 3
use-dag = true
continue-on-error = false
allow-flush = false
shuffle = 3
"""


def test_a_toml_file_has_the_options_and_what_is_typed_wins(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(GRID)
    done = sweep("--workers", 2, "--grid", "grid.toml", "--suffix", "t")
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "results")
    assert len(found) == 6
    assert {saved["Workers"] for saved in found.values()} == {2}
    assert {saved["MaxRps"] for saved in found.values()} == {0, 500}
    burn_ins = {saved["TensorBatchSize"]: saved["BurnInRequests"] for saved in found.values()}
    assert burn_ins == {1: 3, 2: 2, 4: 1}
    assert all("DAGRUN" in str(saved["Query"]) for saved in found.values())


def test_a_list_in_the_file_is_an_option_that_is_given_again(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text('workers = [1, 2]\nexpect = ["rate>1", "p50<10s"]\n')
    done = sweep("--grid", "grid.toml", "--max-queries", 6)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Expected rate>1: ") == done.stdout.count("Expected p50<10s: ") == 2


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ("wrokers = [1]", "--grid grid.toml: unknown key wrokers"),
        ('grid = "other.toml"', "unknown key grid"),
        ("workers = [0]", "--grid grid.toml: workers = [0]: '0': each has to be at least 1"),
        ("workers = true", "workers = true: 'true': write numbers such as 1,8,16"),
        ("batch-size = [false]", "batch-size = [false]: 'false': write numbers"),
        ("limit-rps = [true, 5]", "limit-rps = [true, 5]: 'true,5': write rates such as 50,100"),
        ("runs = 1.5", "runs = 1.5: it has to be a whole number"),
        ("duration = 5", "duration = 5: '5' is not a duration"),
        ("use-dag = 5", "use-dag = 5: '5' is neither true nor false"),
        ("keep-going = 'yes'", "keep-going = 'yes': it has to be true or false"),
        ("model = 5", "model = 5: it has to be a text"),
        ("device = 'tpu'", "device = 'tpu': it has to be cpu or gpu"),
        ("workers = ", "grid.toml"),
        ("burn-in = 100\nmax-queries = 100", "--burn-in 100"),
        ("autobatching = [64]", "no number of --workers"),
    ],
)
def test_a_bad_grid_is_one_line_before_anything_is_run(
    sweep: Sweep, tmp_path: Path, grid: str, words: str
) -> None:
    (tmp_path / "grid.toml").write_text(grid)
    done = sweep("--grid", "grid.toml")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert words in done.stderr
    assert not (tmp_path / "results").exists()


def test_without_a_tensor_file_it_says_so(cli: Cli) -> None:
    done = cli("sweep", "--workers", 2, code=2, errors=1)
    assert "--file" in done.stderr


def test_a_sweep_of_generated_tensors(cli: Cli, server: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text('shape = [4, 4]\ndtype = "UINT8"\nseed = 5\n')
    where = ("sweep", "--grid", "grid.toml", "--port", server.port, "--model", "null")
    assert cli(*where, "--workers", "1,2", "--max-queries", 6).returncode == 0
    for saved in results(tmp_path / "results").values():
        assert (saved["Shape"], saved["Dtype"]) == ([4, 4], "UINT8")
        assert (saved["DataFile"], saved["DataSeed"]) == (None, 5)
    for other, words in (
        (("--shape", "4"), "its Shape is [4, 4], this sweep's is [4]"),
        (("--dtype", "INT8"), "its Dtype is UINT8, this sweep's is INT8"),
        (("--seed", 6), "its DataSeed is 5, this sweep's is 6"),
        (("--pipeline", 2), "its Pipeline is 1, this sweep's is 2"),
    ):
        done = cli(*where, "--max-queries", 6, *other, code=2, errors=1)
        assert words in done.stderr


def test_ctrl_c_stops_the_sweep_and_keeps_the_runs_that_are_done(
    server: EmbeddedServer, client: redis.Redis, tensor_file: Path, tmp_path: Path
) -> None:
    load_into(server.address, ModelSpec(name="null", backend=Backend.NULL, batch_size=2))
    process = subprocess.Popen(
        command(
            "sweep", "--file", tensor_file, "--port", server.port, "--model", "null",
            "--workers", "1,2,3", "--autobatching", "1", "--limit-rps", "20", "--max-queries", 20,
            "--expect", "p50<1h", "--junit", "cases.xml",
        ),
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout.readline().startswith("1/3 1 workers")
    time.sleep(0.5)  # into the second run, which takes a second
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 130
    found = results(tmp_path / "results")
    assert [saved["Interrupted"] for saved in found.values()] == [False, True][: len(found)]
    assert 1 <= len(found) <= 2
    cases = ElementTree.parse(tmp_path / "cases.xml").getroot()
    assert len(list(cases.iter("testcase"))) == len(found)  # as of `run`
    assert stored_in(server.address, "null").batch_size == 2
