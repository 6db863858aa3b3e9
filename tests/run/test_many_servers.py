"""One run over several servers: who is sent what, and what becomes of one that goes away."""

import argparse
import json
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from commandline import Cli
from conservation import broken
from fake_inference import FakeInference
from fake_redisai import OK, OUTPUT_BYTES, FakeRedisAI, array, bulk
from smallruns import against

from aibench_fast import ConfigError, Result, RunConfig, ServerAddress, ServerError, run
from aibench_fast.cli import build_parser
from aibench_fast.cli.options.server import addresses, is_server_given, other_urls
from aibench_fast.load.resolve import resolve
from aibench_fast.results.events import Event, IntervalLatencies
from aibench_fast.results.files import read_record

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "result.schema.json").read_text())


def over(fakes: Sequence[FakeRedisAI], **settings: Any) -> Result:
    """A run over them all, whose counts are what they have to be."""
    first, *others = [ServerAddress(fake.host, fake.port) for fake in fakes]
    told: list[Event] = []
    result = run(
        RunConfig(
            file=None, shape=(4,), address=first, others=tuple(others), interval_latencies=True,
            **settings,
        ),
        told.append,
    )  # fmt: skip
    periods = [one.latencies for one in told if isinstance(one, IntervalLatencies)]
    assert broken(result, periods) == []
    return result


def test_workers_are_spread_evenly_and_each_server_has_figures_of_its_own(tmp_path: Path) -> None:
    def refuse(_: Sequence[bytes], number: int) -> bytes:
        return b"-ERR no\r\n" if number > 0 and number % 5 == 0 else OK

    with FakeRedisAI() as one, FakeRedisAI(AI_MODELRUN=refuse) as two, FakeRedisAI() as three:
        fakes = (one, two, three)
        result = over(fakes, workers=7, threads=2, max_queries=700)
        connections = [fake.connections for fake in fakes]
        sent = [fake.counts["AI.MODELRUN"] - 1 for fake in fakes]  # but the trial
    assert [server.name for server in result.servers] == [f"127.0.0.1:{one.port}" for one in fakes]
    assert [server.workers for server in result.servers] == [3, 2, 2]
    assert [server.requests for server in result.servers] == sent
    assert [bool(server.failures) for server in result.servers] == [False, True, False]
    # The workers', the visit's before and after, and the one of statistics.
    assert connections[0] == connections[1] + 1 == connections[2] + 1
    result.save(tmp_path / "r.json")
    document = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(document, SCHEMA)
    assert read_record(tmp_path / "r.json").setup["servers"] == "3"
    told = document["Servers"]
    assert sum(server["InferencesPerSecond"] for server in told) == pytest.approx(
        result.inferences_per_s
    )
    assert not [one for one in result.warnings if one.kind in ("servers_differ", "models_differ")]


def test_each_of_more_servers_than_workers_is_asked() -> None:
    with ExitStack() as stack:
        fakes = [stack.enter_context(FakeRedisAI()) for _ in range(5)]
        result = over(fakes, workers=2, duration_s=0.3)
    assert result.setup.workers == 5
    assert all(server.successes > 0 and server.workers == 1 for server in result.servers)
    (warned,) = [one for one in result.warnings if one.kind == "more_workers"]
    assert warned.message == "--workers 2, but 5 ran: one for each server"


def test_one_that_goes_away_is_an_outage_of_its_own_and_the_others_go_on() -> None:
    with FakeRedisAI() as stays, FakeRedisAI() as goes:
        goes.leave_after("AI.MODELRUN", 20)
        result = over((stays, goes), workers=4, limit_rps=200.0, duration_s=1.5, max_lag_s=0.2,
                      on_lag="shed", reconnect_for_s=5.0)  # fmt: skip
    (outage,) = result.connections.outages
    assert (outage.server, outage.is_over) == (f"127.0.0.1:{goes.port}", False)
    one, two = result.servers
    assert (one.failures, {*two.failures}) == ({}, {"connection_lost"})
    assert two.successes == 19  # and the trial
    assert one.successes > 100
    assert not result.went_well


