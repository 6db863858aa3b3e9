"""The options that name servers: addresses, TLS and login."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from aibench_fast.cli.options.secrets import PASSWORD_VARIABLE, read_password
from aibench_fast.cli.options.values import ports
from aibench_fast.errors import ConfigError, shown_url
from aibench_fast.protocols.address import ServerAddress, url_parts
from aibench_fast.protocols.tls import TlsSettings

DEFAULT_HOST, DEFAULT_PORT = "localhost", 6379
REDIS_SCHEMES = ("redis", "rediss")
TLS_SCHEMES = ("rediss", "https")


def add_server_address(
    parser: argparse.ArgumentParser,
    *,
    several: bool = False,
    http: bool = False,
    cluster: bool = False,
) -> None:
    """--host, --port, --socket, --url and TLS's, of the server that is to answer, or of `several`.

    With `several` or `cluster` it may be a node of a Redis Cluster.
    `addresses` reads them. With `http` the URL may be of a server of the Open Inference
    Protocol, as `http_urls` tells; see also `read_headers`.
    """
    group = parser.add_argument_group("which server")
    or_several = ", or several" if several else ""
    group.add_argument(
        "--host",
        default=DEFAULT_HOST,
        metavar="HOST[:PORT],..." if several else "HOST",
        help=f"the server's host{or_several} (default: localhost)",
    )
    group.add_argument(
        "--port", type=ports, default=(DEFAULT_PORT,), metavar="PORT,..." if several else "PORT",
        help=f"the server's port{', or one for each host' if several else ''} (default: 6379)",
    )  # fmt: skip
    group.add_argument(
        "--socket", type=Path, metavar="PATH", help="the server's unix socket, instead of a host"
    )
    group.add_argument(
        "--url", metavar="URL", action="append", default=[], dest="urls",
        help="the same as redis://HOST:PORT, or rediss:// for TLS"
        + ("; http:// or https:// of Triton, KServe, MLServer and others" if http else "")
        + ("; given for each" if several else ""),
    )  # fmt: skip
    parser.set_defaults(several=several, cluster_mode=False, all_addresses=False)
    if several or cluster:
        group.add_argument(
            "--cluster-mode", action="store_true",
            help="it is a node of a Redis Cluster, and all of its primaries are meant; each has a "
            "copy of the model with a hash tag behind its name",
        )  # fmt: skip
    if several and http:
        group.add_argument(
            "--all-addresses", action="store_true",
            help="a host's name that stands for several addresses is that many servers",
        )  # fmt: skip
    if http:
        _add_header(group)
    _add_tls(parser)


def _add_header(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--metrics-url", metavar="http://HOST:PORT/metrics",
        help="where it tells Prometheus of itself (default: looked for at its own /metrics, and of "
        "MLServer at port 8082)",
    )  # fmt: skip
    group.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'",
        help="sent with every request; a value of env:VARIABLE or file:PATH is read from there, so "
        "that a token is in no process list",
    )  # fmt: skip


def _add_tls(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "TLS", "the server's certificate is checked against those that the system trusts"
    )
    group.add_argument("--tls", action="store_true", help="speak TLS, as rediss:// and https:// do")
    group.add_argument(
        "--cacert", type=Path, metavar="FILE", help="trust these certificates instead (PEM)"
    )
    group.add_argument(
        "--cert", type=Path, metavar="FILE",
        help="our own certificate, for a server that asks for one (PEM)",
    )  # fmt: skip
    group.add_argument("--key", type=Path, metavar="FILE", help="the key to it (PEM)")
    group.add_argument(
        "--tls-server-name", metavar="NAME",
        help="what the server's certificate has to be for (default: the host)",
    )  # fmt: skip
    group.add_argument(
        "--insecure", action="store_true",
        help="take any certificate, which the result warns of",
    )  # fmt: skip


def tls_settings(options: argparse.Namespace) -> TlsSettings | None:
    """How TLS is to be spoken; None where it is not. ConfigError where a part of it is wrong."""
    parts = {
        "--cacert": options.cacert,
        "--cert": options.cert,
        "--key": options.key,
        "--tls-server-name": options.tls_server_name,
        "--insecure": options.insecure,
    }
    if not options.tls and not any(_scheme(url) in TLS_SCHEMES for url in options.urls):
        given = [name for name, value in parts.items() if value]
        if given:
            raise ConfigError(
                f"{given[0]} without TLS: add --tls, or give a rediss:// or https:// --url"
            )
        return None
    return TlsSettings(
        ca_file=options.cacert,
        certificate=options.cert,
        key=options.key,
        server_name=options.tls_server_name,
        insecure=options.insecure,
    )


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def http_urls(options: argparse.Namespace) -> list[str]:
    """The --url of servers of the Open Inference Protocol; ConfigError where others are too."""
    urls: list[str] = options.urls
    found = [url for url in urls if _scheme(url) not in REDIS_SCHEMES]
    if found and len(found) < len(urls):
        raise ConfigError("--url of redis:// and of http:// in one run: it speaks one protocol")
    _check_count(options, found)
    return found


def _check_count(options: argparse.Namespace, servers: Sequence[object]) -> None:
    """Raise ConfigError where there are more than the command is for."""
    if len(servers) > 1 and not options.several:
        raise ConfigError(f"{len(servers)} servers: this command is for one, name one")


def is_address_given(options: argparse.Namespace) -> bool:
    """Whether --host, --port or --socket say where the server is."""
    default = (DEFAULT_HOST, (DEFAULT_PORT,), None)
    return (options.host, options.port, options.socket) != default


def add_login(parser: argparse.ArgumentParser) -> None:
    """--user, --password-file and --ask-password, which `addresses` reads."""
    group = parser.add_argument_group(
        "logging in", f"the password comes from {PASSWORD_VARIABLE}, a file or a prompt"
    )
    group.add_argument("--user", metavar="NAME", help="log in as this user (default: default)")
    group.add_argument(
        "--password-file", type=Path, metavar="FILE", help="the password is this file's first line"
    )
    group.add_argument("--ask-password", action="store_true", help="ask for the password")


def _login(options: argparse.Namespace) -> tuple[str | None, str | None]:
    """The user, of --user or the URL, and the password of the options of `add_login`."""
    password = read_password(options.password_file, ask=options.ask_password)
    user = options.user
    named = {unquote(name) for url in options.urls if (name := _redis_url(url).username)}
    if named:
        if user or len(named) > 1:
            told = ", ".join(sorted(named | ({user} if user else set())))
            raise ConfigError(f"--user and the users in --url are {told}: name one")
        user = named.pop()
    if user and not password:
        raise ConfigError(
            f"--user {user} without a password: set {PASSWORD_VARIABLE}, or give "
            "--password-file or --ask-password"
        )
    return user, password


def _redis_url(url: str) -> SplitResult:
    """The parts of redis://[USER@]HOST[:PORT]; ConfigError where it is something else."""
    parts = url_parts(url)
    if parts.password is not None:
        raise ConfigError(
            "--url with a password, which every process list shows: set "
            f"{PASSWORD_VARIABLE}, or give --password-file or --ask-password"
        )
    shown = shown_url(url)
    if parts.scheme not in REDIS_SCHEMES or not parts.hostname:
        raise ConfigError(f"--url {shown}: write redis://HOST:PORT, or rediss:// for TLS")
    if parts.path not in ("", "/", "/0") or parts.query or parts.fragment:
        raise ConfigError(f"--url {shown}: leave out what is behind the port; it is database 0")
    return parts


