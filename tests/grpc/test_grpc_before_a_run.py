"""Questions to a server over gRPC before and after a run; bad input, one line before the clock."""

import base64
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
import smallruns
from certificates import Authority, Certificate
from commandline import Cli
from fake_inference import FakeInference
from fake_redisai import FakeRedisAI
from google.protobuf.message import Message
from service import MODEL, VALUES, WELL, Answers, Counted, echo, serving
from tritonclient.grpc import service_pb2 as triton

from aibench_fast import ConfigError, RunConfig, ServerError
from aibench_fast.protocols.address import TlsSettings
from aibench_fast.protocols.openinference.grpc import client as grpc_client
from aibench_fast.protocols.openinference.settings import SharedMemory

INPUT = f"x:FP32:{VALUES}"


against = partial(smallruns.against, model=MODEL, max_queries=50)


@pytest.fixture(scope="module")
def polite() -> Iterator[int]:
    with serving() as port:
        yield port


def refused(cli: Cli, *words: str) -> str:
    """The one line of a run that does not start, as its server's error."""
    done = cli("run", *words, "--quiet", code=3, errors=1)
    return done.stderr


def test_a_run_has_its_facts_and_its_label(polite: int) -> None:
    result = against(polite, workers=2)
    assert (result.successes, result.failures) == (50, {})
    assert result.facts["Nghttp2"].count(".") == 2
    assert result.setup.query_label == "Open Inference Query - m :ModelInfer"
    assert result.server.facts.address == f"grpc://127.0.0.1:{polite}"
    assert (result.server.facts.kind, result.server.facts.version) == ("polite", "1")


def test_the_server_has_the_run_s_requests_in_its_statistics() -> None:
    counted = Counted()
    answers: Answers = {
        **WELL, "ModelInfer": counted.infer, "ModelStatistics": counted.statistics,
    }  # fmt: skip
    with serving(answers) as port:
        result = against(port)
    found = result.server.periods["overall"]
    assert (found["model_calls"], found["model_samples"]) == (50, 50)
    assert found["model_duration_us"] == found["model_infer_us"] == 50
    assert counted.requests == 51  # with the trial


def test_metadata_goes_with_every_call() -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    def noted(method: str) -> Any:
        def answer(asked: Any, context: grpc.ServicerContext) -> Message:
            metadata = {str(key): value for key, value in context.invocation_metadata()}
            seen.append((method, metadata | {"authority": _authority(context)}))
            return WELL[method](asked, context)

        return answer

    headers = (
        ("Authorization", "Bearer canary"), ("X-Bytes-Bin", base64.b64encode(b"\0\xff").decode()),
        ("Host", "models.example.org"), ("User-Agent", "mine/1"),
    )  # fmt: skip
    with serving({method: noted(method) for method in WELL}) as port:
        against(port, headers=headers)
    assert {method for method, _ in seen} == set(WELL) - {"RepositoryIndex"}
    assert sum(method == "ModelInfer" for method, _ in seen) == 51
    for _, metadata in seen:
        assert metadata["authorization"] == "Bearer canary"
        assert metadata["x-bytes-bin"] == b"\0\xff"
        assert metadata["user-agent"] == "mine/1"
        assert metadata["authority"] == "models.example.org"
        assert "host" not in metadata


def _authority(context: grpc.ServicerContext) -> str:
    """The authority that was asked for, which grpcio has in a call's event alone."""
    return str(context._rpc_event.call_details.host.decode())  # type: ignore[attr-defined]


def test_a_server_without_metadata_is_run_by_its_inputs_alone(cli: Cli) -> None:
    with serving({"ModelInfer": echo}) as port:
        url = ("--url", f"grpc://127.0.0.1:{port}", "--model", MODEL)
        cli("run", *url, "--input", INPUT, "--max-queries", "20", "--quiet", code=0, errors=0)
        told = refused(cli, *url)
    assert "answered UNIMPLEMENTED for the model m: Method not found!; does it have" in told
    assert "give --input NAME:DATATYPE:SHAPE" in told


@pytest.mark.parametrize("words", [(), ("--input", INPUT)])
def test_a_server_without_the_service_is_named(cli: Cli, words: tuple[str, ...]) -> None:
    with serving(service="some.Other") as port:
        told = refused(cli, "--url", f"grpc://127.0.0.1:{port}", "--model", MODEL, *words)
    assert "answered UNIMPLEMENTED for the " in told
    assert "does it have inference.GRPCInferenceService, the Open Inference Protocol's" in told


@pytest.mark.parametrize("words", [(), ("--input", INPUT)])
def test_an_unknown_model_or_version_is_named(
    cli: Cli, polite: int, words: tuple[str, ...]
) -> None:
    url = ("--url", f"grpc://127.0.0.1:{polite}")
    told = refused(cli, *url, "--model", "nosuch", *words)
    assert (
        "answered NOT_FOUND for the model nosuch: no model nosuch, version any; there are m\n"
        in told
    )
    told = refused(cli, *url, "--model", MODEL, "--model-version", "7", *words)
    assert "answered NOT_FOUND for the model m: no model m, version 7" in told