def test_one_that_comes_back_has_its_outage_and_the_others_none() -> None:
    with FakeRedisAI() as stays, FakeRedisAI() as first:
        port = first.port
        again = FakeRedisAI()
        again.port = port

        first.leave_after("AI.MODELRUN", 20)

        def come_back(event: object) -> None:
            if first.left_s and time.monotonic() > first.left_s + 0.3 and not started:
                started.append(again.__enter__())

        started: list[FakeRedisAI] = []
        result = against(
            stays, observe=come_back, shape=(4,), others=(ServerAddress("127.0.0.1", port),),
            workers=2, limit_rps=200.0, duration_s=2.0, reporting_period_s=0.1,
        )  # fmt: skip
        for one in started:
            one.__exit__()
    (outage,) = result.connections.outages
    assert (outage.server, outage.is_over) == (f"127.0.0.1:{port}", True)
    assert again.counts["AI.MODELRUN"] > 10
    assert {*result.servers[1].failures} == {"connection_lost"}


def test_servers_of_urls_have_figures_of_their_own(cli: Cli, tmp_path: Path) -> None:
    with FakeInference() as one, FakeInference() as two:
        done = cli(
            "run", "--url", one.url, "--url", two.url, "--model", "m", "--workers", 4,
            "--max-queries", 400, "--quiet", "--json-out-file", "r.json",
        )  # fmt: skip
        asked = [len(fake.asked) - 1 for fake in (one, two)]
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "r.json").read_text())["Servers"]
    assert [server["Requests"] for server in told] == asked
    table = [line.split() for line in done.stdout.splitlines() if line.startswith("http://")]
    assert [(row[0], row[1], row[2]) for row in table] == [
        (fake.url, "2", str(count)) for fake, count in zip((one, two), asked, strict=True)
    ]


def test_servers_whose_models_answer_otherwise_are_no_one_run() -> None:
    def smaller(arguments: Sequence[bytes], _number: int) -> bytes:
        output = bulk(bytes(8))
        return array(bulk(b"dtype"), bulk(b"FLOAT"), bulk(b"blob"), output)

    with FakeRedisAI() as one, FakeRedisAI(AI_TENSORGET=smaller) as two:
        with pytest.raises(ServerError) as told:
            over((one, two), max_queries=10)
        words = str(told.value)
        assert f"127.0.0.1:{two.port} answers 8 bytes of FLOAT" in words
        assert f"127.0.0.1:{one.port} answers {OUTPUT_BYTES} of FLOAT" in words
        assert two.counts["DEL"] == one.counts["DEL"] > 0  # nothing is left in either


def test_what_differs_between_servers_is_a_warning() -> None:
    def other_model(arguments: Sequence[bytes], _number: int) -> bytes:
        return bulk(b"other") if b"BLOB" in arguments else array()

    older = bulk(b"# Server\r\nredis_version:6.2.1\r\n")
    with FakeRedisAI() as one, FakeRedisAI(INFO=lambda *_: older, AI_MODELGET=other_model) as two:
        one.behave("AI.MODELGET", lambda words, _: bulk(b"m") if b"BLOB" in words else array())
        result = over((one, two), max_queries=10)
    kinds = {warned.kind: warned.message for warned in result.warnings}
    assert "6.2.1" in kinds["servers_differ"]
    assert f"127.0.0.1:{two.port}" in kinds["models_differ"]


