"""`run`, `sweep` and `search` over a Dask cluster, as a user types them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import Cli, command, completed
from dask.distributed import Client, LocalCluster
from manyclients.conftest import MODEL, WORKERS

from aibench_fast import RunConfig, ServerError, run
from aibench_fast.cli import main
from aibench_fast.cluster import connected
from aibench_fast.results.files import read_record
from aibench_fast.server import EmbeddedServer


def over(cluster: LocalCluster, server: EmbeddedServer) -> list[object]:
    return [
        "--port", server.address.port, "--model", MODEL, "--shape", 16,
        "--dask", cluster.scheduler_address,
    ]  # fmt: skip


def test_a_run_is_shown_and_saved_like_any(
    cli: Cli, tmp_path: Path, cluster: LocalCluster, server: EmbeddedServer
) -> None:
    done = cli(
        "run", *over(cluster, server), "--workers", 4, "--clients", 2, "--max-queries", 40,
        "--limit-rps", 40, "--reporting-period", "250ms", "--json-out-file", "result.json",
        "--hdr-log-file", "log.hlog", code=0, errors=0,
    )  # fmt: skip
    assert "Clients: 2, by requests/s" in done.stdout
    assert done.stdout.count("20 requests, ") == 2
    assert done.stdout.startswith("time (ms),total queries")
    told = json.loads((tmp_path / "result.json").read_text())
    assert [one["Requests"] for one in told["Clients"]] == [20, 20]
    assert read_record(tmp_path / "result.json").requests == 40
    assert "Intervals" not in told
    assert (tmp_path / "log.hlog").read_text().count("HISTF") >= 3
    assert not list(tmp_path.glob("*.journal"))


def test_ctrl_c_ends_all_clients_and_keeps_what_they_measured(
    cli: Cli, tmp_path: Path, cluster: LocalCluster, server: EmbeddedServer
) -> None:
    with subprocess.Popen(
        command(
            "run", *over(cluster, server), "--workers", 3, "--limit-rps", 60, "--duration", "60s",
            "--reporting-period", "250ms", "--json-out-file", "result.json",
        ),
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        rest = process.stdout.read()
        took_s = time.monotonic() - start
        assert process.wait() == 130
    assert took_s < 30  # of a load of 60 s
    assert all("," in line for line in lines)
    assert "Interrupted" in rest
    told = json.loads((tmp_path / "result.json").read_text())
    assert [one["Lost"] for one in told["Clients"]] == [None] * WORKERS
    assert told["Requests"] == sum(one["Requests"] for one in told["Clients"]) >= 30
    # The clients are free: another run is made at once.
    cli("run", *over(cluster, server), "--workers", 3, "--max-queries", 9, "--quiet", code=0)


def test_the_coordinator_killed_leaves_no_load_behind(
    cli: Cli, tmp_path: Path, cluster: LocalCluster, server: EmbeddedServer
) -> None:
    """Clients see that nobody waits for them any more, and the next run finds them free."""
    with subprocess.Popen(
        command(
            "run", *over(cluster, server), "--workers", 3, "--limit-rps", 60, "--duration", "60s",
            "--reporting-period", "250ms",
        ),
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        for _ in range(3):
            process.stdout.readline()
        process.kill()
    cli("run", *over(cluster, server), "--workers", 3, "--max-queries", 9, "--quiet", code=0)


def test_a_sweep_and_a_search_go_over_it_too(
    cli: Cli, tmp_path: Path, cluster: LocalCluster, server: EmbeddedServer
) -> None:
    swept = cli(
        "sweep", *over(cluster, server), "--workers", 4, "--max-queries", 40, "--clients", 2,
    )  # fmt: skip
    assert swept.returncode == 0, swept.stderr
    results = sorted((tmp_path / "results").glob("JSON_*.json"))
    told = [json.loads(file.read_text()) for file in results]
    assert [(one["Workers"], len(one["Clients"])) for one in told] == [(4, 2)]
    searched = cli(
        "search", *over(cluster, server), "--slo", "errors=1%", "--over", "workers", "--from", 3,
        "--to", 3, "--max-queries", 40, "--burn-in", 1, code=0,
    )  # fmt: skip
    assert "holds up to 3 workers" in searched.stdout
    steps = sorted((tmp_path / "search").glob("step-*.json"))
    assert {len(json.loads(file.read_text())["Clients"]) for file in steps} == {3}


def test_a_client_that_is_lost_in_a_step_ends_the_search(
    tmp_path: Path, cluster: LocalCluster, server: EmbeddedServer, dask: Client,
    worker_pids: dict[str, int],
) -> None:  # fmt: skip
    """The load was not the one that was asked for, so whether it held says nothing."""
    with subprocess.Popen(
        command(
            "search", *over(cluster, server), "--slo", "p99=10s", "--over", "workers",
            "--from", 3, "--to", 3, "--duration", "2s", "--reporting-period", "250ms",
        ),
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while not any(one.stat().st_size for one in tmp_path.glob("search/*.journal")):
            assert process.poll() is None
            time.sleep(0.05)
        os.kill(min(worker_pids.values()), signal.SIGKILL)
        out, err = process.communicate(timeout=60)
    dask.wait_for_workers(WORKERS, timeout=30)
    assert (process.returncode, out.count("\n"), err.count("\n")) == (3, 1, 1), err
    assert out.startswith("the search: at most")
    assert re.search("client .* was lost in a step: its Dask worker is gone", err)
    assert len(list(tmp_path.glob("search/*.journal"))) == 1  # for `recover`


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A scheduler with two workers, by Dask's own commands: its address and its process id."""
    file = tmp_path / "scheduler.json"
    here = ("--scheduler-file", str(file), "--no-dashboard")
    commands = [
        ("scheduler", *here, "--host", "127.0.0.1", "--port", "0"),
        *[("worker", *here, "--no-nanny", "--nthreads", "1")] * 2,
    ]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", *words], cwd=tmp_path,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for words in commands
    ]  # fmt: skip
    try:
        with Client(scheduler_file=str(file), set_as_default=False, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            address = client.scheduler.address
        yield address, running[0].pid
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_a_scheduler_that_is_killed_loses_what_is_not_told(
    tmp_path: Path, scheduler: tuple[str, int], server: EmbeddedServer
) -> None:
    address, pid = scheduler
    with subprocess.Popen(
        command(
            "run", "--port", server.address.port, "--model", MODEL, "--shape", 16,
            "--dask", address, "--workers", 2, "--limit-rps", 60, "--duration", "60s",
            "--reporting-period", "250ms", "--json-out-file", "result.json",
        ),
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        for _ in range(3):
            process.stdout.readline()
        os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "")
    told = json.loads((tmp_path / "result.json").read_text())
    assert all("the Dask scheduler is gone" in one["Lost"] for one in told["Clients"])
    assert told["Requests"] == sum(one["Requests"] for one in told["Clients"]) >= 15


def test_a_scheduler_that_is_gone_is_told_before_a_run(
    scheduler: tuple[str, int], server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As between two steps of a search, where Dask's own client has noticed, and given up."""
    monkeypatch.setattr("aibench_fast.cluster.CONNECT_S", 2)
    address, pid = scheduler
    asked = RunConfig(file=None, shape=(16,), address=server.address, model=MODEL, max_queries=9)
    with connected(address) as client:
        os.kill(pid, signal.SIGKILL)
        while client.status == "running":
            time.sleep(0.05)
        with pytest.raises(ServerError, match="the Dask scheduler is gone"):
            run(asked, client=client)


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        (
            ["--dask", "tcp://127.0.0.1:{closed}"],
            3,
            "--dask tcp://127.0.0.1:.*: no scheduler answers",
        ),
        (["--dask", "nonsense"], 2, "--dask nonsense: not the address of a scheduler"),
        (["--workers", 9, "--clients", 7], 2, "--clients 7: the Dask cluster has 3 workers"),
        (["--clients", 2], 2, "--clients 2 with --workers 1"),
        (["--live"], 2, "--live with --dask"),
        (["--print-responses"], 2, "--print-responses with --dask"),
        (["--burn-in", "auto", "--duration", "5s"], 2, "--burn-in auto over several clients"),
    ],
)
def test_what_cannot_be_is_one_line(
    cluster: LocalCluster,
    server: EmbeddedServer,
    closed_port: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    changed: list[object],
    code: int,
    told: str,
) -> None:
    monkeypatch.setattr("aibench_fast.cluster.CONNECT_S", 0.5)
    words = [str(word).format(closed=closed_port) for word in changed]
    ended = main(["run", *map(str, over(cluster, server)), *words])
    shown = capsys.readouterr()
    assert (ended, shown.out, shown.err.count("\n")) == (code, "", 1), shown.err
    assert re.search(told, shown.err)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--clients", "2"], "--clients 2 without --dask"),
        (["--embedded", "--dask", "tcp://127.0.0.1:1"], "--embedded with --dask"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["run", "--shape", "16", *words]) == 2
    assert told in capsys.readouterr().err


