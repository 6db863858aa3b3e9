"""grpcio's servers, which listen while a `with` block lasts."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc


def inference_server(**methods: Callable[[Any, Any], Any]) -> grpc.Server:
    """A server of the Open Inference Protocol with methods such as ModelInfer."""
    parts = {name: staticmethod(method) for name, method in methods.items()}
    servicer = type("Servicer", (service_pb2_grpc.GRPCInferenceServiceServicer,), parts)
    server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", -1)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer(), server)
    return server


@contextmanager
def listening(server: grpc.Server, credentials: Any = None, port: int = 0) -> Iterator[int]:
    """Have a server listen on a port, or any that is free, which is yielded."""
    where = f"127.0.0.1:{port}"
    bound: int = (
        server.add_secure_port(where, credentials)
        if credentials
        else server.add_insecure_port(where)
    )
    server.start()
    try:
        yield bound
    finally:
        server.stop(None).wait()
