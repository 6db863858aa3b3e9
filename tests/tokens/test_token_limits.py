"""Limits on streams of tokens: when tokens have to come, how many, and how a stream ends."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from commandline import Cli
from smallruns import against, config_of
from token_server import CHAT, CHUNKED, DONE, Piece, delta, token_server, usage, whole

from aibench_fast import Result, RunConfig, run
from aibench_fast.errors import ConfigError, ServerError

A = delta(content="a")


def in_steps(*steps: bytes | float) -> list[Piece]:
    """Events, each a segment of its own, and waits between them; then the end of the reply."""
    events = [step if isinstance(step, float) else whole(step)[1] for step in steps]
    return [CHUNKED, *events, whole()[-1]]


def of(bad: Sequence[Piece], prompts: Path, **settings: object) -> Result:
    """Run four streams, of which one is bad."""
    good = whole(A, A, A, delta("stop"), DONE)
    with token_server(lambda number: bad if number == 2 else good) as server:
        return against(server, prompts=prompts, max_queries=4, **settings)


BROKEN: dict[str, tuple[Sequence[Piece], dict[str, object], str, str, int]] = {
    "no first token": (
        in_steps(delta(role="assistant"), 1.2, A, DONE), {"first_token_timeout_s": 0.5},
        "first_token_timeout", "no token within 500 ms", 0,
    ),
    "a pause": (
        in_steps(A, A, 1.2, A, DONE), {"token_timeout_s": 0.5},
        "token_timeout", "no token for 500 ms among 2 chunks", 2,
    ),
    "a pause that was over before anyone looked": (
        in_steps(A, 0.03, A, A, DONE), {"token_timeout_s": 0.001},
        "token_timeout", "no token for 1 ms among ", 0,
    ),
    "a pause before the end": (
        in_steps(A, 1.2, DONE), {"token_timeout_s": 0.5},
        "token_timeout", "no token for 500 ms among 1 chunks", 1,
    ),
    "too few": (
        whole(A, A, DONE), {"min_tokens": 3}, "too_few_tokens", "2 tokens, of at least 3", 2,
    ),
    "too few, as the server counts": (
        whole(A, A, A, A, usage(2), DONE), {"min_tokens": 3},
        "too_few_tokens", "2 tokens, of at least 3", 4,
    ),
    "no [DONE]": (
        whole(A, delta("stop")), {"stream_end": "done"},
        "stream_cut", "the stream ended after 1 chunks, without [DONE]", 1,
    ),
    "no finish_reason": (
        whole(A, DONE), {"stream_end": "finish"},
        "stream_cut", "the stream ended after 1 chunks, without a finish_reason", 1,
    ),
    "cut": (
        [*whole(A, A, A)[:-1], b""], {},
        "stream_cut", "the server closed the connection after 3 chunks", 3,
    ),
    "late altogether": (
        in_steps(A, A, 1.2, A, DONE), {"reply_timeout_s": 0.5},
        "client_timeout", "no complete answer within 500 ms", 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_a_limit_is_counted_by_its_kind(name: str, prompts: Path) -> None:
    bad, settings, kind, words, chunks = BROKEN[name]
    result = of(bad, prompts, **settings)
    if settings.get("token_timeout_s") == 0.001:  # others may pause as long
        assert kind in result.failures
        assert result.failures[kind].first_message.startswith(words)
        return
    assert {key: one.count for key, one in result.failures.items()} == {kind: 1}
    assert result.failures[kind].first_message == words
    # The other streams are whole, and the tokens of this one stand apart.
    assert (result.successes, result.tokens.chunks) == (3, 9)
    assert result.tokens.failed_chunks == chunks


KEPT: dict[str, tuple[Sequence[Piece], dict[str, object]]] = {
    "a limit on the first token alone": (
        in_steps(A, 0.8, A, A, DONE),
        {"first_token_timeout_s": 0.5},
    ),
    "a limit on pauses, after the last token": (
        in_steps(A, A, A, delta("stop"), 0.8, usage(3), DONE),
        {"token_timeout_s": 0.5},
    ),
    "as many as there have to be": (whole(A, A, A, DONE), {"min_tokens": 3}),
    "an end that has nothing else": (whole(A, A, A), {"stream_end": "http"}),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_stream_within_its_limits_succeeds(name: str, prompts: Path) -> None:
    given, settings = KEPT[name]
    result = of(given, prompts, **settings)
    assert (result.successes, result.failures, result.tokens.chunks) == (4, {}, 12)


def test_the_trial_has_the_same_limits(prompts: Path) -> None:
    with token_server(lambda _: whole(A, DONE)) as server:
        config = config_of(server, prompts=prompts, min_tokens=2)
        with pytest.raises(ServerError, match="on trial with 1 tokens, of at least 2"):
            run(config)


def test_the_command_line_has_the_limits(cli: Cli, prompts: Path) -> None:
    slow = in_steps(1.2, A, DONE)
    with token_server(lambda number: slow if number == 1 else whole(A, A, DONE)) as server:
        done = cli(
            "run", "--url", server.address + CHAT, "--prompts", prompts, "--model", "m",
            "--max-queries", 3, "--first-token-timeout", "500ms", "--token-timeout", "1m",
            "--min-tokens", 2, "--stream-end", "done", code=1,
        )  # fmt: skip
    assert "first_token_timeout" in done.stdout
    assert "no token within 500 ms" in done.stdout


@pytest.mark.parametrize(
    ("setting", "value"),
    [("first_token_timeout_s", -1.0), ("token_timeout_s", float("nan")), ("min_tokens", -1)],
)
def test_a_limit_that_cannot_be_is_refused(setting: str, value: float, prompts: Path) -> None:
    with pytest.raises(ConfigError, match=f"`{setting}`"):
        run(
            RunConfig(
                file=None, url="http://127.0.0.1:1" + CHAT, prompts=prompts, model="m",
                **{setting: value},  # type: ignore[arg-type]
            )
        )  # fmt: skip
