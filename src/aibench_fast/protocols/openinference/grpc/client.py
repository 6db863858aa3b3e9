"""The Open Inference Protocol's questions and trials over gRPC."""

import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aibench_fast._core import GRPC_STATUSES, HTTP2_GREETING, NGHTTP2_VERSION, GrpcChannel
from aibench_fast.coretypes import Endpoint, GrpcReply
from aibench_fast.errors import ServerError
from aibench_fast.protocols import reaching
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import (
    A_REGION,
    CONNECT_TIMEOUT_S,
    GIVE_TOKEN,
    MAX_ANSWER_BYTES,
    MAX_TRIAL_BYTES,
    TRIAL,
    Client,
    Refusal,
    Refused,
    Trial,
    Wanted,
)
from aibench_fast.protocols.openinference.grpc import messages
from aibench_fast.protocols.openinference.grpc.infer import (
    METHOD,
    STREAM_METHOD,
    InferRequest,
    header_fields,
    plan_of,
)
from aibench_fast.protocols.openinference.grpc.wire import Message, decode, encode
from aibench_fast.protocols.session import native_tls
from aibench_fast.protocols.settings import Encoding

OK = 0
_REFUSALS = {
    "UNIMPLEMENTED": Refusal.NO_SUCH_CALL,
    "NOT_FOUND": Refusal.NOT_THERE,
    "INVALID_ARGUMENT": Refusal.NOT_THERE,
    "UNAVAILABLE": Refusal.BUSY,
}
_READY = re.compile(r"\bREADY$")
_TOO_LARGE = "larger than max"
"""In the words of every gRPC library of Google's."""
_ADVICE = {
    "UNIMPLEMENTED": f"does it have {messages.SERVICE}, the Open Inference Protocol's service?",
    "UNAUTHENTICATED": GIVE_TOKEN,
    "PERMISSION_DENIED": GIVE_TOKEN,
}
_ALLOW_LARGER = (
    "let the server take and send larger messages: MLServer by grpc_max_message_length in its "
    "settings, KServe's by --grpc_max_receive_message_length and --grpc_max_send_message_length"
)
_PREFIX_BYTES = 5


