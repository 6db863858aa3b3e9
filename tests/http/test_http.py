"""Runs over HTTP: what is sent, how replies are judged, and what is refused before the clock."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import smallruns
from ci import examples
from commandline import Cli
from fake_inference import (
    OUTPUT_BYTES,
    Asked,
    Behaviour,
    FakeInference,
    binary_reply,
    json_reply,
    output,
    reply,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from aibench_fast import ConfigError, RunConfig, ServerError, run
from aibench_fast._core import Tensors
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.protocols.openinference.http import client

against = partial(smallruns.against, max_queries=20)


def test_a_request_is_the_models_own_with_the_tensor_in_binary() -> None:
    with FakeInference() as server:
        result = against(server, seed=3, headers=(("Authorization", "Bearer x"),))
    assert (result.successes, result.failures, result.connections.reconnects) == (20, {}, 0)
    assert (result.setup.shape, result.setup.dtype) == ((4,), "FLOAT")
    assert result.server.facts.kind == "fake"
    assert result.server.facts.address == server.url
    tensors = Tensors.generate(2000, 16, "FLOAT", 3)
    trial, *measured = server.asked
    assert [asked.tensors for asked in measured] == [tensors.read(n, 1) for n in range(20)]
    assert trial.body == measured[0].body  # it is tried with the run's first tensor
    for asked in server.asked:
        assert asked.line == "POST /v2/models/m/infer HTTP/1.1"
        assert asked.headers["host"] == f"127.0.0.1:{server.port}"
        assert asked.headers["authorization"] == "Bearer x"
        assert asked.document == {
            "id": "1",
            "inputs": [
                {
                    "name": "x", "shape": [1, 4], "datatype": "FP32",
                    "parameters": {"binary_data_size": 16},
                }
            ],
            "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
        }  # fmt: skip


def test_batches_versions_and_several_inputs(tmp_path: Path) -> None:
    model = {
        "name": "m", "platform": "none",
        "inputs": [
            {"name": "ids", "datatype": "INT64", "shape": [-1, -1]},
            {"name": "mask", "datatype": "BOOL", "shape": [-1, -1]},
        ],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1001]}, output(name="z")],
    }  # fmt: skip
    (tmp_path / "ids").write_bytes(bytes(range(240)))
    inputs = (
        InputTensor(None, (3,), "BOOL", "mask"),
        InputTensor(tmp_path / "ids", (3,), "INT64", "ids"),
    )

    def two(asked: Asked, number: int) -> bytes:
        return binary_reply(bytes(2 * OUTPUT_BYTES), output((2, 1001)))

    with FakeInference(infer=two, model=model) as server:
        server.paths = {
            "/v2/models/m/versions/7": json_reply(model),
            "/v2/models/m/versions/7/ready": reply(b""),
        }
        result = against(server, inputs=inputs, batch_size=2, model_version="7", outputs=("y",))
    assert (result.successes, result.inferences) == (10, 20)
    asked = server.asked[1]
    assert asked.line == "POST /v2/models/m/versions/7/infer HTTP/1.1"
    assert [(one["name"], one["shape"], one["datatype"]) for one in asked.document["inputs"]] == [
        ("mask", [2, 3], "BOOL"),
        ("ids", [2, 3], "INT64"),
    ]
    assert asked.document["outputs"] == [{"name": "y", "parameters": {"binary_data": True}}]
    assert asked.tensors[6:] == bytes(range(48))


def chunked(body: bytes, headers: str = "", trailer: str = "") -> bytes:
    pieces = [body[start : start + 700] for start in range(0, len(body), 700)]
    encoded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return (
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{headers}\r\n".encode()
        + encoded
        + f"0\r\n{trailer}\r\n".encode()
    )


def split(text: bytes) -> tuple[bytes, bytes]:
    head, _, body = text.partition(b"\r\n\r\n")
    return head, body


HEAD, BODY = split(binary_reply())
LENGTH = next(line for line in HEAD.decode().split("\r\n") if line.startswith("Inference"))
TEXT, DATA = BODY[:-OUTPUT_BYTES], BODY[-OUTPUT_BYTES:]


def with_header(*lines: str) -> bytes:
    """The right body, with other lines for the length of its JSON."""
    return reply(BODY, *lines)


def with_json(text: bytes) -> bytes:
    """The right outputs, behind another JSON."""
    return reply(text + DATA, f"Inference-Header-Content-Length: {len(text)}")


@pytest.mark.parametrize(
    "answer",
    [
        chunked(BODY, f"{LENGTH}\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + binary_reply(),
        HEAD.lower().replace(b"http", b"HTTP") + b"\r\n\r\n" + BODY,
        binary_reply(model_name="another"),  # not the trial's text, and as good
        chunked(BODY, f"{LENGTH}\r\n", trailer="Inference-Header-Content-Length: 1\r\n"),
        with_header(LENGTH, LENGTH),
    ],
)
def test_a_reply_may_have_other_forms(answer: bytes) -> None:
    with FakeInference(infer=lambda _, number: answer if number else binary_reply()) as server:
        result = against(server)
    assert (result.successes, result.failures) == (20, {})


@settings(max_examples=examples(25), deadline=None)
@given(cuts=st.lists(st.integers(1, len(HEAD) + len(BODY)), max_size=5))
def test_a_reply_may_come_in_pieces(cuts: list[int]) -> None:
    whole = binary_reply()
    ends = [*sorted(set(cuts)), len(whole)]

    with socket.socket() as listening, FakeInference() as asked:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve() -> None:
            """Everything else is the fake server's; replies to inferences come in pieces."""
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=pass_on, args=(client, asked.port, ends)).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        result = run(
            RunConfig(
                file=None, url=f"http://127.0.0.1:{listening.getsockname()[1]}", model="m",
                max_queries=3,
            )
        )  # fmt: skip
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    assert (result.successes, result.failures) == (3, {})


