"""Replies over gRPC to the driver of native tests: mostly right, now and then otherwise."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

import http2frames as h2
from fake_grpc import Answer, Asked, answer, head, message, prefixed, refusal, trailers
from fake_redisai import OUTPUT_BYTES
from grpcserver import inference_server, listening
from tritonclient.grpc import service_pb2 as triton

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


def streaming() -> AbstractContextManager[int]:
    """Serve streams of inferences with several replies, one or none, that fail now and then."""
    numbers = count()

    def replies(request: triton.ModelInferRequest) -> Iterator[triton.ModelStreamInferResponse]:
        number = next(numbers) % 20
        if number == 1:
            yield triton.ModelStreamInferResponse(error_message="no")
        elif number == 2:
            raise AssertionError("on order")
        elif number == 3:
            return  # and the client's own time-out ends it
        else:
            for _ in range(number % 3):
                yield streamed(request, False)
            yield streamed(request, True, with_output=number % 2 == 0)

    def infer(requests: Any, _: Any) -> Iterator[Any]:
        for request in requests:
            yield from replies(request)

    return listening(inference_server(ModelStreamInfer=infer))


def streamed(
    request: triton.ModelInferRequest, final: bool, *, with_output: bool = True
) -> triton.ModelStreamInferResponse:
    """Return a reply, or only that there are no more."""
    found = triton.ModelStreamInferResponse()
    reply = found.infer_response
    if with_output:
        reply.ParseFromString(WELL[5:])
    reply.id = request.id
    reply.parameters["triton_final_response"].bool_param = final
    return found
