"""Option types and groups that more than one command has: one name means the same everywhere."""

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import urlsplit

from aibench_fast.errors import ConfigError, escaped
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.units import duration_s, size_bytes

PASSWORD_VARIABLE = "AIBENCH_PASSWORD"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all errors of the command line are."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the words, and leave with the caller's exit code."""
        told = f"aibench-fast: {escaped(message)}; see {self.prog} --help\n"
        self.exit(ConfigError.exit_code, told)


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    *,
    summary: str,
    example: str,
) -> argparse.ArgumentParser:
    """Register a command whose help ends with an example; every command has --debug."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--debug", action="store_true", help="show a traceback where an error ends the command"
    )
    return parser


def add_server_address(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """--host, --port and --socket, of the server that is to answer, or of `several`.

    `addresses` reads the latter.
    """
    group = parser.add_argument_group("which server")
    group.add_argument(
        "--host",
        default="localhost",
        metavar="HOST[:PORT],..." if several else "HOST",
        help=f"the server's host{', or several' if several else ''} (default: localhost)",
    )
    group.add_argument("--port", type=int, default=6379, help="the server's port (default: 6379)")
    group.add_argument(
        "--socket", type=Path, metavar="PATH", help="the server's unix socket, instead of a host"
    )


def add_url(parser: argparse.ArgumentParser) -> None:
    """A server of the Open Inference Protocol, by its URL; `read_headers` reads its --header."""
    group = parser.add_argument_group("or a server of the Open Inference Protocol")
    group.add_argument(
        "--url", metavar="http://HOST:PORT", help="of Triton, KServe, MLServer and others"
    )
    group.add_argument(
        "--metrics-url", metavar="http://HOST:PORT/metrics",
        help="where it tells Prometheus of itself (default: looked for at its own /metrics, and of "
        "MLServer at port 8082)",
    )  # fmt: skip
    group.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'",
        help="sent with every request; a value of env:VARIABLE or file:PATH is read from there, so "
        "that a token is in no process list",
    )  # fmt: skip


def read_headers(options: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """The headers of --header; ConfigError where one is none, or cannot be read."""
    return tuple(_header(words) for words in options.header)


def _header(words: str) -> tuple[str, str]:
    name, colon, value = (part.strip() for part in words.partition(":"))
    if not colon or not name:
        raise ConfigError("--header: write 'NAME: VALUE', or 'NAME: env:VARIABLE' for a secret")
    source, _, where = value.partition(":")
    if source == "env":
        if where not in os.environ:
            raise ConfigError(f"--header {name}: there is no variable {where}")
        return name, os.environ[where]
    if source == "file":
        try:
            return name, Path(where).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"--header {name}: cannot read {where}: {error}") from error
    return name, value


def add_login(parser: argparse.ArgumentParser) -> None:
    """--user, --password-file and --ask-password, which `addresses` reads."""
    group = parser.add_argument_group(
        "logging in", f"the password comes from {PASSWORD_VARIABLE}, a file or a prompt"
    )
    group.add_argument("--user", metavar="NAME", help="log in as this user (default: default)")
    group.add_argument(
        "--password-file", type=Path, metavar="FILE", help="the password is this file's first line"
    )
    group.add_argument("--ask-password", action="store_true", help="ask for the password")


def read_password(file: Path | None, *, ask: bool) -> str | None:
    """Return the password from a file, a prompt, or the environment; None where there is none.

    Never an argument: those are in the process list. ConfigError where it cannot be read.
    """
    if file:
        try:
            return file.read_text().partition("\n")[0] or None
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read --password-file {file}: {error}") from error
    if ask:
        if not sys.stdin.isatty():
            raise ConfigError(
                "a password can be asked for on a terminal alone: "
                f"set {PASSWORD_VARIABLE} or give --password-file"
            )
        return getpass.getpass() or None
    return os.environ.get(PASSWORD_VARIABLE) or None


def _login(options: argparse.Namespace) -> tuple[str | None, str | None]:
    """The user and the password of the options of `add_login`."""
    password = read_password(options.password_file, ask=options.ask_password)
    if options.user and not password:
        raise ConfigError(
            f"--user {options.user} without a password: set {PASSWORD_VARIABLE}, or give "
            "--password-file or --ask-password"
        )
    return options.user, password


def addresses(options: argparse.Namespace) -> list[ServerAddress]:
    """The servers that the options of `add_server_address` and `add_login` name.

    ConfigError where one is wrong. An IPv6 address with a port is in brackets: [::1]:6379.
    """
    user, password = _login(options)
    if options.socket:
        return [ServerAddress(socket=options.socket, user=user, password=password)]
    found = []
    for item in options.host.split(","):
        # A bare IPv6 address has more colons than a host and a port.
        bracketed = f"[{item}]" if item.count(":") > 1 and not item.startswith("[") else item
        try:
            parts = urlsplit(f"//{bracketed.strip()}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"--host {options.host}: {item!r} is no host: {error}") from error
        if not host or parts.netloc != bracketed.strip() or "@" in parts.netloc:
            raise ConfigError(
                f"--host {options.host}: {item!r} is no host; write host or host:port, and commas "
                "between several"
            )
        port = options.port if port is None else port
        if not 1 <= port <= 65535:
            raise ConfigError(f"--port {port}: a port is a number from 1 to 65535")
        found.append(ServerAddress(host, port, user=user, password=password))
    return found


def seconds(words: str) -> float:
    """A duration as Go writes it (`1000ms`, `1s`, `1m30s`, `0`), in seconds."""
    try:
        return duration_s(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class BurnIn(NamedTuple):
    """How long a run burns in; one of the three."""

    requests: int = 0
    seconds: float = 0.0
    until_steady: bool = False


def burn_in(words: str) -> BurnIn:
    """A burn-in: requests (`100`), seconds (`5s`), or `auto`, until the state is steady."""
    if words == "auto":
        return BurnIn(until_steady=True)
    if words.lstrip("-").isdecimal():
        return BurnIn(requests=int(words))
    return BurnIn(seconds=seconds(words))


def size(words: str) -> int:
    """A size such as `512MiB`, in bytes."""
    try:
        return size_bytes(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def shape(words: str) -> tuple[int, ...]:
    """A tensor's shape: `16`, or `224,224,3`."""
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{words!r} is no shape; write numbers with commas between them, such as 224,224,3"
        ) from error


def boolean(word: str) -> bool:
    """A boolean as Go's flags take it."""
    if word.lower() in ("1", "t", "true"):
        return True
    if word.lower() in ("0", "f", "false"):
        return False
    raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
