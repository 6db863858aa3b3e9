"""Over gRPC, beside h2load, perf_analyzer, Triton's own client and a bare loop on nghttp2.

Large tensors go to a real Triton whose model answers zeros, small ones to a server in C that
answers at once. h2load and the bare loop send what ours sends, byte for byte.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from aibench_fast.load.config import InputTensor
from aibench_fast.protocols.address import grpc_address
from aibench_fast.protocols.openinference.grpc.client import GrpcClient
from aibench_fast.protocols.openinference.grpc.messages import INFER_RESPONSE, SERVICE
from aibench_fast.protocols.openinference.grpc.wire import encode
from aibench_fast.protocols.openinference.session import OpenInferenceSession
from aibench_fast.protocols.openinference.settings import OpenInferenceSettings
from aibench_fast.protocols.session import AskedInput, AskedKind, Workload
from aibench_fast.server.triton import NULL_INPUT, NULL_MODEL, NULL_OUTPUT
from benchmarks.perf import clients
from benchmarks.perf.bench import Bench, installed
from benchmarks.perf.grpc_programs import H2load, PerfAnalyzer
from benchmarks.perf.row import Measured, Row, alternate, cpu_row, fastest, rate_row, workers_told

H2LOAD_TO_REACH, H2LOAD_CPU_TO_REACH = 0.95, 1.1
HTTP_CPU_TO_REACH = 1.1
PERF_ANALYZER_TO_REACH = {1: 3.0, 8: 2.0}
"""By requests outstanding."""
PERF_ANALYZER_CPU_TO_REACH = 0.1
THREADS = (1, 2)
SHAPE, SMALL_SHAPE, SMALL_BYTES = (224, 224, 3), (16,), 64
SMALL_LOADS = ((1, 1), (8, 1), (50, 1), (1, 8))
"""Connections, and streams on each."""
INFER = f"/{SERVICE}/ModelInfer"
_MESSAGE = encode(
    INFER_RESPONSE,
    {
        "outputs": [{"name": NULL_OUTPUT, "datatype": "FP32", "shape": [1, 4]}],
        "raw_output_contents": [bytes(16)],
    },
)
SMALL_REPLY = b"\0" + struct.pack(">I", len(_MESSAGE)) + _MESSAGE
FIRST_REQUESTS, FIRST_SMALL_REQUESTS = 100, 5000  # until the rate is known

Client = Callable[[], Measured]


class Target(NamedTuple):
    """A server, and what it is sent."""

    url: str
    shape: tuple[int, ...]
    tensor: Path
    """A tensor file with a single tensor: the others send one body again and again."""
    headers: tuple[str, ...]
    """Of ours, without those that HTTP/2 itself has: a line `NAME: VALUE` for each."""
    body: Path
    """The message, and gRPC's five bytes before it."""
    first_requests: int

    def ours(self, tensors: Path, connections: int, streams: int, run_s: float) -> Measured:
        """Run ours for so many seconds."""
        return clients.ours(
            self.url, None, connections, run_s, pipeline=streams, model=NULL_MODEL,
            inputs=(InputTensor(tensors, self.shape, "FLOAT", NULL_INPUT),),
        )  # fmt: skip


def to_triton(bench: Bench) -> Iterator[Row]:
    """Large tensors to Triton: our rate and CPU time over those of each of the others."""
    target = _target(bench, bench.triton.grpc_url, SHAPE, bench.tensor_file(1), FIRST_REQUESTS)
    for outstanding in PERF_ANALYZER_TO_REACH:
        rounds = alternate(_clients(bench, target, outstanding), bench.effort.rounds)
        yield from _rows(bench, rounds, outstanding)


def _clients(bench: Bench, target: Target, outstanding: int) -> Mapping[str, Client]:
    """Return what each client does in a round, by its name."""
    run_s = bench.effort.run_s
    found: dict[str, Client] = {
        "ours": partial(target.ours, target.tensor, outstanding, 1, run_s),
        "ours, distinct tensors": partial(target.ours, bench.tensors, outstanding, 1, run_s),
        "ours over HTTP": partial(
            clients.ours, bench.triton.url, target.tensor, outstanding, run_s, model=NULL_MODEL
        ),
        "h2load": _h2load(bench, target, outstanding, 1),
        "bare loop": _bare_loop(bench, target, outstanding, 1),
    }
    if outstanding == 1:
        found["tritonclient"] = _tritonclient(bench, target)
    if bench.perf_analyzer is not None:
        found["perf_analyzer"] = _perf_analyzer(bench, bench.perf_analyzer, outstanding)
    return found


def _h2load(bench: Bench, target: Target, connections: int, streams: int) -> Client:
    """Return h2load on one thread or on two, whichever is faster."""
    url = target.url.replace("grpc:", "http:") + INFER
    program = H2load(installed("h2load", "nghttp2-client"), url, target.headers, target.body)
    threads, best = fastest(
        {
            number: partial(program.run, connections, streams, number, target.first_requests)
            for number in THREADS
            if number <= connections
        }
    )
    requests = round(best.per_s * bench.effort.run_s) + target.first_requests
    return partial(program.run, connections, streams, threads, requests)


def _bare_loop(bench: Bench, target: Target, connections: int, streams: int) -> Client:
    run = partial(
        clients.bare_grpc, bench.bare_grpc, grpc_address(target.url).port, connections, streams,
        target.body,
    )  # fmt: skip
    return partial(run, round(run(target.first_requests).per_s * bench.effort.run_s) + 1)