def is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return length is not None and len(body) >= int(length[1])


def pass_on(client: socket.socket, port: int, ends: list[int]) -> None:
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while request := client.recv(1 << 16):
            server.sendall(request)
            answer = server.recv(1 << 16)
            while not is_whole(answer):
                answer += server.recv(1 << 16)
            start = 0
            for end in [end for end in ends if end < len(answer)] + [len(answer)]:
                client.sendall(answer[start:end])
                start = end


FAILURES: dict[str, tuple[bytes | None, str, str]] = {
    "an error": (
        json_reply({"error": "no memory"}, status="500 Oh"), "error_reply", "HTTP 500: no memory",
    ),
    "a web page": (
        reply(b"<html>\nsorry", status="502 Bad"), "error_reply", "HTTP 502: <html>",
    ),
    "too many": (json_reply({"error": "wait"}, "429 X"), "too_many_requests", "HTTP 429: wait"),
    "unavailable": (json_reply({"error": "busy"}, "503 X"), "unavailable", "HTTP 503: busy"),
    "another name": (
        binary_reply(told=output(name="z")), "wrong_reply", "found output z, expected y",
    ),
    "another datatype": (
        binary_reply(told=output(datatype="INT32")), "wrong_reply", "is of INT32, expected FP32",
    ),
    "another shape": (
        binary_reply(told=output((7, 143))), "wrong_size",
        "has the shape [7,143], expected [any,1001]",
    ),
    "another size": (
        binary_reply(bytes(OUTPUT_BYTES - 4)), "wrong_size",
        "output y has 4000 bytes, expected 4004",
    ),
    "no output": (binary_reply(outputs=[]), "wrong_reply", "0 outputs, expected 1"),
    "JSON": (json_reply({"outputs": []}), "wrong_reply", "the reply is JSON, the trial's was not"),
    "no JSON": (HEAD + b"\r\n\r\n" + b"x" * len(BODY), "wrong_reply", "the reply is not JSON"),
    "a cut": (None, "connection_lost", "the server closed the connection"),
    "a cut in the body": (
        binary_reply()[:-9], "connection_lost", "the server closed the connection",
    ),
    "no HTTP": (b"-ERR unknown command\r\n", "protocol", "not an HTTP reply: "),
    "a header of 1 MB": (
        reply(b"", "X: " + "y" * (1 << 20)), "protocol", "headers of more than 64 KiB",
    ),
    "a long body": (
        reply(bytes(1 << 22)), "protocol", "a body far longer than the requested outputs",
    ),
    "a length that overflows": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", "protocol",
        "Content-Length overflow",
    ),
    "a chunk that overflows": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "protocol",
        "Chunk size overflow",
    ),
    "two replies": (2 * binary_reply(), "protocol", "more replies than the request has commands"),
    "a JSON part longer than the body": (
        reply(b"{}", "Inference-Header-Content-Length: 99"), "wrong_size", "a body of 2 bytes",
    ),
    "a JSON length that is none": (with_header(f"{LENGTH}x"), "wrong_reply", "is not a length"),
    "a negative JSON length": (
        with_header("Inference-Header-Content-Length: -1"), "wrong_reply", "is not a length",
    ),
    "a JSON length of 40 digits": (
        with_header(f"Inference-Header-Content-Length: {7:040}"), "wrong_reply", "is not a length",
    ),
    "two JSON lengths": (
        with_header(LENGTH, "Inference-Header-Content-Length: 5"), "wrong_reply", "is not a length",
    ),
    "a JSON length behind the body": (
        chunked(BODY, trailer=f"{LENGTH}\r\n"), "wrong_reply", "the reply is JSON",
    ),
    "nothing": (
        b"HTTP/1.1 204 None\r\n\r\n", "wrong_reply", "the reply is JSON, the trial's was not",
    ),
    "another protocol from here": (
        b"HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "protocol",
        "not an HTTP reply: ",
    ),
    "a length and chunks": (
        HEAD + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "protocol",
        "not an HTTP reply: ",
    ),
    "a reason of 1 MB": (
        reply(b"", status="200 " + "y" * (1 << 20)), "protocol", "headers of more than 64 KiB",
    ),
    "a chunk's extension of 1 MB": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"y" * (1 << 20), "protocol",
        "headers of more than 64 KiB",
    ),
    "a NUL in the JSON": (
        with_json(TEXT.replace(b'"m"', b'"\0"')), "wrong_reply", "the reply is not JSON",
    ),
    "a NUL in a name": (
        with_json(TEXT.replace(b'"y"', b'"y\\u0000"')), "wrong_reply", "found output y, expected y",
    ),
    "JSON nested 10,000 deep": (
        with_json(b"[" * 10_000), "wrong_reply", "the reply is not JSON",
    ),
    "a shape of fractions": (
        with_json(TEXT.replace(b"[1, 1001]", b"[1.0, 1001.0]")), "wrong_size",
        "has the shape [1.0,1001.0]",
    ),
    "a shape of words": (
        with_json(TEXT.replace(b"[1, 1001]", b'["1", "1001"]')), "wrong_size", "has the shape",
    ),
    "no shape": (with_json(TEXT.replace(b'"shape"', b'"form"')), "wrong_size", "the shape none"),
    "outputs twice, the right ones last": (
        with_json(TEXT.replace(b'"outputs"', b'"outputs": [], "outputs"')), "wrong_reply",
        "0 outputs, expected 1",
    ),
    "an error whose words are no line": (
        json_reply({"error": "no\x1b[1m\nroom"}, "500 Oh"), "error_reply", "HTTP 500: no [1m room",
    ),
    "a long error without an end": (
        reply(b"x" * (1 << 20), status="500 Oh"), "error_reply", "HTTP 500: xxxx",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILURES)
