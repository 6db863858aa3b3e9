"""The parser of the command line: options with typed values, one-line errors, and examples."""

import argparse
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from enum import EnumType
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from aibench_fast import units
from aibench_fast.cli.options.secrets import PASSWORD_VARIABLE
from aibench_fast.errors import ConfigError, escaped

Settings = TypeVar("Settings")
Value = TypeVar("Value")
_RANGE = re.compile(r"(\d+):(\d+):(\d+)")


def by_name(kind: type[Settings], options: argparse.Namespace, **own: Any) -> Settings:
    """Return a dataclass whose fields are `own`, or options with the same `dest`."""
    names = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: value for name, value in vars(options).items() if name in names} | own)


def refuse(options: Mapping[str, object], why: str) -> None:
    """Raise ConfigError for the first of these options that is given: its name, and why."""
    for name, value in options.items():
        if value:
            raise ConfigError(f"{name} {why}")


def typed(read: Callable[[str], Value], mistake: str | None = None) -> Callable[[str], Value]:
    """Return the type of options that `read` reads.

    Where it raises ValueError, the message is the value and `mistake` (default: the error's own).
    """

    def read_option(words: str) -> Value:
        try:
            return read(words)
        except ValueError as error:
            message = str(error) if mistake is None else f"{words!r}{mistake}"
            raise argparse.ArgumentTypeError(message) from error

    return read_option


seconds = typed(units.duration_s)
size = typed(units.size_bytes)
number_range = typed(units.number_range)


def member_of(members: Collection[str]) -> Callable[[str], str]:
    """Return a reader of an enumeration's members; another word stays one, and is no choice."""
    return lambda word: next((one for one in members if one == word), word)


def _several(kind: Callable[[str], Value], mistake: str) -> Callable[[str], tuple[Value, ...]]:
    """Return the type of values separated by commas."""
    return typed(lambda words: tuple(map(kind, words.split(","))), mistake)


ports = _several(int, " is not a port; write a number, or several separated by commas")
statuses = _several(int, " is not a status; write numbers separated by commas, such as 200,202")
shape = _several(int, " is not a shape; write numbers separated by commas, such as 224,224,3")
rates = _several(float, ": write rates such as 50,100")
_integers = _several(int, ": write numbers such as 1,8,16, or MIN:MAX:STEP")


def number_ranges(words: str) -> list[units.Range]:
    """Read ranges separated by commas: `512`, or `128,256-768`."""
    return [number_range(word) for word in words.split(",")]


def axis(least: int) -> Callable[[str], list[int]]:
    """Return a reader of an axis: `1,8,16`, or `MIN:MAX:STEP` as aibench's scripts count.

    In a range a number below `least` is read as `least`: 0:50:10 is 1,10,20,... workers.
    """

    def read(words: str) -> list[int]:
        if match := _RANGE.fullmatch(words):
            first, last, step = map(int, match.groups())
            if step < 1 or last < first:
                raise argparse.ArgumentTypeError(f"{words!r} is empty: write MIN:MAX:STEP")
            return list(dict.fromkeys(max(n, least) for n in range(first, last + 1, step)))
        found = [*_integers(words)]
        if min(found) < least:
            raise argparse.ArgumentTypeError(f"{words!r}: each has to be at least {least}")
        return found

    return read


def burn_in(words: str) -> dict[str, Any]:
    """Read a warm-up: requests (`100`), a time (`5s`), or `auto`; return the setting that it is."""
    if words == "auto":
        return {"burn_in_until_steady": True}
    if words.lstrip("-").isdecimal():
        return {"burn_in": int(words)}
    return {"burn_in_s": seconds(words)}


def boolean(word: str) -> bool:
    """Read a boolean as Go's flags do."""
    if word.lower() in ("1", "t", "true"):
        return True
    if word.lower() in ("0", "f", "false"):
        return False
    raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")


_TYPES: dict[str, Callable[[str], Any]] = {
    "N": int, "B": int, "S": int, "MS": int, "PIXELS": int, "SECONDS": int,
    "X": float, "VALUE": float, "TIME": seconds, "SIZE": size,
    "FILE": Path, "FOLDER": Path, "DIR": Path, "PATH": Path, "CSV": Path, "IMAGE": Path,
}  # fmt: skip
"""By the first word that stands for a value in help; other values are texts."""
_UNITS = {"TIME": "_s", "SECONDS": "_s", "SIZE": "_bytes"}
_BOOLEAN = "true|false"
REPEATED = {"action": "append", "default": []}
"""Details of an option that can be given several times."""
QUIET = {"--quiet": "print no progress and no closing line"}
"""The option of commands with a progress bar."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all errors of the command line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with the code for wrong options."""
        self._refuse(message, self.prog)

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse as argparse, but name unknown options without their values, which may be secret."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            command = (getattr(options, name, None) for name in ("command", "subcommand"))
            named = [word.partition("=")[0] for word in unknown if word.startswith("-")]
            words = f"unrecognized arguments: {' '.join(named or unknown)}"
            if "--password" in named:
                words += f"; a password comes from {PASSWORD_VARIABLE} or --password-file"
            self._refuse(words, " ".join([self.prog, *filter(None, command)]))
        return options

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is not a choice as argparse does, but write choices as the user does."""
        if action.choices is not None and value not in action.choices:
            known = ", ".join(map(str, action.choices))
            raise argparse.ArgumentError(action, f"invalid choice: {value!r} (choose from {known})")

    def _refuse(self, message: str, command: str) -> NoReturn:
        line = f"aibench-fast: {escaped(message)}; see {command} --help\n"
        self.exit(ConfigError.exit_code, line)


def add_command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
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
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def add_all(
    group: "argparse._ActionsContainer",
    helps: Mapping[str, str],
    settings: type[Any] | None = None,
    **details: Mapping[str, Any],
) -> None:
    """Add options to a parser, or to a group of one.

    `helps` has the help of each option by its name and the word that stands for its value, such as
    `--threads N`. That word says the type; an option without a value is a switch. Its `dest` is its
    name and the unit, and the default is that of the field of the dataclass `settings` with this
    name. `details` are other arguments of `add_argument`, by the options' names; `choices` may be
    an enumeration of texts.
    """
    defaults = {one.name: one.default for one in fields(settings)} if settings else {}
    for words, text in helps.items():
        option, _, metavar = words.partition(" ")
        name = option.removeprefix("--").replace("-", "_")
        how = {"dest": name + _UNITS.get(metavar, ""), **details.get(name, {})}
        if (default := defaults.get(how["dest"], MISSING)) is not MISSING:
            how.setdefault("default", default)
        if metavar == _BOOLEAN:
            how |= {"metavar": metavar, "type": boolean, "nargs": "?", "const": True}
        elif metavar:
            how = {"metavar": metavar, "type": _TYPES.get(re.split(r"\W", metavar)[0]), **how}
        elif "choices" not in how:
            how["action"] = "store_true"
        elif isinstance(kind := how["choices"], EnumType):
            members: list[str] = list(kind)
            how |= {"type": member_of(members), "choices": members}
        group.add_argument(option, help=text, **how)


def add_subcommands(
    parser: argparse.ArgumentParser, dest: str
) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """Let a parser take one of several commands; without one it prints its help."""

    def print_help(_: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser.set_defaults(handler=print_help, debug=False)
    return parser.add_subparsers(title="commands", dest=dest)
