"""Statuses of gRPC in a run: each is a failure of its own kind, with the server's words."""

from typing import Any

import grpc
import http2frames as h2
import pytest
from fake_grpc import FakeGrpc, refusal
from generator import run
from test_streams import grpcio_server
from tritonclient.grpc import service_pb2 as triton

STATUSES = [one for one in grpc.StatusCode if one is not grpc.StatusCode.OK]


@pytest.mark.parametrize("status", STATUSES, ids=lambda status: status.name)
def test_a_status_is_a_failure_kind_by_its_name(status: grpc.StatusCode) -> None:
    def refuse(_: triton.ModelInferRequest, context: Any) -> triton.ModelInferResponse:
        context.abort(status, "100 % of the Grüße: 東京")
        raise AssertionError

    with grpcio_server(refuse) as port:
        counted = run(port, requests=5)
    words = f"gRPC {status.name}: 100 % of the Grüße: 東京"
    assert counted.measured.failures == {status.name.lower(): (5, words)}


def test_a_status_without_a_name_is_unknown() -> None:
    with FakeGrpc(lambda asked, _: refusal(asked.stream, 99, "new")) as server:
        counted = run(server.port, requests=5)
    assert counted.measured.failures == {"unknown": (5, "gRPC status 99: new")}


@pytest.mark.parametrize(
    ("came", "words"),
    [
        ("50%25 of it", "50% of it"),
        ("50% of it", "50% of it"),
        ("50%2", "50%2"),
        ("%zz%", "%zz%"),
        ("a%0Ab%00c", "a b"),
    ],
)
def test_a_message_is_decoded_as_far_as_it_is_encoded(came: str, words: str) -> None:
    with FakeGrpc(lambda asked, _: refusal(asked.stream, 13, came)) as server:
        counted = run(server.port, requests=1)
    assert counted.measured.failures == {"internal": (1, f"gRPC INTERNAL: {words}")}


@pytest.mark.parametrize(
    ("status", "kind"),
    [("429", "too_many_requests"), ("503", "unavailable"), ("500", "error_reply")],
)
def test_a_proxy_that_refuses_is_counted_as_over_http(status: str, kind: str) -> None:
    def refuse(stream: int) -> bytes:
        return h2.headers(stream, [(":status", status)], ends=True)

    with FakeGrpc(lambda asked, _: refuse(asked.stream)) as server:
        counted = run(server.port, requests=5)
    ((found, (times, words)),) = counted.measured.failures.items()
    assert (found, times) == (kind, 5)
    assert words == f"HTTP {status}, which is not of gRPC"


def test_a_status_comes_before_what_else_is_wrong() -> None:
    """A server that says why is believed, whatever else it answers."""

    def refuse(stream: int) -> bytes:
        fields = [(":status", "500"), ("grpc-status", "8"), ("grpc-message", "full")]
        return h2.headers(stream, fields, ends=True)

    with FakeGrpc(lambda asked, _: refuse(asked.stream)) as server:
        counted = run(server.port, requests=2)
    assert counted.measured.failures == {"resource_exhausted": (2, "gRPC RESOURCE_EXHAUSTED: full")}