def test_what_is_no_answer_is_a_failure_of_its_kind(name: str) -> None:
    answer, kind, message = FAILURES[name]
    behaviour: Behaviour = lambda _, number: answer if number == 5 else binary_reply()  # noqa: E731
    with FakeInference(infer=behaviour) as server:
        server.close_after = {5} if name == "a cut in the body" else set()
        result = against(server)
    assert result.successes == 19
    (found,) = result.failures.items()
    assert found[0] == kind
    assert found[1].count == 1
    assert message in found[1].first_message


VALUES = 100_000


def values_reply(data: str) -> bytes:
    told = json.dumps(output((1, VALUES)))[:-1]
    return reply(f'{{"outputs": [{told}, "data": {data}}}]}}'.encode())


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (reply(b""), "wrong_reply", "the reply is not JSON"),
        (values_reply("[0]"), "wrong_size", "output y has 1 values, expected 100000"),
        (values_reply("0"), "wrong_size", "output y has 0 values"),
        (values_reply("[" + "{}," * VALUES + "0]"), "wrong_reply", "a value that is not FP32"),
        (values_reply("[" * VALUES + "]" * VALUES), "wrong_reply", "a value that is not FP32"),
    ],
    ids=["nothing", "one value", "no array", "objects", "nested too deep for a stack"],
)
def test_values_in_json_are_counted(answer: bytes, kind: str, message: str) -> None:
    right = values_reply("[" + "[0, 0.5]," * (VALUES // 2 - 1) + "[0, 0.5]]")
    with FakeInference(infer=lambda _, number: answer if number == 2 else right) as server:
        result = against(server, max_queries=4)
    (found,) = result.failures.items()
    assert (result.successes, found[0]) == (3, kind)
    assert message in found[1].first_message


def test_a_server_that_keeps_cutting_is_a_failure() -> None:
    behaviour: Behaviour = lambda _, number: None if number >= 5 else binary_reply()  # noqa: E731
    with FakeInference(infer=behaviour) as server:
        result = against(server, reply_timeout_s=2)
    assert result.successes == 4
    assert result.failures["connection_lost"].count == 16


@pytest.mark.parametrize("says_so", [False, True])
def test_a_server_may_close_after_each_reply(says_so: bool) -> None:
    answer = binary_reply()
    if says_so:
        answer = answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    with FakeInference(infer=lambda *_: answer, close_each=True) as server:
        result = against(server, workers=3, max_queries=60)
        limited = against(server, workers=2, max_queries=30, limit_rps=200.0)
    assert (result.successes, result.failures) == (60, {})
    assert (limited.successes, limited.failures) == (30, {})
    assert result.connections.reconnects >= 57
    assert result.to_json()["Reconnects"] == result.connections.reconnects


@pytest.fixture
def web_page() -> Iterator[FakeInference]:
    page = reply(b"<html>welcome", "Content-Type: text/html")
    paths = {"/v2": page, "/v2/models/m": page, "/v2/models/m/infer": page}
    with FakeInference(paths=paths) as server:
        yield server


def test_a_web_page_instead_is_one_line(cli: Cli, web_page: FakeInference) -> None:
    done = cli("run", "--url", web_page.url, "--model", "m", code=3, errors=1)
    assert "answered a web page for the model m, where JSON is expected" in done.stderr


OR_GIVE = (
    "; if it answers requests all the same, give --input NAME:DATATYPE:SHAPE for each input to send"
)


@pytest.mark.parametrize(
    ("index", "there"),
    [
        ([{"name": "b", "state": "READY"}, {"name": "a", "state": "READY"}], "; there are a, b"),
        ([{"name": "a", "version": "1", "state": "UNAVAILABLE"}], ""),
        ([{"name": "a\nb", "state": "READY"}], "; there are a\\nb"),
        ({"models": ["a"]}, OR_GIVE),
        ([["a"]], OR_GIVE),
        ("a", OR_GIVE),
        (None, OR_GIVE),
    ],
)
def test_a_model_that_is_not_there_is_told_with_those_that_are(
    cli: Cli, index: object, there: str
) -> None:
    with FakeInference(paths={"/v2/repository/index": json_reply(index)}) as server:
        done = cli("run", "--url", server.url, "--model", "other")
    words = f"answered HTTP 404 for the model other: unknown: /v2/models/other{there}\n"
    assert done.stderr == f"aibench-fast: {server.url}/v2/models/other {words}"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--model", "other"], 3, "answered HTTP 404 for the model other: unknown: "),
        (["--model", "m", "--shape", "5"], 2, "makes tensors of 1 x 5; the model's input is x of "),
        (["--model", "m", "--dtype", "INT8"], 2, "datatype INT8: the model's input is x of any"),
        (["--model", "m", "--output", "q"], 2, "--output q: the model m has the outputs y"),
        (["--model", "m", "--input", "q:FP32:4"], 2, "--input q: the model m takes x"),
        (["--model", "m", "--use-dag"], 2, "--use-dag with --url"),
        (["--model", "m", "--pipeline", "2"], 2, "--pipeline with --url"),
        (["--model", "m", "--header", "nothing"], 2, "write 'NAME: VALUE'"),
        (
            ["--model", "m", "--header", "A: env:NOT_THERE"],
            2,
            "the environment has no variable NOT_THERE",
        ),
        (["--model", "m", "--port", "1"], 2, "name one server"),
    ],
)
def test_bad_input_is_one_line(cli: Cli, words: list[str], code: int, told: str) -> None:
    with FakeInference() as server:
        done = cli("run", "--url", server.url, *words)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert told in done.stderr


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "localhost:8000",
            "write SCHEME://HOST:PORT, by grpc, grpcs, http, https, redis or rediss",
        ),
        ("http://me:secret@localhost", "give --header instead"),
        ("http://localhost:99999", "its port is not a number up to 65535"),
        ("http://a:8000,http://b:8000", "write SCHEME://HOST:PORT, one address for each --url"),
    ],
)
def test_a_url_that_is_none_is_one_line(cli: Cli, url: str, told: str) -> None:
    done = cli("run", "--url", url, "--model", "m", code=2, errors=1)
    assert told in done.stderr
    assert "secret" not in done.stderr


