"""A client for questions before a run over HTTP, whose replies are JSON."""

import http.client
import json
import re
import ssl
from collections.abc import Collection, Mapping
from typing import Any

from aibench_fast._core import judge_http
from aibench_fast.coretypes import AnyHttpPlan, Endpoint, HttpPlan, TokenPlan
from aibench_fast.errors import ServerError
from aibench_fast.protocols import reaching
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import (
    CONNECT_TIMEOUT_S,
    GIVE_TOKEN,
    MAX_ANSWER_BYTES,
    REPLY_TIMEOUT_S,
    Refusal,
    Refused,
)
from aibench_fast.protocols.openinference.http.exchange import (
    BoundedConnection,
    Reply,
    TooLarge,
    end_of_head,
    open_head,
)
from aibench_fast.protocols.session import native_tls

CLOSING_TIMEOUT_S = 0.05
"""How long after its reply a server is given to close the connection."""
PAGE_BYTES = 4096
"""Of a web page, in which its title is looked for."""
_REFUSALS = {
    400: Refusal.NOT_THERE,  # Triton's, of an unknown model
    **dict.fromkeys((404, 405, 501), Refusal.NO_SUCH_CALL),
    **dict.fromkeys((429, 503), Refusal.BUSY),
}
"""By status."""
_TITLE = re.compile(r"<title>([^<]*)</title>", re.IGNORECASE)
MAX_TEXT_BYTES = 64 << 20
MAX_CONTAINERS = 1 << 20
"""Arrays and objects; of numbers the text's length is limit enough."""


class HttpClient:
    """One connection to a server, another after an error; ServerError if it does not speak HTTP."""

    def __init__(self, address: HttpAddress, timeout_s: float = REPLY_TIMEOUT_S) -> None:
        """Connect; ServerError where nothing answers."""
        self._address = address
        self._has_answered = False
        self._connection = BoundedConnection(address, CONNECT_TIMEOUT_S)
        try:
            opened = self._connection.connect()
        except OSError as error:
            raise reaching.unreachable(address, error) from error
        self._peer: str = opened.getpeername()[0]
        self.timeout_s = timeout_s
        """Of each whole reply."""

    def ask(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """GET a path, or POST to it; ServerError if the reply is not HTTP."""
        method = "GET" if body is None else "POST"
        lengths = {} if body is None else {"Content-Length": len(body)}
        head = open_head(self._address, method, path, headers) + end_of_head(lengths)
        return self.exchange(head + (body or b""), f"{method} {path}")

    def exchange(self, request: bytes, what: str, most_bytes: int = MAX_ANSWER_BYTES) -> Reply:
        """Send a whole request, which messages call `what`; the answer has `most_bytes` at most."""
        self._connection.timeout_s = self.timeout_s
        try:
            reply = self._connection.exchange(request, most_bytes)
        except TimeoutError as error:
            raise ServerError(f"{self._address} did not answer {what} in time") from error
        except TooLarge as error:
            raise ServerError(
                f"{self._address} answered {what} with {error}: is it the server that you mean?"
            ) from error
        except (http.client.HTTPException, OSError) as error:
            raise self._no_http(what, error) from error
        self._has_answered = True
        return reply

    def _no_http(self, asked: str, error: http.client.HTTPException | OSError) -> ServerError:
        address = self._address
        if address.tls and isinstance(error, (*reaching.ENDS, ConnectionError)):
            hint = "" if self._has_answered else reaching.wanted_certificate(address.tls)
            return ServerError(f"{address} closed the connection at {asked}{hint}")
        if isinstance(error, ssl.SSLError):
            return reaching.explained(address, error)
        if (there := reaching.scheme_there(address)) not in (None, "http"):
            return ServerError(f"{address} {reaching.spoken(address, there)}")
        why = reaching.reason(error)
        return ServerError(
            f"{address} answered {asked} with no HTTP ({why}): is it another protocol?"
        )

    def ask_json(self, path: str, what: str) -> dict[str, Any]:
        """GET a JSON object, `what` in messages; ServerError, with the server's words, else."""
        return json_of(f"{self._address}{path}", self.ask(path), what)

    def endpoint(self) -> Endpoint:
        """Return where workers connect to, as was found so far."""
        address = self._address
        return Endpoint(
            self._peer,
            address.port,
            tls=native_tls(address.tls, address.host),
            closes_each=self._is_closed_by_server(),
        )

    def _is_closed_by_server(self) -> bool:
        """Return whether the server closed the connection after its last reply unannounced."""
        opened = self._connection.socket
        if opened is None:  # it said so
            return False
        opened.settimeout(CLOSING_TIMEOUT_S)
        try:
            return not opened.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def json_of(where: str, reply: Reply, what: str) -> dict[str, Any]:
    """Return a reply's JSON object; Refused if it is an error, ServerError if anything else."""
    if 300 <= reply.status < 400:
        raise ServerError(
            f"{where} redirects to {reply.headers.get('location', 'another place')}: name that "
            "server in `url`"
        )
    encoding = reply.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise ServerError(
            f"{where} answered HTTP {reply.status} for {what} with Content-Encoding: {encoding}, "
            "though the request says Accept-Encoding: identity; take the compression out"
        )
    try:
        document = parsed(reply.body)
    except TooMuch as error:
        raise ServerError(f"{where} answered {error} for {what}") from error
    except ValueError:
        document = None
    if reply.status >= 400:
        message = f"{where} answered HTTP {reply.status} for {what}: {_words(document, reply)}"
        if reply.status == 401:
            message += f"; {GIVE_TOKEN}"
        raise Refused(message, refusal(reply.status))
    if not isinstance(document, dict):
        raise ServerError(
            f"{where} answered {_shown(reply)} for {what}, where JSON is expected: does it speak "
            "the Open Inference Protocol?"
        )
    return document


def judged(
    plan: HttpPlan | AnyHttpPlan | TokenPlan, reply: Reply, status: int, names: Collection[str]
) -> str | None:
    """Return why a run would fail a reply of this status, with its headers of these names."""
    head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(reply.body)}\r\n"
    for name in names:
        if name in reply.headers:
            head += f"{name}: {reply.headers[name]}\r\n"
    return judge_http(plan, f"{head}\r\n".encode("latin-1") + reply.body)


def refusal(status: int) -> Refusal:
    """Return why a server answers with the status of an error."""
    return _REFUSALS.get(status, Refusal.OTHER)


def _words(document: Any, reply: Reply) -> str:
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, str) and error else _shown(reply)


def _shown(reply: Reply) -> str:
    if reply.headers.get("content-type", "").startswith("text/html"):
        title = _TITLE.search(reply.body[:PAGE_BYTES].decode("utf-8", "replace"))
        words = " ".join(title[1].split())[: reaching.SHOWN_CHARACTERS] if title else ""
        return f"a web page ({words!r})" if words else "a web page"
    text = " ".join(reply.body[: reaching.SHOWN_CHARACTERS].decode("utf-8", "replace").split())
    return repr(text) if text else "nothing"


class TooMuch(ValueError):
    """A JSON text is too large, or nested too deep."""


def parsed(text: bytes) -> Any:
    """Parse a JSON text; ValueError if it is not JSON, TooMuch if it is too large."""
    if len(text) > MAX_TEXT_BYTES:
        raise TooMuch(f"more than {MAX_TEXT_BYTES:,} bytes of JSON")
    if text.count(b"[") + text.count(b"{") > MAX_CONTAINERS:
        raise TooMuch(f"more than {MAX_CONTAINERS:,} arrays and objects")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise TooMuch("arrays and objects nested too deep") from error
