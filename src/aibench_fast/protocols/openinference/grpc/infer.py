"""An inference request over gRPC as bytes, and what replies have to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from itertools import zip_longest
from typing import Any

from aibench_fast._core import STREAM_ID_BYTES, judge_grpc
from aibench_fast.coretypes import GrpcPlan
from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference import oiptensors
from aibench_fast.protocols.openinference.client import REQUEST_ID, TRIAL, Place, Wanted
from aibench_fast.protocols.openinference.grpc import messages
from aibench_fast.protocols.openinference.grpc.wire import decode, encode, opened
from aibench_fast.tensortype import joined_strings

METHOD, STREAM_METHOD = "ModelInfer", "ModelStreamInfer"
_STREAM_ID = "0" * STREAM_ID_BYTES
_TAG_BYTES = 2
"""A field's tag and length before a text of less than 128 bytes."""
_ASK_FOR_THE_END = {"key": "triton_enable_empty_final_response", "value": {"bool_param": True}}
"""A decoupled model may not know which reply is its last one: a message without outputs follows."""
MESSAGE_BYTES_MAX = (1 << 31) - 1
"""Of protobuf."""
_AUTHORITY, _USER_AGENT = "host", "user-agent"
"""The metadata that takes the place of a field."""
TEXT_SPARE_BYTES = 4096
"""How much longer than the trial's a reply may be, beside its tensors."""
TYPED_VALUE_BYTES_MAX = 10
"""The longest number in a reply that has not its tensors as they are in memory."""


@dataclass(frozen=True)
class InferRequest:
    """The inference request of every worker."""

    wanted: Wanted
    method: str = METHOD
    """Or STREAM_METHOD: a message of a stream, with an id that the native core replaces."""

    @property
    def _is_streamed(self) -> bool:
        return self.method == STREAM_METHOD

    @property
    def id_at(self) -> int:
        """Return how far behind the header fields a stream's message has its id; 0: a call."""
        if not self._is_streamed:
            return 0
        return len(_prefix(0)) + len(encode(messages.INFER_REQUEST, self._model())) + _TAG_BYTES

    def trial(self) -> bytes:
        """Return the message of the first request."""
        if self.wanted.places:
            return self._inputs(self.wanted.places(0)) + self._outputs(self.wanted.worker)
        return self._with_tensors([one.trial for one in self.wanted.kind.inputs])

    def texts(self, address: HttpAddress, worker: int, tensors_bytes: int) -> list[bytes]:
        """As `Request.texts`; ConfigError where a message would be larger than protobuf allows."""
        fields = header_fields(address, self.method)
        if self.wanted.is_formatted:
            return [fields, self._outputs(worker) if self.wanted.written else b""]
        first, *others = self._openings([len(one.trial) for one in self.wanted.kind.inputs])
        message_bytes = len(first) + sum(map(len, others)) + tensors_bytes
        return [fields + _prefix(message_bytes) + first, *others, b""]

    def part(self, number: int) -> bytes:
        """As `Request.part`, without the end that is the worker's."""
        if not self.wanted.places:
            message = self._with_tensors(self.wanted.kind.request(number))
            return _prefix(len(message)) + message
        inputs = self._inputs(self.wanted.places(number))
        if not self.wanted.written:
            inputs += self._outputs(0)
            return _prefix(len(inputs)) + inputs
        outputs_bytes = len(self._outputs(self.wanted.worker))  # all workers' are as long
        return _prefix(len(inputs) + outputs_bytes) + inputs

    def _with_tensors(self, tensors: Sequence[bytes]) -> bytes:
        openings = self._openings([len(one) for one in tensors])
        return b"".join(map(bytes.__add__, openings, tensors))

    def _openings(self, sizes: Sequence[int]) -> list[bytes]:
        """Return what stands before each tensor, of these sizes in bytes."""
        first, *others = [opened(messages.RAW_INPUTS, size) for size in sizes]
        return [self._inputs() + self._outputs(0) + first, *others]

    def _inputs(self, places: Sequence[Place] = ()) -> bytes:
        """Return the message without tensors up to its outputs."""
        inputs = [
            {"name": one.name, "datatype": oiptensors.THEIRS[one.dtype], "shape": one.shape}
            for one in self.wanted.kind.inputs
        ]
        return encode(
            messages.INFER_REQUEST,
            {
                **self._model(),
                "id": _STREAM_ID if self._is_streamed else REQUEST_ID,
                "parameters": [_ASK_FOR_THE_END] if self._is_streamed else [],
                "inputs": [
                    {**one, "parameters": _parameters(place)}
                    for one, place in zip_longest(inputs, places)
                ],
            },
        )

    def _model(self) -> dict[str, str]:
        return {"model_name": self.wanted.kind.model, "model_version": self.wanted.version or ""}

    def _outputs(self, worker: int) -> bytes:
        """Return the outputs that are asked for, and where they go."""
        outputs: list[dict[str, Any]] = [{"name": name} for name in self.wanted.outputs]
        if written := self.wanted.written:
            pairs = zip(written.outputs, written.places(worker), strict=True)
            outputs = [{"name": one.name, "parameters": _parameters(place)} for one, place in pairs]
        return encode(messages.INFER_REQUEST, {"outputs": outputs})


