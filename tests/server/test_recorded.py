"""The replies of a RedisAI 1.2.7, recorded, beside ours to the same requests in their order.

A file of `recorded/` is blocks: a request, after "> ", and its reply as it came over the wire, a
line for each of the protocol. In a request {pb}, {onnx} and {image} stand for MobileNet V1 and a
picture, whole or cut short, and {7 bytes} for bytes that are no model. In a reply \\x01 stands for
that byte, <4004 bytes> for any bytes, <measured> for any number, and <engine> for an engine's own
words. Our error replies go on after the recorded text, with what the error was about.
"""

import re
from pathlib import Path

import pytest
from resp import reply_lines

from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.server import EmbeddedServer

Block = tuple[str, list[str]]
Played = dict[int, list[bytes]]

_PLACEHOLDER = re.compile(r"\{(?:(\d+) bytes|(\w+)(?: cut (by|to) (\d+))?)\}")
_IMAGE_BYTES = 224 * 224 * 3 * 4


def recorded() -> list[Block]:
    """Every request and its reply, in the order in which they were recorded."""
    found: list[Block] = []
    for file in sorted((Path(__file__).parent / "recorded").glob("*.txt")):
        for block in re.split(r"^> ", file.read_text(), flags=re.MULTILINE)[1:]:
            request, *reply = block.removesuffix("\n").removesuffix("\n").split("\n")
            found.append((request, reply))
    return found


RECORDED = recorded()


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    return {
        "pb": built_in_model(ModelFormat.PB),
        "onnx": built_in_model(ModelFormat.ONNX),
        "image": bytes(_IMAGE_BYTES),
    }


@pytest.fixture(scope="module")
def played(contents: dict[str, bytes]) -> "Played":
    """Our replies to all requests, on a server that was fresh before the first."""
    with EmbeddedServer(password=None) as server:
        return {
            number: reply_lines(server.address, *arguments(request, contents))
            for number, (request, _) in enumerate(RECORDED)
        }


def arguments(request: str, contents: dict[str, bytes]) -> list[bytes]:
    words = re.findall(r"\{[^}]*\}|\S+", request)
    return [argument(word, contents) for word in words]


def argument(word: str, contents: dict[str, bytes]) -> bytes:
    match = _PLACEHOLDER.fullmatch(word)
    if not match:
        return word.encode()
    garbage_bytes, name, how, count = match.groups()
    if garbage_bytes:
        return b"\x01" * int(garbage_bytes)
    if how == "to":
        return contents[name][: int(count)]
    return contents[name][: -int(count)] if how == "by" else contents[name]


@pytest.mark.parametrize(
    "number", range(len(RECORDED)), ids=[f"{n} {r[:60]}" for n, (r, _) in enumerate(RECORDED)]
)
def test_reply_is_the_recorded_one(number: int, played: Played) -> None:
    _, expected = RECORDED[number]
    got = played[number]
    assert len(got) == len(expected), got
    for mine, theirs in zip(got, expected, strict=True):
        assert same_line(mine, theirs), f"{mine!r} instead of {theirs!r}"


def same_line(mine: bytes, theirs: str) -> bool:
    if match := re.fullmatch(r"<(\d+) bytes>", theirs):
        return len(mine) == int(match[1])
    if theirs == ":<measured>":
        return re.fullmatch(rb":\d+", mine) is not None
    if theirs == "-<engine>":
        return mine.startswith(b"-")
    if re.match(r"-[A-Z]", theirs):
        return mine.startswith(theirs.encode())
    return mine == theirs.encode().decode("unicode_escape").encode("latin-1")
