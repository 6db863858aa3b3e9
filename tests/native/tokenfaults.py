"""Streams of tokens of which some are cut, wrong, late, refused or followed by more."""

from collections.abc import Sequence

from token_server import CHUNKED, DONE, Piece, chunked, delta, event, usage, whole

FIRST = whole(delta(content="a"))[1]
STREAM = CHUNKED + chunked(
    [delta(role="assistant"), *[delta(content="a")] * 300, usage(7), DONE]
)  # fmt: skip
REFUSED = b"HTTP/1.1 429 No\r\nContent-Length: 2\r\nRetry-After: 1\r\n\r\n{}"
ODD: dict[int, Sequence[Piece]] = {
    0: [CHUNKED, FIRST, b""],
    1: [STREAM[:9000], 0.002, STREAM[9000:9050], 0.002, STREAM[9050:]],
    2: whole(delta(content="b"), event({"error": "no"})),
    3: [b"garbage\r\n"],
    4: [CHUNKED, FIRST, 0.25, b""],
    5: [REFUSED],
    6: [STREAM + b"HTTP"],
}


def behave(number: int) -> Sequence[Piece]:
    """Answer seven of twenty requests in an odd way; one of those is well."""
    return ODD.get(number % 20, [STREAM])
