"""The grid file of a sweep: values of its options, and tables of servers, in TOML."""

import argparse
import tomllib
from pathlib import Path
from typing import Any

from aibench_fast.errors import ConfigError
from aibench_fast.files import read_text
from aibench_fast.load.toml import shown

SERVERS = "server"
_NOT_KEYS = ("grid", "help")
_NUMBERS = {str(int): "it has to be a whole number", str(float): "it has to be a number"}
"""By the type of an option; Python's own messages do not help."""


def read_grid_file(file: Path, parser: argparse.ArgumentParser) -> tuple[dict[str, Any], Any]:
    """Return the values that a grid file gives to options, by their `dest`, and its server tables.

    Keys are options of `parser`, each with its type and choices. ConfigError names the key that is
    wrong.
    """
    try:
        document = tomllib.loads(read_text(file))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read --grid {file}: {error}") from error
    servers = document.pop(SERVERS, [])
    values = {}
    for key, value in document.items():
        action = _action(parser, key)
        if action is None:
            raise ConfigError(f"--grid {file}: unknown key {key}; keys are the options of a sweep")
        try:
            values[action.dest] = _read(action, value)
        except (argparse.ArgumentTypeError, ConfigError, TypeError, ValueError) as error:
            reason = _NUMBERS.get(str(action.type), error)
            raise ConfigError(f"--grid {file}: {key} = {shown(value)}: {reason}") from error
    return values, servers


def _action(parser: argparse.ArgumentParser, key: str) -> argparse.Action | None:
    # argparse has no public lookup of options by name.
    return None if key in _NOT_KEYS else parser._option_string_actions.get(f"--{key}")


def _read(action: argparse.Action, value: Any) -> Any:
    """Return a value of TOML as the option's own type."""
    if isinstance(value, bool) and action.nargs in (0, "?"):
        if value:
            return action.const
        return False if isinstance(action.const, bool) else action.default
    if isinstance(action, argparse._AppendAction):
        return [_one(action, one) for one in (value if isinstance(value, list) else [value])]
    return _one(action, value)


def _one(action: argparse.Action, value: Any) -> Any:
    """Return one value: of a text what the option makes of it, of a list its values with commas."""
    if action.nargs == 0:
        raise ValueError("it has to be true or false")
    if action.type in (None, Path) and not isinstance(value, str):
        raise ValueError("it has to be a text")
    text = ",".join(map(_text, value)) if isinstance(value, list) else _text(value)
    found = action.type(text) if callable(action.type) else text
    if action.choices is not None and found not in action.choices:
        raise ValueError(f"it has to be {' or '.join(map(str, action.choices))}")
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)
