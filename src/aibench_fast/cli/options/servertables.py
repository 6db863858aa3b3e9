"""The [[server]] tables of a grid file: several servers that run the same cells, to be compared."""

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aibench_fast.cli.options.server import is_tls
from aibench_fast.cli.options.servers import LoadedServers
from aibench_fast.errors import ConfigError
from aibench_fast.load.toml import check_keys
from aibench_fast.studies.servers import EMBEDDED, NAME, NAME_RULE, check_protocol

_KEYS = {
    "name": str, "url": str, "host": str, "port": int, "socket": str, "embedded": str,
    "protocol": str, "model": str, "model-version": str,
    "header": list, "metrics-url": str, "cluster-mode": bool,
}  # fmt: skip
_PLACES = {"url": ("url",), "host and port": ("host", "port"), "socket": ("socket",),
           "embedded": ("embedded",)}  # fmt: skip


def swept_servers(options: argparse.Namespace, tables: Any) -> dict[str | None, LoadedServers]:
    """Return the servers of a sweep by name; without tables, the options name one without a name.

    `tables` is the `server` of the grid file. ConfigError says which table is wrong, and how.
    """
    usual = LoadedServers.of(options)
    if not tables:
        return {None: usual}
    where = f"--grid {options.grid}"
    if not isinstance(tables, list):
        raise ConfigError(f"{where}: server has to be tables, written [[server]]")
    _check_usual(usual)
    servers: dict[str | None, LoadedServers] = {}
    for number, table in enumerate(tables, 1):
        name = _name(table, f"{where}, server {number}: ")
        if name in servers:
            raise ConfigError(f"{where}: two servers are called {name}")
        servers[name] = _server(table, f"{where}, server {number}: ", usual)
    return servers


def _check_usual(usual: LoadedServers) -> None:
    given = {
        "--url": bool(usual.urls),
        "--header": bool(usual.header),
        "--metrics-url": usual.metrics_url is not None,
        "--model-version": usual.model_version is not None,
        "--host, --port or --socket": usual.is_address_given,
        "--tls": usual.tls,
        "--cluster-mode": usual.cluster_mode,
        "--embedded": bool(usual.embedded),
        "--protocol": usual.protocol is not None,
    }
    for option, is_given in given.items():
        if is_given:
            raise ConfigError(f"{option} with [[server]] tables: each of them has its own")


def _name(table: Any, where: str) -> str:
    check_keys(table, _KEYS, where)
    if "name" not in table:
        raise ConfigError(f"{where}name is missing")
    name = str(table["name"])
    if not NAME.fullmatch(name):
        raise ConfigError(where + NAME_RULE.format(name))
    return name


def _server(table: Mapping[str, Any], where: str, usual: LoadedServers) -> LoadedServers:
    """Return the server of a table that has a name; what it leaves out is as in the options."""
    _check_place(table, where)
    urls = [table["url"]] if "url" in table else []
    server = dataclasses.replace(
        usual,
        embedded=table.get("embedded"),
        protocol=table.get("protocol"),
        urls=urls,
        host=table.get("host", usual.host),
        port=(table["port"],) if "port" in table else usual.port,
        socket=Path(table["socket"]) if "socket" in table else None,
        cluster_mode=table.get("cluster-mode", False),
        model=table.get("model", usual.model),
        model_version=table.get("model-version"),
        header=table.get("header", []),
        metrics_url=table.get("metrics-url"),
    )
    if any(map(is_tls, urls)):
        return server
    # --cacert and its like are for the servers that speak TLS.
    return dataclasses.replace(
        server, cacert=None, cert=None, key=None, tls_server_name=None, insecure=False
    )


def _check_place(table: Mapping[str, Any], where: str) -> None:
    given = [place for place, keys in _PLACES.items() if any(key in table for key in keys)]
    if len(given) != 1:
        found = " and ".join(given) or "nothing"
        raise ConfigError(f"{where}give one of {', '.join(_PLACES)}; it has {found}")
    embedded = table.get("embedded", EMBEDDED[0])
    if embedded not in EMBEDDED:
        raise ConfigError(f"{where}embedded {embedded!r}: it has to be {' or '.join(EMBEDDED)}")
    check_protocol(where, table.get("embedded"), table.get("protocol"))
