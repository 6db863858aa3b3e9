"""Option types and groups that more than one command has: the same name means the same everywhere."""

import argparse
from pathlib import Path
from urllib.parse import urlsplit

from aibench_fast.control import ServerAddress
from aibench_fast.errors import ConfigError


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


def add_server_address(parser: argparse.ArgumentParser) -> None:
    """--host and --port, of the server that is to answer."""
    parser.add_argument(
        "--host", default="localhost", help="the server's host (default: localhost)"
    )
    parser.add_argument("--port", type=int, default=6379, help="the server's port (default: 6379)")


def add_server_addresses(parser: argparse.ArgumentParser) -> None:
    """--host, --port and --socket, where --host may list several servers; see `addresses`."""
    parser.add_argument(
        "--host",
        default="localhost",
        metavar="HOST[:PORT],...",
        help="the server's host, or several (default: localhost)",
    )
    parser.add_argument(
        "--port", type=int, default=6379, help="the port of a host without one (default: 6379)"
    )
    parser.add_argument(
        "--socket", type=Path, metavar="PATH", help="the server's unix socket, instead of a host"
    )


def addresses(options: argparse.Namespace) -> list[ServerAddress]:
    """The servers that the options of `add_server_addresses` name; ConfigError where one is wrong.

    An IPv6 address with a port is in brackets: [::1]:6379.
    """
    if options.socket:
        return [ServerAddress(socket=options.socket)]
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
        found.append(ServerAddress(host, options.port if port is None else port))
    return found