def test_a_model_that_is_not_ready_is_told() -> None:
    not_ready: Answers = {"ModelReady": lambda *_: triton.ModelReadyResponse(ready=False)}
    with serving({**WELL, **not_ready}) as port, pytest.raises(ServerError, match="m is not ready"):
        against(port)


def test_a_message_that_is_too_large_says_what_to_allow(cli: Cli) -> None:
    with serving(options=[("grpc.max_receive_message_length", 1000)]) as port:
        url = ("--url", f"grpc://127.0.0.1:{port}", "--model", MODEL)
        told = refused(cli, *url, "--batch-size", "100")
    assert "answered RESOURCE_EXHAUSTED for the trial request" in told
    assert "grpc_max_message_length" in told
    assert "--grpc_max_receive_message_length" in told


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "give a token that may"),
        (grpc.StatusCode.PERMISSION_DENIED, "give a token that may"),
        (grpc.StatusCode.INTERNAL, "no such thing"),
        (grpc.StatusCode.UNAVAILABLE, "no such thing"),
    ],
)
def test_a_refused_trial_is_in_the_server_s_words(code: grpc.StatusCode, advice: str) -> None:
    def answer(_: Any, context: grpc.ServicerContext) -> Message:
        context.abort(code, "no such thing")
        raise AssertionError

    with serving({**WELL, "ModelInfer": answer}) as port, pytest.raises(ServerError) as raised:
        against(port)
    assert f"answered {code.name} for the trial request: no such thing" in str(raised.value)
    assert advice in str(raised.value)


def _replied(**changes: Any) -> Answers:
    def answer(asked: Any, context: grpc.ServicerContext) -> Message:
        reply: Any = echo(asked, context)
        for name, value in changes.items():
            reply.ClearField(name)
            getattr(reply, name).extend(value)
        return reply

    return {**WELL, "ModelInfer": answer}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"outputs": []}, "answered with 0 outputs"),
        ({"raw_output_contents": []}, "answered with 1 outputs of 16 bytes|answered wrongly"),
        ({"raw_output_contents": [bytes(12)]}, "1 outputs of 16 bytes, and 12 bytes came"),
        ({"raw_output_contents": [bytes(16)] * 2}, "1 outputs of 16 bytes, and 32 bytes came"),
    ],
)
def test_a_wrong_reply_to_the_trial_is_told(changes: Any, words: str) -> None:
    with serving(_replied(**changes)) as port, pytest.raises(ServerError, match=words):
        against(port)


def test_a_port_of_http_given_as_grpc_and_the_other_way_round(cli: Cli, polite: int) -> None:
    with FakeInference() as http:
        told = refused(cli, "--url", f"grpc://127.0.0.1:{http.port}", "--model", MODEL)
        assert f"speaks HTTP/1.1: give the port of gRPC, or write {http.url}\n" in told
    told = refused(cli, "--url", f"http://127.0.0.1:{polite}", "--model", MODEL)
    there = f"grpc://127.0.0.1:{polite}"
    assert f"speaks gRPC: give the port of HTTP, or write {there}\n" in told


@pytest.fixture
def secured(certificate: Certificate) -> Iterator[int]:
    with serving(credentials=credentials(certificate)) as port:
        yield port


def credentials(
    certificate: Certificate, authority: Authority | None = None
) -> grpc.ServerCredentials:
    pair = (certificate.key.read_bytes(), certificate.certificate.read_bytes())
    if authority is None:
        return grpc.ssl_server_credentials([pair])
    return grpc.ssl_server_credentials([pair], authority.file.read_bytes(), True)


def test_tls(cli: Cli, secured: int, authority: Authority) -> None:
    url = ("--url", f"grpcs://localhost:{secured}", "--model", MODEL)
    cli("run", *url, "--cacert", authority.file, "--max-queries", "20", "--quiet", code=0, errors=0)
    result = against(
        secured, url=f"grpcs://localhost:{secured}", tls=TlsSettings(ca_file=authority.file)
    )
    assert (result.successes, result.failures) == (50, {})
    assert result.facts["Tls"].startswith("TLSv1.")
    assert "certificate is not trusted" in refused(cli, *url)


def test_tls_to_a_plain_port_and_plain_to_one_of_tls(
    cli: Cli, polite: int, secured: int, authority: Authority
) -> None:
    told = refused(cli, "--url", f"grpcs://127.0.0.1:{polite}", "--model", MODEL)
    assert f"no TLS with grpcs://127.0.0.1:{polite}: the server does not speak TLS" in told
    told = refused(cli, "--url", f"grpc://127.0.0.1:{secured}", "--model", MODEL)
    assert f"speaks gRPC by TLS: write grpcs://127.0.0.1:{secured}\n" in told
    told = refused(cli, "--url", f"http://127.0.0.1:{secured}", "--model", MODEL)
    assert (
        f"speaks gRPC by TLS: give the port of HTTP, or write grpcs://127.0.0.1:{secured}" in told
    )


