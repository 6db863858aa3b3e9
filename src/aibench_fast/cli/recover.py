"""`aibench-fast recover`."""

import argparse
from pathlib import Path

from aibench_fast.cli.commands import COMMANDS
from aibench_fast.cli.options import add_command
from aibench_fast.cli.saving import save_or_print
from aibench_fast.errors import ConfigError
from aibench_fast.files import remove_written
from aibench_fast.report import text
from aibench_fast.results.journal import SUFFIX, recover

EXIT_INCOMPLETE = 1


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "recover",
        summary=COMMANDS["recover"],
        example="aibench-fast recover results/run.json.journal",
    )
    parser.add_argument(
        "journal", type=Path, metavar="JOURNAL",
        help="the journal; it is removed when the result is saved",
    )  # fmt: skip
    parser.add_argument(
        "--json-out-file", type=Path, metavar="FILE",
        help=f"save the result here (default: the journal's name without {SUFFIX})",
    )  # fmt: skip
    parser.set_defaults(handler=_recover)


def _recover(options: argparse.Namespace) -> int:
    result = recover(options.journal)
    file = options.json_out_file or _own_name(options.journal)
    save_or_print(result, file)
    print(text.format_summary(result))
    print(f"Recovered {options.journal}, the result is {file}", flush=True)
    remove_written(options.journal)
    return EXIT_INCOMPLETE


def _own_name(journal: Path) -> Path:
    """Where the run was to save its result."""
    if journal.suffix != SUFFIX:
        raise ConfigError(f"{journal} does not end in {SUFFIX}: give --json-out-file")
    file = journal.with_suffix("")
    if file.exists():
        raise ConfigError(f"there is a {file} already: give --json-out-file, or remove {journal}")
    return file
