"""The steady window of the native core, held against a model of it that knows when all ended."""

from collections import defaultdict
from typing import Any

from ci import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from token_server import CHUNKED, DONE, Piece, delta, token_server, usage, whole

from aibench_fast import _core
from aibench_fast.coretypes import Endpoint, Kind, TokenPlan

ENDS = 1 << 5
BODY = b"{}"
HEAD = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(BODY)
TOKENS_A_CHUNK = 3


def counted(
    streams: list[tuple[int, int, int]], workers: int, threads: int, burn_in: int
) -> tuple[dict[str, int], Any, int, int]:
    """Run a closed loop; return its counters, the events, and its start and first measured time.

    Each stream has a time to its first chunk and between two, in milliseconds, and chunks.
    """

    def answer(number: int) -> list[Piece]:
        first_ms, gap_ms, chunks = streams[number]
        pieces: list[Piece] = [CHUNKED, first_ms / 1000]
        for _ in range(chunks):
            pieces += [*whole(delta(content="a"))[1:-1], gap_ms / 1000]
        ends = whole(usage(chunks * TOKENS_A_CHUNK), DONE)[1:]
        return [*pieces, b"".join(one for one in ends if isinstance(one, bytes))]

    with token_server(answer) as server:
        port = int(server.address.rpartition(":")[2])
        kind = Kind(
            inputs=[_core.Tensors.of_batches([BODY], 1)],
            requests=[(HEAD, b"")] * workers,
            plan=TokenPlan(),
        )
        generator = _core.LoadGenerator(
            kinds=[kind], endpoints=[Endpoint("127.0.0.1", port)], threads=threads,
            burn_in_requests=burn_in, max_requests=len(streams), duration_ns=0,
            reply_timeout_ns=5 * 10**9, connect_timeout_ns=5 * 10**9, stop_on_failure=False,
            event_log_entries=1000,
        )  # fmt: skip
        generator.start()
        assert generator.wait(20)
        events, snapshot = generator.event_log(), generator.snapshot()
        generator.close()
    assert not snapshot.measured.failures
    counters = dict(snapshot.measured.counters)
    return counters, events, snapshot.began_ns, snapshot.measured_from_ns


Stream = tuple[int, int, int]
"""When it started and ended, and its tokens."""


def streams_by_worker(events: Any, began_ns: int) -> list[list[Stream]]:
    """Return the streams of each connection: one begins where the one before it ended."""
    chunks: dict[tuple[int, int], int] = defaultdict(int)
    ends: dict[int, dict[int, int]] = defaultdict(dict)
    for port, request, flags, came_ns in events.tolist():
        chunks[port, request] += flags & 0b110 != 0
        if flags & ENDS:
            ends[port][request] = came_ns
    found = []
    for port, of_worker in ends.items():
        start_ns, worker = began_ns, []
        for request, end_ns in sorted(of_worker.items()):
            worker.append((start_ns, end_ns, chunks[port, request] * TOKENS_A_CHUNK))
            start_ns = end_ns
        found.append(worker)
    return found


def window_of(by_worker: list[list[Stream]], workers: int, measured_ns: int) -> tuple[int, int]:
    """Return when it begins and ends; the end first if there is none."""
    if len(by_worker) < workers:
        return 1, 0  # some worker never had a stream
    ramp_ns = max(worker[0][1] for worker in by_worker)
    return max(ramp_ns, measured_ns), min(worker[-1][1] for worker in by_worker)


@settings(deadline=None, max_examples=examples(40))
@given(
    st.integers(1, 4), st.integers(1, 2), st.integers(0, 6),
    st.lists(
        st.tuples(st.integers(5, 40), st.integers(0, 6), st.integers(1, 5)),
        min_size=8, max_size=24,
    ),
)  # fmt: skip
def test_a_stream_counts_by_its_share_of_the_window(
    workers: int, threads: int, burn_in: int, streams: list[tuple[int, int, int]]
) -> None:
    counters, events, began_ns, measured_ns = counted(
        streams, workers, min(threads, workers), burn_in
    )
    by_worker = streams_by_worker(events, began_ns)
    from_ns, until_ns = window_of(by_worker, workers, measured_ns)
    tokens = requests = worker_ns = 0.0
    for start_ns, end_ns, count in (one for worker in by_worker for one in worker):
        within_ns = max(0, min(end_ns, until_ns) - max(start_ns, from_ns))
        tokens += count * within_ns / (end_ns - start_ns)
        requests += within_ns / (end_ns - start_ns)
        worker_ns += within_ns
    # The first worker without a request says so a little later: others go on counting until then.
    late_ns = 10 * 10**6 * workers
    assert abs(counters["steady_worker_ns"] - worker_ns) <= late_ns
    assert abs(counters["steady_stream_ns"] - counters["steady_worker_ns"]) <= late_ns
    most_a_ns = max(count / (end - start) for worker in by_worker for start, end, count in worker)
    rounded = 0.001 * len(streams)
    assert abs(counters["steady_millitokens"] / 1000 - tokens) <= late_ns * most_a_ns + rounded
    assert abs(counters["steady_millistreams"] / 1000 - requests) <= late_ns / 5e6 + rounded
    assert counters["steady_milligood"] == counters["steady_millistreams"]
