"""Options that name servers: addresses, TLS and login."""

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from aibench_fast.cli.options.parser import REPEATED, add_all, ports, refuse
from aibench_fast.cli.options.secrets import PASSWORD_VARIABLE, read_password
from aibench_fast.errors import ConfigError, shown_url
from aibench_fast.protocols.address import ServerAddress, TlsSettings, url_parts
from aibench_fast.protocols.redisai.protocol import RedisAi
from aibench_fast.protocols.registry import PROTOCOLS
from aibench_fast.studies.servers import check_protocol

DEFAULT_HOST, DEFAULT_PORT = "localhost", 6379


def add_server_options(
    parser: argparse.ArgumentParser,
    *,
    several: bool = False,
    any_protocol: bool = False,
    cluster: bool = False,
) -> None:
    """Add the options for addresses, TLS and login.

    With `several` or `cluster` the server may be a node of a Redis Cluster. With `any_protocol` the
    URL may name a server of the Open Inference Protocol, over HTTP or gRPC.
    """
    hosts = {
        "--host HOST": "connect to this host (default: localhost)",
        "--port PORT": "connect to this port (default: 6379)",
    }
    if several:
        hosts = {
            "--host HOST[:PORT],...": "connect to this host, or several (default: localhost)",
            "--port PORT,...": "connect to this port, or one for each host (default: 6379)",
        }
    http = "; to http://, https://, grpc:// or grpcs:// of Triton, KServe, MLServer and others"
    helps = {
        **hosts,
        "--socket PATH": "connect to this unix socket instead of a host",
        "--url URL": "connect to redis://HOST:PORT, or rediss:// with "
        f"TLS{http if any_protocol else ''}{'; can be repeated' if several else ''}",
    }
    if several or cluster:
        helps["--cluster-mode"] = (
            "use all primaries of a Redis Cluster, of which the server is a node; each has a copy "
            "of the model with a hash tag after its name"
        )
    if several and any_protocol:
        helps["--all-addresses"] = "load every address of a host name as a server of its own"
    if any_protocol:
        helps |= {
            "--metrics-url http://HOST:PORT/metrics": "read the server's Prometheus metrics here "
            "(default: its /metrics, and port 8082 of MLServer, if they exist)",
            "--header 'NAME: VALUE'": "send this header with every request; env:VARIABLE or "
            "file:PATH as the value keeps secrets out of process lists; can be repeated",
        }
    parser.set_defaults(several=several, cluster_mode=False, all_addresses=False)
    add_all(
        parser.add_argument_group("Server"),
        helps,
        port={"type": ports},
        url={"dest": "urls", **REPEATED},
        header=REPEATED,
    )
    add_all(
        parser.add_argument_group(
            "TLS", "The server's certificate is checked against the system's trusted certificates."
        ),
        {
            "--tls": "use TLS, as rediss://, https:// and grpcs:// do",
            "--cacert FILE": "trust these certificates instead (PEM)",
            "--cert FILE": "present this client certificate if the server asks for one (PEM)",
            "--key FILE": "use this private key of --cert (PEM)",
            "--tls-server-name NAME": "expect this name in the server's certificate (default: the "
            "host)",
            "--insecure": "skip certificate checks (recorded as a warning)",
        },
    )
    add_all(
        parser.add_argument_group(
            "Login", f"The password comes from {PASSWORD_VARIABLE}, a file or a prompt."
        ),
        {
            "--user NAME": "log in as this user (default: default)",
            "--password-file FILE": "read the password from the first line of this file",
            "--ask-password": "prompt for the password",
        },
    )


def is_address_given(options: argparse.Namespace) -> bool:
    """Whether --host, --port or --socket name the server."""
    return (options.host, options.port, options.socket) != (None, None, None)


def is_server_given(options: argparse.Namespace) -> bool:
    """Whether an option names the server."""
    return bool(options.urls) or is_address_given(options)


def tls_settings(options: argparse.Namespace) -> TlsSettings | None:
    """Return the TLS settings, None without TLS; ConfigError if a part is wrong."""
    parts = {
        "ca_file": options.cacert,
        "certificate": options.cert,
        "key": options.key,
        "server_name": options.tls_server_name,
        "insecure": options.insecure,
    }
    if options.tls or any(map(is_tls, options.urls)):
        return TlsSettings(**parts)
    refuse(
        {f"`{name}`": value for name, value in parts.items()},
        "without TLS: add --tls, or give a rediss://, https:// or grpcs:// --url",
    )
    return None


