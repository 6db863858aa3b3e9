"""Reads a server's counters: by Triton's statistics extension, and from its Prometheus metrics.

Triton's names, beside `period_s` and `notes`, as `protocols.statistics` has them over some time:

    model_calls, model_samples      requests that succeeded, and inferences in them
    model_errors                    requests that failed
    model_executions                what ran at once: fewer than inferences where Triton batches
    model_duration_us               of all requests, from their arrival to their response
    model_queue_us, model_input_us, and its parts: waiting, making the input ready,
    model_infer_us, model_output_us running the model, making the output ready

The names of Prometheus metrics that are known here, Triton's, KServe's and MLServer's, become these
(KServe's preprocess, predict and postprocess are input, infer and output) and:

    process_cpu_s                   CPU time of the process that answers
    used_memory_rss_bytes           its memory
    http_requests, http_us          MLServer: inference requests of all models, and their time from
                                    the first byte in to the last byte out
"""

import dataclasses
import http.client
import math
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from aibench_fast.errors import ServerError, misread
from aibench_fast.protocols import reaching
from aibench_fast.protocols.address import GrpcAddress, HttpAddress
from aibench_fast.protocols.openinference.client import Client, Connect
from aibench_fast.protocols.openinference.http.exchange import (
    BoundedConnection,
    TooLarge,
    end_of_head,
    open_head,
)
from aibench_fast.protocols.openinference.model import ask_model
from aibench_fast.protocols.openinference.settings import OpenInferenceSettings, metrics_address
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


PATH = "/metrics"
MLSERVER = "mlserver"
MLSERVER_PORT = 8082
TIME_ALLOWED_S = 2.0
MAX_BYTES = 4 << 20
MAX_PARSED_CHARACTERS = 1 << 17
"""Of the lines about a run's models: a long line takes the parser quadratic time."""
US_PER_S = 1e6

_MODEL_LABELS = ("model", "model_name")
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
"""Of a label's value."""
_COUNTERS = {
    "process_cpu_seconds_total": ("process_cpu_s", 1),
    # Triton
    "nv_inference_request_success": ("model_calls", 1),
    "nv_inference_request_failure": ("model_errors", 1),
    "nv_inference_count": ("model_samples", 1),
    "nv_inference_exec_count": ("model_executions", 1),
    "nv_inference_request_duration_us": ("model_duration_us", 1),
    "nv_inference_queue_duration_us": ("model_queue_us", 1),
    "nv_inference_compute_input_duration_us": ("model_input_us", 1),
    "nv_inference_compute_infer_duration_us": ("model_infer_us", 1),
    "nv_inference_compute_output_duration_us": ("model_output_us", 1),
    # KServe
    "request_predict_seconds_count": ("model_calls", 1),
    "request_preprocess_seconds_sum": ("model_input_us", US_PER_S),
    "request_predict_seconds_sum": ("model_infer_us", US_PER_S),
    "request_postprocess_seconds_sum": ("model_output_us", US_PER_S),
    # MLServer
    "model_infer_request_success_total": ("model_calls", 1),
    "model_infer_request_failure_total": ("model_errors", 1),
    "model_infer_request_duration_sum": ("model_infer_us", US_PER_S),
    "rest_server_request_duration_seconds_count": ("http_requests", 1),
    "rest_server_request_duration_seconds_sum": ("http_us", US_PER_S),
}
_LEVELS = {"process_resident_memory_bytes": "used_memory_rss_bytes"}


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


def _parsed(lines: Iterable[str]) -> "list[Sample]":
    """Parse lines of samples; ServerError if one is malformed or they are too long."""
    from prometheus_client.parser import text_string_to_metric_families  # takes 20 ms

    text = "\n".join(lines)
    if len(text) > MAX_PARSED_CHARACTERS:
        raise ServerError(f"its lines have more than {MAX_PARSED_CHARACTERS:,} characters")
    try:
        return [
            one._replace(value=float(one.value))
            for family in text_string_to_metric_families(text)
            for one in family.samples
        ]
    except (ValueError, IndexError, OverflowError) as error:  # by what is malformed about it
        raise ServerError(f"it is not in Prometheus's text format: {error}") from error