def test_a_server_that_a_sweep_starts_is_not_loaded_over_dask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = tmp_path / "grid.toml"
    grid.write_text('[[server]]\nname = "own"\nembedded = "redisai"\n')
    assert main(["sweep", f"--grid={grid}", "--shape=16", "--dask=tcp://127.0.0.1:1"]) == 2
    assert "--embedded with --dask" in capsys.readouterr().err


def test_without_the_extra_one_line_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "distributed.py").write_text("raise ImportError('none here')\n")
    done = completed(
        *command("run", "--shape", 16, "--dask", "tcp://127.0.0.1:1"), code=2,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    assert "pip install 'aibench-fast[dask]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_workers_without_this_package_are_told(
    cli: Cli, tmp_path: Path, server: EmbeddedServer
) -> None:
    """A real worker, whose Python cannot import it."""
    packages = tmp_path / "packages"
    fake = packages / "aibench_fast" / "__init__.py"
    fake.parent.mkdir(parents=True)
    fake.write_text("raise ImportError('there is none here')\n")
    with LocalCluster(n_workers=0, processes=True, dashboard_address="127.0.0.1:0") as bare:
        worker = subprocess.Popen(
            [sys.executable, "-m", "dask", "worker", bare.scheduler_address, "--no-nanny",
             "--nthreads", "1", "--name", "bare", "--no-dashboard"],
            env={**os.environ, "PYTHONPATH": str(packages)}, cwd=tmp_path,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with Client(bare, set_as_default=False) as client:
                client.wait_for_workers(1, timeout=60)
            done = cli("run", *over(bare, server))
        finally:
            worker.terminate()
            worker.wait()
    assert done.returncode == 3
    assert re.search("the Dask worker bare on .* has no aibench-fast .*none here", done.stderr)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command_name", ["run", "sweep", "search"])
def test_help_tells_of_clients(cli: Cli, command_name: str) -> None:
    assert "--dask ADDRESS" in cli(command_name, "--help").stdout
