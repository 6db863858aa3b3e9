"""gRPC in every command that takes a server, beside HTTP where servers are compared."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import Cli
from dask.distributed import Client, LocalCluster
from fake_inference import FakeInference
from service import MODEL, WELL, Answers, Counted, serving

import aibench_fast
from aibench_fast import RunConfig
from aibench_fast.studies import selfcheck

QUERIES = 40


@pytest.fixture(scope="module")
def counted() -> Counted:
    return Counted()


@pytest.fixture(scope="module")
def url(counted: Counted) -> Iterator[str]:
    answers: Answers = {
        **WELL, "ModelInfer": counted.infer, "ModelStatistics": counted.statistics,
    }  # fmt: skip
    with serving(answers) as port:
        yield f"grpc://127.0.0.1:{port}"


def config(url: str) -> RunConfig:
    return RunConfig(file=None, url=url, model=MODEL, max_queries=QUERIES)


def test_several_servers_have_their_own_figures(cli: Cli, url: str, tmp_path: Path) -> None:
    with serving() as other:
        urls = ("--url", url, "--url", f"grpc://127.0.0.1:{other}")
        cli(
            "run", *urls, "--model", MODEL, "--workers", 2, "--max-queries", QUERIES,
            "--quiet", "--json-out-file", "r.json", code=0, errors=0,
        )  # fmt: skip
    servers = json.loads((tmp_path / "r.json").read_text())["Servers"]
    assert [one["Address"] for one in servers] == [url, f"grpc://127.0.0.1:{other}"]
    assert sum(one["Requests"] for one in servers) == QUERIES
    assert all(one["Requests"] for one in servers)


def test_one_run_speaks_one_protocol(cli: Cli, url: str) -> None:
    done = cli("run", "--url", url, "--url", "http://127.0.0.1:1", "--model", MODEL)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"--url {url} and http://127.0.0.1:1 in one run: it speaks one protocol" in done.stderr


def test_a_sweep_compares_a_server_over_http_with_one_over_grpc(
    cli: Cli, url: str, tmp_path: Path
) -> None:
    with FakeInference() as http:
        grid = f"""
            workers = [1, 2]
            [[server]]
            name = "http"
            url = "{http.url}"
            [[server]]
            name = "grpc"
            url = "{url}"
            header = ["X-Bench: 1"]
        """
        (tmp_path / "grid.toml").write_text(grid)
        cli(
            "sweep", "--grid", "grid.toml", "--model", MODEL, "--max-queries", QUERIES,
            "--quiet", "--results-dir", "swept", code=0, errors=0,
        )  # fmt: skip
    compared = cli("tables", "--dir", "swept").stdout
    assert "http" in compared
    assert "grpc" in compared
    swept = [json.loads(file.read_text()) for file in (tmp_path / "swept").glob("*.json")]
    assert sorted(one["Query"].rpartition(":")[2] for one in swept) == [
        "ModelInfer", "ModelInfer", "infer", "infer",
    ]  # fmt: skip


def test_a_search_and_repeats(cli: Cli, url: str, tmp_path: Path) -> None:
    where = ("--url", url, "--model", MODEL, "--quiet")
    cli(
        "search", *where, "--slo", "p50=10s", "--over", "pipeline", "--to", 2,
        "--duration", "200ms", "--burn-in", 0, "--results-dir", "searched", code=0, errors=0,
    )  # fmt: skip
    assert json.loads((tmp_path / "searched/search.json").read_text())["Search"]["Found"] == 2
    done = cli("run", *where, "--repeats", 2, "--max-queries", QUERIES, "--json-out-file", "r.json")
    assert done.returncode == 0
    assert json.loads((tmp_path / "r.json").read_text())["Repeats"]


def test_stats_are_those_of_the_server(cli: Cli, url: str, counted: Counted) -> None:
    aibench_fast.run(config(url))
    done = cli("stats", "--url", url, "--model", MODEL, code=0, errors=0)
    assert f"model_calls:{counted.requests}\n" in done.stdout
    unknown = cli("stats", "--url", url, "--model", "nosuch", code=3, errors=1)
    assert "there are m" in unknown.stderr


def test_a_self_check_against_the_server(
    cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BURN_IN_S", "CEILING_S", "SCHEDULED_S"):
        monkeypatch.setattr(selfcheck, name, 0.2)
    monkeypatch.setattr(selfcheck, "TIMER_WAITS", 200)
    done = cli("selfcheck", "--url", url, "--model", MODEL, "--pipeline", 2, code=0, errors=0)
    assert re.search(rf"Ceiling: .* of 1 x 4 FLOAT, .* against the model m of {url}", done.stdout)
    cli("selfcheck", "--url", url, "--model", "nosuch", code=3, errors=1)


def test_from_python(url: str, tmp_path: Path) -> None:
    made = aibench_fast.repeat(config(url), 2)
    assert [result.successes for result in made.results] == [QUERIES, QUERIES]
    swept = aibench_fast.sweep(
        config(url), {"workers": [1, 2]}, tmp_path, servers={"one": {}, "two": {"pipeline": 2}}
    )
    assert (len(swept.runs), swept.failed) == (4, 0)


def test_many_clients_over_dask(url: str, counted: Counted) -> None:
    before = counted.requests
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        result = aibench_fast.run(
            RunConfig(file=None, url=url, model=MODEL, workers=4, max_queries=400), client=client
        )
    assert (result.successes, result.failures) == (400, {})
    assert result.facts["Clients"] == 2
    assert counted.requests - before == 402  # each client has its trial
