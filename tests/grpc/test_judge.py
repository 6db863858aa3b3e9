"""Replies over gRPC, as protobuf itself writes them, judged by the native core."""

import math
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as triton

from aibench_fast._core import ANY_LENGTH, judge_grpc
from aibench_fast.coretypes import GrpcPlan, OipOutput
from aibench_fast.tensortype import joined_strings


class Datatype(NamedTuple):
    """A datatype of the protocol."""

    name: str
    dtype: str
    form: str
    """As `struct` has it; empty: strings."""
    contents: str
    """The field of typed contents; empty: it only comes raw."""
    values: st.SearchStrategy[Any]


def whole(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    return (
        st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        if signed
        else st.integers(0, 2**bits - 1)
    )


DATATYPES = [
    Datatype("BOOL", "BOOL", "?", "bool_contents", st.booleans()),
    Datatype("INT8", "INT8", "b", "int_contents", whole(8, signed=True)),
    Datatype("INT16", "INT16", "h", "int_contents", whole(16, signed=True)),
    Datatype("INT32", "INT32", "i", "int_contents", whole(32, signed=True)),
    Datatype("INT64", "INT64", "q", "int64_contents", whole(64, signed=True)),
    Datatype("UINT8", "UINT8", "B", "uint_contents", whole(8, signed=False)),
    Datatype("UINT16", "UINT16", "H", "uint_contents", whole(16, signed=False)),
    Datatype("UINT32", "UINT32", "I", "uint_contents", whole(32, signed=False)),
    Datatype("UINT64", "UINT64", "Q", "uint64_contents", whole(64, signed=False)),
    Datatype("FP32", "FLOAT", "f", "fp32_contents", st.floats(width=32, allow_nan=False)),
    Datatype("FP64", "DOUBLE", "d", "fp64_contents", st.floats(allow_nan=False)),
    Datatype("FP16", "FP16", "H", "", whole(16, signed=False)),
    Datatype("BF16", "BF16", "H", "", whole(16, signed=False)),
    Datatype("BYTES", "BYTES", "", "bytes_contents", st.binary(max_size=9)),
]
BY_NAME = {one.name: one for one in DATATYPES}
NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
SAMPLES = st.sampled_from(DATATYPES)


class Output(NamedTuple):
    """An output with its values."""

    name: str
    datatype: Datatype
    shape: Sequence[int]
    values: Sequence[Any]

    @property
    def binary(self) -> bytes:
        if not self.datatype.form:
            return joined_strings(self.values)
        return struct.pack(f"<{len(self.values)}{self.datatype.form}", *self.values)

    @property
    def expected(self) -> OipOutput:
        return OipOutput(
            self.name, self.datatype.name, self.datatype.dtype, self.shape, len(self.binary)
        )

    def written(self, *, typed: bool) -> Any:
        made = triton.ModelInferResponse.InferOutputTensor(
            name=self.name, datatype=self.datatype.name, shape=self.shape
        )
        made.parameters["classification"].int64_param = 3  # and is not read
        if typed:
            getattr(made.contents, self.datatype.contents).extend(self.values)
        return made


@st.composite
def outputs(draw: st.DrawFn, *, typed: bool = False) -> Output:
    datatype = draw(SAMPLES.filter(lambda one: bool(one.contents) or not typed))
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    count = math.prod(shape)
    values = draw(st.lists(datatype.values, min_size=count, max_size=count))
    return Output(draw(NAMES), datatype, shape, values)


def plan(*given: Output, **more: Any) -> GrpcPlan:
    return GrpcPlan([one.expected for one in given], 4096, **more)


def message(*given: Output, typed: bool = False) -> Any:
    return triton.ModelInferResponse(
        model_name="m", model_version="1", id="7",
        outputs=[one.written(typed=typed) for one in given],
        raw_output_contents=[] if typed else [one.binary for one in given],
    )  # fmt: skip


SOME = st.lists(outputs(), min_size=1, max_size=3)
SOME_TYPED = st.lists(outputs(typed=True), min_size=1, max_size=3)
MOST_OUTPUTS = 16

Y = Output("y", BY_NAME["FP32"], (2, 2), [0.5, 1.0, 1.5, 2.0])
Z = Output("z", BY_NAME["INT8"], (2,), [-1, 7])
LABELS = Output("label", BY_NAME["BYTES"], (1, 2), [b"cat", b""])


def judged(given: GrpcPlan, bytes_that_came: bytes) -> str:
    """Return the fault found in a reply."""
    wrong = judge_grpc(given, bytes_that_came)
    assert wrong is not None
    return wrong


@given(given=SOME)
def test_raw_values_are_copied_as_they_are(given: list[Output]) -> None:
    copied = bytearray()
    assert judge_grpc(plan(*given), message(*given).SerializeToString(), copied) is None
    assert bytes(copied) == b"".join(one.binary for one in given)


@given(given=SOME_TYPED)
def test_typed_values_are_converted_to_binary(given: list[Output]) -> None:
    copied = bytearray()
    written = message(*given, typed=True).SerializeToString()
    assert judge_grpc(plan(*given), written, copied) is None
    assert bytes(copied) == b"".join(one.binary for one in given)


@given(given=SOME, other=SOME)
def test_only_a_reply_with_the_same_outputs_is_right(
    given: list[Output], other: list[Output]
) -> None:
    alike = [one.expected[:4] for one in given] == [one.expected[:4] for one in other]
    # Strings may have another length, but within the limits of the plan.
    opened = plan(*given, open_bytes=1000)
    assert (judge_grpc(opened, message(*other).SerializeToString()) is None) == alike


@given(given=SOME, inserted=st.binary(max_size=60), typed=st.booleans(), data=st.data())
def test_a_message_is_right_only_if_protobuf_reads_the_same(
    given: list[Output], inserted: bytes, typed: bool, data: st.DataObject
) -> None:
    """Messages in which bytes are inserted or replaced, and such as are cut off."""
    given = [one for one in given if one.datatype.contents] or [Y]
    written = message(*given, typed=typed).SerializeToString()
    place = data.draw(st.integers(0, len(written)))
    rest = data.draw(st.sampled_from([b"", written[place:], written[place + 1 :]]))
    came, copied = written[:place] + inserted + rest, bytearray()
    if judge_grpc(plan(*given), came, copied) is not None:
        return
    try:
        read = triton.ModelInferResponse.FromString(came)
    except DecodeError:  # fields that are skipped are not looked into
        return
    assert [head(one) for one in read.outputs] == [head(one.written(typed=False)) for one in given]
    binary = read.raw_output_contents or [
        one._replace(values=getattr(found.contents, one.datatype.contents)).binary
        for one, found in zip(given, read.outputs, strict=True)
    ]
    assert bytes(copied) == b"".join(binary)


def head(output: Any) -> tuple[str, str, list[int]]:
    return output.name, output.datatype, list(output.shape)


def test_values_of_any_length_are_judged_by_the_shape_of_the_reply() -> None:
    expected = Y.expected._replace(shape=(ANY_LENGTH, 2))
    opened = GrpcPlan([expected], 100, open_bytes=64)
    longer = Output("y", Y.datatype, (8, 2), [0.25] * 16)
    copied = bytearray()
    assert judge_grpc(opened, message(longer).SerializeToString(), copied) is None
    assert bytes(copied) == longer.binary
    assert judge_grpc(opened, message(longer, typed=True).SerializeToString()) is None
    too_long = Output("y", Y.datatype, (9, 2), [0.25] * 18)
    assert judged(opened, message(too_long).SerializeToString()) == "output y has over 64 bytes"
    other = Output("y", Y.datatype, (8, 3), [0.25] * 24)
    wrong = judged(opened, message(other).SerializeToString())
    assert wrong == "output y has the shape [8,3], expected [any,2]"


def test_strings_have_a_limit_in_bytes() -> None:
    opened = GrpcPlan([LABELS.expected], 100, open_bytes=16)
    longer = LABELS._replace(values=[b"cat", b"dog of"])
    for typed in (False, True):
        wrong = judged(opened, message(longer, typed=typed).SerializeToString())
        assert wrong == "output label has over 16 bytes"


def with_output(**changes: Any) -> Any:
    """The reply with `y`, with changes in it."""
    changed = message(Y)
    for name, value in changes.items():
        if name == "shape":
            changed.outputs[0].shape[:] = value
        else:
            setattr(changed.outputs[0], name, value)
    return changed


def in_contents(**values: Any) -> Any:
    """The reply with `z`, with these contents."""
    contents = triton.InferTensorContents(**values)
    made = message(Z, typed=True)
    made.outputs[0].contents.CopyFrom(contents)
    return made


def with_raw(*values: bytes) -> Any:
    """The reply with `y`, with these raw values."""
    made = message(Y)
    made.raw_output_contents[:] = values
    return made


LONG = [1] * 12
WRONG = {
    "no output": (Y, triton.ModelInferResponse(), "0 outputs, expected 1"),
    "two outputs": (Y, message(Y, Z), "2 outputs, expected 1"),
    "many outputs": (Y, message(*[Y] * (MOST_OUTPUTS + 1)), "17 outputs, expected 1"),
    "another name": (Y, with_output(name="z"), "found output z, expected y"),
    "no name": (Y, with_output(name=""), "found output without a name, expected y"),
    "another datatype": (Y, with_output(datatype="FP64"), "output y is of FP64, expected FP32"),
    "no datatype": (Y, with_output(datatype=""), "output y is of no datatype, expected FP32"),
    "another shape": (
        Y, with_output(shape=(4,)), "output y has the shape [4], expected [2,2]"
    ),
    "no shape": (Y, with_output(shape=()), "output y has the shape [], expected [2,2]"),
    "a negative length": (
        Y, with_output(shape=(-1, 2)), "output y has the shape [-1,2], expected [2,2]"
    ),
    "many axes": (
        Y, with_output(shape=LONG), "output y has the shape [1,1,1,1,1,1,1,1,...], expected [2,2]"
    ),
    "too few bytes": (Y, with_raw(Y.binary[1:]), "output y has 15 bytes, expected 16"),
    "too many bytes": (Y, with_raw(Y.binary * 2), "output y has 32 bytes, expected 16"),
    "raw values of two": (Y, with_raw(Y.binary, b""), "1 outputs, and the raw values of 2"),
    "no values": (Y, with_raw(), "output y has 0 values, expected 4"),
    "too few values": (Z, in_contents(int_contents=[1]), "output z has 1 values, expected 2"),
    "too many values": (
        Z, in_contents(int_contents=[1, 2, 3]), "output z has 3 values, expected 2"
    ),
    "a value too large": (
        Z, in_contents(int_contents=[1, 128]), "output z has a value that is not INT8"
    ),
    "a value too small": (
        Z, in_contents(int_contents=[1, -129]), "output z has a value that is not INT8"
    ),
    "values of another datatype": (
        Z, in_contents(uint_contents=[1, 2]), "output z has a value that is not INT8"
    ),
    "values of two datatypes": (
        Z, in_contents(int_contents=[1, 2], fp32_contents=[1.0]),
        "output z has a value that is not INT8",
    ),
    "one string": (
        LABELS, message(LABELS._replace(values=[b"catcat"])),
        "output label has 1 values, expected 2",
    ),
    "one string in contents": (
        LABELS, message(LABELS._replace(values=[b"catcat"]), typed=True),
        "output label has 1 values, expected 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "came", "wrong"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_reply_is_said(given: Output, came: Any, wrong: str) -> None:
    assert judged(plan(given), came.SerializeToString()) == wrong


def test_a_string_beyond_the_end_is_found() -> None:
    came = message(LABELS)
    came.raw_output_contents[:] = [LABELS.binary[:-1]]
    wrong = judged(plan(LABELS), came.SerializeToString())
    assert wrong == "output label has a string that reaches beyond its end"


NOT_A_RESPONSE = "the reply is not a ModelInferResponse: "
MALFORMED = {
    "a length beyond the end": (b"\x2a\x05\x0a", "a field reaches beyond the end"),
    "an immense length": (
        b"\x32" + b"\xff" * 9 + b"\x01", "a field reaches beyond the end"
    ),
    "a number without an end": (b"\x2a\x80", "a number is cut off"),
    "a field without a value": (b"\x28", "a number is cut off"),
    "a long number": (b"\x30" + b"\xff" * 10 + b"\x01", "a number has more than 64 bits"),
    "a number of 65 bits": (b"\x30" + b"\xff" * 9 + b"\x02", "a number has more than 64 bits"),
    "field 0": (b"\x02\x00", "a field has an impossible number"),
    "a field of 33 bits": (b"\xfa\xff\xff\xff\x1f\x00", "a field has an impossible number"),
    "an old group": (b"\x3b\x3c", "a field has an impossible type"),
    "outputs as a number": (b"\x28\x01", "a field is of another type than it has to be"),
    "raw values as a number": (b"\x30\x01", "a field is of another type than it has to be"),
    "a name as a number": (
        b"\x2a\x02\x08\x01", "a field is of another type than it has to be"
    ),
    "a shape as a float": (
        b"\x2a\x05\x1d\x00\x00\x00\x00", "a field is of another type than it has to be"
    ),
    "a length of a shape that is cut off": (b"\x2a\x03\x1a\x01\x80", "a number is cut off"),
}  # fmt: skip


@pytest.mark.parametrize(("came", "wrong"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_message_is_told_apart(came: bytes, wrong: str) -> None:
    assert judged(plan(Y), came) == NOT_A_RESPONSE + wrong
    # Also behind what is right.
    assert judged(plan(Y), message(Y).SerializeToString() + came).startswith((NOT_A_RESPONSE, "2 "))


def output_of(head: bytes, contents: bytes) -> bytes:
    """A reply with one output, whose contents are these bytes."""
    output = head + b"\x2a" + bytes([len(contents)]) + contents
    return b"\x2a" + bytes([len(output)]) + output


def test_contents_that_are_malformed_are_refused() -> None:
    head = message(Y).outputs[0].SerializeToString()
    cut = output_of(head, b"\x32\x03abc")
    assert judged(plan(Y), cut) == f"{NOT_A_RESPONSE}a number is cut off"
    doubles = output_of(head, b"\x31" + bytes(8))
    wrong = judged(plan(Y), doubles)
    assert wrong == f"{NOT_A_RESPONSE}a field is of another type than it has to be"


@pytest.mark.parametrize("unpacked", [False, True])
def test_fields_may_come_in_any_order_and_in_parts(unpacked: bool) -> None:
    """Raw values first, a shape and contents in two parts, unknown fields."""
    unknown = b"\xa2\x06\x03abc\xa8\x06\x07\xad\x06abcd\xa9\x06abcdefgh"  # numbers from 100 on
    first = b"\x18\x02" if unpacked else b"\x1a\x01\x02"
    one = b"\x35" + struct.pack("<f", 0.5)
    rest = b"\x32\x0c" + struct.pack("<3f", 1.0, 1.5, 2.0)
    parts = [b"\x2a" + bytes([len(part)]) + part for part in (unknown + one, rest)]
    inside = (
        parts[0]
        + first
        + b"\x0a\x01x"
        + unknown
        + b"\x12\x04FP32"
        + first
        + parts[1]
        + b"\x0a\x01y"
    )
    typed = unknown + b"\x2a" + bytes([len(inside)]) + inside + unknown
    raw = b"\x32\x10" + Y.binary + typed
    assert triton.ModelInferResponse.FromString(typed).outputs[0].shape == [2, 2]
    for came in (typed, raw):
        copied = bytearray()
        assert judge_grpc(plan(Y), came, copied) is None
        assert bytes(copied) == Y.binary
