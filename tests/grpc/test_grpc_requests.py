"""The content of requests over gRPC, for tensors of any kind; the replies are compared."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import smallruns
from google.protobuf.message import Message
from service import MODEL, VALUES, WELL, Answers, echo, serving
from tritonclient.grpc import service_pb2 as triton

from aibench_fast import ConfigError
from aibench_fast._core import Tensors
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.tensortype import joined_strings, split_strings

REQUESTS = 20


class Noted:
    """A model's requests, each answered by `answer`."""

    def __init__(self, answer: Callable[[Any, grpc.ServicerContext], Message] = echo) -> None:
        self.asked: list[Any] = []
        self._answer = answer

    def infer(self, asked: Any, context: grpc.ServicerContext) -> Message:
        self.asked.append(asked)
        return self._answer(asked, context)

    @property
    def answers(self) -> Answers:
        return {**WELL, "ModelInfer": self.infer}


against = partial(smallruns.against, model=MODEL, max_queries=REQUESTS)


def test_a_request_is_the_model_s_own_with_the_tensor_as_it_is() -> None:
    noted = Noted()
    with serving(noted.answers) as port:
        result = against(port, seed=3, model_version="1")
    assert (result.successes, result.failures) == (REQUESTS, {})
    tensors = Tensors.generate(2000, 4 * VALUES, "FLOAT", 3)
    trial, *measured = noted.asked
    assert [list(asked.raw_input_contents) for asked in measured] == [
        [tensors.read(number, 1)] for number in range(REQUESTS)
    ]
    shape = triton.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, VALUES])
    wanted = triton.ModelInferRequest.InferRequestedOutputTensor(name="y")
    for asked in noted.asked:
        assert (asked.model_name, asked.model_version, asked.id) == (MODEL, "1", "1")
        assert (list(asked.inputs), list(asked.outputs)) == ([shape], [wanted])
    assert trial.raw_input_contents == measured[0].raw_input_contents


def test_batches_and_several_streams_have_their_own_tensors() -> None:
    noted = Noted()
    with serving(noted.answers) as port:
        result = against(port, batch_size=3, workers=2, pipeline=4, max_queries=90)
    assert (result.successes, result.failures) == (30, {})
    tensors = Tensors.generate(2000, 4 * VALUES, "FLOAT", 0)
    sent = sorted(asked.raw_input_contents[0] for asked in noted.asked[1:])
    assert sent == sorted(tensors.read(3 * number, 3) for number in range(30))
    assert {tuple(asked.inputs[0].shape) for asked in noted.asked} == {(3, VALUES)}


def several(asked: Any, context: grpc.ServicerContext) -> Message:
    """Each input goes to the output of its place."""
    output = triton.ModelInferResponse.InferOutputTensor
    return triton.ModelInferResponse(
        model_name=asked.model_name,
        outputs=[
            output(name=f"y{place}", datatype=one.datatype, shape=one.shape)
            for place, one in enumerate(asked.inputs)
        ],
        raw_output_contents=asked.raw_input_contents,
    )


def test_several_inputs_without_metadata_and_strings_among_them(tmp_path: Path) -> None:
    lines = [f"line {number} {'x' * number}" for number in range(7)]
    (tmp_path / "lines.txt").write_text("".join(f"{line}\n" for line in lines))
    noted = Noted(several)
    inputs = (
        InputTensor(None, (2, 3), "INT64", "a"),
        InputTensor(tmp_path / "lines.txt", (1,), "BYTES", "b"),
        InputTensor(None, (5,), "FP16", "c"),
    )
    with serving({"ModelInfer": noted.infer}) as port:
        result = against(port, inputs=inputs)
    assert (result.successes, result.failures) == (REQUESTS, {})
    for number, asked in enumerate(noted.asked[1:]):
        a, b, c = asked.raw_input_contents
        assert (len(a), len(c)) == (48, 10)
        assert split_strings(b) == [lines[number % 7].encode()]
        described = [(one.name, one.datatype, list(one.shape)) for one in asked.inputs]
        assert described == [
            ("a", "INT64", [1, 2, 3]), ("b", "BYTES", [1, 1]), ("c", "FP16", [1, 5]),
        ]  # fmt: skip


