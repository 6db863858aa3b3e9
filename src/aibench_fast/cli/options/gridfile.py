"""The grid file of a sweep: values of its options, and tables of servers, in TOML."""

import argparse
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aibench_fast.cli.options.parser import refuse
from aibench_fast.cli.options.server import is_address_given, is_tls
from aibench_fast.errors import ConfigError, misread
from aibench_fast.files import read_text
from aibench_fast.load.kinds import check_keys, shown
from aibench_fast.studies.servers import EMBEDDED, NAME, NAME_RULE, check_protocol

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
        raise ConfigError(f"cannot read --grid {file}: {misread(error)}") from error
    servers = document.pop("server", [])
    values = {}
    for key, value in document.items():
        # argparse has no public lookup of options by name.
        action = None if key in _NOT_KEYS else parser._option_string_actions.get(f"--{key}")
        if action is None:
            raise ConfigError(f"--grid {file}: unknown key {key}; keys are the options of a sweep")
        try:
            values[action.dest] = _read(action, value)
        except (argparse.ArgumentTypeError, ConfigError, TypeError, ValueError) as error:
            reason = _NUMBERS.get(str(action.type), error)
            raise ConfigError(f"--grid {file}: {key} = {shown(value)}: {reason}") from error
    return values, servers


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


_KEYS = {
    "name": str, "url": str, "host": str, "port": int, "socket": str, "embedded": str,
    "protocol": str, "model": str, "model-version": str,
    "header": list, "metrics-url": str, "cluster-mode": bool,
}  # fmt: skip
_PLACES = {"url": ("url",), "host and port": ("host", "port"), "socket": ("socket",),
           "embedded": ("embedded",)}  # fmt: skip


def swept_servers(options: argparse.Namespace, tables: Any) -> dict[str | None, argparse.Namespace]:
    """Return the options of each server of a sweep by its name, which is None without tables.

    `tables` is the `server` of the grid file. ConfigError says which table is wrong, and how.
    """
    if not tables:
        return {None: options}
    where = f"--grid {options.grid}"
    if not isinstance(tables, list):
        raise ConfigError(f"{where}: server has to be tables, written [[server]]")
    given = {
        "--url": options.urls,
        "--header": options.header,
        "--metrics-url": options.metrics_url is not None,
        "--model-version": options.model_version is not None,
        "--host, --port or --socket": is_address_given(options),
        "--tls": options.tls,
        "--cluster-mode": options.cluster_mode,
        "--embedded": options.embedded,
        "--protocol": options.protocol is not None,
    }
    refuse(given, "with [[server]] tables: each of them has its own")
    servers: dict[str | None, argparse.Namespace] = {}
    for number, table in enumerate(tables, 1):
        at = f"{where}, server {number}: "
        check_keys(table, _KEYS, at)
        name = table.get("name")
        if name is None:
            raise ConfigError(f"{at}name is missing")
        if not NAME.fullmatch(name):
            raise ConfigError(at + NAME_RULE.format(name))
        if name in servers:
            raise ConfigError(f"{where}: two servers are called {name}")
        servers[name] = argparse.Namespace(**vars(options) | _own_options(table, at))
    return servers


def _own_options(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the options that the table of a server sets, or cannot have."""
    _check_place(table, where)
    own = {key.replace("-", "_"): value for key, value in table.items() if key != "name"}
    own["urls"] = [own.pop("url")] if "url" in own else []
    if "port" in own:
        own["port"] = (own["port"],)
    if "socket" in own:
        own["socket"] = Path(own["socket"])
    if not any(map(is_tls, own["urls"])):
        # --cacert and its like are for the servers that speak TLS.
        own |= {"insecure": False, **dict.fromkeys(("cacert", "cert", "key", "tls_server_name"))}
    return own


def _check_place(table: Mapping[str, Any], where: str) -> None:
    given = [place for place, keys in _PLACES.items() if any(key in table for key in keys)]
    if len(given) != 1:
        found = " and ".join(given) or "nothing"
        raise ConfigError(f"{where}give one of {', '.join(_PLACES)}; it has {found}")
    embedded = table.get("embedded", EMBEDDED[0])
    if embedded not in EMBEDDED:
        raise ConfigError(f"{where}embedded {embedded!r}: it has to be {' or '.join(EMBEDDED)}")
    check_protocol(where, table.get("embedded"), table.get("protocol"))
