"""The server of tokens keeps the times that it is given, and says that it is simulated."""

import http.client
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Cli

from aibench_fast import Result, RunConfig, run
from aibench_fast.errors import ConfigError
from aibench_fast.server.tokenserver import Simulation, TokenServer

RECORD = np.dtype([("port", "<u2"), ("flags", "<u2"), ("request", "<u4"), ("at_ns", "<i8")])
ROLE, CONTENT, REASONING, FINISH, USAGE, DONE, CAME = (1 << bit for bit in range(7))
MS = 1_000_000


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    file.write_text('{"text": "five words are in it"}\n')
    return file


def against(server: TokenServer, prompts: Path, **others: object) -> Result:
    usual: dict[str, object] = {
        "file": None, "url": server.url, "prompts": prompts, "model": server.simulation.model,
        "output_tokens": 5, "max_queries": 4,
    }  # fmt: skip
    return run(RunConfig(**(usual | others)))  # type: ignore[arg-type]


def streams(log: Path) -> list[Any]:
    """The records of each request, in the order in which requests came."""
    records = np.fromfile(log, RECORD)
    found: dict[tuple[int, int], list[Any]] = {}
    for record in records:
        found.setdefault((int(record["port"]), int(record["request"])), []).append(record)
    return [np.array(one, RECORD) for one in found.values()]


def tokens_of(stream: Any) -> Any:
    return stream[(stream["flags"] & (CONTENT | REASONING)) != 0]


