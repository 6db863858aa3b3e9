"""Replies before the request was sent, interim replies, and replies in another content encoding."""

import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import smallruns
from certificates import Authority, Certificate
from commandline import Cli
from fake_inference import Asked, FakeInference, binary_reply, json_reply, output, reply
from fake_redisai import TOO_LARGE as BULK_TOO_LARGE
from fake_redisai import FakeRedisAI

from aibench_fast import ServerError
from aibench_fast.protocols.address import TlsSettings
from aibench_fast.protocols.settings import Encoding

LARGE = (1024, 1024, 4)
LARGE_BYTES = 16 << 20
"""More than any socket takes at once."""
PAGE = b"<html><head><title>413 Request Entity Too Large</title></head></html>"
TOO_LARGE = reply(
    PAGE, "Content-Type: text/html", "Connection: close", status="413 Request Entity Too Large"
)
SLOW_DOWN = reply(b'{"error": "slow down"}', "Retry-After: 1", status="429 Too Many Requests")


def large_model() -> dict[str, object]:
    return {
        "name": "m", "platform": "none", "outputs": [output()],
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, *LARGE]}],
    }  # fmt: skip


def server(**how: object) -> FakeInference:
    return FakeInference(**({"model": large_model()} | how))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def one_tensor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("large") / "x"
    file.write_bytes(bytes(LARGE_BYTES))
    return file


against = partial(smallruns.against, max_queries=8, reply_timeout_s=10)


def from_third(answer: bytes) -> Callable[[int], bytes | None]:
    """The trial and two requests are let through."""
    return lambda number: answer if number >= 3 else None


AFTER = pytest.mark.parametrize("after", ["close", "read on", "neither"])


@AFTER
def test_an_early_refusal_of_the_trial_is_that(one_tensor: Path, after: str) -> None:
    with (
        server(early=lambda _: TOO_LARGE, after_early=after) as fake,
        pytest.raises(ServerError, match=r"HTTP 413 for the trial .*413 Request Entity Too Large"),
    ):
        against(fake, file=one_tensor, encoding=Encoding.BINARY)


def test_an_early_429_of_the_trial_is_a_busy_server(one_tensor: Path) -> None:
    with server(early=lambda _: SLOW_DOWN, after_early="read on") as fake:
        with pytest.raises(ServerError, match=r"HTTP 429 for the trial request: slow down"):
            against(fake, file=one_tensor)
        assert len(fake.asked) == 1


@AFTER
@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (TOO_LARGE, "error_reply", "HTTP 413: <html><head><title>413 Request Entity Too Large"),
        (SLOW_DOWN, "too_many_requests", "HTTP 429: slow down (Retry-After: 1)"),
        (json_reply({"error": "no"}, "503 X"), "unavailable", "HTTP 503: no"),
        (binary_reply(), "protocol", "answered before the request was sent"),
    ],
    ids=["413", "429", "503", "200"],
)
def test_an_early_reply_in_the_run_is_judged_by_its_status(
    one_tensor: Path, after: str, answer: bytes, kind: str, words: str
) -> None:
    with server(early=from_third(answer), after_early=after) as fake:
        result = against(fake, file=one_tensor)
    assert result.successes == 2
    assert {name: one.count for name, one in result.failures.items()} == {kind: 6}
    assert result.failures[kind].first_message.startswith(words)


def test_a_run_goes_on_after_an_early_refusal(one_tensor: Path) -> None:
    """On a new connection: the rest of the refused request would be taken for the next one."""
    refused = lambda number: SLOW_DOWN if number % 2 else None  # noqa: E731
    with server(early=refused, after_early="read on") as fake:
        result = against(fake, file=one_tensor, max_queries=20)
    assert result.successes == 10
    assert result.failures["too_many_requests"].count == 10
    assert not result.connections.outages


def test_an_early_refusal_by_tls(
    one_tensor: Path, authority: Authority, certificate: Certificate
) -> None:
    told = TlsSettings(ca_file=authority.file)
    with server(early=from_third(TOO_LARGE), tls=certificate.for_server) as fake:
        result = against(fake, file=one_tensor, tls=told)
    assert result.successes == 2
    assert result.failures["error_reply"].count == 6
    with (
        server(early=lambda _: TOO_LARGE, tls=certificate.for_server) as fake,
        pytest.raises(ServerError, match="HTTP 413 for the trial"),
    ):
        against(fake, file=one_tensor, tls=told)


def test_a_server_that_only_cuts_a_large_request_lost_the_connection(one_tensor: Path) -> None:
    with server(early=from_third(b"")) as fake:
        result = against(fake, file=one_tensor)
    assert (result.successes, list(result.failures)) == (2, ["connection_lost"])


