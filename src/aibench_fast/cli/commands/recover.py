"""`aibench-fast recover`."""

import argparse
from pathlib import Path

from aibench_fast.cli.events import print_unsaved
from aibench_fast.cli.options.parser import add_all
from aibench_fast.cli.output import note
from aibench_fast.errors import ConfigError
from aibench_fast.files import check_outputs, remove_written
from aibench_fast.report import text
from aibench_fast.results.journal import SUFFIX, recover

EXIT_INCOMPLETE = 1


EXAMPLE = "aibench-fast recover results/run.json.journal"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "journal", type=Path, metavar="JOURNAL",
        help="recover this journal; it is removed once the result is saved, unless it is damaged",
    )  # fmt: skip
    of_journal = f"the journal's name without {SUFFIX}"
    add_all(
        parser, {"--json-out-file FILE": f"save the result to this file (default: {of_journal})"}
    )
    parser.set_defaults(handler=_recover)


def _recover(options: argparse.Namespace) -> int:
    file = options.json_out_file or _own_name(options.journal)
    check_outputs([("--json-out-file", file)], [("the journal", options.journal)])
    lost: list[str] = []
    result = recover(options.journal, lost.append)
    try:
        result.save(file)
    except ConfigError:
        print_unsaved(result)
        raise
    print(text.format_summary(result))
    print(f"Recovered {options.journal}, the result is {file}", flush=True)
    if lost:
        note(f"{lost[0]}; {options.journal} is kept")
    else:
        remove_written(options.journal)
    return EXIT_INCOMPLETE


def _own_name(journal: Path) -> Path:
    """Return where the run would have saved its result."""
    if journal.suffix != SUFFIX:
        raise ConfigError(f"{journal} does not end in {SUFFIX}: give --json-out-file")
    file = journal.with_suffix("")
    if file.exists():
        raise ConfigError(f"there is a {file} already: give --json-out-file, or remove {journal}")
    return file
