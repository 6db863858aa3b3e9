"""`aibench-fast sweep` over several servers."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from commandline import Cli
from fake_inference import Asked, FakeInference, json_reply
from fake_redisai import META, FakeRedisAI
from redisclient import load_into

from aibench_fast import ConfigError, RunConfig, ServerAddress
from aibench_fast.cli import build_parser
from aibench_fast.cli.options.gridfile import swept_servers
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.server import EmbeddedServer
from aibench_fast.studies.servers import Server
from aibench_fast.studies.sweep import compared

GOLDEN = Path(__file__).parents[1] / "golden"
ONE = {"name": "one", "url": "http://127.0.0.1:8000"}


def options(*words: str) -> argparse.Namespace:
    return build_parser(["sweep"]).parse_args(["sweep", "--grid", "g.toml", *words])


@pytest.mark.parametrize(
    ("servers", "told"),
    [
        ({"name": "one"}, "server has to be tables, written [[server]]"),
        (["one"], "server 1: 'one' is not a table"),
        ([{"url": "http://h"}], "server 1: name is missing"),
        ([{**ONE, "name": "a b"}], "server 1: name 'a b'"),
        ([{**ONE, "name": "../a"}], "server 1: name '../a'"),
        ([{**ONE, "name": ""}], "server 1: name ''"),
        ([{**ONE, "name": 5}], "server 1: name is 5, which is of another type"),
        ([ONE, {"name": "two"}], "server 2: give one of url, host and port, socket, embedded"),
        ([{**ONE, "port": 1}], "it has url and host and port"),
        (
            [{"name": "one", "embedded": "mysql"}],
            "embedded 'mysql': it has to be redisai or triton",
        ),
        (
            [{"name": "one", "embedded": "redisai", "protocol": "grpc"}],
            "server 1: protocol grpc is for an embedded Triton",
        ),
        (
            [{"name": "one", "embedded": "triton", "protocol": "smtp"}],
            "server 1: protocol 'smtp' has to be http or grpc",
        ),
        ([{**ONE, "uri": "x"}], "server 1: there is no key uri; there are name, url"),
        ([ONE, ONE], "two servers are called one"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line(servers: Any, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        swept_servers(options(), servers)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "words",
    [
        ["--url", "http://h"],
        ["--port", "6380"],
        ["--embedded", "triton"],
        ["--protocol", "grpc"],
        ["--header", "A: b"],
        ["--cluster-mode"],
    ],
)
def test_servers_are_named_in_one_place(words: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"with \[\[server\]\] tables: each of them has its own"):
        swept_servers(options(*words), [ONE])


def test_each_server_has_its_own_words_and_the_rest_of_the_sweep() -> None:
    found = swept_servers(
        options("--model", "m", "--cacert", "ca.pem"),
        [
            {**ONE, "model": "other", "model-version": "3", "header": ["A: b"]},
            {"name": "two", "host": "elsewhere", "port": 7000, "cluster-mode": True},
            {"name": "three", "embedded": "triton"},
            {"name": "four", "url": "https://h"},
        ],
    )
    assert [*found] == ["one", "two", "three", "four"]
    one, two, three, four = found.values()
    assert (one.urls, one.model, one.model_version, one.header) == (
        [ONE["url"]],
        "other",
        "3",
        ["A: b"],
    )
    assert (two.urls, two.host, two.port, two.model) == ([], "elsewhere", (7000,), "m")
    assert (one.cluster_mode, two.cluster_mode) == (False, True)
    assert (three.embedded, three.urls, three.header) == ("triton", [], [])
    # Certificates are for the servers that speak TLS.
    assert [one.cacert, two.cacert, four.cacert] == [None, None, Path("ca.pem")]


def test_results_name_the_servers_that_run_here_meanwhile() -> None:
    config = RunConfig(file=None, shape=(4,))
    there = dataclasses.replace(config, address=ServerAddress("elsewhere"))
    found = compared(
        [
            Server(config=config, name="one"),
            Server(config=there, name="two"),
            Server(config=config, name="three", embedded="redisai"),
        ]
    )
    # Of those on this machine only `one` is not started and stopped by the sweep.
    assert [one.config.servers_meanwhile for one in found] == [(), ("one",), ("one",)]


def test_a_dry_run_of_two_servers_is_as_the_golden_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(
        'workers = [1, 2]\nruns = 2\nshape = "224,224,3"\n'
        '[[server]]\nname = "ours"\nembedded = "redisai"\n'
        '[[server]]\nname = "triton"\nembedded = "triton"\n'
    )
    done = cli("sweep", "--grid", "grid.toml", "--dry-run", code=0, errors=0)
    assert done.stdout == (GOLDEN / "sweep_servers_dry_run.txt").read_text()


def test_servers_take_turns_and_their_names_are_in_what_is_left(
    cli: Cli, server: EmbeddedServer, tmp_path: Path
) -> None:
    load_into(server.address, ModelSpec(name="null", backend=Backend.NULL))
    with FakeInference() as fake:
        (tmp_path / "grid.toml").write_text(
            f'runs = 2\nshape = "4"\nmax-queries = 6\nworkers = [1, 2]\n'
            f'[[server]]\nname = "a"\nport = {server.port}\nmodel = "null"\n'
            f'[[server]]\nname = "b"\nurl = "{fake.url}"\nmodel = "m"\n'
        )
        done = cli("sweep", "--grid", "grid.toml", code=0)
        told = [line.split(" ", 1)[1].split(", auto")[0] for line in done.stdout.splitlines()]
        assert told == ["a, 1 workers", "a, 2 workers", "b, 1 workers", "b, 2 workers"] * 2
        again = cli("sweep", "--grid", "grid.toml")
        assert (again.returncode, again.stdout) == (0, "8 of 8 runs are done already\n")
    found = [json.loads(p.read_text()) for p in (tmp_path / "results").glob("JSON_a__*.json")]
    found += [json.loads(p.read_text()) for p in (tmp_path / "results").glob("JSON_b__*.json")]
    assert [one["ServerName"] for one in found] == ["a"] * 4 + ["b"] * 4
    assert {one["Server"]["Kind"] for one in found[4:]} == {"fake"}
    for one, other in ((found[0], "b"), (found[4], "a")):
        warned = {warning["Kind"]: warning["Message"] for warning in one["Warnings"]}
        assert warned["servers_meanwhile"].endswith(f": {other}")


def test_a_server_describes_its_model_once_for_all_cells_of_a_batch_size(cli: Cli) -> None:
    asked: list[Asked] = []

    def describe(question: Asked) -> bytes:
        asked.append(question)
        return json_reply(FakeInference().model)

    axes = ["--workers", "1,2,4", "--limit-rps", "10,20", "--batch-size", "1,2", "--runs", 3]
    with FakeInference(paths={"/v2/models/m": describe}) as fake:
        done = cli("sweep", "--url", fake.url, "--model", "m", *axes, "--dry-run", code=0)
    assert len(done.stdout.splitlines()) == 37
    assert len(asked) == 2


@pytest.mark.parametrize("answers", [0, 1])
def test_a_server_that_is_gone_is_left_out_with_keep_going(
    cli: Cli, server: EmbeddedServer, tmp_path: Path, answers: int
) -> None:
    """It describes its model, or not, when the sweep is planned, and is gone in its turn."""
    load_into(server.address, ModelSpec(name="null", backend=Backend.NULL))
    with FakeRedisAI(AI_MODELGET=lambda _, n: META if n < answers else None) as gone:
        (tmp_path / "grid.toml").write_text(
            f'runs = 2\nshape = "4"\nmax-queries = 6\n'
            f'[[server]]\nname = "a"\nport = {gone.port}\nmodel = "m"\n'
            f'[[server]]\nname = "b"\nport = {server.port}\nmodel = "null"\n'
        )
        done = cli("sweep", "--grid", "grid.toml", "--junit", "cases.xml", "--keep-going")
        stopped = cli("sweep", "--grid", "grid.toml", "--results-dir", "others")
    assert (done.returncode, stopped.returncode) == (1, 3)
    assert "aibench-fast: a is left out: " in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list(tmp_path.glob("results/JSON_b__*"))) == 2
    assert not list(tmp_path.glob("results/JSON_a__*"))
    assert not (tmp_path / "others").exists()


def test_what_a_server_cannot_do_is_refused_before_any_is_started(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(
        'shape = "224,224,3"\nuse-dag = true\n'
        '[[server]]\nname = "ours"\nembedded = "redisai"\n'
        '[[server]]\nname = "triton"\nembedded = "triton"\n'
    )
    done = cli("sweep", "--grid", "grid.toml")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--use-dag with --url: the Open Inference Protocol over HTTP has no such" in done.stderr