def _tritonclient(bench: Bench, target: Target) -> Client:
    run = partial(
        clients.tritonclient, "grpc", grpc_address(target.url).authority, NULL_MODEL,
        (NULL_INPUT, NULL_OUTPUT), bench.tensors,
    )  # fmt: skip
    return partial(run, round(run(target.first_requests).per_s * bench.effort.run_s) + 1)


def _perf_analyzer(bench: Bench, program: Path, outstanding: int) -> Client:
    """Return perf_analyzer with blocking calls or with others, whichever are faster."""
    triton = bench.triton
    shape = f"{NULL_INPUT}:{','.join(map(str, (1, *SHAPE)))}"
    run = PerfAnalyzer(
        program, triton.url, grpc_address(triton.grpc_url).authority, NULL_MODEL, shape
    ).run
    run_s = bench.effort.run_s
    asynchronous, _ = fastest({way: partial(run, outstanding, way, run_s) for way in (False, True)})
    return partial(run, outstanding, asynchronous, run_s)


def _rows(
    bench: Bench, rounds: Mapping[str, Sequence[Measured]], outstanding: int
) -> Iterator[Row]:
    many, note = workers_told(outstanding), f"triton {bench.triton.version}"
    limits = {
        "h2load": (H2LOAD_TO_REACH, H2LOAD_CPU_TO_REACH),
        "perf_analyzer": (PERF_ANALYZER_TO_REACH[outstanding], PERF_ANALYZER_CPU_TO_REACH),
        "ours over HTTP": (None, HTTP_CPU_TO_REACH),
        "bare loop": (None, None),
        "tritonclient": (None, None),
    }
    for peer, (rate, cpu) in limits.items():
        if peer in rounds:
            yield from _pair(rounds, "ours", peer, name=many, note=note, at_least=rate, at_most=cpu)
    yield from _pair(rounds, "ours, distinct tensors", "h2load", name=many, note=note)
    if "perf_analyzer" not in rounds:
        yield Row(
            name=f"perf_analyzer over gRPC, {many}", figure="not measured", rounds=(),
            at_least=PERF_ANALYZER_TO_REACH[outstanding],
            note="perf_analyzer is missing: --perf-analyzer PATH",
        )  # fmt: skip


def _pair(
    rounds: Mapping[str, Sequence[Measured]], ours: str, peer: str, *, name: str, note: str,
    at_least: float | None = None, at_most: float | None = None,
) -> Iterator[Row]:  # fmt: skip
    """Compare rates and CPU time of two of the clients."""
    both = {one: rounds[one] for one in (peer, ours)}
    named = f"{peer}, {name}{ours.removeprefix('ours')}"
    yield rate_row(
        both, ours, peer, name=f"gRPC to {named}", figure="requests/s over gRPC, over the other's",
        at_least=at_least, note=note,
    )  # fmt: skip
    yield cpu_row(
        both, ours, peer, name=f"client CPU, gRPC to {named}",
        figure="CPU time a request over gRPC, over the other's", at_most=at_most, note=note,
    )  # fmt: skip


def small(bench: Bench) -> Iterator[Row]:
    """Small tensors to a server that answers at once: our rate and CPU time over h2load's."""
    tensor = bench.tensor_file(1, SMALL_BYTES)
    url = bench.grpc_server(SMALL_REPLY)
    target = _target(bench, url, SMALL_SHAPE, tensor, FIRST_SMALL_REQUESTS)
    for connections, streams in SMALL_LOADS:
        rounds = alternate(
            {
                "ours": partial(
                    target.ours, target.tensor, connections, streams, bench.effort.run_s
                ),
                "h2load": _h2load(bench, target, connections, streams),
                "bare loop": _bare_loop(bench, target, connections, streams),
            },
            bench.effort.rounds,
        )
        name = f"16 floats, {workers_told(connections)}"
        name += f" with {streams} streams" if streams > 1 else ""
        for peer, limit in (("h2load", H2LOAD_TO_REACH), ("bare loop", None)):
            yield from _pair(
                rounds,
                "ours",
                peer,
                name=name,
                at_least=limit,
                note="benchmarks/perf/grpc_server.c",
            )


def _target(
    bench: Bench, url: str, shape: tuple[int, ...], tensor: Path, first_requests: int
) -> Target:
    """Write down what ours sends to a server."""
    data = tensor.read_bytes()
    asked = AskedKind(NULL_MODEL, [AskedInput("FLOAT", (1, *shape), data, NULL_INPUT)])
    session = OpenInferenceSession(
        GrpcClient, grpc_address(url), OpenInferenceSettings(), Workload(kinds=[asked])
    )
    before, after = session.texts(0, 0, len(data))
    headers, message = _header_fields(before)
    body = bench.folder / f"body-{len(data)}"
    body.write_bytes(message + data + after)
    lines = tuple(f"{name}: {value}" for name, value in headers if not name.startswith(":"))
    return Target(url, shape, tensor, lines, body, first_requests)


def _header_fields(text: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """Return the header fields that a request's first text begins with, and the rest of it."""
    (count,) = struct.unpack_from("<I", text)
    at, end = 4, 4 + count
    fields = []
    while at < end:
        name, value = struct.unpack_from("<HH", text, at)
        at += 4 + name + value
        fields.append(
            (text[at - value - name : at - value].decode(), text[at - value : at].decode())
        )
    return fields, text[end:]