def test_no_server_a_redirect_and_another_protocol_are_one_line(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 0.5)
    config = RunConfig(file=None, url=f"http://127.0.0.1:{closed_port}", model="m")
    with pytest.raises(ServerError, match=r"no server answers at .*: connection refused"):
        run(config)
    moved = reply(b"", "Location: http://elsewhere/", status="301 Moved")
    with (
        FakeInference(paths={"/v2/models/m": moved}) as server,
        pytest.raises(ServerError, match="redirects to http://elsewhere/: name that server"),
    ):
        against(server)
    with (
        FakeInference(paths={"/v2/models/m": b"\x15\x03\x01\x00\x02\x02\x46\r\n"}) as server,
        pytest.raises(ServerError, match=r"with no HTTP .*: is it another protocol\?"),
    ):
        against(server)


def test_a_server_that_wants_a_token_is_told_with_how_to_give_it() -> None:
    answer = json_reply({"error": "who?"}, "401 Unauthorized")
    with (
        FakeInference(paths={"/v2/models/m": answer}) as server,
        pytest.raises(ServerError, match=r"HTTP 401 for .*: who\?; .* `headers` 'Auth"),
    ):
        against(server)


@pytest.mark.parametrize(
    ("body", "words"), [(b"no\tentry\r\n here", "'no entry here'"), (b"", "nothing")]
)
def test_a_refusal_is_in_the_servers_words_alone(body: bytes, words: str) -> None:
    """Why a server forbids something is not guessed."""
    answer = reply(body, status="403 Forbidden")
    with (
        FakeInference(paths={"/v2/models/m": answer}) as server,
        pytest.raises(ServerError, match=f"HTTP 403 for the model m: {words}$"),
    ):
        against(server)


