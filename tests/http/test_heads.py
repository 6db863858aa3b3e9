"""Headers: what the questions, the trial and the run send is the same, header for header."""

import socket
from collections.abc import Iterator
from functools import partial

import pytest
import smallruns
from commandline import Cli
from fake_inference import Asked, FakeInference, json_reply, output
from hypothesis import given
from hypothesis import strategies as st

from aibench_fast import ConfigError
from aibench_fast.protocols.address import http_address
from aibench_fast.protocols.openinference.http.exchange import end_of_head, open_head
from aibench_fast.protocols.settings import Encoding

against = partial(smallruns.against, max_queries=3)


def in_json(asked: Asked, number: int) -> bytes:
    return json_reply({"outputs": [{**output(), "data": [0.5] * 1001}]})


def lines(asked: Asked) -> list[str]:
    return asked.head.decode().split("\r\n")[1:-2]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("host", "m.example.com"),),
        (("HOST", "m.example.com"), ("X-A", "1"), ("x-a", "2")),
        (("content-type", "application/vnd.example+json"),),
        (("Accept", "application/json"), ("connection", "Keep-Alive")),
        (("ACCEPT-ENCODING", "identity"),),
    ],
)
@pytest.mark.parametrize("encoding", Encoding)
def test_the_run_sends_the_trials_head(
    headers: tuple[tuple[str, str], ...], encoding: Encoding
) -> None:
    told: list[Asked] = []

    def remembered(asked: Asked) -> bytes:
        told.append(asked)
        return json_reply(server.model)

    infer = {} if encoding is Encoding.BINARY else {"infer": in_json}
    with FakeInference(**infer) as server:  # type: ignore[arg-type]
        server.paths = {"/v2/models/m": remembered}
        result = against(server, headers=headers, encoding=encoding)
    assert (result.successes, result.failures) == (3, {})
    trial, *measured = server.asked
    if encoding is Encoding.BINARY:
        assert {asked.head for asked in measured} == {trial.head}
    assert [line.split(":")[0] for line in lines(measured[0])] == [
        line.split(":")[0] for line in lines(trial)
    ]
    for asked in (*told, *server.asked):
        names = [line.split(":")[0].lower() for line in lines(asked)]
        for name, value in headers:
            assert (
                asked.headers[name.lower()]
                == {other.lower(): kept for other, kept in headers}[name.lower()]
            ), value
            given_so_often = sum(other.lower() == name.lower() for other, _ in headers)
            assert names.count(name.lower()) == given_so_often
        for name in ("host", "accept-encoding"):
            assert names.count(name) == 1
        assert asked.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://localhost", "localhost"),
        ("http://localhost:80", "localhost"),
        ("http://localhost:443", "localhost:443"),
        ("https://localhost", "localhost"),
        ("https://localhost:443/a", "localhost"),
        ("https://localhost:80", "localhost:80"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://[::1]", "[::1]"),
        ("http://[::1]:8000/b", "[::1]:8000"),
        ("http://[fe80::1%25eth0]:8000", "[fe80::1]:8000"),
        ("http://bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_host_has_no_default_port(url: str, host: str) -> None:
    head = open_head(http_address(url), "GET", "/v2") + end_of_head()
    assert f"\r\nHost: {host}\r\n".encode() in head
    assert head.count(b"Host:") == 1


def test_a_path_is_sent_as_a_path() -> None:
    head = open_head(http_address("http://h/é a%2Fb/"), "GET", "/v2")
    assert head.startswith(b"GET /%C3%A9%20a%2Fb/v2 HTTP/1.1\r\n")


@pytest.fixture
def on_ipv6() -> Iterator[FakeInference]:
    with socket.socket(socket.AF_INET6) as tried:
        try:
            tried.bind(("::1", 0))
        except OSError:
            pytest.skip("there is no IPv6 here")
    with FakeInference(host="::1") as server:
        yield server


def test_an_ipv6_host_has_its_brackets(on_ipv6: FakeInference) -> None:
    result = against(on_ipv6, url=f"http://[::1]:{on_ipv6.port}")
    assert (result.successes, result.failures) == (3, {})
    assert {asked.headers["host"] for asked in on_ipv6.asked} == {f"[::1]:{on_ipv6.port}"}


@pytest.mark.parametrize(
    "header",
    [
        "content-length: 5", "Content-Encoding: gzip", "TRANSFER-ENCODING: chunked",
        "inference-header-content-length: 9", "Accept-Encoding: gzip", "Connection: upgrade",
        "connection: close, te", "Upgrade: h2c", "Expect: 100-continue",
    ],
)  # fmt: skip
def test_a_header_that_breaks_requests_is_one_line(cli: Cli, header: str) -> None:
    with FakeInference() as server:
        done = cli("run", "--url", server.url, "--model", "m", "--header", header)
        assert server.connections == 0
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "it changes where a request or a reply ends, or how it is encoded" in done.stderr


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ((("Host", "a"), ("host", "b")), "`headers` Host is given more than once"),
        ((("Content-Type", "a"), ("content-type", "a")), "is given more than once"),
        ((("X Y", "1"),), "a header is a line of a name and a value"),
        ((("X-A", "1\r\nX-B: 2"),), "a header is a line of a name and a value"),
        ((("X-A", "é"),), "of ASCII alone"),
    ],
)
def test_what_is_no_header_is_refused(headers: tuple[tuple[str, str], ...], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        http_address("http://localhost", headers)


@given(st.text(min_size=1, max_size=300))
def test_any_host_is_a_host_or_one_line(host: str) -> None:
    try:
        address = http_address(f"http://{host}")
    except ConfigError as error:
        assert str(error).isprintable()
    else:
        assert open_head(address, "GET", "/v2").isascii()


def test_a_given_content_type_decides_what_a_server_takes() -> None:
    """As KServe's documentation gives it; such a server reads the binary form as broken JSON."""

    def strict(asked: Asked, number: int) -> bytes:
        if "inference-header-content-length" in asked.headers:
            assert asked.headers["content-type"] == "application/json"
            return json_reply({"error": "body is no JSON"}, "400 X")
        return in_json(asked, number)

    with FakeInference(infer=strict) as server:
        result = against(server, headers=(("Content-Type", "application/json"),))
    assert (result.successes, result.failures) == (3, {})
    assert result.facts["Encoding"] == "json"
