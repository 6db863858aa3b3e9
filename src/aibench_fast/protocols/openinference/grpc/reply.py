"""The reply to a trial request over gRPC, and the plan that it makes for every reply of a run."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from aibench_fast._core import judge_grpc
from aibench_fast.coretypes import GrpcPlan
from aibench_fast.protocols.openinference.client import TRIAL, Wanted
from aibench_fast.protocols.openinference.grpc.messages import INFER_RESPONSE
from aibench_fast.protocols.openinference.grpc.wire import decode
from aibench_fast.protocols.openinference.tensors import (
    check_judged,
    following_protocol,
    opened,
    output_of,
    values_of,
)
from aibench_fast.tensortype import joined_strings

TEXT_SPARE_BYTES = 4096
"""What of a reply beside its tensors may differ from the trial's."""
TYPED_VALUE_BYTES_MAX = 10
"""The longest number in a reply that has not its tensors as they are in memory."""


def plan_of(message: bytes, wanted: Wanted) -> GrpcPlan:
    """Derive from the trial's reply what every reply has to be; see `tensors.opened`.

    ServerError where the trial's reply is not good, ConfigError where an output is of a type that
    cannot be judged.
    """
    model = wanted.kind.model
    if wanted.written:
        text_bytes = len(message) + TEXT_SPARE_BYTES
        plan = GrpcPlan(wanted.written.outputs, text_bytes, in_memory=True)
        check_judged(model, judge_grpc(plan, message))
        return plan
    with following_protocol(f"the reply to {TRIAL} of the model {model}"):
        document = decode(INFER_RESPONSE, message)
        raw = document["raw_output_contents"]
        found = [
            output_of(one, partial(_strings_bytes, raw[place : place + 1]))
            for place, one in enumerate(document["outputs"])
        ]
    came = sum(map(len, raw))
    values = values_of(model, found, len(message), came if raw else None)
    text_bytes = len(message) - came + TEXT_SPARE_BYTES
    if not raw:
        text_bytes += TYPED_VALUE_BYTES_MAX * values
    check_judged(model, judge_grpc(GrpcPlan(found, text_bytes), message))
    expected, open_bytes = opened(found, wanted.metadata, wanted.kind.batch_size, text_bytes)
    return GrpcPlan(expected, text_bytes, open_bytes)


def _strings_bytes(raw: Sequence[bytes], described: Mapping[str, Any]) -> int:
    """Return the size of an output of strings; `raw` has its bytes, if they came as in memory."""
    return len(raw[0] if raw else joined_strings(described["contents"]["bytes_contents"]))
