"""Trials of requests that are messages of a stream, Triton's ModelStreamInfer."""

from collections.abc import Iterator

from aibench_fast.errors import ServerError
from aibench_fast.protocols.openinference.client import MAX_TRIAL_BYTES, Trial, Wanted
from aibench_fast.protocols.openinference.grpc.client import GrpcClient
from aibench_fast.protocols.openinference.grpc.messages import INFER_RESPONSE, STREAM_RESPONSE
from aibench_fast.protocols.openinference.grpc.request import STREAM_METHOD, InferRequest
from aibench_fast.protocols.openinference.grpc.wire import decode

_PREFIX_BYTES = 5


class GrpcStreamClient(GrpcClient):
    """A `Client` over gRPC for requests that are messages of a stream."""

    infers = STREAM_METHOD

    def _try_one(self, wanted: Wanted, version: str | None) -> Trial:
        kind = wanted.kind
        request = InferRequest(
            kind, version, wanted.outputs, wanted.places, wanted.written, is_streamed=True
        )
        replies = self._call(
            STREAM_METHOD, request.trial(), "the trial request", MAX_TRIAL_BYTES, has_several=True
        )
        reply = self._first_reply(replies, kind.model)
        return Trial(request, self._plan_of(wanted, reply)._replace(id_at=request.id_at))

    def _first_reply(self, replies: bytes, model: str) -> bytes:
        """Return the first reply with outputs; ServerError where there is none, or it is wrong."""
        try:
            for message in _messages(replies):
                streamed = decode(STREAM_RESPONSE, message)
                if words := streamed["error_message"]:
                    raise ServerError(f"{self._address} refused the trial request: {words}")
                reply: bytes = streamed["infer_response"]
                if decode(INFER_RESPONSE, reply)["outputs"]:
                    return reply
        except ValueError as error:
            raise ServerError(
                f"{self._address} answered {STREAM_METHOD} with something else than Triton's "
                f"protocol has: {error}"
            ) from error
        raise ServerError(
            f"the model {model} had no reply to the trial request, which says what replies have to "
            "be: give tensors by `file` that it replies to"
        )


def _messages(replies: bytes) -> Iterator[bytes]:
    """Yield the messages; ValueError where one is cut or compressed."""
    while replies:
        end = _PREFIX_BYTES + int.from_bytes(replies[1:_PREFIX_BYTES], "big")
        if len(replies) < end or replies[0]:
            raise ValueError("a message is cut or compressed")
        yield replies[_PREFIX_BYTES:end]
        replies = replies[end:]
