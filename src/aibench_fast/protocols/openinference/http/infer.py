"""An inference request as bytes, in one encoding or the other, and what replies have to be."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast._core import JsonTensors
from aibench_fast.coretypes import HttpPlan
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference import oiptensors
from aibench_fast.protocols.openinference.client import REQUEST_ID, TRIAL, Places, Wanted
from aibench_fast.protocols.openinference.http.client import json_of, judged
from aibench_fast.protocols.openinference.http.exchange import Reply, end_of_head, open_head
from aibench_fast.protocols.session import AskedInput
from aibench_fast.protocols.settings import Encoding
from aibench_fast.tensortype import STRINGS, joined_strings, split_strings

JSON_LENGTH = "Inference-Header-Content-Length"
SHOWN_BYTES = 60
_DATA = b'"data":['
_DIGITS = 16
"""Of an offset or a size, with spaces before it: all requests of a kind are of one length."""
TEXT_SPARE_BYTES = 4096
"""Headers, and what of a reply's JSON may differ from the trial's."""
JSON_VALUE_BYTES_MAX = 32
"""The longest number, and what may stand around it."""
_JUDGED = (JSON_LENGTH.lower(),)
"""The headers of a reply that count."""


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
        """Return the body's text around tensors of these sizes; in JSON around their values."""
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
        return self._rest(self.wanted.kind.request(number))

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
    return {
        "name": one.name,
        "shape": list(one.shape),
        "datatype": oiptensors.THEIRS[one.dtype],
    }


def _dumped(document: object) -> bytes:
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


def plan_of(where: str, reply: Reply, wanted: Wanted) -> HttpPlan:
    """Derive from the trial's reply, of a URL, what every reply has to be, lengths included.

    ServerError where the trial's reply is not good, ConfigError where an output is of a type that
    cannot be judged.
    """
    model = wanted.kind.model
    if wanted.written:
        json_of(where, reply, TRIAL)
        text_bytes = len(reply.body) + TEXT_SPARE_BYTES
        plan = HttpPlan(b"", wanted.written.outputs, text_bytes, in_memory=True)
        oiptensors.check_judged(model, judged(plan, reply, 200, _JUDGED))
        return plan
    document, text = _taken_apart(where, reply)
    with oiptensors.following_protocol(f"the reply to {TRIAL} of the model {model}"):
        found = [oiptensors.output_of(one, _strings_bytes) for one in document["outputs"]]
    binary_bytes = len(reply.body) - len(text) if text else None
    values = oiptensors.values_of(model, found, len(reply.body), binary_bytes)
    for one in found:
        if one.dtype == "BF16" and not text:
            raise ConfigError(f"output {one.name} is BF16 in JSON, which has no form for it")
    text_bytes = len(text) + TEXT_SPARE_BYTES
    if not text:
        text_bytes = len(reply.body) + values * JSON_VALUE_BYTES_MAX
    plan = HttpPlan(b"-" if text else b"", found, text_bytes)
    oiptensors.check_judged(model, judged(plan, reply, 200, _JUDGED))
    plan = plan._replace(json=text)
    return oiptensors.with_open_axes(plan, wanted.metadata, wanted.kind.batch_size)


def _taken_apart(where: str, reply: Reply) -> tuple[Mapping[str, Any], bytes]:
    """Return a reply's JSON, and its text where tensors in binary follow; empty if none do."""
    length = reply.headers.get(JSON_LENGTH.lower())
    if length is None or reply.status >= 300:
        return json_of(where, reply, TRIAL), b""
    if not length.isdecimal() or int(length) > len(reply.body):
        raise ServerError(
            f"{where} answered {TRIAL} with {JSON_LENGTH} {length}, and a body of "
            f"{len(reply.body)} bytes"
        )
    text = reply.body[: int(length)]
    return json_of(where, reply._replace(body=text), TRIAL), text


def _strings_bytes(described: Mapping[str, Any]) -> int:
    """Return the size of an output of strings in binary."""
    if "data" not in described:
        return int(described["parameters"]["binary_data_size"])
    return len(joined_strings(one.encode() for one in _flat(described["data"])))


def _flat(data: Any) -> Iterator[str]:
    if isinstance(data, list):
        for one in data:
            yield from _flat(one)
    else:
        yield str(data)
