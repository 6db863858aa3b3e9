"""Answers of embedded servers over HTTP, which say that they are ready."""

import http.client
from contextlib import closing, suppress

ANSWER_TIMEOUT_S = 1.0


def answer_to_get(host: str, port: int, path: str) -> bytes | None:
    """Return the body of the answer to a GET; None without an answer of status 200."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_TIMEOUT_S)
    with closing(connection), suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        reply = connection.getresponse()
        body = reply.read()
        if reply.status == 200:
            return body
    return None
