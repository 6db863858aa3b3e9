"""Files from the network: resumed, checked, and under their final name only when whole."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from aibench_fast.errors import ConfigError, ServerError, shown_url
from aibench_fast.files import unwritable

REPLY_TIMEOUT_S = 30.0
READ_BYTES = 1 << 18
# Waits before each attempt that follows one without a new byte; after the last one it gives up.
RETRY_DELAYS_S = (0.5, 1.0, 2.0, 4.0)

Progress = Callable[[int, int | None], None]  # bytes that are here, bytes in all where known


class _Interrupted(Exception):
    """A transfer stopped before its end for a reason that another attempt may not meet."""


def download(
    url: str,
    destination: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Download `url` to `destination`, unless a file with that SHA-256 or size is there.

    A connection that is cut is gone on with from where it stopped. So is what an earlier, stopped
    call left beside the destination, where `sha256` (64 hexadecimal digits) can tell whether the
    two fit together. Raises ConfigError where an argument is wrong or the file cannot be written,
    ServerError where the server refuses, stays away, or serves something else.
    """
    _check_arguments(url, sha256)
    checkable = sha256 is not None or size is not None
    if checkable and destination.is_file() and _mismatch(destination, sha256, size) is None:
        return
    partial = destination.with_name(f".{destination.name}.part")
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        if sha256 is None:
            partial.unlink(missing_ok=True)
        resumed = partial.is_file()
        _transfer(url, partial, progress)
        problem = _mismatch(partial, sha256, size)
        if problem and resumed:  # what was left may be of another file
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
    """The path in a URL of the web; ConfigError where it is none."""
    if not url.strip():
        raise ConfigError("cannot fetch an empty address: write https://HOST/PATH")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"cannot fetch {shown_url(url)}: it is no address") from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(
            f"cannot fetch {shown_url(url)}: give an address that begins with https:// or http://"
        )
    if "@" in parts.netloc:
        raise ConfigError(
            f"cannot fetch {shown_url(url)}: an address with a user or a password is not supported"
        )
    return parts.path


def _check_arguments(url: str, sha256: str | None) -> None:
    path_of(url)
    if sha256 is not None and (
        len(sha256) != 64 or not set(sha256.lower()) <= set("0123456789abcdef")
    ):
        raise ConfigError(f"{sha256!r} is no SHA-256; give its 64 hexadecimal digits")


def _mismatch(file: Path, sha256: str | None, size: int | None) -> str | None:
    """What is wrong with a file, in words; None where nothing is."""
    found_size = file.stat().st_size
    if size is not None and found_size != size:
        return f"it has {found_size:,} bytes, expected {size:,}"
    if sha256 is None:
        return None
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    return None if found == sha256.lower() else f"its SHA-256 is {found}, expected {sha256}"


def _transfer(url: str, partial: Path, progress: Progress) -> None:
    """Go on with `partial` until it is whole, over as many connections as that takes."""
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
    """Append to `partial` what one connection gives; _Interrupted where that is not all of it."""
    done = _size(partial)
    # Compressed on the way, its offsets would not be those of the file.
    headers = {"Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    try:
        with _network_errors(url):
            response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=REPLY_TIMEOUT_S)
    except HTTPError as error:  # 416, the only one let through: there is nothing after `done`
        if error.headers.get("Content-Range") == f"bytes */{done}":
            return
        partial.unlink()
        raise _Interrupted("the server has less of it than is here") from error
    with response:
        if response.status != 206:  # it does not know Range, or nothing was asked of it
            done = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            partial.unlink()
            raise _Interrupted("the server sent another part than was asked for")
        length = response.headers.get("Content-Length")
        total = done + int(length) if length else None
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
    """Sort errors into those that may pass, those that will not, and 416, which stays as it is."""
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
