"""Types of option values: one form of writing means the same in every command."""

import argparse
from typing import NamedTuple

from aibench_fast.units import duration_s, size_bytes


def ports(words: str) -> tuple[int, ...]:
    """A port, or several with commas between them."""
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{words!r} is no port; write a number, or several with commas between them"
        ) from error


def seconds(words: str) -> float:
    """A duration as Go writes it (`1000ms`, `1s`, `1m30s`, `0`), in seconds."""
    try:
        return duration_s(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class BurnIn(NamedTuple):
    """How long a run burns in; one of the three."""

    requests: int = 0
    seconds: float = 0.0
    until_steady: bool = False


def burn_in(words: str) -> BurnIn:
    """A burn-in: requests (`100`), seconds (`5s`), or `auto`, until the state is steady."""
    if words == "auto":
        return BurnIn(until_steady=True)
    if words.lstrip("-").isdecimal():
        return BurnIn(requests=int(words))
    return BurnIn(seconds=seconds(words))


def size(words: str) -> int:
    """A size such as `512MiB`, in bytes."""
    try:
        return size_bytes(words)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def shape(words: str) -> tuple[int, ...]:
    """A tensor's shape: `16`, or `224,224,3`."""
    try:
        return tuple(int(word) for word in words.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{words!r} is no shape; write numbers with commas between them, such as 224,224,3"
        ) from error


def boolean(word: str) -> bool:
    """A boolean as Go's flags take it."""
    if word.lower() in ("1", "t", "true"):
        return True
    if word.lower() in ("0", "f", "false"):
        return False
    raise argparse.ArgumentTypeError(f"{word!r} is neither true nor false")
