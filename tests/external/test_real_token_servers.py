"""Streams of tokens of servers that others wrote; see `tokenservers`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tokenservers
from commandline import Cli
from tokenservers import GAP_MS, LIMIT_A_MINUTE, LIMITED, LLAMA, MOCK, TTFT_MS

from aibench_fast import Result, RunConfig, run
from aibench_fast.tensors import prompts as drawing
from aibench_fast.tensortype import split_strings

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
TOKENS = 12


@pytest.fixture(scope="module")
def transformers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tokenservers.transformers(tmp_path_factory.mktemp("transformers")) as url:
        yield url


@pytest.fixture(scope="module")
def guidellm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tokenservers.guidellm(tmp_path_factory.mktemp("guidellm")) as url:
        yield url


@pytest.fixture(scope="module")
def litellm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tokenservers.litellm(tmp_path_factory.mktemp("litellm")) as url:
        yield url


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"text": "Tell me about lighthouses."}\n{"text": "one", "max_tokens": 5}\n')
    return file


def against(url: str, model: str, prompts: Path, **settings: object) -> Result:
    usual: dict[str, object] = {
        "file": None, "url": url, "prompts": prompts, "model": model, "max_queries": 20,
        "output_tokens": TOKENS,
    }  # fmt: skip
    return run(RunConfig(**(usual | settings)))  # type: ignore[arg-type]


def check_counts(result: Result) -> None:
    """10 answers of TOKENS tokens and 10 of 5, counted by the server."""
    assert (result.successes, result.failures) == (20, {})
    assert result.tokens.output_tokens == 10 * TOKENS + 10 * 5
    assert result.stream["TokensFrom"] == "usage"
    assert result.tokens.input_tokens > 0
    assert result.tokens.first_tokens.count == 20


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("workers", [1, 4])
def test_transformers(transformers: str, prompts: Path, path: str, workers: int) -> None:
    result = against(transformers + path, LLAMA, prompts, workers=workers)
    check_counts(result)
    # A chunk with a role alone comes first in a chat, and is no token; unfinished characters wait.
    assert result.tokens.chunks < result.tokens.output_tokens
    assert result.tokens.events > result.tokens.chunks
    if path == CHAT:
        assert result.tokens.first_events.mean_ms < result.tokens.first_tokens.mean_ms


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("workers", [1, 4])
def test_guidellm(guidellm: str, prompts: Path, path: str, workers: int) -> None:
    result = against(guidellm + path, MOCK, prompts, workers=workers)
    check_counts(result)
    assert result.tokens.chunks == result.tokens.output_tokens
    # It sleeps before each token. Its loop counts in whole milliseconds from when it last looked at
    # the clock, so that a sleep may be shorter: by less than half, however busy the machine is.
    assert result.tokens.first_tokens.min_ms >= TTFT_MS / 2
    assert result.latencies.min_ms >= (TTFT_MS + 4 * GAP_MS) / 2


def test_guidellm_with_poisson_arrivals(cli: Cli, guidellm: str, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"text": "one", "max_tokens": 20}\n')
    done = cli(
        "run", "--url", guidellm + CHAT, "--prompts", "p.jsonl", "--model", MOCK, "--limit-rps",
        50, "--arrivals", "poisson", "--workers", 3, "--max-queries", 40, "--json-out-file",
        "r.json", "--expect", f"ttft.p50>={TTFT_MS}ms", code=0,
    )  # fmt: skip
    stream = json.loads((tmp_path / "r.json").read_text())["Stream"]
    assert stream["OutputTokens"] == 40 * 20
    # 3 workers of 115 ms each do 26 requests a second: what waits for one is in the figure.
    waited_ms = stream["TimeToFirstTokenFromDue"]["mean"] - stream["TimeToFirstToken"]["mean"]
    assert waited_ms > 50
    assert "Time to first token, from when it was due: " in done.stdout


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_litellm(litellm: str, prompts: Path, path: str) -> None:
    """It cuts its answer into pieces of three characters, whatever the tokens are."""
    result = against(litellm + path, MOCK, prompts, workers=2)
    assert (result.successes, result.failures) == (20, {})
    assert result.tokens.chunks == 20 * 18
    assert result.stream["TokensFrom"] == "usage"
    assert 0.5 < result.stream["TokensPerChunk"] < 1


def test_a_limit_of_requests_is_counted_and_not_retried(litellm: str, prompts: Path) -> None:
    result = against(litellm + CHAT, LIMITED, prompts, max_queries=40)
    refused = result.failures["too_many_requests"]
    assert set(result.failures) == {"too_many_requests"}
    assert result.successes + refused.count == 40
    # The run may have begun at the end of a minute, and the trial is one of the first one's.
    assert result.successes < 2 * LIMIT_A_MINUTE
    assert refused.first_message.startswith("HTTP 429: No deployments available")


NAMED = {"transformers": LLAMA, "litellm": f"{MOCK}, {LIMITED}"}
TEMPLATE = "user: \n"
"""The text that the model's template puts around a prompt; each of its tokens is a byte."""


@pytest.mark.parametrize(("path", "around"), [(COMPLETIONS, ""), (CHAT, TEMPLATE)])
def test_drawn_prompts_have_as_many_tokens_as_asked_for(
    transformers: str, tmp_path_factory: pytest.TempPathFactory, path: str, around: str
) -> None:
    tokenizer, *_ = tmp_path_factory.getbasetemp().glob(
        f"transformers[0-9]*/{LLAMA}/tokenizer.json"
    )
    config = RunConfig(
        file=None, url=transformers + path, prompt_tokens=(40, 60), output_tokens=TOKENS,
        max_queries=30,
        tokenizer=tokenizer,
    )  # fmt: skip
    result = run(config)
    assert (result.successes, result.setup.model) == (30, LLAMA)
    drawn = [drawing.draw(31, (40, 60), None, tokenizer, 0).read(n, 1) for n in range(30)]
    texts = [json.loads(split_strings(one)[0])["text"] for one in drawn]
    assert len({len(text) for text in texts}) > 5
    assert result.tokens.input_tokens == sum(map(len, texts)) + 30 * len(around)
    assert all(40 <= len(text) <= 60 for text in texts)


@pytest.mark.parametrize("server", ["transformers", "litellm"])
def test_an_unknown_model_is_one_line(
    cli: Cli, server: str, prompts: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(server)
    done = cli("run", "--url", url + CHAT, "--prompts", prompts, "--model", "nosuch", code=3)
    assert done.stderr.count("\n") == 1
    assert "nosuch" in done.stderr
    assert done.stderr.endswith(f"; it has the models {NAMED[server]}\n")


def test_not_a_server_of_tokens(cli: Cli, guidellm: str, prompts: Path) -> None:
    done = cli(
        "run", "--url", f"{guidellm}/other/completions", "--prompts", prompts, "--model", "m"
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "404" in done.stderr
