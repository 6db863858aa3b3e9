"""Reads a server's counters: by Triton's statistics extension, and from its Prometheus metrics.

Triton's names, beside `period_s` and `notes`, as `protocols.statistics` has them over some time:

    model_calls, model_samples      requests that succeeded, and inferences in them
    model_errors                    requests that failed
    model_executions                what ran at once: fewer than inferences where Triton batches
    model_duration_us               of all requests, from their arrival to their response
    model_queue_us, model_input_us, and its parts: waiting, making the input ready,
    model_infer_us, model_output_us running the model, making the output ready
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from aibench_fast.errors import ServerError, misread
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.client import Client, Connect
from aibench_fast.protocols.openinference.metrics import metrics_reader
from aibench_fast.protocols.openinference.model import ask_model
from aibench_fast.protocols.openinference.settings import OpenInferenceSettings
from aibench_fast.protocols.statistics import Reader, ServerReading

EXTENSION = "statistics"
PROBE_TIMEOUT_S = 2.0
NS_PER_US = 1000
_PARTS = {
    "success": "model_duration_us",
    "queue": "model_queue_us",
    "compute_input": "model_input_us",
    "compute_infer": "model_infer_us",
    "compute_output": "model_output_us",
}


class TritonReader:
    """Reads the counters of a server's models on a connection of its own."""

    def __init__(
        self, connect: Connect, address: HttpAddress, models: Sequence[str], version: str | None
    ) -> None:
        """Connect; ServerError where nothing answers."""
        self._connect = connect
        self._address = address
        self._models = models
        self._version = version
        self._client: Client | None = connect(address, PROBE_TIMEOUT_S)

    def read(self) -> ServerReading:
        """Ask for each model's statistics, on a new connection where the old one was spoilt."""
        now_s = time.monotonic()
        counters: dict[str, float] = {}
        try:
            if self._client is None:
                self._client = self._connect(self._address, PROBE_TIMEOUT_S)
            for name in self._models:
                for model in self._client.statistics(name, self._version)["model_stats"]:
                    _add(counters, model)
        except (ServerError, KeyError, TypeError, AttributeError) as error:
            self.close()
            why = str(error)
            if not isinstance(error, ServerError):
                why = (
                    f"{self._address} has no statistics of {name} as Triton does: {misread(error)}"
                )
            return ServerReading(now_s, notes=(f"no reading: {why}",))
        return ServerReading(now_s, counters)

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
        self._client = None


def _add(counters: dict[str, float], model: Mapping[str, Any]) -> None:
    """Add what one version of a model counted."""
    counted = model["inference_stats"]
    found = {
        "model_calls": counted["success"]["count"],
        "model_errors": counted["fail"]["count"],
        "model_samples": model["inference_count"],
        "model_executions": model["execution_count"],
    } | {ours: counted[theirs]["ns"] / NS_PER_US for theirs, ours in _PARTS.items()}
    for name, value in found.items():
        counters[name] = counters.get(name, 0) + value


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
    kind = str(server.get("name"))
    beside = process or metrics_reader(address, settings, kind, models)
    found: list[Reader] = [beside] if beside else []
    if EXTENSION in extensions_of(server):
        found.insert(0, TritonReader(connect, address, models, settings.model_version))
    return found


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
