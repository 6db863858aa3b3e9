"""Requests as streams of a connection, against grpcio's server."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import count
from threading import Event
from typing import Any

import grpc
import pytest
from certificates import Authority, Certificate
from fake_grpc import Asked, FakeGrpc, answer, message, prefixed
from generator import VALUES, run, trusting
from grpcserver import inference_server, listening
from tritonclient.grpc import service_pb2 as triton

STUCK = b"\xff\xff\xff\x42" + bytes(5)
"""The head of a frame of 16 MiB, of an unknown type."""
Infer = Callable[[triton.ModelInferRequest, Any], triton.ModelInferResponse]


def reply_to(request: triton.ModelInferRequest) -> triton.ModelInferResponse:
    """Return the first values of the input."""
    reply = triton.ModelInferResponse(model_name=request.model_name, id=request.id)
    reply.outputs.add(name="y", datatype="FP32", shape=[1, VALUES])
    reply.raw_output_contents.append(request.raw_input_contents[0][: 4 * VALUES])
    return reply


def grpcio_server(
    infer: Infer, certificate: Certificate | None = None
) -> AbstractContextManager[int]:
    """Serve on a port of its own, which is yielded; with a certificate, by TLS."""
    credentials = None
    if certificate is not None:
        pair = certificate.key.read_bytes(), certificate.certificate.read_bytes()
        credentials = grpc.ssl_server_credentials([pair])
    return listening(inference_server(ModelInfer=infer), credentials)


@pytest.mark.parametrize("streams", [1, 8])
@pytest.mark.parametrize("tensor_bytes", [16, 602_112])
def test_all_bytes_of_all_requests_arrive(streams: int, tensor_bytes: int) -> None:
    came: list[bytes] = []

    def infer(request: triton.ModelInferRequest, _: object) -> triton.ModelInferResponse:
        came.append(request.raw_input_contents[0])
        return reply_to(request)

    with grpcio_server(infer) as port:
        counted = run(port, requests=100, workers=2, streams=streams, tensor_bytes=tensor_bytes)
    assert counted.measured.counters["successes"] == 100
    assert counted.measured.failures == {}
    assert {len(tensor) for tensor in came} == {tensor_bytes}
    # Each of the ten tensors was sent as often as the others.
    assert sorted(map(came.count, set(came))) == [10] * 10


@pytest.mark.parametrize("streams", [1, 8])
@pytest.mark.parametrize("tensor_bytes", [16, 602_112])
def test_all_bytes_arrive_by_tls(
    streams: int, tensor_bytes: int, authority: Authority, certificate: Certificate
) -> None:
    came: list[bytes] = []

    def infer(request: triton.ModelInferRequest, _: object) -> triton.ModelInferResponse:
        came.append(request.raw_input_contents[0])
        return reply_to(request)

    with grpcio_server(infer, certificate) as port:
        counted = run(
            port, requests=100, workers=2, streams=streams, tensor_bytes=tensor_bytes,
            tls=trusting(authority),
        )  # fmt: skip
    assert counted.measured.counters["successes"] == 100
    assert sorted(map(came.count, set(came))) == [10] * 10


def test_a_slow_request_does_not_hold_up_the_others() -> None:
    numbers, enough = count(), Event()

    def infer(request: triton.ModelInferRequest, _: object) -> triton.ModelInferResponse:
        number = next(numbers)
        if number == 20:
            enough.set()
        if number == 0 and not enough.wait(4):
            raise AssertionError("no other request came")
        return reply_to(request)

    with grpcio_server(infer) as port:
        counted = run(port, requests=40, streams=2)
    assert counted.measured.counters["successes"] == 40


def test_a_connection_that_is_stuck_is_replaced() -> None:
    """Its server answers neither requests nor a PING, but it does not close it."""

    def silent(asked: Asked, _: int) -> bytes:
        first_connection = asked.connection.number == 0
        # All that follows is taken for the rest of this frame.
        return STUCK if first_connection else answer(asked.stream, prefixed(message()))

    with FakeGrpc(silent) as server:
        counted = run(server.port, requests=20, streams=2, timeout_s=0.2)
    assert counted.counters["remade"] == 1
    assert counted.measured.failures["client_timeout"][0] <= 6
    assert counted.measured.counters["successes"] >= 12
