"""The native load generator over gRPC, without the session that prepares it in a run."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from certificates import Authority
from tritonclient.grpc import service_pb2 as triton

from aibench_fast import _core
from aibench_fast.coretypes import Endpoint, GrpcPlan, Kind, OipOutput, Snapshot

SECOND_NS = 1_000_000_000
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"
VALUES = 4
"""Of the output, FP32."""
PLAN = GrpcPlan([OipOutput("y", "FP32", "FLOAT", (1, VALUES), 4 * VALUES)], 200)


def header_fields(
    port: int, *more: tuple[str, str], scheme: str = "http", path: str = INFER
) -> bytes:
    """Return what a request's first text begins with."""
    fields = (
        (":method", "POST"), (":scheme", scheme), (":authority", f"127.0.0.1:{port}"),
        (":path", path), ("content-type", "application/grpc"), ("te", "trailers"), *more,
    )  # fmt: skip
    packed = b"".join(
        struct.pack("<HH", len(name), len(value)) + name.encode() + value.encode()
        for name, value in fields
    )
    return struct.pack("<I", len(packed)) + packed


def request_texts(fields: bytes, tensor_bytes: int, name: str = "1") -> list[bytes]:
    """Return the texts before and after the one tensor of a request with this id."""
    request = triton.ModelInferRequest(model_name="m", id=name)
    request.inputs.add(name="x", datatype="FP32", shape=[1, tensor_bytes // 4])
    message = request.SerializeToString() + b"\x3a" + varint(tensor_bytes)
    prefix = b"\0" + struct.pack(">I", len(message) + tensor_bytes)
    return [fields + prefix + message, b""]


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    written = b""
    while number > 0x7F:
        written += bytes([number & 0x7F | 0x80])
        number >>= 7
    return written + bytes([number])


def reply_message() -> bytes:
    """Return a reply that is as the plan has it."""
    reply = triton.ModelInferResponse(model_name="m", id="1")
    reply.outputs.add(name="y", datatype="FP32", shape=[1, VALUES])
    reply.raw_output_contents.append(bytes(4 * VALUES))
    return bytes(reply.SerializeToString())


def trusting(authority: Authority) -> _core.Tls:
    """Return the client's side of TLS that accepts what this authority signed, for HTTP/2."""
    return _core.Tls(
        ca_file=authority.file, ca_folder=None, certificate=None, key=None,
        server_name="127.0.0.1", insecure=False, http2=True,
    )  # fmt: skip


@contextmanager
def generator(
    port: int,
    *,
    requests: int = 100,
    workers: int = 1,
    streams: int = 1,
    tensor_bytes: int = 16,
    timeout_s: float = 5,
    fields: Sequence[tuple[str, str]] = (),
    tls: _core.Tls | None = None,
    plan: GrpcPlan = PLAN,
    as_stream: bool = False,
    **more: Any,
) -> Iterator[_core.LoadGenerator]:
    """Connect the workers of a run with that many requests, none of them warm-up.

    With `as_stream`, those of a connection are messages of one call.
    """
    tensors = _core.Tensors.generate(10, tensor_bytes, "FLOAT", 1)
    scheme = "http" if tls is None else "https"
    path = STREAM_INFER if as_stream else INFER
    name = "#" * _core.STREAM_ID_BYTES if as_stream else "1"
    texts = request_texts(
        header_fields(port, *fields, scheme=scheme, path=path), tensor_bytes, name
    )
    if as_stream:
        fields_bytes = 4 + int.from_bytes(texts[0][:4], "little")
        plan = plan._replace(id_at=texts[0].index(name.encode()) - fields_bytes)
    options: dict[str, Any] = {
        "endpoints": [Endpoint("127.0.0.1", port, tls=tls, greeting=(_core.HTTP2_GREETING,))],
        "threads": 1, "burn_in_requests": 0, "max_requests": requests, "duration_ns": 0,
        "reply_timeout_ns": int(timeout_s * SECOND_NS), "connect_timeout_ns": 5 * SECOND_NS,
        "stop_on_failure": False, "pipeline": streams, "reconnect_for_ns": 5 * SECOND_NS,
        **more,
    }  # fmt: skip
    made = _core.LoadGenerator(kinds=[Kind([tensors], [texts] * workers, plan)], **options)
    try:
        yield made
    finally:
        made.close()


def run(port: int, **options: Any) -> Snapshot:
    """Run it to its end; return what was counted. Every request that began is counted once."""
    with generator(port, **options) as made:
        made.start()
        assert made.wait(60)
        counted = made.snapshot()
    ended = sum(
        figures.counters["successes"] + sum(count for count, _ in figures.failures.values())
        for figures in (counted.measured, counted.burn_in)
    )
    assert ended == counted.counters["requests"]
    assert ended + counted.counters["abandoned"] == counted.counters["begun"]
    return counted
