"""The messages of gRPC as protobuf itself writes and reads them, by Triton's own definitions."""

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as triton

from aibench_fast.protocols.openinference.grpc import messages, wire


def without_parameters(message: wire.Message) -> wire.Message:
    """A message whose tensors have no map, which protobuf's classes take in another form."""
    return {
        name: field
        if isinstance(field.kind, wire.Scalar)
        else field._replace(kind=without_parameters(field.kind))
        for name, field in message.items()
        if name != "parameters"
    }


PAIRS: list[tuple[wire.Message, type[Protobuf]]] = [
    ({}, triton.ServerMetadataRequest),
    (messages.MODEL, triton.ModelReadyRequest),
    (messages.MODEL, triton.ModelMetadataRequest),
    (messages.MODEL, triton.ModelStatisticsRequest),
    (messages.READY, triton.ModelReadyResponse),
    (messages.SERVER, triton.ServerMetadataResponse),
    (messages.MODEL_METADATA, triton.ModelMetadataResponse),
    (messages.INDEX, triton.RepositoryIndexResponse),
    (messages.STATISTICS, triton.ModelStatisticsResponse),
    (without_parameters(messages.INFER_REQUEST), triton.ModelInferRequest),
    (messages.REGION, triton.SystemSharedMemoryRegisterRequest),
    (messages.INFER_RESPONSE, triton.ModelInferResponse),
]
TWICE: wire.Message = {
    "success": wire.Field(
        1, {"count": wire.Field(1, wire.Scalar.UINT64), "ns": wire.Field(2, wire.Scalar.UINT64)}
    )
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES: dict[wire.Scalar, st.SearchStrategy[Any]] = {
    wire.Scalar.TEXT: TEXT,
    wire.Scalar.BYTES: st.binary(max_size=200),
    wire.Scalar.BOOL: st.booleans(),
    wire.Scalar.INT64: st.integers(-(2**63), 2**63 - 1),
    wire.Scalar.WIDE_INT64: st.integers(-(2**63), 2**63 - 1),
    wire.Scalar.UINT64: st.integers(0, 2**64 - 1),
}


def values(message: wire.Message) -> st.SearchStrategy[dict[str, Any]]:
    """Values of every field of a message."""
    return st.fixed_dictionaries({name: _value(field) for name, field in message.items()})


def _value(field: wire.Field) -> st.SearchStrategy[Any]:
    one = VALUES[field.kind] if isinstance(field.kind, wire.Scalar) else values(field.kind)
    return st.lists(one, max_size=3) if field.is_repeated else one


def protobuf(kind: type[Protobuf], given: dict[str, Any]) -> Protobuf:
    """The same values as a message of protobuf."""
    return kind(**given)


@pytest.mark.parametrize(("message", "theirs"), PAIRS, ids=lambda one: getattr(one, "__name__", ""))
@given(data=st.data())
def test_protobuf_reads_what_is_written(
    message: wire.Message, theirs: type[Protobuf], data: st.DataObject
) -> None:
    values_given = data.draw(values(message))
    written = wire.encode(message, values_given)
    assert theirs.FromString(written) == protobuf(theirs, values_given)


@pytest.mark.parametrize(("message", "theirs"), PAIRS, ids=lambda one: getattr(one, "__name__", ""))
@given(data=st.data())
def test_what_protobuf_writes_is_read(
    message: wire.Message, theirs: type[Protobuf], data: st.DataObject
) -> None:
    values_given = data.draw(values(message))
    assert wire.decode(message, protobuf(theirs, values_given).SerializeToString()) == values_given


@pytest.mark.parametrize(("message", "theirs"), PAIRS, ids=lambda one: getattr(one, "__name__", ""))
@given(data=st.data())
def test_what_is_not_quite_a_message_is_read_alike_or_refused(
    message: wire.Message, theirs: type[Protobuf], data: st.DataObject
) -> None:
    sent = bytearray(protobuf(theirs, data.draw(values(message))).SerializeToString())
    for place, byte in data.draw(
        st.lists(st.tuples(st.integers(0, max(0, len(sent) - 1)), st.integers(0, 255)), max_size=3)
    ):
        sent[place : place + 1] = [byte]
    try:
        expected = theirs.FromString(bytes(sent))
    except DecodeError:
        expected = None  # it may be of a field that is not read here
    try:
        found = wire.decode(message, bytes(sent))
    except ValueError as error:
        assert expected is None or "wire type" in str(error)  # no version has groups
        return
    if expected is not None:
        assert found == _values_of(message, expected)


def _values_of(message: wire.Message, found: Any) -> dict[str, Any]:
    """The fields of protobuf's message that are read here."""
    result: dict[str, Any] = {}
    for name, field in message.items():
        value = getattr(found, name)
        if isinstance(field.kind, wire.Scalar):
            result[name] = list(value) if field.is_repeated else value
        elif field.is_repeated:
            result[name] = [_values_of(field.kind, one) for one in value]
        else:
            result[name] = _values_of(field.kind, value)
    return result


def test_fields_that_are_not_described_are_left_out() -> None:
    sent = triton.ModelMetadataResponse(name="m", versions=["1", "2"], platform="python")
    assert wire.decode(messages.MODEL_METADATA, sent.SerializeToString()) == {
        "inputs": [], "outputs": [],
    }  # fmt: skip


def test_names_are_those_of_protobuf() -> None:
    for message, theirs in PAIRS:
        _check_names(message, theirs.DESCRIPTOR)


def _check_names(message: wire.Message, theirs: Any) -> None:
    for name, field in message.items():
        found = theirs.fields_by_name[name]
        assert (found.number, found.is_repeated) == (field.number, field.is_repeated)
        if not isinstance(field.kind, wire.Scalar):
            _check_names(field.kind, found.message_type)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x0a", "a number has no end"),
        (b"\xff" * 11, "a number has no end"),
        (b"\x0a\x05abcd", "field 1 has 5 bytes, and 4 are left"),
        (b"\x02\x00", "a field has the number 0"),
        (b"\x0b", "field 1 is of wire type 3"),
        (b"\x0a\x01\xff", "invalid start byte"),
        (b"\x0d\x00", "field 1 has 4 bytes, and 1 are left"),
    ],
)
def test_what_is_malformed_is_said(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        wire.decode(messages.MODEL, data)


def test_the_parts_of_one_message_are_merged() -> None:
    halves = [{"count": 3}, {"ns": 4}]
    data = b"".join(wire.encode(TWICE, {"success": half}) for half in halves)
    assert wire.decode(TWICE, data) == {"success": {"count": 3, "ns": 4}}
    sent = triton.InferStatistics.FromString(data).success
    assert (sent.count, sent.ns) == (3, 4)


def test_maps_are_lists_of_keys_and_values() -> None:
    parameters = [
        {"key": "region", "value": {"string_param": "r"}},
        {"key": "offset", "value": {"int64_param": 0}},
    ]
    sent = wire.encode(
        messages.INFER_REQUEST, {"inputs": [{"name": "x", "parameters": parameters}]}
    )
    (found,) = triton.ModelInferRequest.FromString(sent).inputs
    assert dict(found.parameters) == {
        "region": triton.InferParameter(string_param="r"),
        "offset": triton.InferParameter(int64_param=0),
    }
    status = triton.SystemSharedMemoryStatusResponse()
    status.regions["one"].byte_size = 5
    assert wire.decode(messages.REGIONS, status.SerializeToString()) == {
        "regions": [{"key": "one"}]
    }


@given(VALUES[wire.Scalar.WIDE_INT64])
def test_wide_numbers_are_of_one_length(value: int) -> None:
    message: wire.Message = {"int64_param": wire.Field(2, wire.Scalar.WIDE_INT64)}
    written = wire.encode(message, {"int64_param": value})
    assert len(written) == 11
    assert triton.InferParameter.FromString(written).int64_param == value
    assert wire.decode(message, written) == {"int64_param": value}
