"""An inference request over gRPC as bytes: what goes around the tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import REQUEST_ID
from aibench_fast.protocols.openinference.datatypes import their_datatype
from aibench_fast.protocols.openinference.grpc.fields import header_fields
from aibench_fast.protocols.openinference.grpc.messages import INFER_REQUEST, RAW_INPUTS
from aibench_fast.protocols.openinference.grpc.wire import encode, opened
from aibench_fast.protocols.session import AskedKind

METHOD = "ModelInfer"
MESSAGE_BYTES_MAX = (1 << 31) - 1
"""Of protobuf."""


@dataclass(frozen=True)
class InferRequest:
    """The inference request of every worker."""

    kind: AskedKind
    version: str | None
    outputs: Sequence[str]
    """The outputs that are asked for; none: all that the server answers."""

    def message(self, tensors: Sequence[bytes]) -> bytes:
        """Return the message with these tensors."""
        parts = self._parts([len(one) for one in tensors])
        return b"".join(map(bytes.__add__, parts, tensors))

    def texts(self, address: HttpAddress, tensors_bytes: int) -> list[bytes]:
        """Return the texts around tensors of this total size, or around `string_part`.

        ConfigError where a message would be larger than protobuf allows.
        """
        fields = header_fields(address, METHOD)
        if self.kind.has_strings:
            return [fields, b""]
        first, *others = self._parts([len(one.trial) for one in self.kind.inputs])
        message_bytes = len(first) + sum(map(len, others)) + tensors_bytes
        return [fields + _prefix(message_bytes) + first, *others, b""]

    def string_part(self, tensors: Sequence[bytes]) -> bytes:
        """Return the whole body of a request with strings; it is the same for every server."""
        message = self.message(tensors)
        return _prefix(len(message)) + message

    def _parts(self, sizes: Sequence[int]) -> list[bytes]:
        """Return what stands before each tensor, of these sizes in bytes."""
        head = encode(
            INFER_REQUEST,
            {
                "model_name": self.kind.model,
                "model_version": self.version or "",
                "id": REQUEST_ID,
                "inputs": [
                    {"name": one.name, "datatype": their_datatype(one.dtype), "shape": one.shape}
                    for one in self.kind.inputs
                ],
                "outputs": [{"name": name} for name in self.outputs],
            },
        )
        first, *others = [opened(RAW_INPUTS, size) for size in sizes]
        return [head + first, *others]


def _prefix(message_bytes: int) -> bytes:
    """Return what stands before a message that is not compressed."""
    if message_bytes > MESSAGE_BYTES_MAX:
        raise ConfigError(
            f"a request of {message_bytes:,} bytes: over gRPC it has {MESSAGE_BYTES_MAX:,} at "
            "most; send smaller batches"
        )
    return b"\0" + message_bytes.to_bytes(4, "big")
