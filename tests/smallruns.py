"""Runs against the servers of these tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from aibench_fast import Result, RunConfig, run
from aibench_fast.results.events import Event
from aibench_fast.server import EmbeddedServer


class Fake(Protocol):
    """A server of these tests."""

    @property
    def settings(self) -> dict[str, Any]:
        """Where it is, and its model."""


Server = Fake | EmbeddedServer | str | int
"""A string is a URL, and a number a port of gRPC; their model is called `m`."""


def config_of(server: Server, file: Path | None = None, **others: Any) -> RunConfig:
    """Settings of a run against a server; others may replace the server's own."""
    where: dict[str, Any]
    if isinstance(server, str | int):
        url = server if isinstance(server, str) else f"grpc://127.0.0.1:{server}"
        where = {"url": url, "model": "m"}
    elif isinstance(server, EmbeddedServer):
        where = {"address": server.address}
    else:
        where = server.settings
    return RunConfig(**{"file": file, **where, **others})


class Heard(list[Any]):
    """The events of one kind that a run has its observer hear."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self._kind = kind

    def __call__(self, event: object) -> None:
        if isinstance(event, self._kind):
            self.append(event)


def against(
    server: Server,
    file: Path | None = None,
    observe: Callable[[Event], object] = lambda event: None,
    **others: Any,
) -> Result:
    """Run with these settings."""
    return run(config_of(server, file, **others), observe)
