"""An inference request as bytes: what goes around the tensors, in one encoding or the other."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast._core import JsonTensors
from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.encoding import Encoding
from aibench_fast.protocols.openinference.client import REQUEST_ID, Places, Wanted
from aibench_fast.protocols.openinference.http.head import end_of_head, open_head
from aibench_fast.protocols.openinference.tensors import their_datatype
from aibench_fast.protocols.session import AskedInput
from aibench_fast.tensortype import STRINGS, split_strings

JSON_LENGTH = "Inference-Header-Content-Length"
SHOWN_BYTES = 60
_DATA = b'"data":['
_DIGITS = 16
"""Of an offset or a size, with spaces before it: all requests of a kind are of one length."""


@dataclass(frozen=True)
class InferRequest:
    """The inference request of every worker."""

    path: str
    wanted: Wanted
    encoding: Encoding

    @property
    def _inputs(self) -> Sequence[AskedInput]:
        return self.wanted.kind.inputs

    def _open_head(self, address: HttpAddress) -> bytes:
        subtype = "json" if self.encoding is Encoding.JSON else "octet-stream"
        return open_head(address, "POST", self.path, {"Content-Type": f"application/{subtype}"})

    def _end_of_head(self, json_bytes: int, body_bytes: int) -> bytes:
        """Return how the body is to be read, of which the first `json_bytes` are JSON."""
        of_json = {} if self.encoding is Encoding.JSON else {JSON_LENGTH: json_bytes}
        return end_of_head({**of_json, "Content-Length": body_bytes})

    def parts(self, tensors: Sequence[bytes]) -> list[bytes]:
        """Return the body's text before, between and after tensors of the sizes of these.

        In JSON they stand between the brackets of their inputs' data.
        """
        document: dict[str, Any] = {"id": REQUEST_ID}
        if self.encoding is Encoding.BINARY:
            document["inputs"] = [
                {**_described(one), "parameters": {"binary_data_size": len(tensor)}}
                for one, tensor in zip(self._inputs, tensors, strict=True)
            ]
            document |= _binary_outputs(self.wanted.outputs)
            return [_dumped(document), *([b""] * len(self._inputs))]
        document["inputs"] = [{**_described(one), "data": []} for one in self._inputs]
        if self.wanted.outputs:
            document["outputs"] = [{"name": name} for name in self.wanted.outputs]
        *opened, end = _dumped(document).split(_DATA)  # a name has no quote that is not escaped
        return [*(text + _DATA for text in opened), end]

    def trial(self, address: HttpAddress) -> bytes:
        """Return the first request as a whole, as a run sends it."""
        return self._open_head(address) + self._rest([one.trial for one in self._inputs])

    def part(self, number: int) -> bytes:
        """As `Request.part`: the end of the head and the body."""
        return self._rest(self.wanted.kind.tensors.request(number))

    def _rest(self, tensors: Sequence[bytes]) -> bytes:
        """Return the end of the head and the body with tensors that are given in binary."""
        first, *others = self.parts(tensors)
        encoded = map(self._encoded, self._inputs, tensors)
        body = first + b"".join(map(bytes.__add__, encoded, others))
        return self._end_of_head(len(first), len(body)) + body

    def _encoded(self, one: AskedInput, tensor: bytes) -> bytes:
        if self.encoding is Encoding.BINARY:
            return tensor
        if one.dtype == STRINGS:
            return _json_strings(one, tensor)
        if one.dtype == "BF16":
            raise ConfigError(
                "BF16 has no form in JSON: `encoding` binary sends it, if the server takes that"
            )
        texts = JsonTensors(one.dtype, len(tensor), 1)
        texts.add(tensor)
        return texts.finish(1).read(0, 1)

    def texts(self, address: HttpAddress, worker: int, tensors_bytes: int) -> list[bytes]:
        """Return the texts around tensors of this total size, or around a `part`."""
        del worker  # all have the same
        head = self._open_head(address)
        if self.wanted.is_formatted:
            return [head, b""]
        first, *others = self.parts([one.trial for one in self._inputs])
        body_bytes = len(first) + sum(map(len, others)) + tensors_bytes
        return [head + self._end_of_head(len(first), body_bytes) + first, *others]


@dataclass(frozen=True)
class SharedInferRequest:
    """The inference request of every worker, whose places alone differ from one to the next."""

    path: str
    wanted: Wanted
    places: Places

    def part(self, number: int) -> bytes:
        """Return the inputs of the request of this number, as JSON."""
        inputs = [
            _dumped({**_described(one), "parameters": {"shared_memory_region": place.region}})[:-2]
            + b',"shared_memory_offset":%*d,' % (_DIGITS, place.offset)
            + b'"shared_memory_byte_size":%*d}}' % (_DIGITS, place.size_bytes)
            for one, place in zip(self.wanted.kind.inputs, self.places(number), strict=True)
        ]
        return b"[" + b",".join(inputs) + b"]"

    def texts(self, address: HttpAddress, worker: int, part_bytes: int) -> list[bytes]:
        """Return a worker's texts around a `part` of this size."""
        document = {"id": REQUEST_ID, **self._asked_outputs(worker)}
        outputs = _dumped(document)[:-1] + b',"inputs":'
        body_bytes = len(outputs) + part_bytes + 1
        head = open_head(address, "POST", self.path, {"Content-Type": "application/json"})
        return [head + end_of_head({"Content-Length": body_bytes}) + outputs, b"}"]

    def trial(self, address: HttpAddress) -> bytes:
        """Return the first request as a whole, as a run sends it."""
        part = self.part(0)
        return part.join(self.texts(address, self.wanted.worker, len(part)))

    def _asked_outputs(self, worker: int) -> dict[str, Any]:
        if self.wanted.written is None:
            return _binary_outputs(self.wanted.outputs)
        pairs = zip(self.wanted.written.outputs, self.wanted.written.places(worker), strict=True)
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


def _binary_outputs(outputs: Sequence[str]) -> dict[str, Any]:
    """Return the request for outputs in binary: by their names, or all if none is known."""
    if not outputs:
        return {"parameters": {"binary_data_output": True}}
    parameters = {"binary_data": True}
    return {"outputs": [{"name": name, "parameters": parameters} for name in outputs]}


def _described(one: AskedInput) -> dict[str, Any]:
    """Return an input without its values."""
    return {"name": one.name, "shape": list(one.shape), "datatype": their_datatype(one.dtype)}


def _dumped(document: object) -> bytes:
    """Return JSON without spaces."""
    return json.dumps(document, separators=(",", ":")).encode()


def _json_strings(one: AskedInput, tensor: bytes) -> bytes:
    """Return an input's strings as the inside of a JSON array; ConfigError if not UTF-8."""
    try:
        strings = [string.decode() for string in split_strings(tensor)]
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"input {one.name}: {error.object[:SHOWN_BYTES]!r} is not UTF-8, and JSON has no other "
            "strings; `encoding` binary sends it, if the server takes that"
        ) from error
    return json.dumps(strings, ensure_ascii=False)[1:-1].encode()