@pytest.mark.parametrize(
    ("stats", "words"),
    [
        ({"model_stats": None}, "a value is of another type than expected"),
        ({"model_stats": [{"inference_stats": None}]}, "a value is of another type than expected"),
        ({"model_stats": ["?"]}, "a value is of another type than expected"),
        ({}, "model_stats is missing"),
    ],
)
def test_statistics_that_are_none_are_noted_in_words(stats: object, words: str) -> None:
    paths = {
        "/v2": json_reply({"name": "fake", "version": "1", "extensions": ["statistics"]}),
        "/v2/models/m/stats": json_reply(stats),
    }
    with FakeInference(paths=paths) as server:
        result = against(server)
    told = f"no reading: {server.url} has no statistics of m as Triton does: {words}"
    assert told in result.server.periods["overall"]["notes"]


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Accept-Encoding"])
def test_a_header_that_breaks_the_request_is_refused(name: str) -> None:
    with (
        FakeInference() as server,
        pytest.raises(ConfigError, match=f"`headers` {name}: it changes where a request"),
    ):
        against(server, headers=((name, "5"),))


def test_headers_that_only_tell_are_sent() -> None:
    """Without keep-alive each request has a connection of its own, which is not a failure."""
    with FakeInference(close_each=True) as server:
        headers = (("Connection", "close"), ("Accept-Encoding", "identity"))
        result = against(server, headers=headers)
        assert server.asked[-1].headers["connection"] == "close"
    assert (result.successes, result.failures) == (20, {})
    assert result.connections.reconnects >= 19


