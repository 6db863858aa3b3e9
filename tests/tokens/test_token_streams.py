"""Streams of tokens: when they came, how many, and which streams failed."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import smallruns
from ci import examples
from commandline import Cli
from hypothesis import given, settings
from hypothesis import strategies as st
from token_server import (
    CHAT,
    CHUNKED,
    DONE,
    HEAD,
    Piece,
    chunked,
    delta,
    event,
    token_server,
    usage,
    whole,
)

from aibench_fast import Result, RunConfig, search
from aibench_fast.results.stream import Tokens


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    file.write_text('{"text": "one"}\n{"messages": [], "max_tokens": 3}\n')
    return file


against = partial(smallruns.against, max_queries=4)


def of(pieces: Sequence[Piece], prompts: Path, **others: object) -> Result:
    with token_server(lambda _: pieces) as server:
        return against(server, prompts=prompts, **others)


def test_times_are_those_of_content(prompts: Path) -> None:
    """A role-only first event is not a token, reasoning is not an answer."""
    pieces: list[Piece] = [
        CHUNKED, *whole(delta(role="assistant", content=""))[1:-1], 0.05,
        *whole(delta(reasoning_content="hm"))[1:-1], 0.1, *whole(delta(content="a"))[1:-1], 0.1,
        *whole(delta(content="b"), delta("stop"), usage(5), DONE)[1:],
    ]  # fmt: skip
    result = of(pieces, prompts)
    found = result.tokens
    assert result.successes == 4
    assert found.first_events.max_ms < found.first_tokens.min_ms
    assert found.first_tokens.min_ms >= 50
    assert found.first_answers.min_ms >= 150
    assert found.first_answers.min_ms - found.first_tokens.min_ms >= 95
    assert found.chunk_gaps.count == 8
    assert found.chunk_gaps.min_ms >= 95
    # 200 ms over four tokens after the first, as the server counts five.
    assert found.token_times.min_ms >= 49
    assert (found.output_tokens, found.input_tokens, found.chunks) == (20, 28, 12)
    assert result.stream["TokensFrom"] == "usage"


def test_under_a_schedule_the_wait_for_a_worker_is_in_the_response(prompts: Path) -> None:
    """One worker, a stream of 0.1 s, 20 a second: requests wait, and their tokens with them."""
    pieces: list[Piece] = [0.1, *whole(delta(content="a"), DONE)]
    result = of(pieces, prompts, limit_rps=20.0, max_queries=8)
    found = result.tokens
    assert found.first_tokens_due.max_ms >= found.first_tokens.max_ms + 200
    assert result.stream["TimeToFirstTokenFromDue"]["q100"] == found.first_tokens_due.max_ms


WHOLE = {
    "several tokens in an event": ([delta(content="a b c"), usage(3), DONE], (3, 1)),
    "no usage": ([delta(content="a"), delta(content="b"), DONE], (2, 2)),
    "no [DONE]": ([delta(content="a"), delta("stop"), usage(1)], (1, 1)),
    "usage with the last choice": (
        [
            delta(content="a"),
            event(
                {
                    "choices": [{"delta": {}, "finish_reason": "length"}],
                    "usage": {"completion_tokens": 1},
                }
            ),
        ],
        (1, 1),
    ),
    "null usage": (
        [event({"choices": [{"delta": {"content": "a"}}], "usage": None}), DONE],
        (1, 1),
    ),
    "tool calls": ([delta(tool_calls=[{"function": {"name": "f"}}]), DONE], (1, 1)),
    "comments and other fields": (
        [b": ping\n\n", b"event: message\nid: 1\n" + delta(content="a"), b"retry: 5\n\n", DONE],
        (1, 1),
    ),
    "line ends of two bytes": (
        [delta(content="a").replace(b"\n", b"\r\n"), DONE.replace(b"\n", b"\r\n")],
        (1, 1),
    ),
    "no space behind data": ([delta(content="a").replace(b": ", b":", 1), DONE], (1, 1)),
    "a byte order mark": ([b"\xef\xbb\xbf" + delta(content="a"), DONE], (1, 1)),
    "data of several lines": (
        [b'data: {"choices": [{\ndata: "delta":\r\ndata:{"content": "a"}}]}\n\n', DONE],
        (1, 1),
    ),
    "no empty line at the end": ([delta(content="a"), DONE.rstrip() + b"\n"], (1, 1)),
    "several choices": (
        [
            event({"choices": [{"index": 1, "delta": {"content": "a"}}]}),
            event(
                {"choices": [{"index": 0, "delta": {}}, {"index": 1, "delta": {"content": "b"}}]}
            ),
            DONE,
        ],
        (2, 2),
    ),
    "a field that hides lengths": (
        [event({"choices": [{"delta": {"content": "a"}}], "obfuscation": 'x]}"y'}), DONE],
        (1, 1),
    ),
    "keys elsewhere and escapes": (
        [
            event({"x": {"choices": [{"delta": {"content": "n"}}], "error": "n"}, "choices": []}),
            event('{"choices":[{"delta":{"cont\\u0065nt":"\\"}]}"}}]}'),
            DONE,
        ],
        (1, 1),
    ),
    "usage in each event": (
        [
            event({"choices": [{"delta": {"content": "ab"}}], "usage": {"completion_tokens": 2}}),
            event({"choices": [{"delta": {"content": "c"}}], "usage": {"completion_tokens": 3}}),
            DONE,
        ],
        (3, 2),
    ),
    "events without data": ([b"data:\n\n", delta(content="a"), b"data: \n\n", DONE], (1, 1)),
    "a null error": ([event({"error": None, "choices": [{"text": "a"}]}), DONE], (1, 1)),
    "a long event": ([delta(content="x" * 100_000), usage(1), DONE], (1, 1)),
    "many tokens": ([*[delta(content="a")] * 9_000, DONE], (9_000, 9_000)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_streams_that_servers_send(name: str, prompts: Path) -> None:
    events, (tokens, chunks) = WHOLE[name]
    result = of([CHUNKED, chunked(events)], prompts)
    assert (result.successes, result.failures) == (4, {})
    assert (result.tokens.output_tokens, result.tokens.chunks) == (4 * tokens, 4 * chunks)


def test_a_stream_may_end_with_its_connection(prompts: Path) -> None:
    head = HEAD + b"Connection: close\r\n\r\n"
    result = of([head, delta(content="a"), DONE, b""], prompts)
    assert (result.successes, result.failures, result.tokens.chunks) == (4, {}, 4)


RECORDED = [
    delta(role="assistant", content=""), delta(content="one"), b": ping\n\n",
    delta(content=" tw\\u00f6"), delta(reasoning="r"), delta("stop"), usage(6), DONE,
]  # fmt: skip


def figures(found: Tokens) -> tuple[int, ...]:
    return (
        found.output_tokens, found.input_tokens, found.chunks, found.events,
        found.first_tokens.count, found.first_answers.count, found.chunk_gaps.count,
        found.token_times.count,
    )  # fmt: skip


@settings(max_examples=examples(100), deadline=None)
@given(data=st.data())
def test_segments_change_nothing_but_times(data: st.DataObject, prompts: Path) -> None:
    stream = CHUNKED + chunked(RECORDED)
    places = st.lists(st.integers(1, len(stream) - 1), max_size=12, unique=True)
    cuts = sorted(data.draw(places))
    ends = [*cuts, len(stream)]
    pieces: list[Piece] = []
    for begin, end in zip([0, *cuts], ends, strict=True):
        pieces += [stream[begin:end], 0.0005]
    result = of(pieces, prompts, max_queries=1)
    assert (result.successes, result.failures) == (1, {})
    assert figures(result.tokens) == (6, 7, 3, 7, 1, 1, 2, 1)


def test_a_byte_at_a_time(prompts: Path) -> None:
    stream = CHUNKED + chunked(RECORDED)
    result = of([stream[i : i + 1] for i in range(len(stream))], prompts, max_queries=1)
    assert figures(result.tokens) == (6, 7, 3, 7, 1, 1, 2, 1)


ERROR = json.dumps({"error": {"message": "no such model", "type": "NotFoundError"}}).encode()


def refusal(status: str, body: bytes, more: bytes = b"") -> list[Piece]:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n".encode()
    return [head + b"Content-Type: application/json\r\n" + more + b"\r\n" + body]


FAILED: dict[str, tuple[Sequence[Piece], str, str]] = {
    "error event": (
        whole(delta(content="a"), event({"error": {"message": "out of memory"}}), DONE),
        "error_event", "after 1 chunks: out of memory",
    ),
    "error by the type of the event": (
        whole(delta(content="a"), b"event: error\n" + event({"message": "no room"}), DONE),
        "error_event", "after 1 chunks: no room",
    ),
    "bytes behind the end": (
        [CHUNKED, chunked([delta(content="a"), DONE]) + b"HTTP/1.1 200 OK\r\n"],
        "protocol", "bytes behind the end of the reply",
    ),
    "end before the end": (
        whole(delta(content="a"), delta(content="b")),
        "stream_cut", "the stream ended after 2 chunks, without [DONE] or a finish_reason",
    ),
    "end behind an empty finish_reason": (
        whole(event({"choices": [{"delta": {"content": "a"}, "finish_reason": ""}]})),
        "stream_cut", "the stream ended after 1 chunks, without [DONE] or a finish_reason",
    ),
    "closed": (
        [CHUNKED, whole(delta(content="a"))[1], b""],
        "stream_cut", "the server closed the connection after 1 chunks",
    ),
    "no content": (
        whole(delta(role="assistant"), DONE), "wrong_reply", "a stream without content",
    ),
    "not JSON": (
        whole(delta(content="a"), event("{"), DONE),
        "wrong_reply", "an event is not a JSON object: {",
    ),
    "no stream": (
        refusal("200 OK", b"{}"),
        "wrong_reply", "the reply is application/json, not text/event-stream",
    ),
    "404": (refusal("404 Not Found", ERROR), "error_reply", "HTTP 404: no such model"),
    "429": (
        refusal("429 Too Many Requests", b'{"error": "slow down"}', b"Retry-After: 3\r\n"),
        "too_many_requests", "HTTP 429: slow down; Retry-After: 3",
    ),
    "503": (refusal("503 Service Unavailable", b"busy"), "unavailable", "HTTP 503: busy"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILED)
def test_streams_that_fail_are_counted_by_kind(name: str, prompts: Path) -> None:
    pieces, kind, words = FAILED[name]
    good = whole(delta(content="a"), DONE)
    # The first request is the trial.
    with token_server(lambda number: pieces if number % 2 else good) as server:
        result = against(server, prompts=prompts)
    assert (result.successes, result.tokens.chunks) == (2, 2)
    assert {key: one.count for key, one in result.failures.items()} == {kind: 2}
    assert result.failures[kind].first_message == words
    assert result.went_well is False


def test_tokens_of_failed_streams_stand_apart(prompts: Path) -> None:
    good = whole(delta(content="a"), DONE)
    bad = whole(*[delta(content="x")] * 5)
    with token_server(lambda number: bad if number == 2 else good) as server:
        result = against(server, prompts=prompts)
    assert (result.tokens.output_tokens, result.tokens.failed_chunks) == (3, 5)


@pytest.mark.parametrize("name", ["404", "error event", "no stream"])
def test_a_trial_that_fails_is_one_line(cli: Cli, name: str, prompts: Path) -> None:
    pieces, _, words = FAILED[name]
    with token_server(lambda _: pieces) as server:
        done = cli("run", "--url", server.address + CHAT, "--prompts", prompts, "--model", "m")
    assert done.returncode == 3
    assert done.stderr == (
        f"aibench-fast: {server.address} answered POST {CHAT} on trial with {words}\n"
    )


def test_a_stream_that_stalls_is_a_timeout(prompts: Path) -> None:
    good = whole(delta(content="a"), DONE)
    stalls: list[Piece] = [CHUNKED, whole(delta(content="a"))[1], 1.5, b""]
    with token_server(lambda number: stalls if number == 1 else good) as server:
        result = against(server, prompts=prompts, reply_timeout_s=0.5)
    assert {key: one.count for key, one in result.failures.items()} == {"client_timeout": 1}
    assert result.successes == 3


def test_the_summary_and_the_result_have_the_figures(
    cli: Cli, prompts: Path, tmp_path: Path
) -> None:
    with token_server(lambda _: whole(delta(content="a"), delta(content="b"), DONE)) as server:
        done = cli(
            "run", "--url", server.address + CHAT, "--prompts", prompts, "--model", "m",
            "--max-queries", 100, "--json-out-file", "r.json", "--expect", "ttft.p99<10s",
            "--expect", "gap.p50<10s", "--expect", "tokens>100000000", code=1,
        )  # fmt: skip
    for words in (
        "Time to first token: mean ", "Time per output token: mean ", "Chunk gap: mean ",
        "Output tokens: 200, ", "counted from chunks", "Expected ttft.p99<10s: ",
        "output tokens/s, broken",
    ):  # fmt: skip
        assert words in done.stdout, done.stdout
    stream = json.loads((tmp_path / "r.json").read_text())["Stream"]
    assert (stream["OutputTokens"], stream["TokensFrom"]) == (200, "chunks")
    times = stream["TimeToFirstToken"]
    assert list(times) == ["mean", "q0", "q50", "q90", "q95", "q99", "q999", "q100"]
    assert times["q0"] <= times["q50"] <= times["q99"] <= times["q100"]
    assert times["q999"] is None


def test_a_search_finds_the_edge_of_a_target_of_tokens(prompts: Path, tmp_path: Path) -> None:
    with token_server(lambda _: [0.002, *whole(delta(content="a"), DONE)]) as server:
        config = RunConfig(
            file=None, url=server.address + CHAT, prompts=prompts, model="m", duration_s=0.2
        )
        found = search(
            config, ["ttft.p50<=10s"], over="workers", highest=2, folder=tmp_path / "search"
        )
    assert found.search.found == 2


def test_chunks_are_counted_as_they_come(prompts: Path) -> None:
    """One stream of a second: its period has chunks before the request has ended."""
    pieces: list[Piece] = [CHUNKED]
    for _ in range(10):
        pieces += [*whole(delta(content="a"))[1:-1], 0.1]
    result = of([*pieces, *whole(DONE)[1:]], prompts, max_queries=1, reporting_period_s=0.3)
    chunks = [one.chunks for one in result.intervals]
    assert chunks == sorted(chunks)
    assert 0 < chunks[0] < 10
    assert result.intervals[0].requests == 0
    assert chunks[-1] == 10
