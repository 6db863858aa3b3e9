"""Faults that a proxy makes in frames between a client and a server that behaves."""

import ssl

import grpc
import pytest
from certificates import Authority, Certificate
from fake_grpc import FakeGrpc, echo, echo_as_it_is_read
from faultproxy import REPLIES, REQUESTS, Fault
from generator import run, trusting
from http2frames import Code
from http2proxy import Http2FaultProxy
from tritonclient.grpc import service_pb2 as triton
from tritonclient.grpc import service_pb2_grpc

from aibench_fast.coretypes import Snapshot

REQUESTS_SENT = 20
FRAMES_OF_A_REPLY = 3
"""Head, body, trailers."""


def through(
    *faults: Fault, streams: int = 1, by: ssl.SSLContext | None = None, **more: object
) -> tuple[Snapshot, Http2FaultProxy]:
    """Run through a proxy with these faults; all of them happen."""
    with FakeGrpc(echo) as server, Http2FaultProxy(server.port, faults, tls=by) as proxy:
        proxy.arm()
        counted = run(proxy.port, requests=REQUESTS_SENT, streams=streams, **more)
        assert sorted(proxy.done, key=repr) == sorted(faults, key=repr)
        failed = sum(times for times, _ in counted.measured.failures.values())
        assert counted.measured.counters["successes"] == REQUESTS_SENT - failed
        assert counted.measured.counters["successes"] <= proxy.whole_replies
        assert proxy.whole_replies <= server.asked
        assert server.asked <= REQUESTS_SENT + counted.counters["resent"]
        return counted, proxy


def in_reply(kind: str, frame: int, amount: int = 0) -> Fault:
    """Return a fault at a frame of the fifth reply."""
    return Fault(kind, 0, REPLIES, at_frame=4 * FRAMES_OF_A_REPLY + frame, amount=amount)


def failures(counted: Snapshot) -> dict[str, int]:
    return {kind: times for kind, (times, _) in counted.measured.failures.items()}


def test_nothing_is_changed_without_a_fault() -> None:
    counted, proxy = through(streams=4)
    assert failures(counted) == {}
    assert proxy.whole_replies == REQUESTS_SENT


def test_the_server_that_misbehaves_is_one_of_grpc_where_it_does_not() -> None:
    """grpcio's client, with its own compression of header fields, can use it."""
    with FakeGrpc(echo) as server, Http2FaultProxy(server.port) as proxy:
        proxy.arm()
        with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            request = triton.ModelInferRequest(model_name="m")
            request.raw_input_contents.append(bytes(range(16)))
            for _ in range(3):
                reply = stub.ModelInfer(request, timeout=10)
                assert reply.raw_output_contents == [bytes(range(16))]
            with pytest.raises(grpc.RpcError, match="no ModelConfig"):
                stub.ModelConfig(triton.ModelConfigRequest(), timeout=10)
        assert proxy.whole_replies == 3


@pytest.mark.parametrize("kind", ["cut", "cut_inside", "reset", "goaway_error"])
@pytest.mark.parametrize("frame", range(FRAMES_OF_A_REPLY))
def test_a_reply_that_is_cut_between_frames_or_in_one_is_lost(kind: str, frame: int) -> None:
    counted, proxy = through(in_reply(kind, frame))
    assert failures(counted) == {"connection_lost": 1}
    assert (counted.counters["remade"], counted.counters["resent"]) == (1, 0)
    assert proxy.whole_replies == REQUESTS_SENT - 1


@pytest.mark.parametrize("kind", ["cut", "cut_inside"])
def test_a_request_that_is_cut_is_lost(kind: str) -> None:
    """Its bytes left the client, which cannot know how far they came."""
    counted, _ = through(Fault(kind, 0, REQUESTS, at_frame=9))
    assert failures(counted) == {"connection_lost": 1}


def test_all_that_are_under_way_are_lost_with_their_connection() -> None:
    counted, _ = through(in_reply("cut", 0), streams=4)
    assert 1 <= failures(counted)["connection_lost"] <= 4
    assert counted.counters["remade"] == 1


def test_a_reply_without_its_trailers_is_none() -> None:
    counted, _ = through(in_reply("drop_trailers", 1, amount=1))
    assert failures(counted) == {"protocol": 1}
    assert counted.measured.failures["protocol"][1] == "a reply without a grpc-status"


@pytest.mark.parametrize("streams", [1, 4])
def test_a_reply_that_never_ends_times_out_alone(streams: int) -> None:
    counted, _ = through(in_reply("drop_trailers", 1), streams=streams, timeout_s=0.5)
    assert failures(counted) == {"client_timeout": 1}
    assert counted.counters["remade"] == counted.counters["reconnects"] == 0


