"""Downloads files: resumes and checks them, and names them only when they are complete."""

import hashlib
import re
import string
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from aibench_fast.errors import ConfigError, ServerError, shown_url
from aibench_fast.files import unwritable

REPLY_TIMEOUT_S = 30.0
READ_BYTES = 1 << 18
# Delays before a retry after an attempt without a new byte; after the last one it gives up.
RETRY_DELAYS_S = (0.5, 1.0, 2.0, 4.0)

Progress = Callable[[int, int | None], None]  # bytes received, and the total if it is known


class _Interrupted(Exception):
    """A transfer stopped early; a retry may succeed."""


def download(
    url: str,
    destination: Path,
    *,
    sha256: str,
    size: int | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Download `url` to `destination`, unless it already has that SHA-256 (64 hexadecimal digits).

    Retries continue where a cut connection stopped, and so does a call after one that was stopped.
    Raises ConfigError if an argument is wrong or the file cannot be written, ServerError if the
    server refuses, does not answer, or serves another file, such as one of another `size`.
    """
    path_of(url)
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ConfigError(f"{sha256!r} is not a SHA-256; give its 64 hexadecimal digits")
    if destination.is_file() and _mismatch(destination, sha256, size) is None:
        return
    partial = destination.with_name(f".{destination.name}.part")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        resumed = partial.is_file()
        _transfer(url, partial, progress)
        problem = _mismatch(partial, sha256, size)
        if problem and resumed:  # the earlier part may be of another file
            partial.unlink()
            _transfer(url, partial, progress)
            problem = _mismatch(partial, sha256, size)
        if problem:
            partial.unlink()
            raise ServerError(f"{shown_url(url)} is not the file asked for: {problem}; check both")
        partial.replace(destination)
    except OSError as error:
        raise unwritable(destination, error) from error


def path_of(url: str) -> str:
    """Return the path of a web URL; ConfigError if it is not one."""
    if not url.strip():
        raise ConfigError("cannot fetch an empty address: write https://HOST/PATH")
    try:
        parts = urlsplit(url)
        _ = parts.port  # ValueError if it is not a port's number
    except ValueError as error:
        raise ConfigError(f"cannot fetch {shown_url(url)}: it is not an address") from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(
            f"cannot fetch {shown_url(url)}: give an address that begins with https:// or http://"
        )
    if "@" in parts.netloc:
        raise ConfigError(
            f"cannot fetch {shown_url(url)}: an address with a user or a password is not supported"
        )
    return parts.path


def _mismatch(file: Path, sha256: str, size: int | None) -> str | None:
    """Return how a file differs from the expected one, in words; None if it does not."""
    found_size = file.stat().st_size
    if size is not None and found_size != size:
        return f"it has {found_size:,} bytes, expected {size:,}"
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    return None if found == sha256.lower() else f"its SHA-256 is {found}, expected {sha256}"


def _transfer(url: str, partial: Path, progress: Progress) -> None:
    """Continue `partial` until it is complete, over as many connections as that takes."""
    failures = 0
    while True:
        before = _size(partial)
        try:
            _receive(url, partial, progress)
            return
        except _Interrupted as interruption:
            failures = 0 if _size(partial) > before else failures + 1
            if failures > len(RETRY_DELAYS_S):
                raise ServerError(
                    f"cannot fetch {shown_url(url)}: {interruption}, {failures} times in a row; is "
                    f"the address right? {_size(partial):,} bytes are kept, and a repeated command "
                    "goes on from there"
                ) from interruption
        if failures:
            time.sleep(RETRY_DELAYS_S[failures - 1])


def _receive(url: str, partial: Path, progress: Progress) -> None:
    """Append the bytes of one connection to `partial`; _Interrupted if some are missing."""
    done = _size(partial)
    address = quote(url, safe=string.punctuation)  # a request has ASCII alone
    # With compression, offsets would not be those of the file.
    headers = {"Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    try:
        with _network_errors(url):
            response: HTTPResponse = urlopen(
                Request(address, headers=headers), timeout=REPLY_TIMEOUT_S
            )
    except HTTPError as error:  # 416, the only one that gets here: nothing follows `done`
        if error.headers.get("Content-Range") == f"bytes */{done}":
            return
        partial.unlink()
        raise _Interrupted("the server's file is shorter than what was received") from error
    with response:
        if response.status != 206:  # it ignores Range, or the request had none
            done = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            partial.unlink()
            raise _Interrupted("the server sent another part than the requested one")
        total = None if response.length is None else done + response.length
        with partial.open("ab" if done else "wb") as file:
            progress(done, total)
            while data := _read(url, response):
                file.write(data)
                done += len(data)
                progress(done, total)
    if total is not None and done < total:
        raise _Interrupted("the connection was cut")


def _read(url: str, response: HTTPResponse) -> bytes:
    with _network_errors(url):
        return response.read1(READ_BYTES)


@contextmanager
def _network_errors(url: str) -> Iterator[None]:
    """Turn errors into _Interrupted, for a retry, or ServerError; let 416 through."""
    try:
        yield
    except HTTPError as error:
        if error.code == 416:
            raise
        answer = f"the server answers {error.code} {error.reason}"
        if error.code >= 500:
            raise _Interrupted(answer) from error
        raise ServerError(
            f"cannot fetch {shown_url(url)}: {answer}; is the address right?"
        ) from error
    except (HTTPException, OSError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise _Interrupted(str(reason) or type(error).__name__) from error


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0
