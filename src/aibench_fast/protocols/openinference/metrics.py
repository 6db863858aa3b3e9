"""What a server tells Prometheus of itself, as far as its names are known here.

Names, beside those of `protocols.openinference.statistics`, which Triton's, KServe's and MLServer's
own names are turned into:

    process_cpu_s                   CPU time of the process that answers
    used_memory_rss_bytes           its memory
    http_requests, http_us          MLServer: inference requests of all models, and their time from
                                    the first byte in to the last byte out

KServe's preprocess, predict and postprocess are model_input_us, model_infer_us, model_output_us.
"""

import dataclasses
import http.client
import math
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from aibench_fast.errors import ServerError
from aibench_fast.protocols import handshake
from aibench_fast.protocols.address import HttpAddress
from aibench_fast.protocols.openinference.bounded import TooLarge, read_body
from aibench_fast.protocols.openinference.client import http_connection
from aibench_fast.protocols.openinference.head import end_of_head, open_head
from aibench_fast.protocols.statistics import ServerReading

PATH = "/metrics"
MLSERVER = "mlserver"
MLSERVER_PORT = 8082
TIME_ALLOWED_S = 2.0
MAX_BYTES = 4 << 20
US_PER_S = 1e6

_SAMPLE = re.compile(r"([\w:]+)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_MODEL_LABELS = ("model", "model_name")
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


class Sample(NamedTuple):
    """A line of the text format."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples(text: str, names: Callable[[str], bool]) -> Iterator[Sample]:
    """The samples of the wanted names in Prometheus's text format; what is none is passed over."""
    for line in text.split("\n"):
        found = _SAMPLE.fullmatch(line) if names(_name(line)) else None
        if found:
            with suppress(ValueError):
                yield Sample(found[1], _labels(found[2] or ""), float(found[3]))


def _name(line: str) -> str:
    return line.partition("{")[0].partition(" ")[0]


def _labels(words: str) -> dict[str, str]:
    return {
        name: _ESCAPED.sub(lambda one: "\n" if one[1] == "n" else one[1], value)
        for name, value in _LABEL.findall(words)
    }


class MetricsReader:
    """Reads what a server tells Prometheus, each time on a connection of its own."""

    def __init__(self, address: HttpAddress, models: Sequence[str], version: str | None) -> None:
        """Of these models, in this version, or in all where that is None; nothing is read yet."""
        self.address = address
        self._models = models
        self._version = version

    def read(self) -> ServerReading:
        """Read once, for no more than a short while; what fails is in the notes."""
        now_s = time.monotonic()
        try:
            text = _fetched(self.address)
        except (OSError, http.client.HTTPException, ServerError) as error:
            why = str(error).strip() or type(error).__name__
            if isinstance(error, handshake.ENDS):
                hint = handshake.wanted_certificate(self.address.tls)
                why = f"it closed the connection{hint}"
            return ServerReading(now_s, notes=(f"no reading of {self.address}: {why}",))
        counters: dict[str, float] = {}
        levels: dict[str, float] = {}
        for one in samples(text, lambda name: name in _COUNTERS or name in _LEVELS):
            if not math.isfinite(one.value) or not self._is_asked(one.labels):
                continue
            if one.name in _LEVELS:
                levels[_LEVELS[one.name]] = _whole(one.value)
            else:
                ours, factor = _COUNTERS[one.name]
                counters[ours] = counters.get(ours, 0) + _whole(one.value * factor)
        if not counters:
            return ServerReading(
                now_s, notes=(f"no reading of {self.address}: it has no metric of a known name",)
            )
        return ServerReading(now_s, counters, levels)

    def close(self) -> None:
        """Nothing is open."""

    def _is_asked(self, labels: Mapping[str, str]) -> bool:
        models = [labels[name] for name in _MODEL_LABELS if name in labels]
        if self._version is not None and labels.get("version", self._version) != self._version:
            return False
        # MLServer's REST server counts its other paths under the same name.
        return all(one in self._models for one in models) and labels.get("path", "/infer").endswith(
            "/infer"
        )


def _whole(value: float) -> float:
    """A count without a point, which Prometheus gives it."""
    return int(value) if value.is_integer() else value


def _fetched(address: HttpAddress) -> str:
    """What the address answers; OSError or HTTPException where it does not, or not soon enough."""
    connection = http_connection(address, TIME_ALLOWED_S)
    head = open_head(address, "GET", "") + end_of_head()
    try:
        connection.connect()
    except ssl.SSLError as error:
        raise handshake.explained(address, error, address.host) from error
    try:
        response = connection.exchange(head, TIME_ALLOWED_S, MAX_BYTES)
        body = read_body(response)
    except TooLarge as error:
        raise ServerError(f"it has {error}") from error
    finally:
        connection.close()
    if response.status != http.HTTPStatus.OK:
        raise ServerError(f"it answers HTTP {response.status}")
    return body.decode("utf-8", "replace")


def given_reader(address: HttpAddress, models: Sequence[str], version: str | None) -> MetricsReader:
    """Read what --metrics-url names; ServerError where nothing is to be had there."""
    reader = MetricsReader(_with_path(address), models, version)
    if reading := reader.read().notes:
        raise ServerError(f"--metrics-url: {reading[0]}")
    return reader


def found_reader(
    server: HttpAddress, kind: str, models: Sequence[str], version: str | None
) -> MetricsReader | None:
    """Read what a server tells where such servers do, if it does; None otherwise.

    What answers there has to know the model: it may be another program.
    """
    if server.path:
        return None  # behind something that has metrics of its own
    ports = [server.port, *([MLSERVER_PORT] if kind == MLSERVER else [])]
    for port in ports:
        headers = server.headers if port == server.port else ()
        address = dataclasses.replace(server, port=port, path=PATH, headers=headers)
        reader = MetricsReader(address, models, version)
        if "model_calls" in reader.read().counters:
            return reader
    return None


def _with_path(address: HttpAddress) -> HttpAddress:
    if address.path:
        return address
    return dataclasses.replace(address, path=PATH)