def test_a_refused_stream_is_sent_again() -> None:
    counted, _ = through(in_reply("refuse", 0))
    assert failures(counted) == {}
    assert (counted.counters["resent"], counted.counters["remade"]) == (1, 0)


def test_another_reset_is_a_failure() -> None:
    counted, _ = through(in_reply("reset_stream", 1, amount=Code.INTERNAL_ERROR))
    assert failures(counted) == {"protocol": 1}
    assert counted.measured.failures["protocol"][1] == "RST_STREAM: INTERNAL_ERROR"


@pytest.mark.parametrize("frame", range(FRAMES_OF_A_REPLY))
def test_a_graceful_goaway_within_a_reply_is_a_reconnect(frame: int) -> None:
    counted, _ = through(in_reply("goaway", frame))
    assert failures(counted) == {}
    assert (counted.counters["resent"], counted.counters["reconnects"]) == (0, 1)


@pytest.mark.parametrize("streams", [1, 4])
def test_a_goaway_that_leaves_out_the_newest_has_it_sent_again(streams: int) -> None:
    counted, _ = through(in_reply("goaway_below", 0, amount=1), streams=streams)
    assert failures(counted) == {}
    assert counted.counters["reconnects"] == 1
    # Those too that the client began before it had read the GOAWAY.
    assert 1 <= counted.counters["resent"] <= streams


@pytest.mark.parametrize(("frame", "kind"), [(0, "protocol"), (1, "wrong_size")])
def test_a_frame_that_comes_twice_is_found(frame: int, kind: str) -> None:
    counted, _ = through(in_reply("double_frame", frame))
    assert failures(counted) == {kind: 1}


@pytest.mark.parametrize(("frame", "kind"), [(0, "protocol"), (1, "wrong_reply")])
def test_a_frame_that_does_not_come_is_found(frame: int, kind: str) -> None:
    counted, _ = through(in_reply("drop_frame", frame))
    assert failures(counted) == {kind: 1}


BY_TLS: dict[str, tuple[Fault | None, dict[str, int], int, int]] = {
    "nothing": (None, {}, 0, 0),
    "cut between frames": (in_reply("cut", 1), {"connection_lost": 1}, 0, 0),
    "cut inside a frame": (in_reply("cut_inside", 1), {"connection_lost": 1}, 0, 0),
    "reset": (in_reply("reset", 2), {"connection_lost": 1}, 0, 0),
    "byte by byte": (in_reply("split", 0, 2_000), {}, 0, 0),
    "no trailers": (in_reply("drop_trailers", 1, 1), {"protocol": 1}, 0, 0),
    "refused": (in_reply("refuse", 0), {}, 1, 0),
    "graceful GOAWAY": (in_reply("goaway", 1), {}, 0, 1),
    "GOAWAY for an error": (in_reply("goaway_error", 0), {"connection_lost": 1}, 0, 0),
    "a frame twice": (in_reply("double_frame", 1), {"wrong_size": 1}, 0, 0),
}
"""The fault; failures, requests sent again, and reconnects."""


@pytest.mark.parametrize("name", BY_TLS)
def test_by_tls_each_fault_ends_as_without(
    name: str, authority: Authority, certificate: Certificate
) -> None:
    fault, failed, resent, reconnects = BY_TLS[name]
    served = certificate.for_server
    served.set_alpn_protocols(["h2"])
    counted, _ = through(*[fault] if fault else [], by=served, tls=trusting(authority))
    assert failures(counted) == failed
    assert (counted.counters["resent"], counted.counters["reconnects"]) == (resent, reconnects)


@pytest.mark.parametrize("streams", [1, 3])
def test_a_window_that_is_withheld_is_waited_for(streams: int) -> None:
    """The server opens its windows as it reads, and the proxy keeps that back for a while."""

    withheld = Fault("withhold", 0, REPLIES, at_frame=30, amount=200)
    with (
        FakeGrpc(**echo_as_it_is_read(20)) as server,
        Http2FaultProxy(server.port, [withheld]) as proxy,
    ):
        proxy.arm()
        counted = run(proxy.port, requests=REQUESTS_SENT, streams=streams)
    assert proxy.done == [withheld]
    assert failures(counted) == {}
    waits = counted.histograms["window_waits"]
    assert 180_000 <= waits.max_us <= counted.measured.histograms["latencies"].max_us
