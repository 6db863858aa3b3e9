"""What the driver of native tests is answered over gRPC: mostly well, now and then otherwise."""

from collections.abc import Callable

import http2frames as h2
from fake_grpc import Answer, Asked, answer, head, message, prefixed, refusal, trailers
from fake_redisai import OUTPUT_BYTES

WELL = prefixed(message(bytes(OUTPUT_BYTES), OUTPUT_BYTES // 4))
FAULTS: list[Callable[[int], Answer]] = [
    lambda _: None,
    lambda stream: refusal(stream, 8, "too%20much"),
    lambda _: b"garbage, and not a frame",
    lambda stream: answer(stream, prefixed(message())),
    lambda stream: h2.rst_stream(stream, h2.Code.INTERNAL_ERROR),
    lambda stream: h2.rst_stream(stream, h2.Code.REFUSED_STREAM),
    lambda stream: answer(stream, WELL) + h2.goaway(stream),
    lambda stream: h2.goaway(0, h2.Code.ENHANCE_YOUR_CALM, b"enough"),
    lambda stream: head(stream) + h2.data(stream, WELL[:-7]) + trailers(stream),
    lambda stream: head(stream) + h2.data(stream, WELL * 300, ends=True),
    lambda stream: h2.ping(7) + h2.window_update(0, 1) + answer(stream, WELL),
]
"""Of a stream; None closes its connection."""


def well(asked: Asked, _: int) -> Answer:
    """Answer as the driver expects it."""
    return answer(asked.stream, WELL)


def behave(asked: Asked, number: int) -> Answer:
    """Answer well, but for one in three."""
    if number % 3:
        return well(asked, number)
    return FAULTS[number // 3 % len(FAULTS)](asked.stream)
