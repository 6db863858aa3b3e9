"""The servers that a study loads: existing servers, and embedded ones."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aibench_fast.errors import ConfigError
from aibench_fast.load.config import DEFAULT_MODEL, RunConfig
from aibench_fast.load.kinds import IMAGE_SHAPE
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.studies.events import ServerStarted, StudyObserver

# Imported when needed: a run against an existing server saves their memory.
if TYPE_CHECKING:
    from aibench_fast.server.triton import TritonServer

EMBEDDED = ("redisai", "triton", "tokens")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
NAME_RULE = "name {!r}: it is in file names, so write letters, digits, . and - alone"
EMBEDDED_TRITON_URLS = {"http": "http://127.0.0.1:8000", "grpc": "grpc://127.0.0.1:8001"}
"""By protocol: stands for the URL of a Triton that has not started."""
EMBEDDED_TOKENS_URL = "http://127.0.0.1:8000/v1/chat/completions"
"""Stands for the URL of a server of tokens that has not started."""
EMBEDDED_TOKENS_LENGTHS = {"prompt_tokens": 128, "output_tokens": 64}
"""The settings of what such a server is sent where nothing else is given."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server, and the settings of runs against it."""

    config: RunConfig
    """With the server's address or URL, unless it is embedded."""
    name: str | None = None
    """Its name in results and file names, if several are compared."""
    embedded: str | None = None
    """One of EMBEDDED: the server is started when its runs begin, and stopped after them."""

    @classmethod
    def of(cls, config: RunConfig, name: str, settings: Mapping[str, Any]) -> "Server":
        """Return a server whose settings differ from the others' `config`.

        `settings` are fields of RunConfig, `embedded`, and `protocol` of an embedded Triton.
        ConfigError if one is unknown.
        """
        if not NAME.fullmatch(name):
            raise ConfigError(f"servers: {NAME_RULE.format(name)}")
        own = dict(settings)
        embedded, protocol = own.pop("embedded", None), own.pop("protocol", None)
        check_protocol(f"servers, {name}: ", embedded, protocol)
        known = {one.name for one in dataclasses.fields(RunConfig)}
        for key in own:
            if key not in known:
                raise ConfigError(
                    f"servers, {name}: unknown setting {key}; use embedded, protocol and the "
                    "fields of RunConfig"
                )
        if embedded is not None:
            if embedded not in EMBEDDED:
                raise ConfigError(
                    f"servers, {name}: embedded {embedded!r} has to be {' or '.join(EMBEDDED)}"
                )
            own |= embedded_url(embedded, protocol)
            if embedded != "tokens":
                own.setdefault("shape", config.shape or IMAGE_SHAPE)
                own.setdefault("dtype", config.dtype or "FLOAT")
        return cls(config=dataclasses.replace(config, **own), name=name, embedded=embedded)


def check_protocol(where: str, embedded: str | None, protocol: str | None) -> None:
    """Raise ConfigError if a protocol is given that the embedded server does not have."""
    if protocol is None:
        return
    if embedded != "triton":
        raise ConfigError(
            f"{where}protocol {protocol} is for an embedded Triton; other servers have it in their "
            "URL"
        )
    if protocol not in EMBEDDED_TRITON_URLS:
        raise ConfigError(
            f"{where}protocol {protocol!r} has to be {' or '.join(EMBEDDED_TRITON_URLS)}"
        )


def embedded_url(embedded: str | None, protocol: str | None) -> dict[str, str]:
    """Return the setting `url` of an embedded server that has not started, if it has one."""
    if embedded == "triton":
        return {"url": EMBEDDED_TRITON_URLS[protocol or "http"]}
    return {"url": EMBEDDED_TOKENS_URL} if embedded == "tokens" else {}


@contextmanager
def started(config: RunConfig, embedded: str | None, observe: StudyObserver) -> Iterator[RunConfig]:
    """Run an embedded server for as long as the block lasts; yield `config` with its address.

    Without `embedded` the config is yielded as it is. ConfigError if a file of the run is wrong, or
    the server or its model is not installed; ServerError if it does not start.
    """
    if embedded is None:
        yield config
        return
    from aibench_fast.load.sources import check_files

    check_files(config)
    with ExitStack() as running:
        changes, description = _start(config, embedded, running)
        observe(ServerStarted(description))
        yield dataclasses.replace(config, **changes)


def _start(config: RunConfig, embedded: str, running: ExitStack) -> tuple[dict[str, Any], str]:
    """Start a server; return the settings that differ with it, and its description."""
    if embedded == "triton":
        triton = running.enter_context(triton_server(config.model))
        url = triton.grpc_url if config.url == EMBEDDED_TRITON_URLS["grpc"] else triton.url
        served = f"Triton {triton.version} on {url}, pid {triton.pid}; serving "
        return {"url": url, "server_pid": triton.pid}, served + ", ".join(triton.models)
    if embedded == "tokens":
        from aibench_fast.server.tokenserver import Simulation, TokenServer

        tokens = running.enter_context(TokenServer(Simulation(model=config.kinds[0].model)))
        described = f"server of tokens on {tokens.url}, pid {tokens.pid}; {tokens.simulation}"
        return {"url": tokens.url, "server_pid": tokens.pid}, described
    from aibench_fast.models import ModelFormat, built_in_model
    from aibench_fast.models.load import ModelSpec, load_model
    from aibench_fast.server import EmbeddedServer

    model = built_in_model(ModelFormat.PB)
    server = running.enter_context(EmbeddedServer())
    with Connection(server.address) as connection:
        load_model(connection, ModelSpec(name=config.model, blob=model))
    described = (
        f"embedded server on {server.address}, pid {server.pid}; "
        f"loaded {config.model}: MobileNet V1, {len(model):,} bytes"
    )
    return {"address": server.address, "server_pid": server.pid}, described


def triton_server(model: str, port: int = 0, engine_threads: int = 0) -> "TritonServer":
    """Return a Triton that will serve the built-in model under this name; ConfigError as it says.

    Triton also has a model `null`; where `model` is that, the built-in one keeps its own name.
    """
    from aibench_fast.server.triton import NULL_MODEL, TritonServer

    return TritonServer(DEFAULT_MODEL if model == NULL_MODEL else model, port, engine_threads)
