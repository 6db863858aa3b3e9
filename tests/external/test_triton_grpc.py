"""Every command against a real Triton over gRPC, and its decoupled models."""

import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from commandline import Cli
from dask.distributed import Client, LocalCluster
from modelservers import DecoupledTriton

import aibench_fast
from aibench_fast import Result, RunConfig
from aibench_fast.server.triton import TritonServer
from aibench_fast.studies import selfcheck

QUERIES = 60


@pytest.fixture(scope="module")
def server() -> Iterator[TritonServer]:
    with DecoupledTriton("mobilenet") as server:
        yield server


def null(server: TritonServer, **settings: Any) -> RunConfig:
    usual: dict[str, Any] = {"file": None, "model": "null", "max_queries": QUERIES}
    return RunConfig(url=server.grpc_url, **usual | settings)


def answered(result: Result) -> int:
    assert result.failures == {}
    return result.successes


def test_several_addresses(cli: Cli, server: TritonServer, tmp_path: Path) -> None:
    other = server.grpc_url.replace("127.0.0.1", "localhost")
    cli(
        "run", "--url", server.grpc_url, "--url", other, "--model", "null", "--workers", 2,
        "--pipeline", 3, "--max-queries", QUERIES, "--quiet", "--json-out-file", "r.json", code=0,
    )  # fmt: skip
    servers = json.loads((tmp_path / "r.json").read_text())["Servers"]
    assert [one["Address"] for one in servers] == [server.grpc_url, other]
    assert sum(one["Requests"] for one in servers) == QUERIES


@pytest.mark.parametrize("version", ["1", "7"])
def test_a_version_is_asked_for(cli: Cli, server: TritonServer, version: str) -> None:
    done = cli(
        "run", "--url", server.grpc_url, "--model", "null", "--model-version", version,
        "--output", "output", "--input", "input:FP32:224,224,3", "--max-queries", 10,
    )  # fmt: skip
    if version == "1":
        assert done.returncode == 0, done.stderr
    else:
        assert (done.returncode, done.stderr.count("\n")) == (3, 1)
        assert "version 7" in done.stderr


def test_stats_are_those_of_either_protocol(cli: Cli, server: TritonServer) -> None:
    aibench_fast.run(null(server))
    by_http, by_grpc = (
        cli("stats", "--url", url, "--model", "null") for url in (server.url, server.grpc_url)
    )
    assert (by_http.returncode, by_grpc.returncode) == (0, 0)
    calls = [line for line in by_grpc.stdout.splitlines() if line.startswith("model_calls:")]
    assert int(calls[0].partition(":")[2]) >= QUERIES
    assert calls[0] in by_http.stdout.splitlines()


def test_a_search_a_sweep_and_a_self_check(
    cli: Cli, server: TritonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = ("--url", server.grpc_url, "--model", "null", "--quiet")
    cli(
        "search", *where, "--slo", "p50=10s", "--over", "workers", "--to", 2,
        "--duration", "200ms", "--burn-in", 0, "--results-dir", "searched", code=0,
    )  # fmt: skip
    assert json.loads((tmp_path / "searched/search.json").read_text())["Search"]["Found"] == 2
    (tmp_path / "grid.toml").write_text(
        'model = "null"\nworkers = [1, 2]\nmax-queries = 20\nburn-in = 2\n'
        f'[[server]]\nname = "http"\nurl = "{server.url}"\n'
        f'[[server]]\nname = "grpc"\nurl = "{server.grpc_url}"\n'
    )
    cli("sweep", "--grid", "grid.toml", "--results-dir", "swept", "--quiet", code=0)
    swept = [json.loads(path.read_text()) for path in (tmp_path / "swept").glob("*.json")]
    assert sorted(one["ServerName"] for one in swept) == ["grpc", "grpc", "http", "http"]
    for name in ("BURN_IN_S", "CEILING_S", "SCHEDULED_S"):
        monkeypatch.setattr(selfcheck, name, 0.2)
    done = cli("selfcheck", "--url", server.grpc_url, code=0)
    assert f"against the model null of {server.grpc_url}" in done.stdout


def test_many_clients_over_dask(server: TritonServer) -> None:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        result = aibench_fast.run(null(server, workers=4), client=client)
    assert answered(result) == QUERIES
    assert result.facts["Clients"] == 2


def replies_to(server: TritonServer, *counts: int) -> list[list[int]]:
    """The replies of a decoupled model to each request, as Triton's own client gets them."""
    came: queue.Queue[Any] = queue.Queue()
    found: list[list[int]] = [[] for _ in counts]
    with grpcclient.InferenceServerClient(f"{server.host}:{server.grpc_port}") as client:
        client.start_stream(callback=lambda result, error: came.put((result, error)))
        for number, count in enumerate(counts):
            asked = grpcclient.InferInput("x0", [1, 1], "INT32")
            asked.set_data_from_numpy(np.array([[count]], np.int32))
            client.async_stream_infer(
                "decoupled", [asked], request_id=str(number), enable_empty_final_response=True
            )
        ended = 0
        while ended < len(counts):
            result, error = came.get(timeout=30)
            assert error is None
            reply = result.get_response()
            ended += reply.parameters["triton_final_response"].bool_param
            if reply.outputs:
                found[int(reply.id)].append(int(result.as_numpy("y0")[0, 0]))
    return found


def test_a_decoupled_model_has_several_replies_or_none(server: TritonServer) -> None:
    assert replies_to(server, 3, 0, 1, 4) == [[0, 1, 2], [], [0], [0, 1, 2, 3]]


def test_a_decoupled_model_in_calls_of_one_reply_is_one_line(
    cli: Cli, server: TritonServer
) -> None:
    done = cli("run", "--url", server.grpc_url, "--model", "decoupled")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1), done.stderr
    assert "decoupled transaction policy" in done.stderr
