"""The server that a command loads: the one that its options name, or one of our own."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypedDict

from aibench_fast.cli.options import addresses, http_url, is_address_given, tls_settings
from aibench_fast.errors import ConfigError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.protocols.tls import TlsSettings

# A run against a server that is there already does without the memory of models and servers.
if TYPE_CHECKING:
    from aibench_fast.server.triton import TritonServer

EMBEDDED = ("redisai", "triton")


class Where(TypedDict, total=False):
    """The settings of a RunConfig that say where its server is."""

    address: ServerAddress
    url: str
    tls: TlsSettings | None


@contextmanager
def loaded_server(options: argparse.Namespace) -> Iterator[Where]:
    """The server to load: the given one, or an embedded one for as long as the block lasts."""
    tls = tls_settings(options)
    if options.embedded and (is_address_given(options) or options.url or tls):
        raise ConfigError(
            "--embedded starts its own server: leave out --host, --port, --socket, --url, --tls"
        )
    if (url := http_url(options)) and is_address_given(options):
        raise ConfigError("--url with --host, --port or --socket: name one server")
    if url:
        yield {"url": url, "tls": tls}
    elif options.embedded == "triton":
        with triton_server(options.model) as server:
            if not options.quiet:
                told = f"Triton {server.version} on {server.url}, pid {server.pid}"
                print(f"{told}; serving {options.model}: MobileNet V1", file=sys.stderr)
            yield {"url": server.url}
    elif options.embedded:
        with _embedded_redisai(options) as address:
            yield {"address": address}
    else:
        servers = addresses(options)
        if len(servers) > 1:
            raise ConfigError(f"--host {options.host}: a run loads one server, name one")
        yield {"address": servers[0]}


@contextmanager
def _embedded_redisai(options: argparse.Namespace) -> Iterator[ServerAddress]:
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
        yield server.address


def triton_server(model: str, port: int = 0, engine_threads: int = 0) -> "TritonServer":
    """A Triton that will serve the built-in model under this name; ConfigError as it says."""
    from aibench_fast.models import ModelFormat, built_in_model
    from aibench_fast.models.mobilenet import INPUT, OUTPUT
    from aibench_fast.server.triton import Mobilenet, TritonServer

    graph = built_in_model(ModelFormat.PB)
    return TritonServer(Mobilenet(model, graph, INPUT, OUTPUT), port, engine_threads)
