"""The reply to a trial request over gRPC, and the plan that it makes for every reply of a run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aibench_fast._core import judge_grpc
from aibench_fast.coretypes import GrpcPlan, OipOutput
from aibench_fast.errors import ServerError, misread
from aibench_fast.protocols.openinference.grpc.messages import INFER_RESPONSE
from aibench_fast.protocols.openinference.grpc.wire import decode
from aibench_fast.protocols.openinference.tensors import TensorMetadata, opened, output_of
from aibench_fast.tensortype import joined_strings

TEXT_SPARE_BYTES = 4096
"""What of a reply beside its tensors may differ from the trial's."""
TYPED_VALUE_BYTES_MAX = 10
"""The longest number in a reply that has not its tensors as they are in memory."""


def plan_of(
    message: bytes, model: str, outputs: Sequence[TensorMetadata] | None, batch_size: int
) -> GrpcPlan:
    """Derive from the trial's reply what every reply has to be; see `outputs.opened`.

    ServerError where the trial's reply is not good, ConfigError where an output is of a type that
    cannot be judged.
    """
    try:
        document = decode(INFER_RESPONSE, message)
        raw = document["raw_output_contents"]
        found = [
            _output(one, raw[place : place + 1]) for place, one in enumerate(document["outputs"])
        ]
    except (ValueError, OverflowError) as error:
        raise ServerError(
            f"the reply to the trial request of the model {model} does not follow the protocol: "
            f"{misread(error)}"
        ) from error
    total, came = sum(one.output_bytes for one in found), sum(map(len, raw))
    values = sum(math.prod(one.shape) for one in found)
    if not found or (total != came if raw else values > len(message)):
        raise ServerError(
            f"the trial request of the model {model} was answered with {len(found)} outputs of "
            f"{total} bytes, and {came if raw else len(message)} bytes came"
        )
    text_bytes = len(message) - came + TEXT_SPARE_BYTES
    if not raw:
        text_bytes += TYPED_VALUE_BYTES_MAX * values
    _judge(GrpcPlan(found, text_bytes), message, model)
    expected, open_bytes = opened(found, outputs, batch_size, text_bytes)
    return GrpcPlan(expected, text_bytes, open_bytes)


def written_plan_of(message: bytes, model: str, outputs: Sequence[OipOutput]) -> GrpcPlan:
    """Return the plan of replies whose `outputs` are in shared memory, by the trial's.

    ServerError where the trial's reply is not good.
    """
    plan = GrpcPlan(outputs, len(message) + TEXT_SPARE_BYTES, in_memory=True)
    _judge(plan, message, model)
    return plan


def _judge(plan: GrpcPlan, message: bytes, model: str) -> None:
    """ServerError where a run would take the trial's reply for a failure."""
    if wrong := judge_grpc(plan, message):
        raise ServerError(f"the trial request of the model {model} was answered wrongly: {wrong}")


def _output(described: Mapping[str, Any], raw: Sequence[bytes]) -> OipOutput:
    """Return an output; `raw` has its bytes, if they came as they are in memory."""
    strings = described["contents"]["bytes_contents"]
    return output_of(
        described["name"],
        described["datatype"],
        described["shape"],
        lambda: len(raw[0]) if raw else len(joined_strings(strings)),
    )
