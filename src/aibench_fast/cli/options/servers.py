"""The server that a command loads: the one that its options name, or one of our own."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypedDict

from aibench_fast.cli.options.server import addresses, http_urls, is_address_given, tls_settings
from aibench_fast.errors import ConfigError
from aibench_fast.load.config import DEFAULT_MODEL, RunConfig
from aibench_fast.load.resolve import resolve
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.protocols.tls import TlsSettings

# A run against a server that is there already does without the memory of models and servers.
if TYPE_CHECKING:
    from aibench_fast.server import EmbeddedServer
    from aibench_fast.server.triton import TritonServer

EMBEDDED = ("redisai", "triton")
EMBEDDED_TRITON_URL = "http://127.0.0.1"
"""Of one that has no port yet."""


class Where(TypedDict, total=False):
    """The settings of a RunConfig that say where its server is."""

    address: ServerAddress
    url: str
    others: tuple[ServerAddress | str, ...]
    tls: TlsSettings | None
    server_pid: int


def resolved(config: RunConfig, options: argparse.Namespace) -> RunConfig:
    """The config as the model of its server has it, where that server is there already."""
    return config if options.embedded else resolve(config)


@contextmanager
def loaded_server(options: argparse.Namespace) -> Iterator[Where]:
    """The server to load: the given one, or an embedded one for as long as the block lasts."""
    check_one_server(options)
    if urls := http_urls(options):
        yield {"url": urls[0], "others": tuple(urls[1:]), "tls": tls_settings(options)}
    elif options.embedded == "triton":
        with triton_server(options.model) as server:
            if not options.quiet:
                told = f"Triton {server.version} on {server.url}, pid {server.pid}"
                print(f"{told}; serving {', '.join(server.models)}", file=sys.stderr)
            yield {"url": server.url, "server_pid": server.pid}
    elif options.embedded:
        with _embedded_redisai(options) as server:
            yield {"address": server.address, "server_pid": server.pid}
    else:
        first, *others = addresses(options)
        yield {"address": first, "others": tuple(others)}


def check_one_server(options: argparse.Namespace) -> None:
    """Raise ConfigError where the options name servers in more than one way."""
    elsewhere = is_address_given(options) or options.urls or options.metrics_url
    if options.embedded and (elsewhere or tls_settings(options)):
        raise ConfigError(
            "--embedded starts its own server: leave out --host, --port, --socket, --url, "
            "--metrics-url, --tls"
        )
    if options.embedded and (options.cluster_mode or options.all_addresses):
        raise ConfigError("--embedded starts one server: leave out --cluster-mode, --all-addresses")
    if http_urls(options) and is_address_given(options):
        raise ConfigError("--url with --host, --port or --socket: name one server")


@contextmanager
def _embedded_redisai(options: argparse.Namespace) -> Iterator["EmbeddedServer"]:
    from aibench_fast.models import ModelFormat, built_in_model
    from aibench_fast.models.load import ModelSpec, load_model
    from aibench_fast.server import EmbeddedServer

    model = built_in_model(ModelFormat.PB)
    with EmbeddedServer() as server:
        with Connection(server.address) as connection:
            load_model(connection, ModelSpec(name=options.model, blob=model))
        if not options.quiet:
            print(
                f"embedded server on {server.address}, pid {server.pid}; "
                f"loaded {options.model}: MobileNet V1, {len(model):,} bytes",
                file=sys.stderr,
            )
        yield server


def triton_server(model: str, port: int = 0, engine_threads: int = 0) -> "TritonServer":
    """A Triton that will serve the built-in model under this name; ConfigError as it says.

    `null` is the name of the other model that it has: the built-in one keeps its own then.
    """
    from aibench_fast.models import ModelFormat, built_in_model
    from aibench_fast.models.mobilenet import INPUT, OUTPUT
    from aibench_fast.server.triton import NULL_MODEL, Mobilenet, TritonServer

    if model == NULL_MODEL:
        model = DEFAULT_MODEL
    graph = built_in_model(ModelFormat.PB)
    return TritonServer(Mobilenet(model, graph, INPUT, OUTPUT), port, engine_threads)
