"""What the trial request was answered, and what that makes of every reply of a run."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from aibench_fast._core import HttpOutput, HttpPlan
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import Reply, json_of
from aibench_fast.protocols.openinference.datatypes import our_dtype
from aibench_fast.protocols.openinference.request import JSON_LENGTH
from aibench_fast.tensortype import DTYPE_BYTES

TEXT_SPARE_BYTES = 4096
"""Headers, and what of a reply's JSON may differ from the trial's."""
JSON_VALUE_BYTES_MAX = 32
"""The longest number, and what may stand around it."""


class _Parts(NamedTuple):
    """A reply taken apart."""

    document: Mapping[str, Any]
    """Its JSON."""
    text: bytes
    """The same as it came; empty where all of the reply is JSON."""
    binary_bytes: int
    """What follows it."""


def plan_of(address: HttpAddress, path: str, reply: Reply, model: str) -> HttpPlan:
    """What is to be answered, after the trial's reply; ServerError where that is none.

    ConfigError where an output is of a type that cannot be judged.
    """
    parts = _parts_of(address, path, reply)
    is_binary = bool(parts.text)
    try:
        outputs = [_output(one) for one in parts.document["outputs"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(
            f"the reply to the trial request of the model {model} is not as the protocol has it: "
            f"{error!r}"
        ) from error
    total = sum(one.output_bytes for one in outputs)
    if not outputs or (is_binary and total != parts.binary_bytes):
        raise ServerError(
            f"the trial request of the model {model} was answered with {len(outputs)} outputs of "
            f"{total} bytes, and {parts.binary_bytes} bytes came"
        )
    if is_binary:
        return HttpPlan(parts.text, outputs, len(parts.text) + TEXT_SPARE_BYTES)
    for one in outputs:
        if one.dtype == "BF16":
            raise ConfigError(f"output {one.name} is BF16 in JSON, which has no form for it")
    values = sum(math.prod(one.shape) for one in outputs)
    return HttpPlan(b"", outputs, len(reply.body) + values * JSON_VALUE_BYTES_MAX)


def _parts_of(address: HttpAddress, path: str, reply: Reply) -> _Parts:
    what = "the trial request"
    told = reply.headers.get(JSON_LENGTH.lower())
    if told is None or reply.status >= 300:
        return _Parts(json_of(address, path, reply, what), b"", 0)
    if not told.isdecimal() or int(told) > len(reply.body):
        raise ServerError(
            f"{address}{path} answered {what} with {JSON_LENGTH} {told}, and a body of "
            f"{len(reply.body)} bytes"
        )
    text = reply.body[: int(told)]
    document = json_of(address, path, reply._replace(body=text), what)
    return _Parts(document, text, len(reply.body) - len(text))


def _output(told: Mapping[str, Any]) -> HttpOutput:
    shape = [int(length) for length in told["shape"]]
    name, datatype = str(told["name"]), str(told["datatype"])
    dtype = our_dtype(datatype, f"output {name}")
    return HttpOutput(name, datatype, dtype, shape, math.prod(shape) * DTYPE_BYTES[dtype])
