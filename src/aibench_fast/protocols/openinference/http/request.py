"""An inference request as bytes: what goes around the tensors, in one encoding or the other."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast._core import JsonTensors
from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.encoding import Encoding
from aibench_fast.protocols.openinference.client import REQUEST_ID, Places, Written
from aibench_fast.protocols.openinference.http.head import end_of_head, open_head
from aibench_fast.protocols.openinference.tensors import their_datatype
from aibench_fast.protocols.session import AskedInput, AskedKind
from aibench_fast.tensortype import STRINGS, split_strings

JSON_LENGTH = "Inference-Header-Content-Length"
SHOWN_BYTES = 60
_DIGITS = 16
"""Of an offset or a size, with spaces before it: all requests of a kind are of one length."""


@dataclass(frozen=True)
class InferRequest:
    """The inference request of every worker."""

    path: str
    kind: AskedKind
    outputs: Sequence[str]
    """The outputs that are asked for; none: all that the server answers."""
    encoding: Encoding

    def _open_head(self, address: HttpAddress) -> bytes:
        subtype = "json" if self.encoding is Encoding.JSON else "octet-stream"
        return open_head(address, "POST", self.path, {"Content-Type": f"application/{subtype}"})

    def _end_of_head(self, json_bytes: int, body_bytes: int) -> bytes:
        """Return how the body is to be read, of which the first `json_bytes` are JSON."""
        of_json = {} if self.encoding is Encoding.JSON else {JSON_LENGTH: json_bytes}
        return end_of_head({**of_json, "Content-Length": body_bytes})

    def parts(self, tensors: Sequence[bytes]) -> list[bytes]:
        """Return the body's text before, between and after tensors of the sizes of these."""
        if self.encoding is Encoding.JSON:
            return self._json_parts()
        document = {
            "id": REQUEST_ID,
            "inputs": [
                {**described(one), "parameters": {"binary_data_size": len(tensor)}}
                for one, tensor in zip(self.kind.inputs, tensors, strict=True)
            ],
            **binary_outputs(self.outputs),
        }
        return [dumped(document), *([b""] * len(self.kind.inputs))]

    def _json_parts(self) -> list[bytes]:
        """Return the parts around tensors that stand between the brackets of their inputs' data."""
        opened = [dumped(described(one))[:-1] + b',"data":[' for one in self.kind.inputs]
        outputs = b',"outputs":' + dumped([{"name": name} for name in self.outputs])
        first, *others = opened
        return [
            b'{"id":"%b","inputs":[%b' % (REQUEST_ID.encode(), first),
            *(b"]},%b" % one for one in others),
            b"]}]%b}" % (outputs if self.outputs else b""),
        ]

    def body(self, tensors: Sequence[bytes]) -> tuple[int, bytes]:
        """Return the body with tensors that are given in binary, and how much of it is JSON.

        ConfigError where a value has no form in JSON.
        """
        first, *others = self.parts(tensors)
        encoded = map(self._encoded, self.kind.inputs, tensors)
        body = first + b"".join(map(bytes.__add__, encoded, others))
        return len(first), body

    def trial(self, address: HttpAddress) -> bytes:
        """Return the first request as a whole, as a run sends it."""
        json_bytes, body = self.body([one.trial for one in self.kind.inputs])
        return self._open_head(address) + self._end_of_head(json_bytes, len(body)) + body

    def _encoded(self, one: AskedInput, tensor: bytes) -> bytes:
        if self.encoding is Encoding.BINARY:
            return tensor
        if one.dtype == STRINGS:
            return json_strings(one, tensor)
        check_json_dtype(one.dtype)
        texts = JsonTensors(one.dtype, len(tensor), 1)
        texts.add(tensor)
        return texts.finish(1).read(0, 1)

    @property
    def is_formatted(self) -> bool:
        """Return whether an input is of strings."""
        return self.kind.has_strings

    def part(self, number: int) -> bytes:
        """Return the end of the head and the body with tensors some of which are of strings.

        It is the same for every server. ConfigError as `body`.
        """
        json_bytes, body = self.body(self.kind.tensors.request(number))
        return self._end_of_head(json_bytes, len(body)) + body

    def texts(self, address: HttpAddress, worker: int, tensors_bytes: int) -> list[bytes]:
        """Return the texts around tensors of this total size, or around a `part`."""
        del worker  # all have the same
        first, *others = self.parts([one.trial for one in self.kind.inputs])
        body_bytes = len(first) + sum(map(len, others)) + tensors_bytes
        head = self._open_head(address)
        if self.kind.has_strings:
            return [head, b""]
        return [head + self._end_of_head(len(first), body_bytes) + first, *others]


def binary_outputs(outputs: Sequence[str]) -> dict[str, Any]:
    """Return the request for outputs in binary: by their names, or all if none is known."""
    if not outputs:
        return {"parameters": {"binary_data_output": True}}
    parameters = {"binary_data": True}
    return {"outputs": [{"name": name, "parameters": parameters} for name in outputs]}


def json_strings(one: AskedInput, tensor: bytes) -> bytes:
    """Return an input's strings as the inside of a JSON array; ConfigError if not UTF-8."""
    strings = split_strings(tensor)
    try:
        return json.dumps([one.decode() for one in strings], ensure_ascii=False)[1:-1].encode()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"input {one.name}: {error.object[:SHOWN_BYTES]!r} is not UTF-8, and JSON has no other "
            "strings; `encoding` binary sends it, if the server takes that"
        ) from error


def check_json_dtype(dtype: str) -> None:
    """ConfigError where values of a type have no form in JSON."""
    if dtype == "BF16":
        raise ConfigError(
            "BF16 has no form in JSON: `encoding` binary sends it, if the server takes that"
        )


def described(one: AskedInput) -> dict[str, Any]:
    """Return an input without its values."""
    return {"name": one.name, "shape": list(one.shape), "datatype": their_datatype(one.dtype)}


def dumped(document: object) -> bytes:
    """Return JSON without spaces."""
    return json.dumps(document, separators=(",", ":")).encode()


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