def addresses(options: argparse.Namespace) -> list[ServerAddress]:
    """The servers that the options of `add_server_address` and `add_login` name.

    ConfigError where one is wrong. An IPv6 address with a port is in brackets: [::1]:6379.
    """
    user, password = _login(options)
    tls = tls_settings(options)
    if options.urls:
        if is_address_given(options):
            raise ConfigError("--url with --host, --port or --socket: name one server")
        found = []
        for url in options.urls:
            parts = _redis_url(url)
            if tls and parts.scheme != "rediss":
                raise ConfigError(f"--tls with --url {url}: write rediss://")
            host, port = str(parts.hostname), parts.port or DEFAULT_PORT
            found.append(ServerAddress(host, port, None, user, password, tls))
        _check_count(options, found)
        return found
    if options.socket:
        return [ServerAddress(socket=options.socket, user=user, password=password, tls=tls)]
    return [
        ServerAddress(host, port, user=user, password=password, tls=tls)
        for host, port in _hosts_and_ports(options)
    ]


def _hosts_and_ports(options: argparse.Namespace) -> list[tuple[str, int]]:
    """Of --host and --port: paired, or one for all."""
    hosts, ports = options.host.split(","), [*options.port]
    if len(hosts) != len(ports) and 1 not in (len(hosts), len(ports)):
        raise ConfigError(
            f"--host has {len(hosts)} hosts and --port {len(ports)} ports: give as many, or one"
        )
    count = max(len(hosts), len(ports))
    hosts, ports = (one * count if len(one) == 1 else one for one in (hosts, ports))
    found = []
    for item, usual_port in zip(hosts, ports, strict=True):
        # A bare IPv6 address has more colons than a host and a port.
        bracketed = f"[{item}]" if item.count(":") > 1 and not item.startswith("[") else item
        try:
            parts = urlsplit(f"//{bracketed.strip()}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"--host {options.host}: {item!r} is no host: {error}") from error
        if not host or parts.netloc != bracketed.strip() or "@" in parts.netloc:
            raise ConfigError(
                f"--host {options.host}: {item!r} is no host; write host or host:port, and commas "
                "between several"
            )
        if port is not None and len(options.port) > 1:
            raise ConfigError(f"--host {options.host} with several ports: {item!r} has its own")
        port = usual_port if port is None else port
        if not 1 <= port <= 65535:
            raise ConfigError(f"--port {port}: a port is a number from 1 to 65535")
        found.append((host, port))
    _check_count(options, found)
    return found
