"""Option types and groups that more than one command has: the same name means the same everywhere."""

import argparse


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
    parser.add_argument("--host", default="localhost", help="the server's host (default: localhost)")
    parser.add_argument("--port", type=int, default=6379, help="the server's port (default: 6379)")
