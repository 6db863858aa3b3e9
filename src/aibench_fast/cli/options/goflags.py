"""Reads command lines of Go's flag package: -name=value, -name value, --name=value."""

import re
from collections.abc import Mapping, Sequence

from aibench_fast.errors import ConfigError

_FLAG = re.compile(r"--?([^-=][^=]*)(?:=(.*))?", re.DOTALL)
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")


def parse(words: Sequence[str], defaults: Mapping[str, str | bool]) -> dict[str, str | bool]:
    """Return the value of every flag: the last one given, or its default.

    A flag whose default is a bool takes a value only after `=`, other flags also as the next word.
    ConfigError for an unknown flag, a missing or bad value, or a word that is not a flag.
    """
    values = dict(defaults)
    rest = iter(words)
    for word in rest:
        match = _FLAG.fullmatch(word)
        if match is None:
            raise ConfigError(f"{word!r} is not a flag; write -name=value or -name value")
        name, value = match.groups()
        if name not in defaults:
            raise ConfigError(f"flag provided but not defined: -{name}; see -help")
        if isinstance(defaults[name], bool):
            values[name] = _boolean(name, "true" if value is None else value)
            continue
        if value is None:
            value = next(rest, None)
        if value is None:
            raise ConfigError(f"flag needs an argument: -{name}")
        values[name] = value
    return values


def _boolean(name: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ConfigError(f"-{name}={value}: a boolean is true or false")
