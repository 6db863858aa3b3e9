"""What reads a server's counters: by its own statistics, and from its Prometheus metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

from aibench_fast.errors import ServerError
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import Connect
from aibench_fast.protocols.openinference.metrics import MetricsReader, found_reader, given_reader
from aibench_fast.protocols.openinference.model import ask_model
from aibench_fast.protocols.openinference.settings import OpenInferenceSettings, metrics_address
from aibench_fast.protocols.openinference.statistics import EXTENSION, TritonReader
from aibench_fast.protocols.statistics import Reader, ServerReading


def extensions_of(server: Mapping[str, Any]) -> list[str]:
    """Return what a server has beyond the protocol, by its metadata."""
    return [str(name) for name in server.get("extensions") or ()]


def readers(
    connect: Connect,
    address: HttpAddress,
    settings: OpenInferenceSettings,
    models: Sequence[str],
    server: Mapping[str, Any],
    process: Reader | None = None,
) -> list[Reader]:
    """Return readers of the models' statistics, if the server has them, as Triton does.

    `server` is its metadata. Beside them are its processes, by `process`, or where they are not
    known its Prometheus metrics; ServerError where it has none at `metrics_url`.
    """
    version = settings.model_version
    beside = process or _metrics_reader(address, settings, models, server)
    found: list[Reader] = [beside] if beside else []
    if EXTENSION in extensions_of(server):
        found.insert(0, TritonReader(connect, address, models, version))
    return found


def _metrics_reader(
    address: HttpAddress,
    settings: OpenInferenceSettings,
    models: Sequence[str],
    server: Mapping[str, Any],
) -> MetricsReader | None:
    given, version = metrics_address(settings, address), settings.model_version
    if given is not None:
        return given_reader(given, models, version)
    return found_reader(address, str(server.get("name")), models, version)


def read_now(
    connect: Connect, address: HttpAddress, settings: OpenInferenceSettings, model: str
) -> ServerReading:
    """Return a model's counters; ServerError where there is no such model, or no counter of it."""
    with connect(address, settings.patience_s) as client:
        server = client.server()
        ask_model(client, model, settings.model_version, inputs_are_given=True)
    counters: dict[str, float] = {}
    levels: dict[str, float] = {}
    notes: list[str] = []
    for reader in readers(connect, address, settings, [model], server):
        reading = reader.read()
        reader.close()
        counters = {**reading.counters, **counters}
        levels = {**reading.levels, **levels}
        notes += reading.notes
    if not counters:
        words = "; ".join(notes) or "it has neither Triton's statistics nor metrics"
        raise ServerError(f"{address} has no counters of the model {model}: {words}")
    return ServerReading(reading.monotonic_s, counters, levels, tuple(notes))
