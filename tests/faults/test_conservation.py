"""Nothing is lost, doubled or made up, whatever happens to connections: random fault schedules.

`make faults` has 20,000 of them. One that fails is printed with as few faults as show it.
"""

import ssl
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from certificates import Certificate
from fake_grpc import FakeGrpc, echo_as_it_is_read
from fake_inference import Asked, FakeInference, binary_reply, output
from fake_redisai import OK, FakeRedisAI, array, bulk
from faultproxy import (
    CHANGING,
    DELAYING,
    LOSING,
    REPLIES,
    REQUESTS,
    Fault,
    FaultProxy,
    http_end,
    resp_end,
)
from faults import drawn
from faults.drawn import AMOUNTS, DRAWN, fault, run_through, schedules
from http2frames import WINDOW_BYTES_MAX, Code
from http2proxy import (
    FRAME_CHANGING,
    FRAME_DELAYING,
    FRAME_GRACEFUL,
    FRAME_LOSING,
    Http2FaultProxy,
)
from hypothesis import given
from hypothesis import strategies as st

from aibench_fast import RunConfig, ServerAddress
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.protocols.address import TlsSettings

RATE_PER_S = 300.0
VALUES = 4
TENSOR_BYTES = 4 * VALUES
TENSORS = [struct.pack(f"<{VALUES}f", *range(n, n + VALUES)) for n in range(11)]
GREETING_S = 5.0
"""For a server's SETTINGS, or its part of a TLS handshake. No fault holds them up, as a connection
has none before a request."""
RESENDS_MAX = 3
"""So often one request is sent again over HTTP/2."""
MODEL_OUTPUT = {"name": "m", "platform": "none",
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, VALUES]}],
                "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, VALUES]}]}  # fmt: skip


