"""An inference request as bytes: what goes around the tensors, in one encoding or the other."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast._core import JsonTensors
from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.datatypes import their_datatype
from aibench_fast.protocols.openinference.encoding import Encoding
from aibench_fast.protocols.session import AskedInput, AskedKind

JSON_LENGTH = "Inference-Header-Content-Length"
REQUEST_ID = "1"
"""One for all requests: KServe's server answers 500 without, and a reply that is always the same is
judged at once."""


@dataclass(frozen=True)
class InferRequest:
    """The inference request of every worker."""

    path: str
    kind: AskedKind
    outputs: Sequence[str]
    """The outputs that are asked for."""
    encoding: Encoding

    def headers(self, body_bytes: int) -> dict[str, str]:
        """What says how the body is to be read."""
        length = {"Content-Length": str(body_bytes)}
        if self.encoding is Encoding.JSON:
            return {"Content-Type": "application/json", **length}
        json_bytes = len(self.parts()[0])
        return {
            "Content-Type": "application/octet-stream",
            JSON_LENGTH: str(json_bytes),
            **length,
        }

    def parts(self) -> list[bytes]:
        """The body's text before, between and after the tensors."""
        if self.encoding is Encoding.JSON:
            return self._json_parts()
        document = {
            "id": REQUEST_ID,
            "inputs": [
                {**_described(one), "parameters": {"binary_data_size": len(one.trial)}}
                for one in self.kind.inputs
            ],
            "outputs": [
                {"name": name, "parameters": {"binary_data": True}} for name in self.outputs
            ],
        }
        return [_dumped(document), *([b""] * len(self.kind.inputs))]

    def _json_parts(self) -> list[bytes]:
        """Each tensor stands between the brackets of its input's data."""
        opened = [_dumped(_described(one))[:-1] + b',"data":[' for one in self.kind.inputs]
        outputs = _dumped([{"name": name} for name in self.outputs])
        first, *others = opened
        return [
            b'{"id":"%b","inputs":[%b' % (REQUEST_ID.encode(), first),
            *(b"]},%b" % one for one in others),
            b']}],"outputs":%b}' % outputs,
        ]

    def trial_body(self) -> bytes:
        """The body with the tensors of the first request."""
        first, *others = self.parts()
        tensors = [self._encoded(one) for one in self.kind.inputs]
        return first + b"".join(tensor + text for tensor, text in zip(tensors, others, strict=True))

    def _encoded(self, one: AskedInput) -> bytes:
        if self.encoding is Encoding.BINARY:
            return one.trial
        check_json_dtype(one.dtype)
        texts = JsonTensors(one.dtype, len(one.trial), 1)
        texts.add(one.trial)
        return texts.finish(1).read(0, 1)

    def texts(self, address: HttpAddress, tensors_bytes: int) -> list[bytes]:
        """What is sent before, between and after tensors of so many bytes."""
        first, *others = self.parts()
        body_bytes = len(first) + sum(map(len, others)) + tensors_bytes
        headers = {
            "Host": address.authority,
            **self.headers(body_bytes),
            **dict(address.headers),
        }
        lines = [f"POST {address.path}{self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ["\r\n".join(lines).encode() + b"\r\n\r\n" + first, *others]


def check_json_dtype(dtype: str) -> None:
    """ConfigError where values of a type have no form in JSON."""
    if dtype == "BF16":
        raise ConfigError(
            "BF16 has no form in JSON: --encoding binary sends it, where the server takes that"
        )


def _described(one: AskedInput) -> dict[str, Any]:
    return {"name": one.name, "shape": list(one.shape), "datatype": their_datatype(one.dtype)}


def _dumped(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
