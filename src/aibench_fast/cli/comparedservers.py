"""The [[server]] tables of a sweep: several servers that run the same cells, to be compared."""

import argparse
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aibench_fast.cli.options.server import TLS_SCHEMES, is_address_given
from aibench_fast.cli.options.servers import EMBEDDED
from aibench_fast.errors import ConfigError
from aibench_fast.load.toml import check_keys

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_KEYS = {
    "name": str, "url": str, "host": str, "port": int, "socket": str, "embedded": str,
    "model": str, "model-version": str, "header": list, "metrics-url": str, "cluster-mode": bool,
}  # fmt: skip
_PLACES = {"url": ("url",), "host and port": ("host", "port"), "socket": ("socket",),
           "embedded": ("embedded",)}  # fmt: skip


def compared_servers(options: argparse.Namespace) -> list[argparse.Namespace]:
    """The options of a sweep as they are for each of its servers, with `server_name`.

    Where there are no tables, the options name the one server, which has no name. ConfigError says
    which table is wrong, and how.
    """
    if not options.servers:
        options.server_name, options.servers_meanwhile = None, ()
        return [options]
    _check_options(options)
    servers = [
        _server(table, f"--grid {options.grid}, server {number}: ", options)
        for number, table in enumerate(options.servers, 1)
    ]
    names = [server.server_name for server in servers]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--grid {options.grid}: two servers are called {name}")
    stay = [one.server_name for one in servers if not one.embedded and _is_here(one)]
    for server in servers:
        server.servers_meanwhile = tuple(name for name in stay if name != server.server_name)
    return servers


def _check_options(options: argparse.Namespace) -> None:
    if not isinstance(options.servers, list):
        raise ConfigError(f"--grid {options.grid}: server has to be tables, written [[server]]")
    given = {
        "--url": bool(options.urls),
        "--header": bool(options.header),
        "--metrics-url": options.metrics_url is not None,
        "--model-version": options.model_version is not None,
        "--host, --port or --socket": is_address_given(options),
        "--tls": options.tls,
        "--cluster-mode": options.cluster_mode,
        "--embedded": bool(options.embedded),
    }
    for name, is_given in given.items():
        if is_given:
            raise ConfigError(f"{name} with [[server]] tables: each of them says its own")


def _server(table: Any, where: str, options: argparse.Namespace) -> argparse.Namespace:
    check_keys(table, _KEYS, where)
    name = table.get("name")
    if name is None:
        raise ConfigError(f"{where}name is missing")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where}name {name!r}: it is in file names, so write letters, digits, . and - alone"
        )
    _check_place(table, where)
    server = argparse.Namespace(**vars(options))
    server.server_name = name
    server.embedded = table.get("embedded")
    server.urls = [table["url"]] if "url" in table else []
    # --cacert and its like are for the servers that speak TLS.
    if not any(url.partition("://")[0] in TLS_SCHEMES for url in server.urls):
        server.cacert = server.cert = server.key = server.tls_server_name = None
        server.insecure = False
    server.host = table.get("host", options.host)
    server.port = (table["port"],) if "port" in table else options.port
    server.socket = Path(table["socket"]) if "socket" in table else None
    server.cluster_mode = table.get("cluster-mode", False)
    server.model = table.get("model", options.model)
    server.model_version = table.get("model-version")
    server.header = table.get("header", [])
    server.metrics_url = table.get("metrics-url")
    return server


def _check_place(table: Mapping[str, Any], where: str) -> None:
    given = [place for place, keys in _PLACES.items() if any(key in table for key in keys)]
    if len(given) != 1:
        found = " and ".join(given) or "nothing"
        raise ConfigError(f"{where}give one of {', '.join(_PLACES)}; it has {found}")
    embedded = table.get("embedded", EMBEDDED[0])
    if embedded not in EMBEDDED:
        raise ConfigError(f"{where}embedded {embedded!r}: it has to be {' or '.join(EMBEDDED)}")


def _is_here(server: argparse.Namespace) -> bool:
    """Whether it is on this machine, as far as its address tells."""
    try:
        host = str(urlsplit(server.urls[0]).hostname if server.urls else server.host)
        if server.socket is not None or host == "localhost":
            return True
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or no URL, which is told where it is read
        return False
