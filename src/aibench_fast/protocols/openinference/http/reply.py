"""The reply to a trial request, and the plan that it makes for every reply of a run."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aibench_fast._core import judge_http
from aibench_fast.coretypes import HttpPlan, OipOutput
from aibench_fast.errors import ConfigError, ServerError, misread
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.http.client import Reply, json_of
from aibench_fast.protocols.openinference.http.request import JSON_LENGTH
from aibench_fast.protocols.openinference.tensors import TensorMetadata, opened, output_of
from aibench_fast.tensortype import joined_strings

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
    """The bytes after the JSON."""


def plan_of(
    address: HttpAddress,
    path: str,
    reply: Reply,
    model: str,
    outputs: Sequence[TensorMetadata] | None = (),
    batch_size: int = 1,
) -> HttpPlan:
    """Derive from the trial's reply what every reply has to be.

    `outputs` is what the model's metadata says of them: axes that it leaves open may have another
    length in each reply. None: there is no metadata, and every axis is open. A first axis that is
    as long as a batch of several is the batch, which stays. ServerError where the trial's reply is
    not good, ConfigError where an output is of a type that cannot be judged.
    """
    parts = _parts_of(address, path, reply)
    is_binary = bool(parts.text)
    try:
        found = [_output(one) for one in parts.document["outputs"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ServerError(
            f"the reply to the trial request of the model {model} does not follow the protocol: "
            f"{misread(error)}"
        ) from error
    total = sum(one.output_bytes for one in found)
    values = sum(math.prod(one.shape) for one in found)
    if not found or (total != parts.binary_bytes if is_binary else values > len(reply.body)):
        raise ServerError(
            f"the trial request of the model {model} was answered with {len(found)} outputs of "
            f"{total} bytes, and {parts.binary_bytes if is_binary else len(reply.body)} bytes came"
        )
    for one in found:
        if one.dtype == "BF16" and not is_binary:
            raise ConfigError(f"output {one.name} is BF16 in JSON, which has no form for it")
    text_bytes = len(parts.text) + TEXT_SPARE_BYTES
    if not is_binary:
        text_bytes = len(reply.body) + values * JSON_VALUE_BYTES_MAX
    _judge(HttpPlan(b"-" if is_binary else b"", found, text_bytes), reply, model)
    expected, open_bytes = opened(found, outputs, batch_size, text_bytes)
    return HttpPlan(parts.text, expected, text_bytes, open_bytes)


def written_plan_of(
    address: HttpAddress, path: str, reply: Reply, model: str, outputs: Sequence[OipOutput]
) -> HttpPlan:
    """Return the plan of replies whose `outputs` are in shared memory, by the trial's.

    ServerError where the trial's reply is not good.
    """
    json_of(address, path, reply, "the trial request")
    text_bytes = len(reply.body) + TEXT_SPARE_BYTES
    found = HttpPlan(b"", outputs, text_bytes, in_memory=True)
    _judge(found, reply, model)
    return found


def _judge(plan: HttpPlan, reply: Reply, model: str) -> None:
    """ServerError where a run would take the trial's reply for a failure."""
    length = reply.headers.get(JSON_LENGTH.lower())
    more = "" if length is None else f"{JSON_LENGTH}: {length}\r\n"
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(reply.body)}\r\n{more}\r\n"
    if wrong := judge_http(plan, head.encode() + reply.body):
        raise ServerError(f"the trial request of the model {model} was answered wrongly: {wrong}")


def _parts_of(address: HttpAddress, path: str, reply: Reply) -> _Parts:
    what = "the trial request"
    length = reply.headers.get(JSON_LENGTH.lower())
    if length is None or reply.status >= 300:
        return _Parts(json_of(address, path, reply, what), b"", 0)
    if not length.isdecimal() or int(length) > len(reply.body):
        raise ServerError(
            f"{address}{path} answered {what} with {JSON_LENGTH} {length}, and a body of "
            f"{len(reply.body)} bytes"
        )
    text = reply.body[: int(length)]
    document = json_of(address, path, reply._replace(body=text), what)
    return _Parts(document, text, len(reply.body) - len(text))


def _output(described: Mapping[str, Any]) -> OipOutput:
    return output_of(
        str(described["name"]),
        str(described["datatype"]),
        described["shape"],
        lambda: _strings_bytes(described),
    )


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
