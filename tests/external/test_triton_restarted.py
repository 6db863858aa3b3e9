"""A real Triton that ends and comes back in a run over gRPC."""

import os
import signal
import threading
from contextlib import ExitStack

import pytest
from faults.runs import conserved
from modelservers import port_of_triton

from aibench_fast.server.triton import TritonServer

REQUESTS, RATE_PER_S = 1000, 200.0
WORKERS = 3


@pytest.mark.parametrize(
    ("how", "kinds"),
    [
        (signal.SIGKILL, {"connection_lost"}),
        # It unloads its models while it still answers.
        (signal.SIGTERM, {"connection_lost", "not_found", "cancelled", "unavailable"}),
    ],
)
def test_a_triton_restarted_under_load_is_an_outage(how: signal.Signals, kinds: set[str]) -> None:
    """Each request that is due is sent, when there is a server again; none is lost or made up."""
    with ExitStack() as stack:
        first = stack.enter_context(TritonServer("mobilenet", port_of_triton()))

        def restart() -> None:
            os.kill(first.pid, how)
            first.wait()
            stack.enter_context(TritonServer("mobilenet", first.port))

        restarter = threading.Timer(1.0, restart)
        result = conserved(
            restarter.start, url=first.grpc_url, model="null", shape=(), dtype="", workers=WORKERS,
            limit_rps=RATE_PER_S, max_queries=REQUESTS, reconnect_for_s=100.0,
        )  # fmt: skip
        restarter.join()
    (outage,) = result.connections.outages
    assert outage.is_over
    assert {*result.failures} <= kinds
    lost = result.failures.get("connection_lost")
    assert lost is None or lost.count <= WORKERS
    assert (result.counts.all_requests.sent, result.schedule.unsent) == (REQUESTS, 0)
    assert result.connections.remade + result.connections.reconnects == WORKERS
    # What was due meanwhile waited for it.
    assert result.latencies.max_ms > 0.8 * outage.seconds * 1000
