"""TLS with real servers: runs, what is refused and in which words, connections that are lost."""

import os
import ssl
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from certificates import Authority, Certificate
from commandline import Cli
from fake_inference import FakeInference, binary_reply, output
from fake_redisai import FakeRedisAI
from tls_redis import MODEL, TlsRedis

from aibench_fast import RunConfig, run
from aibench_fast.errors import ServerError
from aibench_fast.protocols.address import ServerAddress, TlsSettings
from aibench_fast.protocols.redisai import connection
from benchmarks.perf import programs

TENSOR_BYTES = 224 * 224 * 3 * 4


def config(server: TlsRedis, **changes: object) -> RunConfig:
    settings: dict[str, object] = {
        "file": None, "shape": (4,), "model": MODEL, "address": server.address,
        "max_queries": 100,
    }  # fmt: skip
    return RunConfig(**settings | changes)  # type: ignore[arg-type]


def http_config(server: FakeInference, authority: Authority, **changes: object) -> RunConfig:
    settings: dict[str, object] = {
        "file": None, "url": server.url, "model": "m", "max_queries": 100,
        "tls": TlsSettings(ca_file=authority.file),
    }  # fmt: skip
    return RunConfig(**settings | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("pipeline", [1, 8])
def test_thousands_of_requests(server: TlsRedis, pipeline: int) -> None:
    result = run(config(server, workers=4, threads=2, pipeline=pipeline, max_queries=5000))
    assert (result.successes, result.failures) == (5000, {})
    assert result.facts["Tls"].startswith("TLSv1.3 TLS_")


def test_large_tensors_arrive_as_they_were_sent(
    authority: Authority, certificate: Certificate, tensor_file: Path, tmp_path: Path
) -> None:
    answer = os.urandom(TENSOR_BYTES)
    shape = [-1, 224, 224, 3]
    server = FakeInference(
        infer=lambda *_: binary_reply(answer, output((1, TENSOR_BYTES // 4))),
        model={
            "name": "m",
            "platform": "none",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": shape}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, TENSOR_BYTES // 4]}],
        },
        tls=certificate.for_server,
    )
    with server:
        result = run(http_config(server, authority, file=tensor_file, max_queries=21, workers=3))
    assert (result.successes, result.failures) == (21, {})
    sent = {tensor_file.read_bytes()[i * TENSOR_BYTES :][:TENSOR_BYTES] for i in range(7)}
    assert {one.tensors for one in server.asked} == sent


def test_large_tensors_to_redis(server: TlsRedis, tensor_file: Path) -> None:
    result = run(config(server, file=tensor_file, shape=(224, 224, 3), workers=4, max_queries=200))
    assert (result.successes, result.failures) == (200, {})


def test_a_tensor_file_that_shrinks_ends_the_run(server: TlsRedis, tmp_path: Path) -> None:
    file = tmp_path / "shrinks.out"
    file.write_bytes(bytes(20 * TENSOR_BYTES))

    def shrink(event: object) -> None:
        if type(event).__name__ == "Interval":
            os.truncate(file, 0)

    result = run(
        config(
            server, file=file, shape=(224, 224, 3), workers=2, max_queries=0, duration_s=30.0,
            reporting_period_s=0.2,
        ),
        shrink,
    )  # fmt: skip
    assert set(result.failures) == {"tensor_file"}
    assert result.duration_s < 20


def test_a_server_that_was_killed_and_came_back(
    redis_program: Path, authority: Authority, certificate: Certificate
) -> None:
    with TlsRedis(redis_program, authority.file, certificate) as server:

        def restart() -> None:
            time.sleep(0.5)
            server.kill()
            time.sleep(0.7)
            server.start()

        thread = threading.Thread(target=restart)
        thread.start()
        result = run(config(server, workers=3, max_queries=0, duration_s=2.5))
        thread.join()
    (outage,) = result.connections.outages
    assert outage.is_over and 0.6 < outage.seconds < 2
    assert result.failures["connection_lost"].count == 3
    counts = result.counts.all_requests
    assert counts.sent == counts.succeeded + counts.failed + counts.cancelled
    at_end, after_s = result.intervals[-1], outage.after_s + outage.seconds
    in_outage = [
        one for one in result.intervals if one.unix_ms < result.start_unix_ms + after_s * 1000
    ]
    assert at_end.images > in_outage[-1].images


@pytest.mark.parametrize("told_length", [True, False])
def test_a_reply_that_is_cut_short_is_no_success(
    authority: Authority, certificate: Certificate, told_length: bool
) -> None:
    whole = binary_reply()
    cut = whole[:-100] if told_length else whole.replace(b"Content-Length", b"X-Length")
    with FakeInference(
        infer=lambda _, number: cut if number % 2 else whole, tls=certificate.for_server
    ) as server:
        server.abort_after = {1, 3}
        result = run(http_config(server, authority, max_queries=4))
    assert (result.successes, result.failures["connection_lost"].count) == (2, 2)


@pytest.mark.usefixtures("closes_are_waited_for")
def test_a_server_that_closes_each_connection(
    authority: Authority, certificate: Certificate
) -> None:
    with FakeInference(close_each=True, tls=certificate.for_server) as server:
        result = run(http_config(server, authority, max_queries=30, workers=2))
    assert (result.successes, result.failures) == (30, {})
    assert server.resumed > 20  # which spares most of a handshake


def test_no_certificate_is_checked_where_that_is_asked_for(server: TlsRedis) -> None:
    address = replace(server.address, tls=TlsSettings(insecure=True))
    result = run(config(server, address=address))
    assert result.successes == 100
    assert "insecure" in {one.kind for one in result.warnings}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "speaks TLS: give --tls"),
        (["--tls"], "certificate is not trusted"),
        (["--tls", "--cacert", "{ca}", "--host", "127.0.0.2"], "is not for 127.0.0.2"),
        (["--tls", "--cacert", "{ca}", "--tls-server-name", "example.org"], "not for example.org"),
        (["--tls", "--cacert", "{ca}", "--key", "{key}"], "--key {key} without --cert"),
        (["--tls", "--cacert", "{ca}", "--cert", "{cert}"], "--cert {cert} without --key"),
        (["--tls", "--cacert", "/none.pem"], "--cacert /none.pem: No such file"),
        (["--tls", "--cacert", "{key}"], "--cacert {key}: there are no certificates"),
        (["--tls", "--cert", "{ca}", "--key", "{key}"], "the key is another certificate's"),
        (["--cacert", "{ca}"], "--cacert without TLS"),
        (["--tls", "--insecure", "--cacert", "{ca}"], "--insecure with --cacert"),
    ],
)  # fmt: skip
def test_what_is_refused_before_the_run(
    cli: Cli,
    server: TlsRedis,
    authority: Authority,
    certificate: Certificate,
    words: list[str],
    said: str,
) -> None:
    places = {"ca": authority.file, "key": certificate.key, "cert": certificate.certificate}
    given = [word.format(**places) for word in words]
    host = [] if "--host" in words else ["--host", "localhost"]
    done = cli("run", "--shape", "4", *host, "--port", server.port, *given)
    assert done.returncode in (2, 3)
    assert len(done.stderr.splitlines()) == 1
    assert said.format(**places) in done.stderr


def test_tls_with_a_server_that_speaks_none(
    cli: Cli, redis_program: Path, authority: Authority, certificate: Certificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 1.0)
    with TlsRedis(redis_program, authority.file, certificate) as server:
        words = ("--url", f"rediss://localhost:{server.plain_port}", "--cacert", authority.file)
        done = cli("run", "--shape", "4", *words, code=3, errors=1)
    assert "the server does not speak TLS" in done.stderr


def test_an_expired_certificate(redis_program: Path, authority: Authority, cli: Cli) -> None:
    expired = authority.sign("expired", "localhost", expired=True)
    with TlsRedis(redis_program, authority.file, expired) as server:
        url = f"rediss://localhost:{server.port}"
        done = cli("stats", "--url", url, "--cacert", authority.file, code=3, errors=1)
    assert "certificate has expired" in done.stderr


def test_a_server_that_asks_for_a_certificate(
    redis_program: Path, authority: Authority, certificate: Certificate, cli: Cli
) -> None:
    own = authority.sign("client", "client")
    with TlsRedis(redis_program, authority.file, certificate, asks_clients=True) as server:
        with pytest.raises(
            ServerError, match=r"wants a certificate of ours.*give `certificate` and `key`"
        ):
            run(config(server))
        tls = replace(server.tls, certificate=own.certificate, key=own.key)
        result = run(config(server, address=replace(server.address, tls=tls), workers=3))
    assert (result.successes, result.failures) == (100, {})


def test_a_python_server_that_asks_for_a_certificate(
    authority: Authority, certificate: Certificate
) -> None:
    """It cuts a client without one after the handshake, and says nothing."""
    own = authority.sign("client", "client")
    trusted = TlsSettings(ca_file=authority.file)
    known = replace(trusted, certificate=own.certificate, key=own.key)
    asking = certificate.for_server
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(authority.file)
    told = "the connection.*; if it wants a client certificate, give `certificate` and `key`"
    with FakeInference(tls=asking) as server:
        with pytest.raises(ServerError, match=told):
            run(http_config(server, authority))
        assert run(http_config(server, authority, tls=known)).successes == 100
    redis = FakeRedisAI()
    redis.tls = asking
    with redis:
        address = ServerAddress("127.0.0.1", redis.port, tls=trusted)
        asked = RunConfig(file=None, shape=(4,), address=address, max_queries=9)
        with pytest.raises(ServerError, match=told):
            run(asked)
        assert run(replace(asked, address=replace(address, tls=known))).successes == 9


def test_every_command_speaks_it(server: TlsRedis, authority: Authority, cli: Cli) -> None:
    where = ("--url", f"rediss://localhost:{server.port}", "--cacert", authority.file)
    asked = ("--model", MODEL, "--shape", "4", "--max-queries", "200", "--quiet")
    for words in (
        ("model", "load", *where, "--backend", "NULL", "--model", "other"),
        ("stats", *where, "--model", MODEL),
        ("run", *where, *asked),
        ("sweep", *where, *asked, "--workers", "1", "--results-dir", "swept"),
    ):  # fmt: skip
        done = cli(*words)
        assert (words[0], done.returncode, done.stderr) == (words[0], 0, "")


def test_plain_http_where_tls_is_spoken(
    cli: Cli, authority: Authority, certificate: Certificate
) -> None:
    with FakeInference(tls=certificate.for_server) as server:
        done = cli("run", "--url", f"http://127.0.0.1:{server.port}", "--model", "m")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert f"speaks TLS: write https://127.0.0.1:{server.port}" in done.stderr


def test_a_url_with_a_password_is_refused(cli: Cli) -> None:
    for url, said in (
        ("rediss://me:canary@localhost", "--password-file"),
        ("rediss://me:canary", "its port is not a number"),
        ("http://me:canary", "its port is not a number"),
    ):
        done = cli("run", "--shape", "4", "--url", url, code=2, errors=1)
        assert "canary" not in done.stderr and said in done.stderr


def test_unix_sockets_need_none() -> None:
    with pytest.raises(Exception, match="`tls` with `socket`"):
        ServerAddress(socket=Path("s"), tls=TlsSettings())


def test_a_build_without_openssl_says_so(tmp_path: Path) -> None:
    source = tmp_path / "main.c"
    source.write_text(
        '#include <stdio.h>\n#include "tls.h"\n'
        "int main(void) { errstr_t why; return tls_create(NULL, why) ? 1 : puts(why) < 0; }\n"
    )
    program = programs.compile_c(tmp_path / "main", source, *programs.NATIVE.glob("*tls.c"))
    said = programs.output_of([program])
    assert len(said.splitlines()) == 1 and "install libssl-dev" in said