def test_a_server_of_https_is_named(
    cli: Cli, authority: Authority, certificate: Certificate
) -> None:
    with FakeInference(tls=certificate.for_server) as server:
        for scheme in ("grpc", "grpcs"):
            url = ("--url", f"{scheme}://localhost:{server.port}", "--cacert", authority.file)
            told = refused(cli, *url[: 4 if scheme == "grpcs" else 2], "--model", MODEL)
            assert "speaks TLS: give the port of gRPC, or write https://localhost" in told


def test_a_server_that_wants_a_certificate(authority: Authority, certificate: Certificate) -> None:
    ours = authority.sign("client", "client")
    with serving(credentials=credentials(certificate, authority)) as port:
        url = f"grpcs://localhost:{port}"
        with pytest.raises(ServerError, match="give `certificate` and `key`"):
            against(port, url=url, tls=TlsSettings(ca_file=authority.file))
        tls = TlsSettings(ca_file=authority.file, certificate=ours.certificate, key=ours.key)
        assert against(port, url=url, tls=tls).successes == 50


def test_nobody_and_silence_are_one_line(
    cli: Cli, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = refused(cli, "--url", f"grpc://127.0.0.1:{closed_port}", "--model", MODEL)
    assert "no server answers at grpc://127.0.0.1" in told
    monkeypatch.setattr(grpc_client, "CONNECT_TIMEOUT_S", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"grpc://127.0.0.1:{silent.getsockname()[1]}"
        told = refused(cli, "--url", url, "--model", MODEL)
        assert "did not answer in time what every client of gRPC says first" in told
    with FakeRedisAI() as other:
        url = f"grpc://127.0.0.1:{other.port}"
        assert "does not speak HTTP/2" in refused(cli, "--url", url, "--model", MODEL)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "grpc://localhost"}, "write grpc://HOST:PORT or grpcs://HOST:PORT"),
        ({"url": "grpc://localhost:1/v2"}, "write grpc://HOST:PORT or grpcs://HOST:PORT"),
        ({"url": "grpc://a@localhost:1"}, "`url` with a user or a password"),
        ({"url": "grpc://localhost:1", "tls": TlsSettings()}, "write grpcs://"),
        ({"others": ("http://localhost:2",)}, "in one run: it speaks one protocol"),
        ({"shared_memory": SharedMemory.ALL, "pipeline": 2}, "`shared_memory` all has no such"),
        ({"encoding": "json"}, "`encoding` with `url`: .* over gRPC has no such setting"),
        ({"headers": (("te", "x"),)}, "`headers` te: gRPC sets it itself"),
        ({"headers": (("Grpc-Timeout", "1S"),)}, "`headers` grpc-timeout: gRPC sets it itself"),
        ({"headers": ((":path", "/"),)}, "`headers` :path: gRPC sets it itself"),
        ({"headers": (("a b", "x"),)}, "`headers` 'a b': a name of gRPC metadata"),
        ({"headers": (("a", "caf\u00e9"),)}, "`headers` a: a value is a line of ASCII"),
        ({"headers": (("a-bin", "no base64"),)}, "`headers` a-bin: give its bytes in base64"),
        ({"headers": (("host", "a"), ("Host", "b"))}, "`headers` host is given more than once"),
        ({"headers": tuple((f"a{n}", "x" * 500) for n in range(80))}, "`headers`: .* in all"),
    ],
)
def test_settings_that_cannot_be_used(changes: dict[str, Any], words: str) -> None:
    settings: dict[str, Any] = {"file": None, "url": "grpc://localhost:1", "model": MODEL}
    with pytest.raises(ConfigError, match=words):
        RunConfig(**settings | changes)


def test_secrets_are_in_nothing_that_is_said_or_saved(
    cli: Cli, polite: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "canary")
    where = ("--url", f"grpc://127.0.0.1:{polite}", "--header", "Authorization: env:TOKEN")
    done = cli(
        "run", *where, "--model", MODEL, "--max-queries", 20, "--json-out-file", "r.json", "--debug"
    )
    assert done.returncode == 0, done.stderr
    bad = cli("run", *where, "--header", "te: x", "--model", MODEL, "--debug")
    unknown = cli("run", *where, "--model", "nosuch", "--debug")
    for one in (done, bad, unknown):
        assert "canary" not in one.stdout + one.stderr
    assert "canary" not in (tmp_path / "r.json").read_text()


def test_every_address_of_a_name_is_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [
        (socket.AF_INET, 1, 6, "", ("10.0.0.1", 1)), (socket.AF_INET, 1, 6, "", ("10.0.0.2", 1)),
    ])  # fmt: skip
    config = RunConfig(file=None, url="grpcs://models:8001", model=MODEL, all_addresses=True)
    assert config.protocol.with_all_addresses() == {
        "url": "grpcs://10.0.0.1:8001", "others": ("grpcs://10.0.0.2:8001",),
        "tls": TlsSettings(server_name="models"),
    }  # fmt: skip
