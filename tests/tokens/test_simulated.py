"""The server of tokens keeps the times that it is given, and says that it is simulated."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import Cli
from simulation import PROMPT_TOKENS, against, prompts_in, streams, tokens_of

from aibench_fast import RunConfig, run
from aibench_fast.errors import ConfigError
from aibench_fast.server.tokenlog import (
    CAME,
    CONTENT,
    DONE,
    FINISH,
    REASONING,
    ROLE,
    USAGE,
    read_log,
)
from aibench_fast.server.tokenserver import Simulation, TokenServer

MS = 1_000_000


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prompts_in(tmp_path_factory.mktemp("prompts"))


def test_no_token_is_early_and_a_late_one_delays_no_other(prompts: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    simulation = Simulation(
        prefill_s=0.02, prefill_token_s=0.002, decode_s=0.001, log=log, model="m"
    )
    with TokenServer(simulation) as server:
        result = against(server, prompts, workers=2, max_queries=6, output_tokens=200)
    assert result.successes == 6
    found = streams(log)
    assert len(found) == 6
    for stream in found:
        assert list(stream["flags"][[0, 1, 2]]) == [CAME, ROLE, CONTENT]
        tokens = tokens_of(stream)
        assert len(tokens) == 200
        due_ns = stream["at_ns"][0] + 20 * MS + PROMPT_TOKENS * 2 * MS + np.arange(200) * MS
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
    records = read_log(log)
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
    found = streams(log)
    assert [list(stream["flags"]) for stream in found] == [
        [CAME, ROLE, *[REASONING] * 2, *[CONTENT] * 3, FINISH, USAGE, DONE]
    ] * 400
    tokens = result.tokens
    assert (tokens.output_tokens, tokens.chunks, tokens.events) == (2000, 2000, 400 * 9)
    assert tokens.input_tokens == 400 * PROMPT_TOKENS
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
        "--max-queries", 2, "--json-out-file", "r.json", code=0,
    )  # fmt: skip
    assert "server of tokens on http://127.0.0.1:" in done.stderr
    assert "Server: simulated-tokens 0.1.0 at http://127.0.0.1:" in done.stdout
    assert "OpenAI chat - simulated :stream" in done.stdout
    assert json.loads((tmp_path / "r.json").read_text())["Server"]["Kind"] == "simulated-tokens"
    warning = "the server's times are simulated: no model was measured"
    assert f"Warning: {warning}" in done.stdout
    assert cli("report", "r.json", "--out", "r.html").returncode == 0
    assert warning.replace("'", "&#39;") in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("most", [[], ["--output-tokens", 2]])
def test_a_first_run_needs_no_lengths(cli: Cli, tmp_path: Path, most: list[object]) -> None:
    done = cli(
        "run", "--embedded", "tokens", *most, "--max-queries", 1, "--json-out-file", "r.json"
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "r.json").read_text())["Facts"]
    assert (facts["PromptTokens"], facts["MaxTokens"]) == ("128", "2" if most else "64")


def test_a_grid_says_its_lengths(cli: Cli) -> None:
    done = cli("sweep", "--embedded", "tokens", "--workers", "1", code=2, errors=1)
    assert "--embedded tokens without --prompts" in done.stderr


WRONG_FILES = {
    "--prompts": ('{"prompt": "a"}\n{"prompt": 1}', 'line 2: {"prompt": 1} has a prompt that'),
    "--tokenizer": ("{}", "cannot read --tokenizer"),
    "--trace": ("{}", "line 1: timestamp and"),
    "--arrivals-file": ("0.5\nsoon\n", "line 2: 'soon' is not an offset"),
    "--extra-body": ("[]", "it has to be a JSON object"),
}


@pytest.mark.parametrize("option", WRONG_FILES)
def test_no_server_is_started_for_a_wrong_file(cli: Cli, tmp_path: Path, option: str) -> None:
    content, error = WRONG_FILES[option]
    (tmp_path / "wrong.jsonl").write_text(content)
    words = ["--embedded", "tokens", option, "wrong.jsonl", "--max-queries", 2]
    done = cli("run", *words, code=2, errors=1)
    assert error in done.stderr


@pytest.mark.parametrize("study", ["sweep", "search"])
def test_nor_is_it_for_one_of_a_study(cli: Cli, tmp_path: Path, study: str) -> None:
    (tmp_path / "wrong.jsonl").write_text("{}")
    words = ["--embedded", "tokens", "--prompts", "wrong.jsonl", "--max-queries", 2]
    done = cli(study, *words, *(["--slo", "p50=1s"] if study == "search" else []), code=2, errors=1)
    assert "line 1: {} has no prompt" in done.stderr


def test_nor_is_it_for_a_search_that_cannot_be_made(cli: Cli, tmp_path: Path) -> None:
    words = ["search", "--embedded", "tokens", "--slo", "p50=1s"]
    done = cli(*words, "--over", "workers", "--from", 0, code=2, errors=1)
    assert "--from 0: over workers it has to be a whole number" in done.stderr
    (tmp_path / "search").mkdir(exist_ok=True)
    (tmp_path / "search" / "search.json").write_text("{}")
    assert "--results-dir search has a search already" in cli(*words, code=2, errors=1).stderr


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
    done = cli("serve", "--port", 0, *words, code=2, errors=1)
    assert error in done.stderr


def test_a_port_in_use_is_an_error_of_one_line(cli: Cli, quick: TokenServer) -> None:
    done = cli("serve", "--kind", "tokens", "--port", quick.port, code=3)
    assert f"port {quick.port} of 127.0.0.1 is in use" in done.stderr


def test_a_wrong_time_is_an_error() -> None:
    with pytest.raises(ConfigError, match="`decode_s` -1"):
        Simulation(decode_s=-1)


def test_events_are_joined_but_for_the_first(prompts: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    simulation = Simulation(prefill_s=0.0, decode_s=0.002, events_per_write=4, log=log)
    with TokenServer(simulation) as server:
        result = against(server, prompts, output_tokens=11)
    for stream in streams(log):
        sent_ns = tokens_of(stream)["at_ns"]
        _, together = np.unique(sent_ns, return_counts=True)
        assert together.tolist() == [1, 4, 4, 2]
        # A write goes when the last of its tokens is due.
        due_ns = stream["at_ns"][0] + PROMPT_TOKENS * MS // 10 + np.array([0, 8, 16, 20]) * MS
        assert (np.unique(sent_ns) >= due_ns - MS // 1000).all()
    assert (result.tokens.chunks, result.tokens.output_tokens) == (44, 44)


def test_writes_in_segments_are_the_same_stream(prompts: Path) -> None:
    with TokenServer(Simulation(prefill_s=0.0, decode_s=0.0, segments=7)) as server:
        result = against(server, prompts, max_queries=100)
    assert result.successes == 100
    assert (result.tokens.chunks, result.tokens.output_tokens) == (500, 500)
    assert result.tokens.event_reads > 0


FAILED = {
    "429": ("too_many_requests", "HTTP 429: simulated failure; Retry-After: 7", 0),
    "503": ("unavailable", "HTTP 503: simulated failure", 0),
    "error_event": ("error_event", "after 2 chunks: simulated failure", 2),
    "cut": ("stream_cut", "the server closed the connection after 2 chunks", 2),
    "end": ("stream_cut", "the stream ended after 2 chunks", 2),
    "hang": ("client_timeout", "", 2),
}


@pytest.mark.parametrize("how", FAILED)
def test_a_share_of_requests_fails_as_it_is_asked_to(
    how: str, prompts: Path, tmp_path: Path
) -> None:
    kind, words, tokens = FAILED[how]
    log = tmp_path / "log"
    simulation = Simulation(
        prefill_s=0.0, prefill_token_s=0.0, decode_s=0.0, failures={how: 0.3}, fail_after=2,
        retry_after_s=7, log=log,
    )  # fmt: skip
    with TokenServer(simulation) as server:
        result = against(server, prompts, max_queries=40, workers=4, reply_timeout_s=0.3)
    (failed,) = result.failures
    count = result.failures[failed].count
    assert (failed, count + result.successes) == (kind, 40)
    assert 3 <= count <= 25
    assert words in result.failures[kind].first_message
    assert result.tokens.failed_chunks == count * tokens
    found = streams(log)
    assert sum(len(tokens_of(stream)) for stream in found) == count * tokens + result.successes * 5


def test_a_seed_chooses_which_requests_fail(prompts: Path, tmp_path: Path) -> None:
    fates = []
    for number, seed in enumerate((1, 1, 2)):
        log = tmp_path / str(number)
        simulation = Simulation(
            prefill_s=0.0, decode_s=0.0, failures={"503": 0.3, "end": 0.2}, seed=seed, log=log
        )
        with TokenServer(simulation) as server:
            against(server, prompts, max_queries=40)
        fates.append([len(stream) for stream in streams(log)])
    assert fates[0] == fates[1]
    assert fates[0] != fates[2]


def test_a_stall_delays_what_would_have_been_due(prompts: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    simulation = Simulation(
        prefill_s=0.0, prefill_token_s=0.0, decode_s=0.01, stall_s=0.1, stall_period_s=0.25, log=log
    )
    with TokenServer(simulation) as server:
        against(server, prompts, max_queries=1, output_tokens=50)
    (stream,) = streams(log)
    took_ns = tokens_of(stream)["at_ns"][-1] - stream["at_ns"][0]
    # 49 times 10 ms take at least three of the times of 150 ms between which it stalls.
    assert took_ns >= (49 * 10 + 3 * 100) * MS


def test_a_server_that_stalls_a_tenth_of_the_time_shows_in_the_response(prompts: Path) -> None:
    simulation = Simulation(prefill_s=0.01, decode_s=0.002, stall_s=0.5, stall_period_s=5.0)
    with TokenServer(simulation) as server:
        result = against(
            server, prompts, limit_rps=60.0, arrivals="poisson", workers=4, max_queries=0,
            duration_s=5.0,
        )  # fmt: skip
    assert result.stream is not None
    due, service = result.tokens.first_tokens_due, result.tokens.first_tokens
    (response_p99,) = due.quantiles_ms([0.99])
    (service_p99,) = service.quantiles_ms([0.99])
    assert response_p99 > 250  # of 500: some 15 of 300 requests are due in its first half
    assert service_p99 < response_p99
    assert result.stream["TimeToFirstTokenFromDue"]["q99"] == pytest.approx(response_p99)


def test_the_command_line_sets_how_it_behaves(cli: Cli) -> None:
    wrong = {
        ("--fail", "429"): "'429' is not a failure and its share",
        ("--fail", "200=5"): "--fail 200: it has to be a status from 400 to 599 or one of",
        ("--fail", "\u0664\u0662\u0669=5"): "it has to be a status from 400 to 599 or one of",
        ("--fail", "cut=90%", "--fail", "hang=20%"): "--fail: their shares come to 1.1",
        ("--stall", "10s"): "--stall 10 with --stall-period 10: it has to be shorter",
        ("--events-per-write", 65): "--events-per-write 65: it has to be from 1 to 64",
    }
    for words, error in wrong.items():
        done = cli("serve", "--kind", "tokens", "--port", 0, *words, code=2)
        assert error in done.stderr


def chat(output_tokens: int) -> bytes:
    body = json.dumps(
        {"model": "simulated", "messages": [], "max_tokens": output_tokens, "stream": True}
    ).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def read_stream(client: socket.socket, until: bytes = b"\r\n0\r\n\r\n") -> bytes:
    got = bytearray()
    while until not in got[-1000:]:
        came = client.recv(1 << 20)
        assert came
        got += came
    return bytes(got)


def test_a_client_that_does_not_read_holds_up_no_other(quick: TokenServer) -> None:
    with (
        socket.create_connection(("127.0.0.1", quick.port)) as slow,
        socket.create_connection(("127.0.0.1", quick.port)) as other,
    ):
        # 40 MB: more than all buffers of a connection hold.
        slow.sendall(chat(200_000))
        for _ in range(20):
            other.sendall(chat(3))
            assert read_stream(other).count(b" token") == 3
        assert read_stream(slow).count(b" token") == 200_000


def test_a_client_that_leaves_gives_its_place_to_the_next() -> None:
    with TokenServer(Simulation(prefill_s=0.0, decode_s=60.0, batch_limit=1)) as server:
        first, second, third = (
            socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)
        )
        first.sendall(chat(2))
        read_stream(first, until=b" token")
        second.sendall(chat(2))
        third.settimeout(0.2)
        third.sendall(chat(1))
        with pytest.raises(TimeoutError):
            third.recv(1)
        second.close()
        first.close()
        third.settimeout(30)
        assert read_stream(third).count(b" token") == 1
        third.close()


def is_over(pid: int) -> bool:
    """Whether a process has ended, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_serve_says_where_it_is_and_leaves_no_process(
    prompts: Path, tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    command = [
        sys.executable, "-m", "aibench_fast", "serve", "--kind", "tokens", "--port", "0",
        "--model", "llama", "--prefill", "1ms", "--decode", "2ms", "--batch-limit", "3",
        "--fail", "503=0", "--log", str(log),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        assert line.endswith(
            "; model llama, simulated: prefill 1 ms and 0.1 a token of the prompt, decode 2 ms a "
            "token, 3 at a time\n"
        )
        found = re.fullmatch(r"tokens on (\S+) and (\S+), pid (\d+); .*\n", line)
        assert found
        for url in found.groups()[:2]:
            result = run(
                RunConfig(file=None, url=url, prompts=prompts, model="llama", output_tokens=2)
            )
            assert (result.successes, result.tokens.chunks) == (1, 2)
        process.send_signal(number)
        process.wait()
        deadline_s = time.monotonic() + 60
        while not is_over(int(found[3])):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
    # Two runs of a trial and a request each. Also a server whose parent was killed writes its log.
    assert sum(record["flags"] == CAME for record in read_log(log)) == 4