class EchoRedisAI(FakeRedisAI):
    """Its model answers the tensor that it is given."""

    def __init__(self) -> None:
        super().__init__(
            AI_TENSORSET=self._set,
            AI_MODELRUN=self._run,
            AI_TENSORGET=self._get,
            AI_DAGRUN=lambda words, _: array(OK, OK, bulk(words[words.index(b"BLOB") + 1])),
        )
        self._tensors: dict[bytes, bytes] = {}

    @property
    def inferences(self) -> int:
        """How many were asked for, the trial among them."""
        return self.counts["AI.MODELRUN"] + self.counts["AI.DAGRUN"]

    def _set(self, words: Sequence[bytes], _number: int) -> bytes:
        self._tensors[words[1]] = words[-1]
        return OK

    def _run(self, words: Sequence[bytes], _number: int) -> bytes:
        source = words[words.index(b"INPUTS") + 1]
        self._tensors[words[words.index(b"OUTPUTS") + 1]] = self._tensors[source]
        return OK

    def _get(self, words: Sequence[bytes], _number: int) -> bytes:
        data = self._tensors[words[1]]
        if b"META" not in words:
            return bulk(data)
        shape = array(b":%d\r\n" % (len(data) // TENSOR_BYTES), b":%d\r\n" % VALUES)
        return array(
            bulk(b"dtype"), bulk(b"FLOAT"), bulk(b"shape"), shape, bulk(b"blob"), bulk(data)
        )


def echo(asked: Asked, _number: int) -> bytes:
    """As EchoRedisAI."""
    return binary_reply(asked.tensors, output((len(asked.tensors) // TENSOR_BYTES, VALUES)))


class EchoInference(FakeInference):
    """As EchoRedisAI, over HTTP."""

    def __init__(self) -> None:
        super().__init__(infer=echo, model=MODEL_OUTPUT)

    @property
    def inferences(self) -> int:
        """How many were asked for, the trial among them."""
        return len(self.asked)


class EchoGrpc(FakeGrpc):
    """As EchoRedisAI, over gRPC, with windows that small."""

    def __init__(self, window_bytes: int) -> None:
        super().__init__(**echo_as_it_is_read(window_bytes))

    @property
    def inferences(self) -> int:
        """How many were asked for, the trial among them."""
        return self.asked


@dataclass(frozen=True)
class Load(drawn.Load):
    """The load on a model."""

    protocol: str = "resp"
    pipeline: int = 1
    is_mix: bool = False
    window_bytes: int = WINDOW_BYTES_MAX
    """Of a server over HTTP/2, for each request."""
    is_stream: bool = False
    """Whether the requests of a connection are messages of one call over HTTP/2."""
    by_tls: bool = False

    @property
    def is_greeted(self) -> bool:
        """Whether a new connection waits for the server's answer, of HTTP/2 or TLS."""
        return self.protocol == "grpc" or self.by_tls

    @property
    def is_verified(self) -> bool:
        """Whether each output is compared with the tensor that was sent."""
        return not self.is_mix


def loads(*protocols: str, by_tls: bool = False) -> st.SearchStrategy[Load]:
    loads = st.builds(
        Load,
        **DRAWN,
        protocol=st.sampled_from(protocols),
        shape=st.sampled_from(["closed", "even", "poisson", "profile"]),
        workers=st.integers(1, 4),
        requests=st.integers(10, 40),
        pipeline=st.sampled_from([1, 3]),
        is_mix=st.booleans(),
        window_bytes=st.sampled_from([WINDOW_BYTES_MAX, 20, 70]),
        is_stream=st.booleans(),
        by_tls=st.just(by_tls),
    )
    return loads.map(_possible)


def _possible(load: Load) -> Load:
    """Without what a run refuses."""
    if load.protocol != "grpc":
        load = replace(load, is_stream=False)
    if load.is_open or load.protocol == "http":
        load = replace(load, pipeline=1)
    return load.possible()


FRAME_AMOUNTS = {
    **AMOUNTS,
    "withhold": st.integers(1, 100),
    "reset_stream": st.sampled_from(list(Code)),
    "goaway_below": st.integers(0, 3),
    "drop_trailers": st.integers(0, 1),
}
AT_BYTES_ALONE = ("throttle", "split", "garbage", "drop", "double")
TO_CLIENT_ALONE = (*FRAME_DELAYING, *FRAME_GRACEFUL, "goaway_error", "drop_trailers")


@st.composite
def fault_at_frame(draw: st.DrawFn) -> Fault:
    """A fault that HTTP/2 alone has, or one that befalls any bytes, between frames."""
    of_frames = [*FRAME_DELAYING, *FRAME_GRACEFUL, *FRAME_LOSING, *FRAME_CHANGING]
    of_any = [kind for kind in (*DELAYING, *LOSING) if kind not in AT_BYTES_ALONE]
    kind = draw(st.sampled_from([*of_frames, *of_any]))
    return Fault(
        kind=kind,
        connection=draw(st.integers(0, 3)),
        direction=draw(st.sampled_from([REPLIES, *([REQUESTS] * (kind not in TO_CLIENT_ALONE))])),
        at_frame=draw(st.integers(0, 40)),
        amount=draw(FRAME_AMOUNTS.get(kind, st.just(0))),
    )


FAULT_OVER_HTTP2 = st.one_of(fault(), fault_at_frame(), fault_at_frame())


def config_of(load: Load, ports: Sequence[int], folder: Path) -> RunConfig:
    """A run of this load through the proxies."""
    tls = TlsSettings(insecure=True) if load.by_tls else None
    address, *others = [ServerAddress("127.0.0.1", port, tls=tls) for port in ports]
    where: dict[str, object]
    where = {"address": address, "others": tuple(others), "use_dag": load.protocol == "dag"}
    if load.protocol in ("http", "grpc"):
        scheme = f"{load.protocol}s" if load.by_tls else load.protocol
        url, *urls = [f"{scheme}://127.0.0.1:{port}" for port in ports]
        where = {"url": url, "others": tuple(urls), "tls": tls}
    asked: dict[str, object] = {"file": folder / "tensors", "shape": (VALUES,), "dtype": "FLOAT"}
    if load.is_verified:
        asked["reference_file"] = folder / "tensors"
    else:
        tensors = (InputTensor(None, (VALUES,), "FLOAT", "x"),)
        kinds = (RequestKind("m", tensors, weight=3.0), RequestKind("m", tensors, batch_size=2))
        asked = {"file": None, "mix": kinds}
    usual = load.settings(RATE_PER_S, "100/s for 50ms, 100/s to 400/s over 80ms")
    if load.is_greeted:
        usual["connect_timeout_s"] = GREETING_S
    return RunConfig(
        **where, **asked, **usual, model="m", pipeline=load.pipeline, stream=load.is_stream  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    (folder / "tensors").write_bytes(b"".join(TENSORS))
    return folder


@schedules(500)
@given(
    load=loads("resp", "dag", "http"),
    faults=st.lists(fault(), min_size=1, max_size=6),
    others_faults=st.lists(fault(), max_size=2),
)
def test_whatever_happens_counts_are_conserved(
    folder: Path, load: Load, faults: list[Fault], others_faults: list[Fault]
) -> None:
    check(folder, load, faults, others_faults)


@schedules(500)
@given(
    load=loads("grpc"),
    faults=st.lists(FAULT_OVER_HTTP2, min_size=1, max_size=6),
    others_faults=st.lists(FAULT_OVER_HTTP2, max_size=2),
)
def test_whatever_happens_over_http2_counts_are_conserved(
    folder: Path, load: Load, faults: list[Fault], others_faults: list[Fault]
) -> None:
    check(folder, load, faults, others_faults)


@schedules(100)
@given(
    load=loads("resp", "dag", "http", "grpc", by_tls=True),
    faults=st.lists(fault(), min_size=1, max_size=6),
)
def test_whatever_happens_within_tls_counts_are_conserved(
    folder: Path, certificate: Certificate, load: Load, faults: list[Fault]
) -> None:
    check(folder, load, faults, [], certificate)


def server_of(load: Load) -> EchoRedisAI | EchoInference | EchoGrpc:
    """A server of its own, so that it is asked by no run before."""
    if load.protocol == "grpc":
        return EchoGrpc(load.window_bytes)
    return EchoInference() if load.protocol == "http" else EchoRedisAI()


def proxy_of(
    load: Load, port: int, faults: Sequence[Fault], tls: ssl.SSLContext | None
) -> FaultProxy:
    if load.protocol == "grpc":
        return Http2FaultProxy(port, faults, of_messages=load.is_stream, tls=tls)
    end_of_reply = http_end if load.protocol == "http" else resp_end
    return FaultProxy(port, faults, end_of_reply=end_of_reply, tls=tls)


def spoken_by(certificate: Certificate, load: Load) -> ssl.SSLContext:
    served = certificate.for_server
    if load.protocol == "grpc":
        served.set_alpn_protocols(["h2"])
    return served


def check(
    folder: Path,
    load: Load,
    faults: list[Fault],
    others_faults: list[Fault],
    certificate: Certificate | None = None,
) -> None:
    """Have these faults happen to this load; hold the counts against what the servers got."""
    with ExitStack() as stack:
        servers = [stack.enter_context(server_of(load)) for _ in range(load.servers)]
        tls = spoken_by(certificate, load) if certificate else None
        proxies = [
            stack.enter_context(proxy_of(load, server.port, of_server, tls))
            for server, of_server in zip(servers, (faults, others_faults), strict=False)
        ]
        config = config_of(load, [proxy.port for proxy in proxies], folder)
        result, done, failed = run_through(proxies, load, config)
    trials = load.servers * (2 if load.is_mix else 1)
    asked = sum(server.inferences for server in servers) - trials
    happened = {fault.kind for fault in done}
    counts = result.counts.all_requests
    changing, delaying = {*CHANGING, *FRAME_CHANGING}, {*DELAYING, *FRAME_DELAYING}
    changed = {fault.direction for fault in done if fault.kind in changing}
    if REPLIES not in changed or load.is_verified:
        # One that changes a reply may leave it good: a byte in the reason behind HTTP's status, or
        # what comes twice at its end.
        changes = sum(one.kind in changing and one.direction == REPLIES for one in done)
        assert counts.succeeded <= sum(proxy.whole_replies for proxy in proxies) + changes
    if REQUESTS not in changed:
        assert counts.succeeded <= asked <= counts.sent + result.connections.resent
    if happened <= delaying and not failed & {"client_timeout", "connection_lost"}:
        assert asked == counts.sent
    graceful = sum(one.kind in FRAME_GRACEFUL for one in done)
    if happened <= delaying | {*FRAME_GRACEFUL} and graceful <= RESENDS_MAX:
        assert failed <= {"client_timeout", "connection_lost"}  # a pause may be long enough for it
        assert result.connections.outage_count == 0
        if load.protocol == "grpc" and "client_timeout" not in failed:
            assert failed == set()
            assert result.connections.remade == 0
