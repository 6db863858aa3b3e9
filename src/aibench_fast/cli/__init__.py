"""Words, options and exit codes: the only place that prints.

Each command is a module with `add_parser(commands)`, which registers the command and sets
`handler`, a function from the parsed options to an exit code.
"""

import argparse
import sys
from collections.abc import Sequence

from aibench_fast import __version__
from aibench_fast.cli import model, prepare, run, serve, show
from aibench_fast.errors import AibenchError

EXIT_INTERRUPTED = 130

EXIT_CODES = """\
exit codes: 0 done; 1 done, and some requests failed; 2 the options or files are wrong;
3 the server is not there or refused; 4 an error of this program; 130 interrupted"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="aibench-fast",
        description="Benchmark model servers that speak RedisAI's commands.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True)
    for command in (run, serve, model, prepare, show):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Errors are one line on stderr unless --debug."""
    options = build_parser().parse_args(argv)
    try:
        code: int = options.handler(options)
        return code
    except AibenchError as error:
        if getattr(options, "debug", False):
            raise
        print(f"aibench-fast: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("aibench-fast: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
