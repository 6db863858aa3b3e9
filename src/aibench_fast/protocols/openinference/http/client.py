"""A client for questions before a run over HTTP, whose replies are JSON."""

import http.client
import json
import re
import ssl
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from aibench_fast.errors import ServerError
from aibench_fast.protocols import handshake
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import (
    CONNECT_TIMEOUT_S,
    MAX_ANSWER_BYTES,
    REPLY_TIMEOUT_S,
    Refusal,
    Refused,
)
from aibench_fast.protocols.openinference.http.bounded import (
    BoundedConnection,
    TooLarge,
    read_body,
)
from aibench_fast.protocols.openinference.http.head import end_of_head, open_head
from aibench_fast.protocols.openinference.reaching import (
    SHOWN_CHARACTERS,
    reason,
    scheme_there,
    spoken,
    unreachable,
)
from aibench_fast.protocols.tls import TlsSettings

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


class Reply(NamedTuple):
    """A reply."""

    status: int
    headers: Mapping[str, str]
    """By their names in lower case."""
    body: bytes


class _TlsConnection(BoundedConnection):
    """As HTTPSConnection, with settings of ours, which may name the server."""

    def __init__(self, address: HttpAddress, settings: TlsSettings) -> None:
        super().__init__(address.host, address.port)
        self._settings = settings

    def connect(self) -> None:
        timeout_s = self.timeout or CONNECT_TIMEOUT_S
        self.sock = handshake.connected(self.host, self.port, self._settings, timeout_s)


def http_connection(address: HttpAddress, timeout_s: float) -> BoundedConnection:
    """Return a connection that is not made yet; by TLS where the address says so."""
    if address.tls:
        connection: BoundedConnection = _TlsConnection(address, address.tls)
    else:
        connection = BoundedConnection(address.host, address.port)
    connection.timeout = timeout_s
    return connection


class HttpClient(AbstractContextManager["HttpClient"]):
    """One connection to a server; ServerError where it does not answer as HTTP."""

    def __init__(self, address: HttpAddress, timeout_s: float = REPLY_TIMEOUT_S) -> None:
        """Connect; ServerError where nothing answers."""
        self._address = address
        self._has_answered = False
        self._connection = http_connection(address, CONNECT_TIMEOUT_S)
        try:
            self._connection.connect()
        except OSError as error:
            self._connection.close()
            raise unreachable(address, error) from error
        self.be_patient(timeout_s)
        self.peer: str = self._connection.sock.getpeername()[0]
        """The numeric address that answers."""

    def be_patient(self, timeout_s: float) -> None:
        """Set the timeout of each whole reply from now on."""
        self._timeout_s = timeout_s
        self._connection.timeout = timeout_s  # of a connection that it opens again

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """GET a path, or POST to it; ServerError if the reply is not HTTP.

        After an error the next question goes out on a new connection.
        """
        method = "GET" if body is None else "POST"
        lengths = {} if body is None else {"Content-Length": len(body)}
        head = open_head(self._address, method, path, headers) + end_of_head(lengths)
        return self.exchange(head + (body or b""), f"{method} {path}")

    def exchange(self, request: bytes, what: str, most_bytes: int = MAX_ANSWER_BYTES) -> Reply:
        """Send a whole request, which messages call `what`; else as `ask`.

        The answer has at most `most_bytes`, its headers among them.
        """
        try:
            response = self._connection.exchange(request, self._timeout_s, most_bytes)
            found = read_body(response)
            if response.will_close:
                self.close()
        except TimeoutError as error:
            self.close()
            raise ServerError(f"{self._address} did not answer {what} in time") from error
        except TooLarge as error:
            self.close()
            raise ServerError(
                f"{self._address} answered {what} with {error}: is it the server that you mean?"
            ) from error
        except (http.client.HTTPException, OSError) as error:
            self.close()
            raise self._no_http(what, error) from error
        self._has_answered = True
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, found)

    def _no_http(self, asked: str, error: http.client.HTTPException | OSError) -> ServerError:
        address = self._address
        if address.tls and isinstance(error, (*handshake.ENDS, ConnectionError)):
            hint = "" if self._has_answered else handshake.wanted_certificate(address.tls)
            return ServerError(f"{address} closed the connection at {asked}{hint}")
        if isinstance(error, ssl.SSLError):
            return handshake.explained(address, error, address.host)
        if (there := scheme_there(address)) not in (None, "http"):
            return ServerError(f"{address} {spoken(address, there)}")
        return ServerError(
            f"{address} answered {asked} with no HTTP ({reason(error)}): is it another protocol?"
        )

    def ask_json(self, path: str, what: str) -> dict[str, Any]:
        """GET a path that answers a JSON object; ServerError, with the server's words, else.

        `what` names what was asked for.
        """
        return json_of(self._address, path, self.ask(path), what)

    def is_closed_by_server(self) -> bool:
        """Return whether the server closed the connection after its last reply unannounced."""
        opened = self._connection.sock
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

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()


def json_of(address: HttpAddress, path: str, reply: Reply, what: str) -> dict[str, Any]:
    """Return a reply's JSON object; ServerError where it is a redirect or something else.

    Refused, a ServerError too, where it is an error.
    """
    where = f"{address}{path}"
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
            message += "; give a token that may, such as `headers` 'Authorization: env:TOKEN'"
        raise Refused(message, refusal(reply.status))
    if not isinstance(document, dict):
        raise ServerError(
            f"{where} answered {_shown(reply)} for {what}, where JSON is expected: does it speak "
            "the Open Inference Protocol?"
        )
    return document


def refusal(status: int) -> Refusal:
    """Return why a server answers with the status of an error."""
    return _REFUSALS.get(status, Refusal.OTHER)


def _words(document: Any, reply: Reply) -> str:
    """Return the server's own words for an error."""
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, str) and error else _shown(reply)


def _shown(reply: Reply) -> str:
    if reply.headers.get("content-type", "").startswith("text/html"):
        title = _TITLE.search(reply.body[:PAGE_BYTES].decode("utf-8", "replace"))
        words = " ".join(title[1].split())[:SHOWN_CHARACTERS] if title else ""
        return f"a web page ({words!r})" if words else "a web page"
    text = " ".join(reply.body[:SHOWN_CHARACTERS].decode("utf-8", "replace").split())
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
