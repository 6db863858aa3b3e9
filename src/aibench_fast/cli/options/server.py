"""Options that name servers: addresses, TLS and login."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

from aibench_fast.cli.options.parser import REPEATED, add_all
from aibench_fast.cli.options.secrets import PASSWORD_VARIABLE, read_password
from aibench_fast.cli.options.values import by_name, ports, refuse
from aibench_fast.errors import ConfigError, shown_url
from aibench_fast.protocols.address import ServerAddress, url_parts
from aibench_fast.protocols.redisai.protocol import RedisAi
from aibench_fast.protocols.registry import PROTOCOLS
from aibench_fast.protocols.tls import TlsSettings
from aibench_fast.studies.servers import check_protocol

DEFAULT_HOST, DEFAULT_PORT = "localhost", 6379


def add_server_options(
    parser: argparse.ArgumentParser,
    *,
    several: bool = False,
    any_protocol: bool = False,
    cluster: bool = False,
) -> None:
    """Add the options for addresses, TLS and login; see `ServerOptions`.

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


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The values of the options of `add_server_options`, by their names."""

    urls: Sequence[str]
    host: str | None
    port: Sequence[int] | None
    socket: Path | None
    several: bool
    """Whether the command takes several servers."""
    tls: bool
    cacert: Path | None
    cert: Path | None
    key: Path | None
    tls_server_name: str | None
    insecure: bool
    user: str | None
    password_file: Path | None
    ask_password: bool

    @classmethod
    def of(cls, options: argparse.Namespace) -> Self:
        """Return the values of a command's options."""
        return by_name(cls, options)

    @property
    def is_address_given(self) -> bool:
        """Whether --host, --port or --socket name the server."""
        return (self.host, self.port, self.socket) != (None, None, None)

    @property
    def is_given(self) -> bool:
        """Whether an option names the server."""
        return bool(self.urls) or self.is_address_given

    def tls_settings(self) -> TlsSettings | None:
        """Return the TLS settings, None without TLS; ConfigError if a part is wrong."""
        parts: dict[str, Any] = {
            "ca_file": self.cacert,
            "certificate": self.cert,
            "key": self.key,
            "server_name": self.tls_server_name,
            "insecure": self.insecure,
        }
        if self.tls or any(map(is_tls, self.urls)):
            return TlsSettings(**parts)
        refuse(
            {f"`{name}`": value for name, value in parts.items()},
            "without TLS: add --tls, or give a rediss://, https:// or grpcs:// --url",
        )
        return None

    def located(self) -> dict[str, Any]:
        """Return the settings of a run that say where its servers are; ConfigError as they do."""
        if urls := self.other_urls():
            return {"url": urls[0], "others": tuple(urls[1:]), "tls": self.tls_settings()}
        first, *others = self.addresses()
        return {"address": first, "others": tuple(others), "tls": None}

    def other_urls(self) -> list[str]:
        """Return the URLs of servers that are not of RedisAI; ConfigError if both are named."""
        found = [url for url in self.urls if _scheme(url) not in RedisAi.schemes]
        if found and len(found) < len(self.urls):
            raise ConfigError("--url of redis:// and of others in one run: it speaks one protocol")
        self._check(found)
        return found

    def addresses(self) -> list[ServerAddress]:
        """Return the RedisAI servers; ConfigError if one is wrong.

        An IPv6 address with a port is in brackets: [::1]:6379.
        """
        urls = [_redis_url(url) for url in self.urls]
        user, password = self._login(urls)
        tls = self.tls_settings()
        for url in self.urls if tls else ():
            if _scheme(url) != "rediss":
                raise ConfigError(f"--tls with --url {url}: write rediss://")
        address = partial(ServerAddress, user=user, password=password, tls=tls)
        if urls:
            found = [address(str(one.hostname), one.port or DEFAULT_PORT) for one in urls]
        elif self.socket:
            found = [address(socket=self.socket)]
        else:
            found = [address(host, port) for host, port in self._hosts_and_ports()]
        self._check(found)
        return found

    def _check(self, servers: Sequence[object]) -> None:
        """ConfigError if they are named in two ways, or are more than the command takes."""
        if self.urls and self.is_address_given:
            raise ConfigError("--url with --host, --port or --socket: name one server")
        if len(servers) > 1 and not self.several:
            raise ConfigError(f"{len(servers)} servers: this command is for one, name one")

    def _login(self, urls: Sequence[SplitResult]) -> tuple[str | None, str | None]:
        """Return the user, of --user or the URLs, and the password."""
        password = read_password(self.password_file, ask=self.ask_password)
        user = self.user
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

    def _hosts_and_ports(self) -> list[tuple[str, int]]:
        """Return --host and --port in pairs, where one of either is for all of the other."""
        given = DEFAULT_HOST if self.host is None else self.host
        hosts, ports = given.split(","), [*(self.port or [DEFAULT_PORT])]
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


@dataclass(frozen=True, kw_only=True)
class LoadedServers(ServerOptions):
    """The server of a run, by its options or by a [[server]] table of a sweep."""

    embedded: str | None
    protocol: str | None
    """Of an embedded Triton."""
    model: str
    model_version: str | None
    header: Sequence[str]
    metrics_url: str | None
    cluster_mode: bool
    all_addresses: bool

    def check(self) -> None:
        """ConfigError if an embedded server is combined with an address, or lacks the protocol."""
        check_protocol("--", self.embedded, self.protocol)
        if not self.embedded:
            return
        if self.is_address_given or self.urls or self.metrics_url or self.tls_settings():
            raise ConfigError(
                "--embedded starts its own server: leave out --host, --port, --socket, --url, "
                "--metrics-url, --tls"
            )
        if self.cluster_mode or self.all_addresses:
            raise ConfigError(
                "--embedded starts one server: leave out --cluster-mode, --all-addresses"
            )


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
