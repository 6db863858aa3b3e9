"""The head of every HTTP request: questions, trials, a run's requests and metrics have the same."""

from collections.abc import Iterable, Mapping
from urllib.parse import quote

from aibench_fast.protocols.address import HttpAddress

_KEPT_IN_PATHS = "/%:@!$&'()*+,;=~"


def open_head(
    address: HttpAddress, method: str, path: str, more: Mapping[str, str] | None = None
) -> bytes:
    """Return the request line and all headers but the body's lengths.

    A header of the address's that is set here too, or in `more`, takes its place, whatever the case
    of its name; see `address.http_address` for those that may be given.
    """
    given = {name.lower(): value for name, value in address.headers}
    own = {"Host": address.host_field, "Accept-Encoding": "identity", **(more or {})}
    headers = [(name, given.get(name.lower(), value)) for name, value in own.items()]
    set_here = {name.lower() for name in own}
    headers += [one for one in address.headers if one[0].lower() not in set_here]
    at = quote(address.path, safe=_KEPT_IN_PATHS) + path
    return f"{method} {at or '/'} HTTP/1.1\r\n".encode("ascii") + _lines(headers)


def end_of_head(lengths: Mapping[str, int] | None = None) -> bytes:
    """Return the lengths of the body, by the names of their headers, and the empty line."""
    return _lines((lengths or {}).items()) + b"\r\n"


def _lines(headers: Iterable[tuple[str, object]]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("ascii")
