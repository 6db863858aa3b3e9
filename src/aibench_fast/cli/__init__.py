"""The command line: options, exit codes and everything that is printed.

Each command is a module named in `commands.COMMANDS`. It has an EXAMPLE for the help, and its
`add_options(parser)` sets `handler`, a function from the parsed options to an exit code.

Slow imports are inside functions, so that signals are handled before they begin.
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
"""Commands that fail if standard output does not accept what they print."""

EXIT_CODES = """\
exit codes:
  0    success
  1    completed, but requests failed, an expectation did not hold, a comparison found B worse,
       or a recovered result is incomplete
  2    wrong options or files
  3    the server cannot be reached, or refused
  4    a bug in this program
  130  interrupted"""


def build_parser(words: Sequence[str] | None = None) -> "argparse.ArgumentParser":
    """Return the parser of a command line.

    Only the command at the start of `words` is imported, because all of them take most of a second.
    Shell completion needs all of them: None.
    """
    import argparse

    from aibench_fast import __version__
    from aibench_fast.cli.options.parser import Parser, add_command, add_subcommands

    parser = Parser(
        prog="aibench-fast",
        description="Benchmark model servers: RedisAI, as one server or a Redis Cluster, and\n"
        "servers of the Open Inference Protocol over HTTP and gRPC, such as Triton, KServe and\n"
        "MLServer.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = add_subcommands(parser, "command")
    for name, summary in COMMANDS.items():
        if words is None or words[:1] == [name]:
            module = import_module(f"{__name__}.commands.{name}")
            module.add_options(add_command(commands, name, summary, module.EXAMPLE))
        else:
            commands.add_parser(name, help=summary)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Errors are one line on stderr unless --debug.

    SIGINT, SIGTERM and SIGHUP end the command in order. Without `argv` the words are those of
    sys.argv, and the process exits with the code.
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


def _run_command(typed: Sequence[str]) -> int:
    import shlex

    from aibench_fast.cli.output import note

    options = build_parser(typed).parse_args(typed)
    options.command_line = shlex.join(["aibench-fast", *typed])
    end_in_order()
    try:
        return int(options.handler(options))
    except Exception as raised:
        error = raised
        if isinstance(raised, OSError) and raised.filename:  # wherever a path is looked at
            error = ConfigError(f"cannot use {raised.filename}: {raised.strerror}; name another")
        if options.debug:
            import traceback

            traceback.print_exception(raised)
        elif isinstance(error, AibenchError):
            note(str(error))
        else:
            bug = f"this is a bug: {type(error).__name__}: {error}"
            note(f"{bug}; --debug shows the traceback")
        return error.exit_code if isinstance(error, AibenchError) else InternalError.exit_code
