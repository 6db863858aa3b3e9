"""An inference request that says where its inputs are in shared memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import REQUEST_ID, Places, Written
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
    written: Written | None = None
    """Where outputs go; None: replies have them."""

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

    def texts(self, address: HttpAddress, worker: int, part_bytes: int) -> list[bytes]:
        """Return a worker's texts around a `part` of this size."""
        document = {"id": REQUEST_ID, **self._asked_outputs(worker)}
        outputs = dumped(document)[:-1] + b',"inputs":'
        body_bytes = len(outputs) + part_bytes + 1
        head = open_head(address, "POST", self.path, {"Content-Type": "application/json"})
        return [head + end_of_head({"Content-Length": body_bytes}) + outputs, b"}"]

    def trial(self, address: HttpAddress) -> bytes:
        """Return the first request as a whole, as a run sends it."""
        part = self.part(0)
        worker = self.written.worker if self.written else 0
        return part.join(self.texts(address, worker, len(part)))

    def _asked_outputs(self, worker: int) -> dict[str, Any]:
        if self.written is None:
            return binary_outputs(self.outputs)
        pairs = zip(self.written.outputs, self.written.places(worker), strict=True)
        outputs = [
            {
                "name": one.name,
                "parameters": {
                    "shared_memory_region": place.region,
                    "shared_memory_offset": place.offset,
                    "shared_memory_byte_size": place.size_bytes,
                },
            }
            for one, place in pairs
        ]
        return {"outputs": outputs}
