"""Checks tables of TOML files."""

from collections.abc import Mapping
from typing import Any

from aibench_fast.errors import ConfigError


def check_keys(table: Any, known: Mapping[str, Any], where: str) -> None:
    """Check the keys of a table and their types; a ConfigError begins with `where`."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where}{shown(table)} is not a table")
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{where}there is no key {key}; there are {', '.join(known)}")
        if not isinstance(value, known[key]) or isinstance(value, bool) != (known[key] is bool):
            raise ConfigError(f"{where}{key} is {shown(value)}, which is of another type")


def shown(value: Any) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {shown(one)}' for key, one in value.items())}}}"
    return f"'{value}'" if isinstance(value, str) else str(value)