def _parameters(place: Place | None) -> list[dict[str, Any]]:
    """Return the parameters of a tensor, which say where it is in shared memory."""
    if place is None:
        return []
    values = {
        "shared_memory_region": {"string_param": place.region},
        "shared_memory_offset": {"int64_param": place.offset},
        "shared_memory_byte_size": {"int64_param": place.size_bytes},
    }
    return [{"key": key, "value": value} for key, value in values.items()]


def _prefix(message_bytes: int) -> bytes:
    """Return what stands before a message that is not compressed."""
    if message_bytes > MESSAGE_BYTES_MAX:
        raise ConfigError(
            f"a request of {message_bytes:,} bytes: over gRPC it has {MESSAGE_BYTES_MAX:,} at "
            "most; send smaller batches"
        )
    return b"\0" + message_bytes.to_bytes(4, "big")


@cache
def _own_name() -> str:
    return f"aibench-fast/{version('aibench-fast')}"


def header_fields(address: HttpAddress, method: str) -> bytes:
    """Return a call's fields: all names and values, each after its lengths; see native/http2.h."""
    metadata = dict(address.headers)
    fields = [
        (":method", "POST"),
        (":scheme", "https" if address.tls else "http"),
        (":authority", metadata.get(_AUTHORITY, address.host_field)),
        (":path", f"/{messages.SERVICE}/{method}"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        (_USER_AGENT, metadata.get(_USER_AGENT, _own_name())),
        *(one for one in address.headers if one[0] not in (_AUTHORITY, _USER_AGENT)),
    ]
    packed = b"".join(
        len(name).to_bytes(2, "little") + len(value).to_bytes(2, "little") + name + value
        for name, value in ((name.encode(), value.encode()) for name, value in fields)
    )
    return len(packed).to_bytes(4, "little") + packed


def plan_of(message: bytes, wanted: Wanted) -> GrpcPlan:
    """Derive from the trial's reply what every reply has to be; errors as over HTTP."""
    model = wanted.kind.model
    if wanted.written:
        text_bytes = len(message) + TEXT_SPARE_BYTES
        plan = GrpcPlan(wanted.written.outputs, text_bytes, in_memory=True)
        oiptensors.check_judged(model, judge_grpc(plan, message))
        return plan
    with oiptensors.following_protocol(f"the reply to {TRIAL} of the model {model}"):
        document = decode(messages.INFER_RESPONSE, message)
        raw = document["raw_output_contents"]
        found = [
            oiptensors.output_of(one, partial(_strings_bytes, raw[place : place + 1]))
            for place, one in enumerate(document["outputs"])
        ]
    came = sum(map(len, raw))
    values = oiptensors.values_of(model, found, len(message), came if raw else None)
    text_bytes = len(message) - came + TEXT_SPARE_BYTES
    if not raw:
        text_bytes += TYPED_VALUE_BYTES_MAX * values
    plan = GrpcPlan(found, text_bytes)
    oiptensors.check_judged(model, judge_grpc(plan, message))
    return oiptensors.with_open_axes(plan, wanted.metadata, wanted.kind.batch_size)


def _strings_bytes(raw: Sequence[bytes], described: Mapping[str, Any]) -> int:
    """Return the size of an output of strings; `raw` has its bytes, if they came as in memory."""
    return len(raw[0] if raw else joined_strings(described["contents"]["bytes_contents"]))