class GrpcClient(Client):
    """A `Client` over gRPC."""

    def __init__(self, address: HttpAddress, timeout_s: float, *, streams: bool = False) -> None:
        """Connect; ServerError where nothing answers, or not by HTTP/2.

        `streams`: a run's requests are messages of a stream, Triton's ModelStreamInfer.
        """
        self.infers = STREAM_METHOD if streams else METHOD
        self._address = address
        self.timeout_s = timeout_s
        self.facts = {"Nghttp2": NGHTTP2_VERSION}
        connect_s = min(timeout_s, CONNECT_TIMEOUT_S)
        self._endpoint = Endpoint(
            _peer_of(address, connect_s),
            address.port,
            tls=native_tls(address.tls, address.host, http2=True),
            greeting=(HTTP2_GREETING,),
        )
        self._channel = GrpcChannel(self._endpoint, connect_s)

    def metadata(self) -> Mapping[str, Any]:
        """As `Client.metadata`."""
        return self._ask("ServerMetadata", b"", messages.SERVER, "the server")

    def model(self, model: str, version: str | None) -> Mapping[str, Any]:
        """As `Client.model`."""
        asked = _of_model(model, version)
        return self._ask("ModelMetadata", asked, messages.MODEL_METADATA, f"the model {model}")

    def check_ready(self, model: str, version: str | None) -> None:
        """As `Client.check_ready`."""
        asked = _of_model(model, version)
        try:
            ready = self._ask("ModelReady", asked, messages.READY, f"the model {model}")["ready"]
        except Refused as error:
            if error.refusal is Refusal.NO_SUCH_CALL:
                return
            raise ServerError(f"the model {model} is not ready: {error}") from error
        if not ready:
            raise ServerError(f"the model {model} is not ready, as {self._address} says")

    def ready_models(self) -> list[str] | None:
        """As `Client.ready_models`; Triton and MLServer list them."""
        try:
            index = self._ask("RepositoryIndex", b"", messages.INDEX, "its models")
        except ServerError:
            return None
        # MLServer writes State.READY.
        ready = [one["name"] for one in index["models"] if _READY.search(one["state"])]
        return sorted(set(ready))

    def statistics(self, model: str, version: str | None) -> Mapping[str, Any]:
        """As `Client.statistics`."""
        asked = _of_model(model, version)
        return self._ask("ModelStatistics", asked, messages.STATISTICS, "statistics")

    def regions(self) -> list[str]:
        """As `Client.regions`."""
        found = self._ask("SystemSharedMemoryStatus", b"", messages.REGIONS, A_REGION)
        return [one["key"] for one in found["regions"]]

    def register_region(self, name: str, key: str, size_bytes: int) -> None:
        """As `Client.register_region`."""
        region = {"name": name, "key": key, "byte_size": size_bytes}
        self._call("SystemSharedMemoryRegister", encode(messages.REGION, region), A_REGION)

    def unregister_region(self, name: str) -> None:
        """As `Client.unregister_region`."""
        asked = encode(messages.REGION, {"name": name})
        self._call("SystemSharedMemoryUnregister", asked, A_REGION)

    def try_requests(
        self, wanted: Sequence[Wanted], encoding: Encoding | None, extensions: Sequence[str]
    ) -> list[Trial]:
        """As `Client.try_requests`; tensors are sent as they are in memory."""
        return [self._try_one(one) for one in wanted]

    def _try_one(self, wanted: Wanted) -> Trial:
        request = InferRequest(wanted, self.infers)
        reply = self._call(self.infers, request.trial(), TRIAL, MAX_TRIAL_BYTES)
        if self.infers == STREAM_METHOD:
            reply = self._first_reply(reply, wanted.kind.model)
        return Trial(request, plan_of(reply, wanted)._replace(id_at=request.id_at))

    def _first_reply(self, replies: bytes, model: str) -> bytes:
        """Return the first reply with outputs; ServerError where there is none, or it is wrong."""
        try:
            for message in _messages(replies):
                streamed = decode(messages.STREAM_RESPONSE, message)
                if words := streamed["error_message"]:
                    raise ServerError(f"{self._address} refused the trial request: {words}")
                reply: bytes = streamed["infer_response"]
                if decode(messages.INFER_RESPONSE, reply)["outputs"]:
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

    def _ask(self, method: str, asked: bytes, message: Message, what: str) -> dict[str, Any]:
        """Return what a method answers; `what` names what is asked for."""
        answer = self._call(method, asked, what)
        try:
            return decode(message, answer)
        except ValueError as error:
            raise ServerError(
                f"{self._address} answered {method} with something else than the Open Inference "
                f"Protocol has: {error}"
            ) from error

    def _call(
        self, method: str, message: bytes, what: str, most_bytes: int = MAX_ANSWER_BYTES
    ) -> bytes:
        """Call a method, and return the message that it answers; of a stream all, with prefixes.

        Refused where it answers another status than OK, ServerError where it does not answer.
        """
        fields = header_fields(self._address, method)
        has_several = method == STREAM_METHOD
        try:
            reply = self._channel.call(fields, message, self.timeout_s, most_bytes, has_several)
        except ServerError as error:
            raise ServerError(f"{self._address} did not answer {method}: {error}") from error
        if reply.status == OK:
            return reply.message
        raise self._refused(reply, method, what)

    def _refused(self, reply: GrpcReply, method: str, what: str) -> ServerError:
        if reply.status is None:
            return ServerError(
                f"{self._address} answered {method} with HTTP {reply.http_status} and no "
                "grpc-status: does it speak gRPC?"
            )
        known = reply.status in range(len(GRPC_STATUSES))
        name = GRPC_STATUSES[reply.status] if known else f"grpc-status {reply.status}"
        advice = _ALLOW_LARGER if _TOO_LARGE in reply.words else _ADVICE.get(name)
        said = reply.words.strip().removesuffix(".") or "it says no more"
        words = f"{self._address} answered {name} for {what}: {said}"
        advised = f"{words}; {advice}" if advice else words
        return Refused(advised, _REFUSALS.get(name, Refusal.OTHER))

    def endpoint(self) -> Endpoint:
        """As `Client.endpoint`."""
        return self._endpoint

    def close(self) -> None:
        """As `Client.close`."""
        self._channel.close()


def _peer_of(address: HttpAddress, timeout_s: float) -> str:
    """Return the numeric address where a server speaks HTTP/2; ServerError where none does."""
    try:
        opened = reaching.connected(address, timeout_s, (reaching.HTTP2,))
    except OSError as error:
        raise reaching.unreachable(address, error) from error
    with opened:
        peer: str = opened.getpeername()[0]
        try:
            answer = reaching.first_answer(opened, reaching.HTTP2_PREFACE)
        except TimeoutError as error:
            raise ServerError(
                f"{address} did not answer in time what every client of gRPC says first: is the "
                "port right?"
            ) from error
        except OSError as error:
            if isinstance(error, ssl.SSLError) and not isinstance(error, reaching.ENDS):
                raise reaching.explained(address, error) from error
            answer = b""
    if reaching.is_http2(answer):
        return peer
    there = reaching.scheme_there(address)
    if there is not None and not str(address).startswith(f"{there}:"):
        raise ServerError(f"{address} {reaching.spoken(address, there)}")
    hint = reaching.wanted_certificate(address.tls)
    raise ServerError(
        f"{address} does not speak HTTP/2, which gRPC is over: is the port right?{hint}"
    )


def _of_model(model: str, version: str | None) -> bytes:
    return encode(messages.MODEL, {"name": model, "version": version or ""})


def _messages(replies: bytes) -> Iterator[bytes]:
    """Yield the messages; ValueError where one is cut or compressed."""
    while replies:
        end = _PREFIX_BYTES + int.from_bytes(replies[1:_PREFIX_BYTES], "big")
        if len(replies) < end or replies[0]:
            raise ValueError("a message is cut or compressed")
        yield replies[_PREFIX_BYTES:end]
        replies = replies[end:]