def parsed(*words: str) -> argparse.Namespace:
    return build_parser(["run"]).parse_args(["run", *words])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--host", "a,b", "--port", "1,2"], ["a:1", "b:2"]),
        (["--host", "a,b", "--port", "3"], ["a:3", "b:3"]),
        (["--host", "a", "--port", "1,2"], ["a:1", "a:2"]),
        (["--host", "a:7,b"], ["a:7", "b:6379"]),
        (["--url", "redis://a:1", "--url", "redis://b"], ["a:1", "b:6379"]),
    ],
)
def test_hosts_and_ports_are_paired_or_one_is_for_all(words: list[str], found: list[str]) -> None:
    assert [str(one) for one in addresses(parsed(*words))] == found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--host", "a,b,c", "--port", "1,2"], "3 hosts and --port 2 ports: give as many, or one"),
        (["--host", "a:1,b", "--port", "1,2"], "'a:1' has its own"),
        (["--host", "a", "--port", "0,1"], "--port 0: a port is a number from 1 to 65535"),
        (["--url", "redis://a:0"], "redis://a:0: a port is a number from 1 to 65535"),
        (["--url", "redis://me@a", "--url", "redis://you@b"], "me, you: name one"),
        (["--url", "redis://a", "--host", "b"], "name one server"),
        (["--url", "redis://a", "--port", "6379"], "name one server"),
    ],
)
def test_what_cannot_be_paired_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        addresses(parsed(*words))
    assert "\n" not in str(told.value)


def test_the_usual_host_and_port_name_a_server_too() -> None:
    assert is_server_given(parsed("--host", "localhost"))
    assert is_server_given(parsed("--port", "6379"))
    assert not is_server_given(parsed())


def test_a_run_speaks_one_protocol() -> None:
    with pytest.raises(ConfigError, match="it speaks one protocol"):
        other_urls(parsed("--url", "http://a", "--url", "redis://b"))


@pytest.mark.parametrize("command", ["sweep", "stats"])
def test_a_command_for_one_server_takes_no_two(cli: Cli, command: str) -> None:
    needed = ["--shape", "4", "--workers", "1"] if command == "sweep" else []
    done = cli(command, "--host", "a,b", *needed, code=2)
    assert "2 servers: this command is for one, name one" in done.stderr


def names(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Have the name `many` stand for these addresses."""
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        if host != "many":
            return real(host, port, *more, **named)
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (one, port)) for one in hosts]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_name_of_several_addresses_is_as_many_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, "127.0.0.1", "127.0.0.2")
    with FakeRedisAI() as one:
        two = FakeRedisAI()
        two.host, two.port = "127.0.0.2", one.port
        with two:
            result = run(
                RunConfig(
                    file=None, shape=(4,), address=ServerAddress("many", one.port),
                    all_addresses=True, workers=2, duration_s=0.3,
                )
            )  # fmt: skip
    found = [server.name for server in result.servers]
    assert found == [f"127.0.0.1:{one.port}", f"127.0.0.2:{one.port}"]
    assert all(server.successes > 0 for server in result.servers)


def test_the_option_for_all_addresses(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names(monkeypatch, "127.0.0.1", "127.0.0.2")
    with FakeRedisAI() as one:
        two = FakeRedisAI()
        two.host, two.port = "127.0.0.2", one.port
        with two:
            cli(
                "run", "--host", "many", "--port", one.port, "--all-addresses", "--shape", 4,
                "--max-queries", 8, "--quiet", "--json-out-file", "r.json", code=0,
            )  # fmt: skip
    servers = json.loads((tmp_path / "r.json").read_text())["Servers"]
    found = [server["Address"] for server in servers]
    assert found == [f"127.0.0.1:{one.port}", f"127.0.0.2:{one.port}"]


def test_all_addresses_of_a_url_are_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, "127.0.0.1", "127.0.0.2")
    with FakeInference() as fake:
        asked = RunConfig(file=None, url=f"http://many:{fake.port}", model="m", all_addresses=True)
        found = resolve(asked)
    assert (found.url, found.others) == (
        f"http://127.0.0.1:{fake.port}", (f"http://127.0.0.2:{fake.port}",),
    )  # fmt: skip