def located(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of a run that say where its servers are; ConfigError as they do."""
    if urls := other_urls(options):
        return {"url": urls[0], "others": tuple(urls[1:]), "tls": tls_settings(options)}
    first, *others = addresses(options)
    return {"address": first, "others": tuple(others), "tls": None}


def other_urls(options: argparse.Namespace) -> list[str]:
    """Return the URLs of servers that are not of RedisAI; ConfigError if both are named."""
    found = [url for url in options.urls if _scheme(url) not in RedisAi.schemes]
    if found and len(found) < len(options.urls):
        raise ConfigError("--url of redis:// and of others in one run: it speaks one protocol")
    _check_named(options, found)
    return found


def addresses(options: argparse.Namespace) -> list[ServerAddress]:
    """Return the RedisAI servers; ConfigError if one is wrong.

    An IPv6 address with a port is in brackets: [::1]:6379.
    """
    urls = [_redis_url(url) for url in options.urls]
    user, password = _login(options, urls)
    tls = tls_settings(options)
    for url in options.urls if tls else ():
        if _scheme(url) != "rediss":
            raise ConfigError(f"--tls with --url {url}: write rediss://")
    address = partial(ServerAddress, user=user, password=password, tls=tls)
    if urls:
        found = [address(str(one.hostname), one.port or DEFAULT_PORT) for one in urls]
    elif options.socket:
        found = [address(socket=options.socket)]
    else:
        found = [address(host, port) for host, port in _hosts_and_ports(options)]
    _check_named(options, found)
    return found


def check_embedded(options: argparse.Namespace) -> None:
    """ConfigError if an embedded server is combined with an address, or lacks the protocol."""
    check_protocol("--", options.embedded, options.protocol)
    if not options.embedded:
        return
    if is_server_given(options) or options.metrics_url or tls_settings(options):
        raise ConfigError(
            "--embedded starts its own server: leave out --host, --port, --socket, --url, "
            "--metrics-url, --tls"
        )
    if options.cluster_mode or options.all_addresses:
        raise ConfigError("--embedded starts one server: leave out --cluster-mode, --all-addresses")


def _check_named(options: argparse.Namespace, servers: Sequence[object]) -> None:
    """ConfigError if they are named in two ways, or are more than the command takes."""
    if options.urls and is_address_given(options):
        raise ConfigError("--url with --host, --port or --socket: name one server")
    if len(servers) > 1 and not options.several:
        raise ConfigError(f"{len(servers)} servers: this command is for one, name one")


def _login(
    options: argparse.Namespace, urls: Sequence[SplitResult]
) -> tuple[str | None, str | None]:
    """Return the user, of --user or the URLs, and the password."""
    password = read_password(options.password_file, ask=options.ask_password)
    user = options.user
    named = {unquote(url.username) for url in urls if url.username}
    if named:
        if user or len(named) > 1:
            names = ", ".join(sorted(named | ({user} if user else set())))
            raise ConfigError(f"--user and the users in --url are {names}: name one")
        user = named.pop()
    if user and not password:
        raise ConfigError(
            f"--user {user} without a password: set {PASSWORD_VARIABLE}, or give "
            "--password-file or --ask-password"
        )
    return user, password


def _hosts_and_ports(options: argparse.Namespace) -> list[tuple[str, int]]:
    """Return --host and --port in pairs, where one of either is for all of the other."""
    given = DEFAULT_HOST if options.host is None else options.host
    hosts, ports = given.split(","), [*(options.port or [DEFAULT_PORT])]
    are_several = len(ports) > 1
    if len(hosts) == 1:
        hosts *= len(ports)
    if len(ports) == 1:
        ports *= len(hosts)
    if len(hosts) != len(ports):
        raise ConfigError(
            f"--host has {len(hosts)} hosts and --port {len(ports)} ports: give as many, or one"
        )
    found = []
    for item, usual_port in zip(hosts, ports, strict=True):
        # A bare IPv6 address has more colons than a host and a port.
        bracketed = f"[{item}]" if item.count(":") > 1 and not item.startswith("[") else item
        try:
            parts = urlsplit(f"//{bracketed.strip()}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"--host {given}: {item!r} is not a host: {error}") from error
        if not host or parts.netloc != bracketed.strip() or "@" in parts.netloc:
            raise ConfigError(
                f"--host {given}: {item!r} is not a host; write host or host:port, and "
                "commas between several"
            )
        if port is not None and are_several:
            raise ConfigError(f"--host {given} with several ports: {item!r} has its own")
        port = usual_port if port is None else port
        if not 1 <= port <= 65535:
            raise ConfigError(f"--port {port}: a port is a number from 1 to 65535")
        found.append((host, port))
    return found


def is_tls(url: str) -> bool:
    """Whether a URL's scheme is one of TLS, of any protocol."""
    return _scheme(url) in [one.schemes[1] for one in PROTOCOLS]


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def _redis_url(url: str) -> SplitResult:
    """The parts of redis://[USER@]HOST[:PORT]; ConfigError if it is something else."""
    parts = url_parts(url)
    if parts.password is not None:
        raise ConfigError(
            "--url with a password, which every process list shows: set "
            f"{PASSWORD_VARIABLE}, or give --password-file or --ask-password"
        )
    shown = shown_url(url)
    if parts.scheme not in RedisAi.schemes or not parts.hostname:
        raise ConfigError(f"--url {shown}: write redis://HOST:PORT, or rediss:// for TLS")
    if parts.path not in ("", "/", "/0") or parts.query or parts.fragment:
        raise ConfigError(f"--url {shown}: leave out what is behind the port; it is database 0")
    if parts.port == 0:
        raise ConfigError(f"--url {shown}: a port is a number from 1 to 65535")
    return parts
