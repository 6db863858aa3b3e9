"""ModelStreamInfer: all requests of a connection are messages of one call."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from commandline import Cli
from generator import VALUES, run
from grpcserver import inference_server, listening
from service import MODEL, WELL, serving
from tritonclient.grpc import service_pb2 as triton

from aibench_fast.coretypes import Snapshot

Replies = Iterator[triton.ModelStreamInferResponse]
Answer = Callable[[triton.ModelInferRequest, int], Replies]


@contextmanager
def streaming_server(answer: Answer) -> Iterator[tuple[int, list[int]]]:
    """Serve; yield the port and the number of requests of each call so far."""
    numbers, calls = count(), []

    def infer(requests: Any, _: Any) -> Replies:
        calls.append(0)
        place = len(calls) - 1
        for request in requests:
            calls[place] += 1
            yield from answer(request, next(numbers))

    with listening(inference_server(ModelStreamInfer=infer)) as port:
        yield port, calls


def reply_to(
    request: triton.ModelInferRequest, *, final: bool | None = None, values: int = VALUES
) -> triton.ModelStreamInferResponse:
    """Return the first values of the input; `final` is said if it is given."""
    streamed = triton.ModelStreamInferResponse()
    reply = streamed.infer_response
    reply.model_name, reply.id = request.model_name, request.id
    reply.outputs.add(name="y", datatype="FP32", shape=[1, values])
    reply.raw_output_contents.append(request.raw_input_contents[0][: 4 * values])
    if final is not None:
        reply.parameters["triton_final_response"].bool_param = final
    return streamed


def marker(request: triton.ModelInferRequest) -> triton.ModelStreamInferResponse:
    """Return what ends a request without being a reply."""
    streamed = triton.ModelStreamInferResponse()
    streamed.infer_response.id = request.id
    streamed.infer_response.parameters["triton_final_response"].bool_param = True
    return streamed


def refusal(request: triton.ModelInferRequest, words: str) -> triton.ModelStreamInferResponse:
    streamed = triton.ModelStreamInferResponse(error_message=words)
    streamed.infer_response.id = request.id
    return streamed


def once(request: triton.ModelInferRequest, _: int) -> Replies:
    yield reply_to(request)


def first_replies(counted: Snapshot) -> int:
    return sum(memoryview(counted.histograms["first_replies"].counts).cast("q"))


@pytest.mark.parametrize("streams", [1, 8])
@pytest.mark.parametrize("tensor_bytes", [16, 602_112])
def test_all_requests_of_a_connection_are_one_call(streams: int, tensor_bytes: int) -> None:
    came: list[bytes] = []

    def answer(request: triton.ModelInferRequest, _: int) -> Replies:
        came.append(request.raw_input_contents[0])
        yield reply_to(request)

    with streaming_server(answer) as (port, calls):
        counted = run(
            port, requests=100, workers=2, streams=streams, tensor_bytes=tensor_bytes,
            as_stream=True,
        )  # fmt: skip
    assert counted.measured.failures == {}
    assert counted.measured.counters["successes"] == 100
    assert counted.counters["replies"] == first_replies(counted) == 100
    assert len(calls) == 2
    assert sum(calls) == 100
    assert sorted(map(came.count, set(came))) == [10] * 10


@pytest.mark.parametrize("streams", [1, 3])
def test_a_request_may_have_several_replies_or_none(streams: int) -> None:
    def answer(request: triton.ModelInferRequest, number: int) -> Replies:
        if number % 4 == 0:
            yield marker(request)
        elif number % 4 == 1:
            yield reply_to(request, final=False)
            yield reply_to(request, final=True)
        else:
            for _ in range(3):
                yield reply_to(request, final=False)
            yield marker(request)

    with streaming_server(answer) as (port, _):
        counted = run(port, requests=40, streams=streams, as_stream=True)
    assert counted.measured.failures == {}
    assert counted.measured.counters["successes"] == 40
    assert counted.counters["replies"] == 10 * 0 + 10 * 2 + 20 * 3
    assert first_replies(counted) == 30


def test_replies_belong_to_requests_by_their_id() -> None:
    waiting: list[triton.ModelInferRequest] = []

    def answer(request: triton.ModelInferRequest, _: int) -> Replies:
        waiting.append(request)
        if len(waiting) == 4:  # all that are under way; the last one first
            while waiting:
                yield reply_to(waiting.pop(), final=True)

    with streaming_server(answer) as (port, _):
        counted = run(port, requests=40, streams=4, as_stream=True)
    assert counted.measured.counters["successes"] == 40


@pytest.mark.parametrize("streams", [1, 3])
def test_what_is_wrong_with_a_reply_is_a_failure_of_its_request(streams: int) -> None:
    def answer(request: triton.ModelInferRequest, number: int) -> Replies:
        if number == 3:
            yield refusal(request, "no such model")
        elif number == 5:  # not the last one
            yield reply_to(request, final=False, values=2)
            yield reply_to(request, final=True)
        elif number == 7:
            yield reply_to(request, final=False)
            yield reply_to(request, final=True, values=1)
        else:
            yield reply_to(request)

    with streaming_server(answer) as (port, calls):
        counted = run(port, requests=20, streams=streams, as_stream=True)
    failures = counted.measured.failures
    assert failures["error_reply"] == (1, "no such model")
    assert failures["wrong_size"][0] == 2
    assert counted.measured.counters["successes"] == 17
    assert len(calls) == 1


@pytest.mark.parametrize("streams", [1, 3])
def test_the_end_of_the_call_ends_its_requests_and_another_one_begins(streams: int) -> None:
    def answer(request: triton.ModelInferRequest, number: int) -> Replies:
        if number == 9:
            raise AssertionError("on order")
        yield reply_to(request)

    with streaming_server(answer) as (port, calls):
        counted = run(port, requests=40, streams=streams, as_stream=True)
    (times, words) = counted.measured.failures["unknown"]
    assert 1 <= times <= streams
    assert "on order" in words
    assert counted.measured.counters["successes"] == 40 - times
    assert len(calls) == 2
    assert counted.counters["remade"] == counted.counters["reconnects"] == 0


def test_a_request_without_an_answer_is_a_timeout_of_its_own() -> None:
    def answer(request: triton.ModelInferRequest, number: int) -> Replies:
        if number != 5:
            yield reply_to(request)

    with streaming_server(answer) as (port, calls):
        counted = run(port, requests=30, streams=3, timeout_s=0.3, as_stream=True)
    assert counted.measured.failures == {"client_timeout": (1, "no complete answer within 300 ms")}
    assert counted.measured.counters["successes"] == 29
    assert len(calls) == 1


def thrice(request: triton.ModelInferRequest) -> Iterator[triton.ModelStreamInferResponse]:
    """As a decoupled model replies, and says at last that this was all."""
    for _ in range(3):
        yield reply_to(request, final=False)
    if request.parameters["triton_enable_empty_final_response"].bool_param:
        yield marker(request)


@pytest.mark.parametrize("options", [(), ("--pipeline", 4), ("--mix",)])
def test_a_run_by_stream(cli: Cli, tmp_path: Path, options: Sequence[object]) -> None:
    (tmp_path / "mix.toml").write_text(
        "".join(
            f'[[request]]\nmodel = "{MODEL}"\nshape = [4]\nbatch-size = {size}\n' for size in (1, 2)
        )
    )
    if options == ("--mix",):
        options = ("--mix", "mix.toml")
    with serving(streams=thrice) as port:
        done = cli(
            "run", "--url", f"grpc://127.0.0.1:{port}", *options, "--stream", "--workers", 2,
            "--max-queries", 200, "--burn-in", 20, "--json-out-file", "r.json",
            *(() if "--mix" in options else ("--model", MODEL)), code=0, errors=0,
        )  # fmt: skip
    saved = json.loads((tmp_path / "r.json").read_text())
    assert saved["Failures"] == {}
    assert saved["RepliesPerRequest"] == 3
    assert 0 < saved["FirstReply"]["q50"] <= saved["OverallQuantiles"]["AllQueries"]["q50"]
    assert "Replies: 3.00 a request, the first one after p50 " in done.stdout


@pytest.mark.parametrize("streams", [1, 4])
def test_strings_by_stream(cli: Cli, tmp_path: Path, streams: int) -> None:
    """Each request has a length of its own, and an id of its own."""
    words = ["", "one", "x" * 300, "y" * 40_000, "\u00e4"]
    (tmp_path / "words.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in words))
    asked: list[tuple[str, bytes]] = []

    def echo(request: triton.ModelInferRequest) -> Iterator[triton.ModelStreamInferResponse]:
        (words,) = request.raw_input_contents
        asked.append((request.id, words[4:]))
        streamed = reply_to(request, final=True)
        output = streamed.infer_response.outputs[0]
        output.datatype, output.shape[:] = "BYTES", [1, 1]
        streamed.infer_response.raw_output_contents[0] = words
        yield streamed

    without_metadata = {name: one for name, one in WELL.items() if name != "ModelMetadata"}
    with serving(without_metadata, streams=echo) as port:
        done = cli(
            "run", "--url", f"grpc://127.0.0.1:{port}", "--model", MODEL, "--stream", "--workers",
            2, "--pipeline", streams, "--max-queries", 200, "--input", "x:BYTES:1=words.jsonl",
            "--json-out-file", "r.json",
        )  # fmt: skip
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    saved = json.loads((tmp_path / "r.json").read_text())
    assert (saved["Failures"], saved["RepliesPerRequest"]) == ({}, 1)
    _, *sent = asked
    assert Counter(text for _, text in sent) == {one.encode(): 40 for one in words}
    # Of each of the two connections.
    assert max(Counter(id_ for id_, _ in sent).values()) <= 2


def test_stream_is_of_grpc_and_of_servers_that_have_it(cli: Cli) -> None:
    with serving() as port:
        done = cli("run", "--url", f"grpc://127.0.0.1:{port}", "--model", MODEL, "--stream")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "UNIMPLEMENTED for the trial request" in done.stderr
    done = cli("run", "--url", "http://127.0.0.1:1", "--model", MODEL, "--stream", code=2, errors=1)
    assert "--stream with --url: the Open Inference Protocol over HTTP has no such" in done.stderr
