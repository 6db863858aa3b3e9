"""Words, options and exit codes: the only place that prints.

Each command is a module named in `commands.COMMANDS`. Its `add_parser(commands)` registers the
command and sets `handler`, a function from the parsed options to an exit code.

What takes time to import is imported in functions: signals are answered before.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from aibench_fast.cli.commands import COMMANDS
from aibench_fast.cli.ending import EXIT_INTERRUPTED, end_at_once, end_in_order, leave
from aibench_fast.errors import AibenchError, ConfigError, InternalError

if TYPE_CHECKING:
    import argparse

PRINTS_ITS_RESULT = ("export", "compare", "selfcheck", "show", "stats", "tables")
"""Commands that have failed where standard output does not take what they print."""

EXIT_CODES = """\
exit codes: 0 done; 1 done, and some requests failed, an expectation did not hold, a comparison
came out worse, or what was recovered is incomplete;
2 the options or files are wrong; 3 the server is not there or refused;
4 an error of this program; 130 interrupted"""


def build_parser(words: Sequence[str] | None = None) -> "argparse.ArgumentParser":
    """Return the parser of a command line.

    Only the command that `words` begin with is imported: the others would take most of a second.
    None imports all of them, as shell completion needs.
    """
    import argparse

    from aibench_fast import __version__
    from aibench_fast.cli.options.parser import Parser, add_subcommands

    parser = Parser(
        prog="aibench-fast",
        description="Benchmark model servers: those that speak RedisAI's commands, one or a Redis\n"
        "Cluster, and those of the Open Inference Protocol (KServe V2) over HTTP, such as Triton,\n"
        "KServe and MLServer. Both are spoken with or without TLS.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = add_subcommands(parser, "command")
    for name, summary in COMMANDS.items():
        if words is None or words[:1] == [name]:
            import_module(f"{__name__}.commands.{name}").add_parser(commands)
        else:
            commands.add_parser(name, help=summary)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Errors are one line on stderr unless --debug.

    SIGINT, SIGTERM and SIGHUP end it in order, whatever it does. Without `argv` it is the program:
    its words are sys.argv's, and the process ends with the code.
    """
    end_at_once()
    from aibench_fast.cli.output import is_refused, open_streams

    open_streams()
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        code = _run_command(words)
    except KeyboardInterrupt:
        print("aibench-fast: interrupted", file=sys.stderr)
        code = EXIT_INTERRUPTED
    if is_refused() and code == 0 and words[:1] and words[0] in PRINTS_ITS_RESULT:
        code = ConfigError.exit_code
    if argv is None:
        leave(code)
    return code


def _run_command(words: Sequence[str]) -> int:
    import shlex

    options = build_parser(words).parse_args(words)
    options.command_line = shlex.join(["aibench-fast", *words])
    end_in_order()
    try:
        code: int = options.handler(options)
        return code
    except AibenchError as error:
        _tell(error, str(error), options.debug)
        return error.exit_code
    except Exception as error:
        told = f"this should not happen: {type(error).__name__}: {error}; --debug shows where"
        _tell(error, told, options.debug)
        return InternalError.exit_code


def _tell(error: Exception, told: str, debug: bool) -> None:
    """The one line of an error, or its traceback."""
    from aibench_fast.cli.output import note

    if debug:
        import traceback

        traceback.print_exception(error)
    else:
        note(told)