def test_a_model_that_is_not_ready_is_told() -> None:
    paths = {"/v2/models/m/ready": json_reply({"error": "loading"}, "400 X")}
    with (
        FakeInference(paths=paths) as server,
        pytest.raises(ServerError, match="the model m is not ready: HTTP 400"),
    ):
        against(server)


def test_a_free_length_is_asked_for() -> None:
    with FakeInference() as server:
        server.model["inputs"][0]["shape"] = [-1, -1]
        with pytest.raises(ConfigError, match="x of any x any FP32: give `shape`"):
            against(server)
        assert against(server, shape=(4,)).successes == 20


def test_a_secret_header_is_in_no_result(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    with FakeInference() as server:
        done = cli(
            "run", "--url", server.url, "--model", "m", "--header", "Authorization: env:TOKEN",
            "--json-out-file", "r.json", "--max-queries", 10, code=0,
        )  # fmt: skip
    assert server.asked[-1].headers["authorization"] == "hunter2"
    written = (tmp_path / "r.json").read_text()
    assert "hunter2" not in written + done.stdout + done.stderr
    told = json.loads(written)
    assert told["Facts"]["Inputs"] == "1 x 4 FLOAT"
    assert told["Query"] == "Open Inference Query - m :infer"


def test_a_mix_over_http() -> None:
    other = {"name": "n", "inputs": [output((1, 2), name="q")], "outputs": [output()]}
    kinds = (
        RequestKind("m", (InputTensor(None, (4,), "FLOAT"),), batch_size=2, weight=3),
        RequestKind("n", (InputTensor(None, (2,), "FLOAT"),)),
    )
    with FakeInference(infer=lambda *_: binary_reply()) as server:
        server.paths = {
            "/v2/models/n": json_reply(other), "/v2/models/n/ready": reply(b""),
        }  # fmt: skip
        result = against(server, mix=kinds, max_queries=300, workers=2)
    heavy, light = result.kinds
    assert heavy.requests + light.requests == 300
    assert heavy.inferences == 2 * heavy.successes
    assert (
        light.successes
        == sum(asked.line.startswith("POST /v2/models/n/") for asked in server.asked) - 1
    )


def test_stats_shows_what_a_server_counts(cli: Cli) -> None:
    success = {"count": 4, "ns": 8_000_000}
    parts = dict.fromkeys(("queue", "compute_input", "compute_infer", "compute_output"), success)
    counted = {"success": success, "fail": {"count": 1, "ns": 0}, **parts}
    stats = {"inference_stats": counted, "inference_count": 12, "execution_count": 3}
    paths = {
        "/v2": json_reply({"name": "fake", "version": "1", "extensions": ["statistics"]}),
        "/v2/models/m/stats": json_reply({"model_stats": [stats]}),
    }
    with FakeInference(paths=paths) as server:
        done = cli("stats", "--url", server.url, "--model", "m")
        read = json.loads(
            cli("stats", "--url", server.url, "--format", "json", "--model", "m").stdout
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert "model_calls:4\nmodel_errors:1\nmodel_samples:12\n" in done.stdout
    assert (
        "mean batch:         3.00 images per request\nexecution:          2.000 ms" in done.stdout
    )
    assert read["Statistics"]["model_infer_us"] == 8000
    with FakeInference() as server:
        none = cli("stats", "--url", server.url, "--model", "m")
    assert (none.returncode, none.stdout, none.stderr.count("\n")) == (3, "", 1)
    assert "has no counters of the model m" in none.stderr
    prompts = cli("stats", "--url", "http://localhost:1/v1/completions", "--model", "m")
    assert (prompts.returncode, prompts.stdout) == (2, "")
    assert "OpenAI's API has no statistics of models" in prompts.stderr


def test_the_port_of_grpc_is_named(cli: Cli) -> None:
    greeting = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

    def answer(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.sendall(greeting)
                connection.recv(1000)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        at = f"127.0.0.1:{listening.getsockname()[1]}"
        done = cli("run", "--url", f"http://{at}", "--model", "m")
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert f"http://{at} speaks gRPC: give the port of HTTP, or write grpc://{at}" in done.stderr
