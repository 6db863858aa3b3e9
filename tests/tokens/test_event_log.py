"""The core's own log of events, which is held against what a server did."""

import struct
from collections.abc import Sequence

import pytest
from token_server import CHUNKED, DONE, Piece, delta, event, token_server, usage, whole

from aibench_fast import _core
from aibench_fast.coretypes import Endpoint, Kind, TokenPlan
from aibench_fast.errors import InternalError

NOTHING, ANSWER, REASONING, FINISH, USAGE, ENDS = (1 << bit for bit in range(6))


def generator_of(port: int, *, requests: int, entries: int) -> _core.LoadGenerator:
    body = b"{}"
    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    kind = Kind(
        inputs=[_core.Tensors.of_batches([body], 1)],
        requests=[(head, b"")],
        plan=TokenPlan(),
        batch=1,
    )
    return _core.LoadGenerator(
        kinds=[kind], endpoints=[Endpoint("127.0.0.1", port)], threads=1, burn_in_requests=0,
        max_requests=requests, duration_ns=0, reply_timeout_ns=5 * 10**9,
        connect_timeout_ns=5 * 10**9, stop_on_failure=False, event_log_entries=entries,
    )  # fmt: skip


def logged(pieces: Sequence[Piece], *, requests: int = 1, entries: int = 100):  # type: ignore[no-untyped-def]
    with token_server(lambda _: pieces) as server:
        generator = generator_of(server.port, requests=requests, entries=entries)
        generator.start()
        assert generator.wait(10)
        found, snapshot = generator.event_log(), generator.snapshot()
        generator.close()
    return found, snapshot


def test_each_event_is_logged_with_its_time() -> None:
    both = event({"choices": [{"delta": {"content": "b"}, "finish_reason": "stop"}]})
    events = (
        delta(role="assistant", content=""), delta(reasoning="hm"), delta(content="a"), both,
        usage(3), DONE,
    )  # fmt: skip
    pieces: list[Piece] = [CHUNKED]
    for piece in whole(*events)[1:]:
        pieces += [0.01, piece]
    found, snapshot = logged(pieces, requests=2)
    flags = [NOTHING, REASONING, ANSWER, ANSWER | FINISH, USAGE, ENDS]
    assert list(found["flags"]) == flags * 2
    assert list(found["request"]) == [0] * 6 + [1] * 6
    assert len(set(found["port"])) == 1
    assert found["port"][0] > 0
    assert (found["came_ns"][1:6] - found["came_ns"][:5]).min() > 5_000_000
    # The log's clock is that of the figures.
    gap_ns = int(found["came_ns"][2] - found["came_ns"][1])
    gaps = struct.unpack("23552q", snapshot.measured.histograms["chunk_gaps"].counts)
    assert sum(gaps) == 4
    assert snapshot.measured.histograms["chunk_gaps"].min_us <= round(gap_ns / 1000) + 1
    assert snapshot.measured.histograms["chunk_gaps"].max_us >= round(gap_ns / 1000) - 1


def test_a_log_that_is_full_keeps_the_first_events() -> None:
    found, snapshot = logged(whole(*[delta(content="a")] * 9, DONE), requests=3, entries=12)
    assert len(found) == 12
    assert snapshot.measured.counters["events"] == 30


def test_without_entries_there_is_no_log() -> None:
    found, _ = logged(whole(delta(content="a"), DONE), entries=0)
    assert len(found) == 0


def test_a_run_that_is_not_over_has_no_log_yet() -> None:
    with token_server(lambda _: [0.5, *whole(delta(content="a"), DONE)]) as server:
        generator = generator_of(server.port, requests=1, entries=1)
        generator.start()
        with pytest.raises(InternalError, match="not over"):
            generator.event_log()
        generator.close()
