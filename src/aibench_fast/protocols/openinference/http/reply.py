"""The reply to a trial request, and the plan that it makes for every reply of a run."""

from collections.abc import Iterator, Mapping
from typing import Any

from aibench_fast.coretypes import HttpPlan
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.openinference.client import TRIAL, Wanted
from aibench_fast.protocols.openinference.http.bounded import Reply
from aibench_fast.protocols.openinference.http.client import json_of, judged
from aibench_fast.protocols.openinference.http.request import JSON_LENGTH
from aibench_fast.protocols.openinference.tensors import (
    check_judged,
    following_protocol,
    opened,
    output_of,
    values_of,
)
from aibench_fast.tensortype import joined_strings

TEXT_SPARE_BYTES = 4096
"""Headers, and what of a reply's JSON may differ from the trial's."""
JSON_VALUE_BYTES_MAX = 32
"""The longest number, and what may stand around it."""
_JUDGED = (JSON_LENGTH.lower(),)
"""The headers of a reply that count."""


def plan_of(where: str, reply: Reply, wanted: Wanted) -> HttpPlan:
    """Derive from the trial's reply, of a URL, what every reply has to be; see `tensors.opened`.

    ServerError where the trial's reply is not good, ConfigError where an output is of a type that
    cannot be judged.
    """
    model = wanted.kind.model
    if wanted.written:
        json_of(where, reply, TRIAL)
        text_bytes = len(reply.body) + TEXT_SPARE_BYTES
        plan = HttpPlan(b"", wanted.written.outputs, text_bytes, in_memory=True)
        check_judged(model, judged(plan, reply, 200, _JUDGED))
        return plan
    document, text = _taken_apart(where, reply)
    with following_protocol(f"the reply to {TRIAL} of the model {model}"):
        found = [output_of(one, _strings_bytes) for one in document["outputs"]]
    binary_bytes = len(reply.body) - len(text) if text else None
    values = values_of(model, found, len(reply.body), binary_bytes)
    for one in found:
        if one.dtype == "BF16" and not text:
            raise ConfigError(f"output {one.name} is BF16 in JSON, which has no form for it")
    text_bytes = len(text) + TEXT_SPARE_BYTES
    if not text:
        text_bytes = len(reply.body) + values * JSON_VALUE_BYTES_MAX
    plan = HttpPlan(b"-" if text else b"", found, text_bytes)
    check_judged(model, judged(plan, reply, 200, _JUDGED))
    expected, open_bytes = opened(found, wanted.metadata, wanted.kind.batch_size, text_bytes)
    return HttpPlan(text, expected, text_bytes, open_bytes)


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