class MetricsReader(Reader):
    """Reads a server's metrics, each time on a connection of its own."""

    def __init__(self, address: HttpAddress, models: Sequence[str], version: str | None) -> None:
        """Of these models, in this version, or in all if that is None; nothing is read yet."""
        self.address = address
        self._models = models
        self._quoted = [f'"{model.translate(_ESCAPES)}"' for model in models]
        self._version = version

    def read(self) -> ServerReading:
        """Read once, for no more than a short while; the notes name what fails."""
        now_s = time.monotonic()
        counters: dict[str, float] = {}
        levels: dict[str, float] = {}
        try:
            for one in _parsed(filter(self._is_of_interest, _fetched(self.address).split("\n"))):
                if not math.isfinite(one.value) or not self._is_asked(one.labels):
                    continue
                if one.name in _LEVELS:
                    levels[_LEVELS[one.name]] = _whole(one.value)
                else:
                    ours, factor = _COUNTERS[one.name]
                    counters[ours] = counters.get(ours, 0) + _whole(one.value * factor)
            if not counters:
                raise ServerError("it has no metric of a known name")
        except (OSError, http.client.HTTPException, ServerError) as error:
            why = str(error).strip() or type(error).__name__
            if isinstance(error, reaching.ENDS):
                hint = reaching.wanted_certificate(self.address.tls)
                why = f"it closed the connection{hint}"
            return ServerReading(now_s, notes=(f"no reading of {self.address}: {why}",))
        return ServerReading(now_s, counters, levels)

    def _is_of_interest(self, line: str) -> bool:
        """Return whether to parse a line: the server may have a thousand other models.

        Lines of types are not parsed, by which the parser would rename counters.
        """
        name, _, labels = line.partition("{")
        name = name.partition(" ")[0]
        return (name in _COUNTERS or name in _LEVELS) and (
            any(model in labels for model in self._quoted)
            or not any(f'{label}="' in labels for label in _MODEL_LABELS)
        )

    def _is_asked(self, labels: Mapping[str, str]) -> bool:
        models = [labels[name] for name in _MODEL_LABELS if name in labels]
        if self._version is not None and labels.get("version", self._version) != self._version:
            return False
        # MLServer's REST server counts its other paths under the same name.
        return all(one in self._models for one in models) and labels.get("path", "/infer").endswith(
            "/infer"
        )


def _whole(value: float) -> float:
    """Return a count without a point, which Prometheus gives it."""
    return int(value) if value.is_integer() else value


def _fetched(address: HttpAddress) -> str:
    """Return the answer; OSError or HTTPException if there is none, or none soon enough."""
    with closing(BoundedConnection(address, TIME_ALLOWED_S)) as connection:
        try:
            connection.connect()
        except ssl.SSLError as error:
            raise reaching.explained(address, error) from error
        try:
            reply = connection.exchange(open_head(address, "GET", "") + end_of_head(), MAX_BYTES)
        except TooLarge as error:
            raise ServerError(f"it has {error}") from error
    if reply.status != http.HTTPStatus.OK:
        raise ServerError(f"it answers HTTP {reply.status}")
    return reply.body.decode("utf-8", "replace")


def metrics_reader(
    server: HttpAddress, settings: OpenInferenceSettings, kind: str, models: Sequence[str]
) -> MetricsReader | None:
    """Return a reader of `metrics_url`, or of the usual address of such a server's metrics.

    None if there are none at the usual one. They have to name the model: another program may answer
    there. ServerError if no metrics are at `metrics_url`.
    """
    version = settings.model_version
    if given := metrics_address(settings, server):
        given = dataclasses.replace(given, path=given.path or PATH)
        reader = MetricsReader(given, models, version)
        if notes := reader.read().notes:
            raise ServerError(f"`metrics_url`: {notes[0]}")
        return reader
    if server.path:
        return None  # behind something that has metrics of its own
    places = [] if isinstance(server, GrpcAddress) else [(server.port, server.headers)]
    if kind == MLSERVER:
        places.append((MLSERVER_PORT, ()))
    for port, headers in places:
        address = HttpAddress(server.host, port, PATH, headers, server.tls)
        reader = MetricsReader(address, models, version)
        if "model_calls" in reader.read().counters:
            return reader
    return None


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


if TYPE_CHECKING:
    from prometheus_client.samples import Sample
