"""Tables of TOML files that are given to options: what they may have."""

from collections.abc import Mapping
from typing import Any

from aibench_fast.errors import ConfigError


def check_keys(table: Any, known: Mapping[str, Any], where: str) -> None:
    """Hold a table against its keys and their types; ConfigError, which `where` begins."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where}{table!r} is no table")
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{where}there is no key {key}; there are {', '.join(known)}")
        if not isinstance(value, known[key]) or isinstance(value, bool):
            raise ConfigError(f"{where}{key} is {value!r}, which is of another type")
