"""Types of option values, the same in every command."""

import argparse
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any, NamedTuple, TypeVar

from aibench_fast import units
from aibench_fast.errors import ConfigError

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


def _type(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """Return the type of options that `read` reads; its ValueErrors are messages."""

    def read_option(words: str) -> Value:
        try:
            return read(words)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read_option


seconds = _type(units.duration_s)
size = _type(units.size_bytes)
number_range = _type(units.number_range)


def member_of(members: Collection[str]) -> Callable[[str], str]:
    """Return a reader of an enumeration's members; another word stays one, and is no choice."""
    return lambda word: next((one for one in members if one == word), word)


def _several(kind: Callable[[str], Value], mistake: str) -> Callable[[str], tuple[Value, ...]]:
    """Return the type of values separated by commas; `mistake` is what to say of others."""

    def read(words: str) -> tuple[Value, ...]:
        try:
            return tuple(kind(word) for word in words.split(","))
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{words!r}{mistake}") from error

    return read


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


class BurnIn(NamedTuple):
    """The warm-up of a run; one of the three."""

    requests: int = 0
    seconds: float = 0.0
    until_steady: bool = False


def burn_in(words: str) -> BurnIn:
    """Read a warm-up: requests (`100`), a time (`5s`), or `auto`, until the state is steady."""
    if words == "auto":
        return BurnIn(until_steady=True)
    if words.lstrip("-").isdecimal():
        return BurnIn(requests=int(words))
    return BurnIn(seconds=seconds(words))


def boolean(word: str) -> bool:
    """Read a boolean as Go's flags do."""
    if word.lower() in ("1", "t", "true"):
        return True
    if word.lower() in ("0", "f", "false"):
        return False
    raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
