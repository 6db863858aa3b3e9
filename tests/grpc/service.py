"""grpcio's own server with the Open Inference Protocol's service, or as much of it as a test wants.

It answers as it should. What misbehaves below gRPC is elsewhere.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import grpc
from google.protobuf.message import Message
from grpcserver import listening
from tritonclient.grpc import service_pb2 as triton

SERVICE = "inference.GRPCInferenceService"
MODEL = "m"
VALUES = 4
"""Of the input and of the output."""

Answer = Callable[[Any, grpc.ServicerContext], Message]
Answers = Mapping[str, Answer]
"""By the names of methods."""


def server_metadata(_: Any, __: grpc.ServicerContext) -> Message:
    return triton.ServerMetadataResponse(name="polite", version="1", extensions=["statistics"])


def model_metadata(asked: Any, context: grpc.ServicerContext) -> Message:
    check_model(asked.name, asked.version, context)
    shape = [-1, VALUES]
    tensor = triton.ModelMetadataResponse.TensorMetadata
    return triton.ModelMetadataResponse(
        name=asked.name,
        versions=["1"],
        platform="none",
        inputs=[tensor(name="x", datatype="FP32", shape=shape)],
        outputs=[tensor(name="y", datatype="FP32", shape=shape)],
    )


def check_model(name: str, version: str, context: grpc.ServicerContext) -> None:
    if name != MODEL or version not in ("", "1"):
        context.abort(grpc.StatusCode.NOT_FOUND, f"no model {name}, version {version or 'any'}.")


def model_ready(asked: Any, _: grpc.ServicerContext) -> Message:
    return triton.ModelReadyResponse(ready=asked.name == MODEL and asked.version in ("", "1"))


def repository_index(_: Any, __: grpc.ServicerContext) -> Message:
    index = triton.RepositoryIndexResponse.ModelIndex
    return triton.RepositoryIndexResponse(
        models=[index(name=MODEL, state="READY"), index(name="asleep", state="UNAVAILABLE")]
    )


def echo(asked: Any, context: grpc.ServicerContext) -> Message:
    """Return the tensor that came, as it is in memory."""
    check_model(asked.model_name, asked.model_version, context)
    (given,) = asked.inputs
    return triton.ModelInferResponse(
        model_name=asked.model_name,
        model_version="1",
        id=asked.id,
        outputs=[
            triton.ModelInferResponse.InferOutputTensor(
                name="y", datatype=given.datatype, shape=given.shape
            )
        ],
        raw_output_contents=asked.raw_input_contents,
    )


class Counted:
    """Statistics of what was inferred."""

    def __init__(self) -> None:
        self.requests = 0

    def infer(self, asked: Any, context: grpc.ServicerContext) -> Message:
        self.requests += 1
        return echo(asked, context)

    def statistics(self, asked: Any, _: grpc.ServicerContext) -> Message:
        took = triton.StatisticDuration(count=self.requests, ns=1000 * self.requests)
        return triton.ModelStatisticsResponse(
            model_stats=[
                triton.ModelStatistics(
                    name=asked.name,
                    version="1",
                    inference_count=self.requests,
                    execution_count=self.requests,
                    inference_stats=triton.InferStatistics(success=took, compute_infer=took),
                )
            ]
        )


WELL: Answers = {
    "ServerMetadata": server_metadata,
    "ModelMetadata": model_metadata,
    "ModelReady": model_ready,
    "RepositoryIndex": repository_index,
    "ModelInfer": echo,
}
_REQUESTS = {
    "RepositoryIndex": triton.RepositoryIndexRequest,
    "ModelInfer": triton.ModelInferRequest,
    "ServerMetadata": triton.ServerMetadataRequest,
}
"""Of the methods whose request is more than a model."""


def serving(
    answers: Answers = WELL,
    *,
    service: str = SERVICE,
    credentials: grpc.ServerCredentials | None = None,
    options: Sequence[tuple[str, Any]] = (),
    streams: Callable[[Any], Iterator[Message]] | None = None,
    **more: Any,
) -> AbstractContextManager[int]:
    """A server on a port of 127.0.0.1, which is returned, while the block lasts.

    `streams` answers each request of a ModelStreamInfer, if it has that; `more` are arguments of
    grpcio's server.
    """
    options = [("grpc.so_reuseport", 0), *options]
    server = grpc.server(ThreadPoolExecutor(4), options=options, **more)
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=_REQUESTS.get(name, triton.ModelMetadataRequest).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        for name, answer in answers.items()
    }
    if streams:
        answer_each = streams
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
            lambda requests, _: (reply for one in requests for reply in answer_each(one)),
            request_deserializer=triton.ModelInferRequest.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    return listening(server, credentials)