to_redis = partial(smallruns.against, model="m", shape=LARGE, max_queries=12)


def test_an_early_error_of_redis_is_that_error(one_tensor: Path) -> None:
    """As of a tensor above proto-max-bulk-len, of which Redis reads nothing."""
    with FakeRedisAI() as fake:
        fake.largest_bulk = 1 << 20
        with pytest.raises(ServerError, match=r"refused AI.TENSORSET: ERR Protocol error: invalid"):
            to_redis(fake, file=one_tensor)


@pytest.mark.parametrize("settings", [{}, {"use_dag": True}, {"pipeline": 4}])
def test_an_early_error_of_redis_in_the_run(one_tensor: Path, settings: dict[str, object]) -> None:
    with FakeRedisAI() as fake:
        fake.largest_bulk = 1 << 20
        fake.large_first = 3  # one of them is the trial's
        result = to_redis(fake, file=one_tensor, **settings)
    assert result.successes == 2
    assert result.failures["error_reply"].first_message == BULK_TOO_LARGE[1:-2].decode()
    others = result.failures.keys() - {"error_reply"}
    # Those that were outstanding behind it.
    assert others == ({"connection_lost"} if "pipeline" in settings else set())


INTERIM = (
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\n\r\n" * 3 + b"HTTP/1.1 103 Early Hints\r\n\r\n",
)


@pytest.mark.parametrize("interim", INTERIM)
@pytest.mark.parametrize("encoding", Encoding)
def test_interim_replies_are_passed_over_everywhere(interim: bytes, encoding: Encoding) -> None:
    def infer(asked: Asked, number: int) -> bytes:
        if encoding is Encoding.BINARY:
            return interim + binary_reply()
        return interim + json_reply({"outputs": [{**output(), "data": [0.5] * 1001}]})

    with FakeInference(infer=infer) as fake:
        fake.paths = {
            "/v2": interim + json_reply({"name": "hinting", "version": "7"}),
            "/v2/models/m": interim + json_reply(fake.model),
            "/v2/models/m/ready": interim + reply(b""),
        }
        result = against(fake, encoding=encoding)
    assert (result.successes, result.failures, result.connections.reconnects) == (8, {}, 0)
    assert result.server.facts.kind == "hinting"


@pytest.mark.parametrize("after", ["read on", "close"])
def test_interim_replies_to_a_large_request_do_not_end_it(one_tensor: Path, after: str) -> None:
    """A server that hints at once, and reads on or refuses then."""
    hint, final = INTERIM[1], TOO_LARGE if after == "close" else b""
    with server(early=lambda number: hint + final if number >= 1 else None) as fake:
        fake.after_early = after
        if after == "close":
            assert against(fake, file=one_tensor).failures["error_reply"].count == 8
            return
        fake.early = lambda _: None
        fake.infer = lambda *_: hint + binary_reply()
        assert against(fake, file=one_tensor).successes == 8


def compressed(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    return reply(gzip.compress(body), "Content-Encoding: gzip", *headers, status=status)


def test_a_compressed_reply_is_named_as_that(cli: Cli, tmp_path: Path) -> None:
    _, _, body = binary_reply().partition(b"\r\n\r\n")
    for answer in (compressed(body), compressed(b"{}", status="500 X")):
        with FakeInference(infer=lambda *_, answer=answer: answer) as fake:  # type: ignore[misc]
            done = cli("run", "--url", fake.url, "--model", "m", code=3, errors=1)
        assert "for the trial request with Content-Encoding: gzip" in done.stderr
    with FakeInference(paths={"/v2/models/m": compressed(b"{}")}) as fake:
        done = cli("run", "--url", fake.url, "--model", "m")
    assert "for the model m with Content-Encoding: gzip" in done.stderr
    for answer, kind, words in (
        (compressed(body), "wrong_reply", "the reply has Content-Encoding: gzip"),
        (compressed(b"{}", status="500 X"), "error_reply", "HTTP 500, its message in Content-Enc"),
        (compressed(b"{}", status="429 X"), "too_many_requests", "HTTP 429, its message in Conten"),
    ):
        odd = lambda _, number, answer=answer: answer if number == 3 else binary_reply()  # noqa: E731
        with FakeInference(infer=odd) as fake:
            result = against(fake)
        assert result.failures[kind].first_message.startswith(words)
        assert result.successes == 7


def test_an_identity_is_no_compression() -> None:
    plain = binary_reply().replace(b"\r\n", b"\r\nContent-Encoding: Identity\r\n", 1)
    with FakeInference(infer=lambda *_: plain) as fake:
        assert against(fake).successes == 8
