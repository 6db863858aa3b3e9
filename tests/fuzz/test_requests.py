"""Requests as bytes are read back as what was asked, whatever the names and shapes."""

import json
import math
import string

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import Wanted
from aibench_fast.protocols.openinference.http.infer import JSON_LENGTH, InferRequest
from aibench_fast.protocols.redisai.commands import Dialect
from aibench_fast.protocols.redisai.request import Request
from aibench_fast.protocols.session import AskedInput, AskedKind
from aibench_fast.protocols.settings import Encoding
from aibench_fast.tensortype import DTYPE_BYTES, REDISAI_DTYPES, tensor_bytes

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4)
headers = st.dictionaries(
    st.text(string.ascii_letters, min_size=1).map("X-{}".format),
    st.text(string.ascii_letters + " :", max_size=9).map(str.strip),
    max_size=2,
)


@st.composite
def asked_inputs(draw: st.DrawFn) -> AskedInput:
    dtype, shape = draw(st.sampled_from(sorted(DTYPE_BYTES))), draw(shapes)
    return AskedInput(dtype, shape, bytes(tensor_bytes(shape, dtype)), draw(names))


@given(
    inputs=st.lists(asked_inputs(), min_size=1, max_size=4),
    outputs=st.lists(names, max_size=3),
    more=headers,
    encoding=st.sampled_from(Encoding),
)
def test_a_request_over_http_is_read_back(
    inputs: list[AskedInput], outputs: list[str], more: dict[str, str], encoding: Encoding
) -> None:
    if encoding is Encoding.JSON:  # which has no form for BF16
        inputs = [one for one in inputs if one.dtype != "BF16"] or [
            AskedInput("INT8", [1], b"\0", "x")
        ]
    request = InferRequest(
        "/v2/models/m/infer", Wanted(AskedKind("m", inputs), outputs=outputs), encoding
    )
    address = HttpAddress("127.0.0.1", 1, headers=tuple(more.items()))
    trial_head, _, body = request.trial(address).partition(b"\r\n\r\n")
    parts = request.parts([one.trial for one in inputs])
    first, *others = request.texts(address, 0, len(body) - sum(map(len, parts)))
    head, _, json_start = first.partition(b"\r\n\r\n")
    assert head == trial_head
    line, *told = head.decode().split("\r\n")
    found = dict(one.split(": ", 1) for one in told)
    assert line == "POST /v2/models/m/infer HTTP/1.1"
    assert int(found["Content-Length"]) == len(body)
    assert more.items() <= found.items()
    assert [json_start, *others] == parts
    text = body[: int(found.get(JSON_LENGTH, len(body)))]
    document = json.loads(text)
    assert [one["name"] for one in document["inputs"]] == [one.name for one in inputs]
    assert [one["shape"] for one in document["inputs"]] == [one.shape for one in inputs]
    assert [one["name"] for one in document.get("outputs", [])] == outputs
    if encoding is Encoding.BINARY:
        assert body[len(text) :] == b"".join(one.trial for one in inputs)
    else:
        lengths = [len(one["data"]) for one in document["inputs"]]
        assert lengths == [math.prod(one.shape) for one in inputs]


@given(
    model=names,
    dialect=st.sampled_from(Dialect),
    inputs=st.lists(
        st.builds(AskedInput, st.sampled_from(REDISAI_DTYPES), shapes), min_size=1, max_size=4
    ),
    use_dag=st.booleans(),
    persist=st.booleans(),
    timeout_ms=st.none() | st.integers(1, 10**6),
)
def test_a_request_over_resp_is_read_back(
    model: str,
    dialect: Dialect,
    inputs: list[AskedInput],
    use_dag: bool,
    persist: bool,
    timeout_ms: int | None,
) -> None:
    request = Request(
        dialect=dialect, model=model, inputs=inputs, use_dag=use_dag, persist=persist,
        timeout_ms=timeout_ms,
    )  # fmt: skip
    tensors = [b"\r\n" * tensor_bytes(one.shape, one.dtype) for one in inputs]
    sent = [tensor[: len(tensor) // 2] for tensor in tensors]
    first, *others = request.texts(3)
    reader = hiredis.Reader()
    reader.feed(first)
    for tensor, text in zip(sent, others, strict=True):
        reader.feed(tensor)
        reader.feed(text)
    reader.feed(b"+END\r\n")
    waiting = iter(sent)
    expected = [
        [next(waiting) if not isinstance(word, str | int) else str(word).encode() for word in one]
        for one in request.commands(3)
    ]
    assert [*iter(reader.gets, False)] == [*expected, b"END"]
