"""Replies that real servers sent, replayed in segments of all kinds; `streams/README.md`."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from smallruns import against
from token_server import Piece, token_server

from aibench_fast import Result

STREAMS = Path(__file__).parent / "streams"
WHOLE = sorted(STREAMS.glob("*-chat.http")) + sorted(STREAMS.glob("*-completions.http"))
HALVES_APART_S = 0.0005


class Recorded(NamedTuple):
    """The contents of a recording, read by other means than the client's."""

    output_tokens: int
    input_tokens: int
    chunks: int
    events: int

    @classmethod
    def of(cls, reply: bytes) -> "Recorded":
        events = b"".join(chunks_of(reply)[1]).decode().split("\n\n")
        documents = [
            json.loads(event.removeprefix("data: "))
            for event in events
            if event and "[DONE]" not in event
        ]
        (usage,) = (one["usage"] for one in documents if one.get("usage"))
        return cls(
            usage["completion_tokens"],
            usage["prompt_tokens"],
            sum(map(has_content, documents)),
            sum(map(bool, events)),
        )


def has_content(document: dict[str, Any]) -> bool:
    return any(
        choice.get("text") or choice.get("delta", {}).get("content")
        for choice in document["choices"]
    )


def chunks_of(reply: bytes) -> tuple[bytes, list[bytes]]:
    """Return the head, and the data of each chunk."""
    head, _, rest = reply.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head.lower()
    chunks: list[bytes] = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        chunks.append(rest[:length])
        rest = rest[length:].removeprefix(b"\r\n")
    return head + b"\r\n\r\n", chunks


def in_chunks(reply: bytes) -> Iterator[bytes]:
    """The head, and each chunk with its size."""
    head, chunks = chunks_of(reply)
    yield head
    for chunk in chunks:
        yield b"%x\r\n%b\r\n" % (len(chunk), chunk)


def in_halves(reply: bytes) -> Iterator[Piece]:
    for piece in in_chunks(reply):
        half = len(piece) // 2
        yield from (piece[:half], HALVES_APART_S, piece[half:], HALVES_APART_S)


SEGMENTS: dict[str, Callable[[bytes], Sequence[Piece]]] = {
    "joined": lambda reply: [reply],
    "in ones": lambda reply: [*in_chunks(reply)],
    "in halves": lambda reply: [*in_halves(reply)],
    "byte by byte": lambda reply: [reply[at : at + 1] for at in range(len(reply))],
}


def replay(answer: Callable[[int], Sequence[Piece]], folder: Path, path: str, count: int) -> Result:
    prompts = folder / "prompts.jsonl"
    prompts.write_text('{"text": "one"}\n')
    with token_server(answer) as server:
        url = f"{server.address}/v1{path}"
        return against(server, url=url, prompts=prompts, max_queries=count)


def path_of(file: Path) -> str:
    return "/chat/completions" if "-chat" in file.stem else "/completions"


@pytest.mark.parametrize("segments", SEGMENTS)
@pytest.mark.parametrize("file", WHOLE, ids=lambda file: file.stem)
def test_figures_are_those_of_the_recording(file: Path, segments: str, tmp_path: Path) -> None:
    reply = file.read_bytes()
    expected = Recorded.of(reply)
    assert expected.chunks > 1
    pieces = SEGMENTS[segments](reply)
    result = replay(lambda _: pieces, tmp_path, path_of(file), 2)
    assert (result.successes, result.failures) == (2, {})
    found = result.tokens
    assert Recorded(found.output_tokens, found.input_tokens, found.chunks, found.events) == (
        *(2 * one for one in expected),
    )
    streams = (found.first_events, found.first_tokens, found.first_answers, found.token_times)
    assert [times.count for times in streams] == [2] * 4
    assert found.chunk_gaps.count == 2 * (expected.chunks - 1)
    assert result.stream["TokensFrom"] == "usage"


REFUSALS = {
    "litellm-limit": ("too_many_requests", "HTTP 429: No deployments available for selected"),
    "litellm-unknown-model": ("error_reply", "HTTP 400: /chat/completions: Invalid model name"),
    "transformers-unknown-model": ("error_reply", 'HTTP 400: {"detail":"Server is pinned to '),
}


@pytest.mark.parametrize("segments", ["joined", "byte by byte"])
@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_are_counted_by_kind(name: str, segments: str, tmp_path: Path) -> None:
    kind, words = REFUSALS[name]
    good = (STREAMS / "litellm-chat.http").read_bytes()
    pieces = SEGMENTS[segments]((STREAMS / f"{name}.http").read_bytes())
    # The first request is the trial.
    result = replay(lambda n: pieces if n % 2 else [good], tmp_path, "/chat/completions", 4)
    assert result.successes == 2
    assert {key: one.count for key, one in result.failures.items()} == {kind: 2}
    assert result.failures[kind].first_message.startswith(words)
