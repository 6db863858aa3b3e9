"""An inference request that says where its inputs are in shared memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import REQUEST_ID, Places
from aibench_fast.protocols.openinference.http.head import end_of_head, open_head
from aibench_fast.protocols.openinference.http.request import (
    binary_outputs,
    described,
    dumped,
)
from aibench_fast.protocols.session import AskedKind

_DIGITS = 16
"""Of an offset or a size, with spaces before it: all requests of a kind are of one length."""


@dataclass(frozen=True)
class SharedInferRequest:
    """The inference request of every worker, whose places alone differ from one to the next."""

    path: str
    kind: AskedKind
    outputs: Sequence[str]
    """The outputs that are asked for; none: all that the server answers."""
    places: Places

    is_formatted = True

    def part(self, number: int) -> bytes:
        """Return the inputs of the request of this number, as JSON."""
        inputs = [
            dumped({**described(one), "parameters": {"shared_memory_region": place.region}})[:-2]
            + b',"shared_memory_offset":%*d,' % (_DIGITS, place.offset)
            + b'"shared_memory_byte_size":%*d}}' % (_DIGITS, place.size_bytes)
            for one, place in zip(self.kind.inputs, self.places(number), strict=True)
        ]
        return b"[" + b",".join(inputs) + b"]"

    def texts(self, address: HttpAddress, part_bytes: int) -> list[bytes]:
        """Return the texts around a `part` of this size."""
        outputs = dumped({"id": REQUEST_ID, **binary_outputs(self.outputs)})[:-1] + b',"inputs":'
        body_bytes = len(outputs) + part_bytes + 1
        head = open_head(address, "POST", self.path, {"Content-Type": "application/json"})
        return [head + end_of_head({"Content-Length": body_bytes}) + outputs, b"}"]

    def trial(self, address: HttpAddress) -> bytes:
        """Return the first request as a whole, as a run sends it."""
        part = self.part(0)
        return part.join(self.texts(address, len(part)))
