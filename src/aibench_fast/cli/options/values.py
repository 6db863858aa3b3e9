"""Types of option values, the same in every command."""

import argparse
from dataclasses import fields
from typing import NamedTuple, TypeVar

from aibench_fast import units
from aibench_fast.units import duration_s, size_bytes

Settings = TypeVar("Settings")


def by_name(kind: type[Settings], options: argparse.Namespace) -> Settings:
    """Return a dataclass whose fields are options with the same `dest`."""
    values = {one.name: getattr(options, one.name) for one in fields(kind)}  # type: ignore[arg-type]
    return kind(**values)


def ports(words: str) -> tuple[int, ...]:
    """Read a port, or several separated by commas."""
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{words!r} is not a port; write a number, or several separated by commas"
        ) from error


def seconds(words: str) -> float:
    """Read a duration in Go's notation (`1000ms`, `1s`, `1m30s`, `0`), in seconds."""
    try:
        return duration_s(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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


def size(words: str) -> int:
    """Read a size such as `512MiB`, in bytes."""
    try:
        return size_bytes(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def number_range(words: str) -> units.Range:
    """Read a number such as `512`, or a range such as `256-768`."""
    try:
        return units.number_range(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def statuses(words: str) -> tuple[int, ...]:
    """Read HTTP statuses: `200`, or `200,202`."""
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{words!r} is not a status; write numbers separated by commas, such as 200,202"
        ) from error


def shape(words: str) -> tuple[int, ...]:
    """Read the shape of a tensor: `16`, or `224,224,3`."""
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{words!r} is not a shape; write numbers separated by commas, such as 224,224,3"
        ) from error


def boolean(word: str) -> bool:
    """Read a boolean as Go's flags do."""
    if word.lower() in ("1", "t", "true"):
        return True
    if word.lower() in ("0", "f", "false"):
        return False
    raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