def test_no_token_is_early_and_a_late_one_delays_no_other(prompts: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    simulation = Simulation(
        prefill_s=0.02, prefill_token_s=0.002, decode_s=0.001, log=log, model="m"
    )
    with TokenServer(simulation) as server:
        result = against(server, prompts, workers=2, max_queries=6, output_tokens=200)
    assert result.successes == 6
    _, *found = streams(log)  # the first is the trial
    assert len(found) == 6
    for stream in found:
        assert list(stream["flags"][[0, 1, 2]]) == [CAME, ROLE, CONTENT]
        tokens = tokens_of(stream)
        assert len(tokens) == 200
        due_ns = stream["at_ns"][0] + 20 * MS + 5 * 2 * MS + np.arange(200) * MS
        late_ns = tokens["at_ns"] - due_ns
        assert late_ns.min() >= 0
        assert np.diff(late_ns).min() < 0
    client = result.tokens.first_tokens
    assert client.min_ms >= 30


def test_requests_beyond_the_limit_wait_for_one_that_ends(prompts: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    simulation = Simulation(prefill_s=0.01, decode_s=0.005, batch_limit=2, log=log)
    with TokenServer(simulation) as server:
        against(server, prompts, workers=6, max_queries=24)
    records = np.fromfile(log, RECORD)
    running = most = 0
    for flags in records["flags"]:
        running += int(flags == ROLE) - int(flags == FINISH)
        most = max(most, running)
    assert most == 2
    came = [stream["at_ns"][0] for stream in streams(log)]
    started = [stream["at_ns"][1] for stream in streams(log)]
    assert np.argsort(came).tolist() == np.argsort(started).tolist()


def test_its_tokens_are_the_clients(prompts: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    simulation = Simulation(prefill_s=0.0, decode_s=0.0, reasoning_tokens=2, log=log)
    with TokenServer(simulation) as server:
        result = against(server, prompts, workers=8, max_queries=400)
    _, *found = streams(log)
    assert [list(stream["flags"]) for stream in found] == [
        [CAME, ROLE, *[REASONING] * 2, *[CONTENT] * 3, FINISH, USAGE, DONE]
    ] * 400
    tokens = result.tokens
    assert (tokens.output_tokens, tokens.chunks, tokens.events) == (2000, 2000, 400 * 9)
    assert tokens.input_tokens == 400 * 5
    assert tokens.first_answers.count == 400


def ask(server: TokenServer, method: str, path: str, body: object = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=5)
    text = body if isinstance(body, str) or body is None else json.dumps(body)
    connection.request(method, path, text)
    reply = connection.getresponse()
    assert reply.headers["Server"].startswith("simulated-tokens/")
    found = json.loads(reply.read())
    connection.close()
    return reply.status, found


@pytest.fixture(scope="module")
def quick() -> Any:
    with TokenServer(Simulation(prefill_s=0.0, decode_s=0.0, output_tokens=3)) as server:
        yield server


def test_an_answer_without_a_stream_is_one_object(quick: TokenServer) -> None:
    chat = {"model": "simulated", "messages": [{"role": "user", "content": "a b"}], "max_tokens": 2}
    status, found = ask(quick, "POST", "/v1/chat/completions", chat)
    assert status == 200
    assert found["choices"][0]["message"] == {"role": "assistant", "content": " token token"}
    assert found["usage"] == {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4}
    status, found = ask(quick, "POST", "/v1/completions", {"model": "simulated", "prompt": [5, 6]})
    assert found["choices"][0]["text"] == " token token token"
    assert found["usage"]["prompt_tokens"] == 2


def test_its_model_is_listed(quick: TokenServer) -> None:
    status, found = ask(quick, "GET", "/v1/models")
    assert (status, [model["id"] for model in found["data"]]) == (200, ["simulated"])


REFUSED = {
    "no JSON": ("POST", "/v1/completions", "{", 400, "the body is not JSON"),
    "another model": ("POST", "/v1/completions", {"model": "m", "prompt": "a"}, 404, "does not ex"),
    "no prompt": ("POST", "/v1/chat/completions", {"model": "simulated"}, 400, "messages is miss"),
    "no tokens": (
        "POST", "/v1/completions", {"model": "simulated", "prompt": "a", "max_tokens": 0},
        400, "max_tokens has to be",
    ),
    "another path": ("GET", "/metrics", None, 404, "there are POST /v1/chat/completions"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses_what_a_server_refuses(quick: TokenServer, name: str) -> None:
    method, path, body, status, words = REFUSED[name]
    found = ask(quick, method, path, body)
    assert found[0] == status
    assert words in found[1]["error"]["message"]


def test_the_summary_and_the_result_say_that_it_is_simulated(
    cli: Cli, prompts: Path, tmp_path: Path
) -> None:
    done = cli(
        "run", "--embedded", "tokens", "--prompts", prompts, "--output-tokens", 3,
        "--max-queries", 2, "--json-out-file", "r.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "server of tokens on http://127.0.0.1:" in done.stderr
    assert "Server: simulated-tokens 0.1.0 at http://127.0.0.1:" in done.stdout
    assert "OpenAI chat - simulated :stream" in done.stdout
    assert json.loads((tmp_path / "r.json").read_text())["Server"]["Kind"] == "simulated-tokens"


WRONG: dict[str, tuple[Sequence[object], str]] = {
    "an option of tokens alone": (["--decode", "1ms"], "--decode without --kind tokens"),
    "an option of another server": (
        ["--kind", "tokens", "--dir", "d"], "the server of tokens does not have it",
    ),
    "a model that JSON would escape": (["--kind", "tokens", "--model", 'a"b'], "--model 'a\"b'"),
    "no limit below zero": (["--kind", "tokens", "--batch-limit", -1], "--batch-limit -1: it has"),
    "a log that is a folder": (["--kind", "tokens", "--log", "."], "--log: "),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_are_one_line(cli: Cli, name: str) -> None:
    words, error = WRONG[name]
    done = cli("serve", "--port", 0, *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert error in done.stderr


def test_a_port_in_use_is_an_error_of_one_line(cli: Cli, quick: TokenServer) -> None:
    done = cli("serve", "--kind", "tokens", "--port", quick.port)
    assert done.returncode == 3
    assert f"port {quick.port} of 127.0.0.1 is in use" in done.stderr


def test_a_wrong_time_is_an_error() -> None:
    with pytest.raises(ConfigError, match="`decode_s` -1"):
        Simulation(decode_s=-1)
