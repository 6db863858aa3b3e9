"""Secrets: passwords and secret headers.

A password comes from the environment, a file or a prompt; the value of a secret header from the
environment or a file. Arguments are visible in process lists, so neither is ever one.
"""

import ctypes
import getpass
import os
import shlex
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from aibench_fast.cli.output import note
from aibench_fast.errors import ConfigError, misread
from aibench_fast.files import read_text

PASSWORD_VARIABLE = "AIBENCH_PASSWORD"
SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie", "x-api-key")
"""Headers whose values are refused on the command line; in lower case."""
_SET_DUMPABLE = 4  # PR_SET_DUMPABLE
_SOURCES = ("env:", "file:")


def read_headers(given: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return the headers of --header; ConfigError if one is wrong or cannot be read."""
    headers = tuple(_header(words) for words in given)
    if headers:
        _keep_out_of_core_dumps()
    return headers


def header_files(given: Iterable[str]) -> list[Path]:
    """Return the files that --header takes values from."""
    values = (words.partition(":")[2].strip() for words in given)
    return [Path(value.removeprefix("file:")) for value in values if value.startswith("file:")]


def _header(words: str) -> tuple[str, str]:
    name, colon, value = (part.strip() for part in words.partition(":"))
    if not colon or not name:
        raise ConfigError("--header: write 'NAME: VALUE', or 'NAME: env:VARIABLE' for a secret")
    source, _, where = value.partition(":")
    if source == "env":
        if where not in os.environ:
            raise ConfigError(f"--header {name}: the environment has no variable {where}")
        return name, os.environ[where]
    if source == "file":
        try:
            return name, read_text(Path(where)).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--header {name}: cannot read {where}: {misread(error)}") from error
    if name.lower() in SECRET_HEADERS and value:
        raise ConfigError(
            f"--header {name}: process lists would show its value: give '{name}: env:VARIABLE' or "
            f"'{name}: file:PATH'"
        )
    return name, value


def without_secrets(command_line: str) -> str:
    """Return a command line without the values of headers, which may be secret."""
    words = []
    is_header = False
    for word in shlex.split(command_line):
        option, equals, value = word.partition("=")
        if is_header:
            word = _without_value(word)
        elif option == "--header" and equals:
            word = f"--header={_without_value(value)}"
        is_header = word == "--header"
        words.append(word)
    return shlex.join(words)


def _without_value(header: str) -> str:
    name, colon, value = header.partition(":")
    return header if value.strip().startswith(_SOURCES) else f"{name}{colon} ..."


def read_password(file: Path | None, *, ask: bool) -> str | None:
    """Return the password from a file, a prompt or the environment; None without one.

    ConfigError if it cannot be read.
    """
    password = _password(file, ask=ask)
    if password:
        _keep_out_of_core_dumps()
    return password


def _password(file: Path | None, *, ask: bool) -> str | None:
    if file:
        try:
            if file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):  # perhaps meant, in a container
                note(f"--password-file {file}: others can read it; chmod 600 it")
            return read_text(file).partition("\n")[0] or None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read --password-file {file}: {misread(error)}") from error
    if ask:
        if not sys.stdin.isatty():
            raise ConfigError(
                f"--ask-password needs a terminal: set {PASSWORD_VARIABLE} or give --password-file"
            )
        return getpass.getpass() or None
    return os.environ.get(PASSWORD_VARIABLE) or None


def _keep_out_of_core_dumps() -> None:
    """Forbid core dumps and tracing of this process.

    A limit on the size of core files is not enough: handlers that receive them by a pipe ignore it.
    """
    ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)
