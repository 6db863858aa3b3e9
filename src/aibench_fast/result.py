"""What a run measured: immutable, and its JSON.

The JSON keeps aibench's keys, so that its readers go on working, and puts ours beside them.
Versions of the format:
    1.0  the first
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aibench_fast.files import write_text
from aibench_fast.histogram import LatencyHistogram

FORMAT_VERSION = "1.0"

LIVE_QUANTILES = (0.50, 0.90, 0.95, 0.99, 0.99999)
_JSON_QUANTILES = {"q0": 0.0, "q50": 0.50, "q95": 0.95, "q99": 0.99, "q999": 0.999, "q100": 1.0}
_LIVE_QUANTILE_NAMES = ("q50", "q90", "q95", "q99", "q99999")


@dataclass(frozen=True)
class ServerFacts:
    """Which server answered."""

    kind: str
    version: str
    address: str


@dataclass(frozen=True)
class Failure:
    """The failed requests of one kind."""

    count: int
    first_message: str


@dataclass(frozen=True)
class Interval:
    """One reporting period, and the run so far."""

    unix_ms: int
    images: int
    """Answered since the start, burn-in included: how far the run is."""
    instantaneous_rate: float
    """Images answered a second in this period."""
    overall_rate: float
    """Measured images a second; 0 during the burn-in."""
    quantiles_ms: Sequence[float]
    """Of the measured latencies so far, at LIVE_QUANTILES."""
    failed: int = 0
    """Failed requests since the start, burn-in included."""


@dataclass(frozen=True)
class Started:
    """All is checked and connected; the first requests leave now."""

    server: ServerFacts


@dataclass(frozen=True)
class BurnInComplete:
    """From here on requests are measured."""

    requests: int
    workers: int


@dataclass(frozen=True)
class Sample:
    """One reply's output: the index of the request's first tensor, the dtype and the bytes."""

    tensor: int
    dtype: str
    output: bytes


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run's figures. Burn-in is in none of them but those whose name says so."""

    model: str
    query_label: str
    """Names the model and the command that ran it."""
    data_file: str
    workers: int
    threads: int
    batch_size: int
    max_queries: int
    """Images that the run was limited to; 0 for none."""
    metadata_autobatching: int
    start_unix_ms: int
    end_unix_ms: int
    duration_s: float
    """From the first request to the end, burn-in included."""
    measured_s: float
    """From the end of the burn-in to the last answer: what rates are divided by."""
    requests: int
    """Measured requests, successes and failures."""
    successes: int
    failures: Mapping[str, Failure]
    """By kind."""
    burn_in_requests: int
    burn_in_failures: Mapping[str, Failure]
    abandoned: int
    """Requests under way when the run was stopped: neither success nor failure."""
    latencies: LatencyHistogram
    """Of the measured successes."""
    saturated: int
    """Latencies above the histogram's top, which are counted at it."""
    intervals: Sequence[Interval]
    client_cpu_s: float
    """CPU time of the I/O threads in the measured part."""
    busiest_thread: float
    """The largest share of the measured time that one I/O thread was on a CPU, 0 to 1."""
    server: ServerFacts
    server_stats: Mapping[str, Any]
    """What the server counted itself between the start and the end."""
    interrupted: bool

    @property
    def inferences(self) -> int:
        """Measured images that the model answered."""
        return self.successes * self.batch_size

    @property
    def inferences_per_s(self) -> float:
        """Measured images a second of measured time."""
        return self.inferences / self.measured_s if self.measured_s > 0 else 0.0

    @property
    def inferences_per_s_with_burn_in(self) -> float:
        """Images a second of the whole run, burn-in on both sides of the division."""
        failed = sum(failure.count for failure in self.burn_in_failures.values())
        images = (self.successes + self.burn_in_requests - failed) * self.batch_size
        return images / self.duration_s if self.duration_s > 0 else 0.0

    @property
    def failed(self) -> int:
        """Failed requests, those of the burn-in among them."""
        return sum(
            failure.count
            for kinds in (self.failures, self.burn_in_failures)
            for failure in kinds.values()
        )

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values; quantiles are milliseconds."""
        quantiles = self.latencies.quantiles_ms(_JSON_QUANTILES.values())
        return {
            "ResultFormatVersion": FORMAT_VERSION,
            "Limit": self.max_queries,
            "MetadataAutobatching": self.metadata_autobatching,
            "TensorBatchSize": self.batch_size,
            "Workers": self.workers,
            "MaxRps": 0,
            "StartTime": self.start_unix_ms,
            "EndTime": self.end_unix_ms,
            "DurationMillis": round(self.duration_s * 1000),
            "OverallRates": {"overallOpsRate": self.inferences_per_s},
            "OverallRatesIncludingWarmup": {"overallOpsRate": self.inferences_per_s_with_burn_in},
            "OverallQuantiles": {
                "AllQueries": dict(zip(_JSON_QUANTILES, quantiles, strict=True)),
                "EncodedHistogram": self.latencies.encode(),
            },
            "ClientRunTimeStats": {
                str(interval.unix_ms): _interval_json(interval) for interval in self.intervals
            },
            "ServerRunTimeStats": dict(self.server_stats),
            "Model": self.model,
            "Query": self.query_label,
            "DataFile": self.data_file,
            "Threads": self.threads,
            "MeasuredSeconds": self.measured_s,
            "Requests": self.requests,
            "Successes": self.successes,
            "Inferences": self.inferences,
            "Failures": _failures_json(self.failures),
            "BurnInRequests": self.burn_in_requests,
            "BurnInFailures": _failures_json(self.burn_in_failures),
            "AbandonedRequests": self.abandoned,
            "SaturatedLatencies": self.saturated,
            "ClientCpuSeconds": self.client_cpu_s,
            "ClientBusiestThread": self.busiest_thread,
            "Server": {
                "Kind": self.server.kind,
                "Version": self.server.version,
                "Address": self.server.address,
            },
            "Interrupted": self.interrupted,
        }

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all; ConfigError where it cannot be written."""
        write_text(path, json.dumps(self.to_json(), indent=2) + "\n")


def _interval_json(interval: Interval) -> dict[str, float]:
    quantiles = dict(zip(_LIVE_QUANTILE_NAMES, interval.quantiles_ms, strict=True))
    return {
        "totalImages": interval.images,
        "instantaneousRate": interval.instantaneous_rate,
        "overallRate": interval.overall_rate,
        **quantiles,
        "failed": interval.failed,
    }


def _failures_json(failures: Mapping[str, Failure]) -> dict[str, Any]:
    return {
        kind: {"Count": failure.count, "FirstMessage": failure.first_message}
        for kind, failure in failures.items()
    }
