"""grpcio's own server, which leaves as a good server does: with a GOAWAY, and no request lost."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Thread
from typing import Any

import grpc
import pytest
from fake_grpc import message
from generator import run
from tritonclient.grpc import service_pb2 as triton
from tritonclient.grpc import service_pb2_grpc

REPLY = triton.ModelInferResponse.FromString(message())


def started(port: int, infer: Callable[[], object]) -> tuple[grpc.Server, int]:
    """Start a server beside others on its port; 0 picks a free one."""

    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
        def ModelInfer(self, request: Any, context: Any) -> triton.ModelInferResponse:
            infer()
            return REPLY

    server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 1)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, port


@pytest.mark.parametrize("streams", [1, 8])
def test_a_server_that_is_replaced_under_load_is_a_reconnect(streams: int) -> None:
    numbers, others = count(1), count()
    replacing = Thread(target=lambda: replaced.append(started(port, lambda: next(others))[0]))
    leaving = Thread(target=lambda: (replacing.join(), first.stop(10).wait()))
    replaced: list[grpc.Server] = []

    def infer() -> None:
        if next(numbers) == 100:
            replacing.start()
            leaving.start()

    first, port = started(0, infer)
    counted = run(port, requests=4000, workers=2, streams=streams)
    leaving.join()
    replaced[0].stop(None).wait()
    # It cancels what reaches it between its end and its GOAWAY, and says so.
    cancelled = counted.measured.failures.get("cancelled", (0, ""))[0]
    assert {*counted.measured.failures} <= {"cancelled"}
    assert cancelled <= 2 * streams
    assert counted.measured.counters["successes"] == 4000 - cancelled
    assert counted.counters["reconnects"] >= 2
    assert counted.counters["remade"] == 0
    # What the first one had not begun was sent again, and nothing was answered twice.
    assert next(numbers) - 1 + next(others) == 4000 - cancelled