def test_a_mix_has_each_model_s_requests() -> None:
    noted = Noted()
    kinds = tuple(
        RequestKind(MODEL, (InputTensor(None, (), ""),), batch_size=size, weight=1)
        for size in (1, 2)
    )
    with serving(noted.answers) as port:
        result = against(port, mix=kinds, max_queries=40)
    assert (result.successes, result.failures) == (40, {})
    assert {asked.inputs[0].shape[0] for asked in noted.asked[2:]} == {1, 2}


def typed(asked: Any, context: grpc.ServicerContext) -> Message:
    """Return the tensor that came, as typed values."""
    reply: Any = echo(asked, context)
    (raw,) = reply.raw_output_contents
    reply.ClearField("raw_output_contents")
    reply.outputs[0].contents.fp32_contents.extend(np.frombuffer(raw, "<f4").tolist())
    return reply


@pytest.mark.parametrize("answer", [echo, typed])
def test_outputs_are_compared_with_references(tmp_path: Path, answer: Any) -> None:
    tensors = np.arange(8 * VALUES, dtype="<f4").reshape(8, VALUES)
    file, references = tmp_path / "tensors", tmp_path / "references"
    file.write_bytes(tensors.tobytes())
    references.write_bytes(tensors.tobytes())
    changed = tensors.copy()
    changed[3] += 1
    (tmp_path / "changed").write_bytes(changed.tobytes())
    with serving({**WELL, "ModelInfer": answer}) as port:
        result = against(port, file=file, reference_file=references, max_queries=80)
        assert (result.successes, result.failures) == (80, {})
        other = against(port, file=file, reference_file=tmp_path / "changed", max_queries=80)
    assert (other.successes, [*other.failures]) == (70, ["wrong_output"])


def test_a_reply_that_differs_from_the_trial_s_is_a_failure() -> None:
    def answer(asked: Any, context: grpc.ServicerContext) -> Message:
        reply: Any = echo(asked, context)
        if len(noted.asked) == 5:
            reply.outputs[0].name = "z"
        if len(noted.asked) == 7:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much")
        return reply

    noted = Noted(answer)
    with serving(noted.answers) as port:
        result = against(port)
    assert result.successes == REQUESTS - 2
    assert sum(one.count for one in result.failures.values()) == 2
    words = " ".join(one.first_message for one in result.failures.values())
    assert re.search("too much", words), words


def test_strings_come_back_in_any_length() -> None:
    def answer(asked: Any, context: grpc.ServicerContext) -> Message:
        reply: Any = triton.ModelInferResponse(model_name=MODEL)
        reply.outputs.add(name="y", datatype="BYTES", shape=[1, 2])
        words = [b"x" * len(noted.asked), b"y"]
        if len(noted.asked) % 2:
            reply.outputs[0].contents.bytes_contents.extend(words)
        else:
            reply.raw_output_contents.append(joined_strings(words))
        return reply

    noted = Noted(answer)
    with serving({"ModelInfer": noted.infer}) as port:
        result = against(port, inputs=(InputTensor(None, (VALUES,), "FLOAT", "x"),))
    assert (result.successes, result.failures) == (REQUESTS, {})


def test_a_message_of_more_than_protobuf_allows_is_refused(tmp_path: Path) -> None:
    from aibench_fast.protocols.address import grpc_address
    from aibench_fast.protocols.openinference.client import Wanted
    from aibench_fast.protocols.openinference.grpc.infer import InferRequest
    from aibench_fast.protocols.session import AskedInput, AskedKind

    asked = AskedKind(MODEL, [AskedInput("FLOAT", (1, VALUES), bytes(16), "x")])
    request = InferRequest(Wanted(asked))
    address = grpc_address("grpc://localhost:1")
    first, last = request.texts(address, 0, 16)
    assert last == b""
    assert triton.ModelInferRequest.FromString(request.trial()).model_name == MODEL
    assert first.endswith(request.trial()[:-16])
    with pytest.raises(ConfigError, match="it has 2,147,483,647 at most"):
        request.texts(address, 0, 1 << 31)
