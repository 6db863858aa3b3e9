"""What a run measured: immutable, and its JSON.

The JSON keeps aibench's keys, so that its readers go on working, and puts ours beside them.
Versions of the format:
    1.0  the first
    1.1  MaxRps holds, with LateStarts, Latency and ServiceQuantiles; Facts; server statistics by
         reporting period; of each period failed requests and the latencies of it alone
    1.2  Pipeline; LeastWorkerRequests and MostWorkerRequests; Shape and Dtype of a tensor, which
         were 224 x 224 x 3 FLOAT before; DataSeed, and a DataFile of null, where the tensors are
         generated
    1.3  ServerRunTimeStats as aibench writes it, INFO's fields as text by time in ns and server;
         what stood there before, counted by reporting period, is ServerPeriods
    1.4  Arrivals, Shed, Unsent, LagExceeded and Steps of a schedule; Kinds of a mix, which has no
         Shape and no Dtype, and a TensorBatchSize of 0 where its kinds' differ; ScheduleLag,
         TimerLag and ReplyWait, what the client itself adds; ClientCheck; Expectations; Warnings
    1.5  Reconnects; a Dtype may be FP16, BF16, UINT32 or UINT64; Facts.Inputs and Facts.Llhttp
    1.6  AllRequests, which add up; Outages and OutageCount; of each period the requests so far;
         ServerName, of several servers that are compared; Incomplete; Facts.Tls
    1.7  Servers, the figures of each of several; Outages say whose they are; Moved and Asked;
         Clients, of a run over several
    1.8  Unsent of each step
    1.9  null for a percentile that is not known: of no success, or of too few; a Dtype may be
         BYTES; Facts.StringTensors, StringTensorsGiven and StringBytes; RemadeConnections and
         Resent; of ClientCheck CpuQuota, Throttled, CpuWait, CpuPressure, Others,
         ServerOthers and ServerCpuWait;
         ConnectTime and ConnectShare, and a closed loop whose requests waited for new
         connections has ServiceQuantiles; Overloaded;
         of each period whether it is partial; MeasuredSeconds is the schedule's own time
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from aibench_fast.files import write_text
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.notebook import ShownInNotebooks

MIN_FOR_P99 = 100
"""Of fewer values none needs to be beyond their 99th percentile."""
WHOLE_PERIOD = 0.95
"""The share of a reporting period that has to have load, or its rate is not the load's."""
MAX_NOT_SENT = 0.01
"""The share of due requests that were not sent above which the asked load was not there."""
BUSY_THREAD = 0.9
"""The share of a core above which a client's thread may be what limits the rate."""
FORMAT_VERSION = "1.9"

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
class RequestCounts:
    """What became of all requests of a run, burn-in included: those sent are the others' sum."""

    sent: int
    """Handed to a connection, or given up for want of one."""
    succeeded: int
    failed: int
    cancelled: int
    """Under way when the run was stopped."""


@dataclass(frozen=True)
class Outage:
    """A time in which the server could not be reached."""

    start_unix_ms: int
    after_s: float
    """When it began, from the run's start."""
    seconds: float
    """From the loss of a connection until one was made again, or the run's end."""
    is_over: bool
    attempts: int
    """To connect, that failed."""
    server: str | None = None
    """Whose it was, by its address, where there are several."""


@dataclass(frozen=True)
class Checked:
    """What was expected of a figure, what was found, and whether it held."""

    expected: str
    """As it was written, such as `p99<50ms`."""
    value: float | None
    """In milliseconds, as a share, or inferences a second; None where it is not known."""
    found: str
    """In words, with its unit."""
    held: bool

    @property
    def figure(self) -> str:
        """What it is about, such as `p99`."""
        return self.expected.partition("<")[0].partition(">")[0].strip()

    def __str__(self) -> str:
        """Return the line that tells it."""
        return f"Expected {self.expected}: {self.found}, {'held' if self.held else 'broken'}"


@dataclass(frozen=True)
class Warned:
    """Something that makes the figures doubtful."""

    kind: str
    message: str


class Verdict(StrEnum):
    """What a run's figures are of."""

    SERVER_BOUND = "server-bound"
    CLIENT_BOUND = "client-bound"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class ClientCheck:
    """What the client did in the measured time, and what follows from it; shares are 0 to 1."""

    verdict: Verdict
    reason: str
    cpu_share: float
    """What the I/O threads used of the cores that they may use."""
    machine_busy: float | None
    """Of all cores, whoever used them; None where the system does not tell."""
    steal: float | None
    """What a hypervisor gave to others; None where the system does not tell."""
    cpu_quota: float | None = None
    """How many CPUs the tightest quota of the client's control groups allows; None without one."""
    throttled: float | None = None
    """The share of a quota's periods in which it was used up and the client stood still; None
    without a quota."""
    cpu_wait: float | None = None
    """The largest share of the time that one I/O thread was ready to run and waited for a CPU."""
    cpu_pressure: float | None = None
    """The share of the time in which some program here had to wait for a CPU."""
    others: float | None = None
    """What other programs than client and servers used of the client's cores; None where a server
    runs here whose process is not known."""
    server_others: float | None = None
    """The same of the cores that the servers on this machine may use; None without any."""
    server_cpu_wait: float | None = None
    """For how long threads of the servers here were ready to run and waited for a CPU, a second of
    measured time, added up; None where that is not known."""


@dataclass(frozen=True, kw_only=True)
class PartFigures:
    """What was measured of a part of the requests; the parts add up to the whole."""

    name: str
    successes: int
    inferences: int
    failures: Mapping[str, Failure]
    shed: int
    late_starts: int
    latencies: LatencyHistogram
    """From the intended start."""
    service_latencies: LatencyHistogram | None
    """From the actual start; None where it is the same."""

    @property
    def requests(self) -> int:
        """Successes and failures."""
        return self.successes + self.failed

    @property
    def failed(self) -> int:
        """Failures of all kinds."""
        return sum(failure.count for failure in self.failures.values())


@dataclass(frozen=True, kw_only=True)
class StepFigures(PartFigures):
    """Of the requests that were due in one step of a profile, named as it was written."""

    seconds: float
    """How long it lasted: less than was asked where the run ended in it, 0 where it did before."""
    unsent: int
    """Requests that were due in it before the end, and had no worker free by then."""


@dataclass(frozen=True, kw_only=True)
class KindFigures(PartFigures):
    """Of the requests of one kind of a mix, named by its model."""

    tensors: str
    """Of a request, in words."""
    batch_size: int
    weight: float
    """Its share of the requests, relative to the other kinds'."""


@dataclass(frozen=True, kw_only=True)
class ServerFigures(PartFigures):
    """Of the requests that one of several servers was sent, named by its address."""

    server: ServerFacts
    workers: int
    measured_s: float
    """Of the whole run."""
    server_stats: Mapping[str, Any]
    """What it counted itself, over all."""

    @property
    def inferences_per_s(self) -> float:
        """Measured images that it answered, a second of measured time."""
        return self.inferences / self.measured_s if self.measured_s > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class ClientFigures(PartFigures):
    """Of the requests of one client of several, named as its Dask worker is."""

    host: str
    workers: int
    threads: int
    measured_s: float
    cpu_s: float
    """CPU time of its I/O threads in the measured part."""
    busiest_thread: float
    check: ClientCheck | None
    """None where it was lost before it measured anything."""
    clock_offset_s: float
    """Its monotonic clock less the coordinator's."""
    clock_uncertainty_s: float
    """How far from the truth that may be, either way; 0 where the two share a clock."""
    start_lag_s: float
    """How long after the agreed moment, by its own clock, its first thread began."""
    lost: str | None
    """How it went away, where it did: the figures are then what it had last told of."""


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
    requests: int = 0
    """Requests that ended in any way since the start, burn-in included."""
    period_quantiles_ms: Sequence[float] = ()
    """Of the latencies measured in this period alone, at LIVE_QUANTILES; empty where none were."""
    is_partial: bool = False
    """Whether only a part of it had load, as of the last one: its rate is not the load's."""


@dataclass(frozen=True, kw_only=True)
class Result(ShownInNotebooks):
    """One run's figures. Burn-in is in none of them but those whose name says so."""

    model: str
    query_label: str
    """Names the model and the command that ran it."""
    data_file: str | None
    """None where the tensors were generated."""
    data_seed: int | None
    """What generated tensors were drawn from."""
    shape: Sequence[int]
    """Of one tensor, without the batch; empty for a mix."""
    dtype: str
    """RedisAI's name for the type of the tensors' values; empty for a mix."""
    workers: int
    threads: int
    batch_size: int
    """Tensors a request; 0 where the kinds of a mix differ."""
    pipeline: int
    """Requests outstanding on each connection."""
    max_queries: int
    """Images that the run was limited to; 0 for none."""
    limit_rps: float
    """Requests a second that the run was limited to; 0 for none."""
    metadata_autobatching: int
    start_unix_ms: int
    end_unix_ms: int
    duration_s: float
    """From the first request to the end, burn-in included."""
    measured_s: float
    """What rates are divided by: the schedule's time; in a closed loop from the end of the burn-in
    to the last answer, without what a stuck server added to its duration."""
    requests: int
    """Measured requests, successes and failures."""
    successes: int
    inferences: int
    """Measured images that models answered: a success has a batch of them."""
    inferences_with_burn_in: int
    failures: Mapping[str, Failure]
    """By kind."""
    burn_in_requests: int
    burn_in_failures: Mapping[str, Failure]
    reconnects: int
    """New connections in place of such as the server closed between requests, as HTTP may."""
    remade_connections: int = 0
    """New connections in place of such as were lost."""
    resent: int = 0
    """Requests that were sent again: the server had closed the connection before it had them."""
    moved: int = 0
    """Redirects from one node of a cluster to another that were followed, MOVED."""
    asked: int = 0
    """The same by ASK."""
    abandoned: int
    """Requests under way when the run was stopped: neither success nor failure."""
    all_requests: RequestCounts
    outage_count: int
    outages: Sequence[Outage]
    """The first of them."""
    late_starts: int
    """Measured requests that started late by the schedule, because no worker was free."""
    latencies: LatencyHistogram
    """Of the measured successes: response latencies, from the intended start. In a closed loop that
    is the actual start, unless a request waited for a new connection."""
    service_latencies: LatencyHistogram | None
    """Of the same from the actual start; None where it is the same."""
    arrivals: Mapping[str, Any] | None
    """How requests were due, in words and numbers; None in a closed loop."""
    shed: int
    """Measured requests that were due and not sent, because they were later than may be."""
    unsent: int
    """Requests that were due before the end, and had no worker free by then."""
    lag_exceeded: bool
    """Whether a request that was later than may be ended the run."""
    steps: Sequence[StepFigures]
    """Of a profile; together they are the whole."""
    kinds: Sequence[KindFigures]
    """Of a mix; together they are the whole."""
    servers: Sequence[ServerFigures] = ()
    """Of several servers; together they are the whole."""
    start_lags: LatencyHistogram
    """By a schedule: actual less intended start, of every measured request."""
    timer_lags: LatencyHistogram
    """The same of those that a free worker waited for: what the client itself adds."""
    reply_waits: LatencyHistogram
    """How long replies waited in the kernel for their thread, of a sample; empty where unknown."""
    connect_times: LatencyHistogram = field(default_factory=LatencyHistogram.empty)
    """How long it took to make each connection in the measured time, with TLS and log-in."""
    saturated: int
    """Latencies above the histogram's top, which are counted at it."""
    intervals: Sequence[Interval]
    client_cpu_s: float
    """CPU time of the I/O threads in the measured part."""
    busiest_thread: float
    """The largest share of the measured time that one I/O thread was on a CPU, 0 to 1."""
    client: ClientCheck
    least_worker_requests: int
    """Measured requests of the worker that had the fewest: how fairly the server took turns."""
    most_worker_requests: int
    """And of the one that had the most."""
    server: ServerFacts
    server_name: str | None = None
    """What it was called where several are compared; None where there is one."""
    server_stats: Mapping[str, Any]
    """What the server counted itself, `overall` and by the time in ms at which a period ended; the
    names inside are those of the modules in `protocols` that read them."""
    raw_server_stats: Mapping[str, Any]
    """INFO's fields as text, by time in ns and `host:port`, as aibench writes them."""
    facts: Mapping[str, Any]
    """What the figures depend on beside the server's speed."""
    interrupted: bool
    incomplete: bool = False
    """Whether the run was killed, and this is what its journal held; it is interrupted, too."""
    expectations: Sequence[Checked] = ()
    """What was expected of the figures, in the order that it was asked."""

    clients: Sequence[ClientFigures] = ()
    """Of a run over several; together they are the whole."""
    warnings: Sequence[Warned] = ()
    """What makes the figures doubtful beside failures."""

    @property
    def held(self) -> bool:
        """Whether all that was expected held."""
        return all(check.held for check in self.expectations)

    @property
    def requests_per_s(self) -> float:
        """Measured requests a second of measured time, failed ones too."""
        return self.requests / self.measured_s if self.measured_s > 0 else 0.0

    @property
    def late_share(self) -> float:
        """The share of measured requests that started late, 0 to 1."""
        return self.late_starts / self.requests if self.requests else 0.0

    @property
    def connect_share(self) -> float:
        """The share of the workers' measured time in which they made connections, 0 to 1."""
        connecting_s = self.connect_times.count * self.connect_times.mean_ms / 1000
        workers_s = self.workers * self.measured_s
        return connecting_s / workers_s if self.connect_times.count and workers_s else 0.0

    @property
    def inferences_per_s(self) -> float:
        """Measured images a second of measured time."""
        return self.inferences / self.measured_s if self.measured_s > 0 else 0.0

    @property
    def inferences_per_s_with_burn_in(self) -> float:
        """Images a second of the whole run, burn-in on both sides of the division."""
        return self.inferences_with_burn_in / self.duration_s if self.duration_s > 0 else 0.0

    @property
    def failed(self) -> int:
        """Failed requests, those of the burn-in among them."""
        return sum(
            failure.count
            for kinds in (self.failures, self.burn_in_failures)
            for failure in kinds.values()
        )

    @property
    def measured_failed(self) -> int:
        """Failed requests after the burn-in."""
        return self.requests - self.successes

    @property
    def due(self) -> int:
        """Measured requests that were due, whatever became of them."""
        return self.requests + self.shed + self.unsent

    @property
    def not_sent_share(self) -> float:
        """The share of them that were shed or left unsent, 0 to 1."""
        return (self.shed + self.unsent) / self.due if self.due else 0.0

    @property
    def is_overloaded(self) -> bool:
        """Whether more of them were not sent than may be; an expectation of its own allows more."""
        judged = {check.figure for check in self.expectations}
        counts = {"shed": self.shed, "unsent": self.unsent}
        unjudged = sum(count for figure, count in counts.items() if figure not in judged)
        return unjudged > MAX_NOT_SENT * self.due

    @property
    def went_well(self) -> bool:
        """Whether no request failed, most that were due were sent, and all were always there."""
        return not (
            self.failed
            or self.outage_count
            or self.lag_exceeded
            or self.lost_clients
            or self.is_overloaded
        )

    @property
    def lost_clients(self) -> int:
        """How many clients went away before their end."""
        return sum(client.lost is not None for client in self.clients)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values; quantiles are milliseconds."""
        service = self.service_latencies
        rps = float(self.limit_rps)
        return {
            "ResultFormatVersion": FORMAT_VERSION,
            "Limit": self.max_queries,
            "MetadataAutobatching": self.metadata_autobatching,
            "TensorBatchSize": self.batch_size,
            "Workers": self.workers,
            "MaxRps": int(rps) if rps.is_integer() else rps,
            "StartTime": self.start_unix_ms,
            "EndTime": self.end_unix_ms,
            "DurationMillis": round(self.duration_s * 1000),
            "OverallRates": {"overallOpsRate": self.inferences_per_s},
            "OverallRatesIncludingWarmup": {"overallOpsRate": self.inferences_per_s_with_burn_in},
            "Latency": "service" if service is None else "response",
            "OverallQuantiles": _quantiles_json(self.latencies),
            "ServiceQuantiles": None if service is None else _quantiles_json(service),
            "ClientRunTimeStats": {
                str(interval.unix_ms): _interval_json(interval) for interval in self.intervals
            },
            "ServerRunTimeStats": dict(self.raw_server_stats),
            "ServerPeriods": dict(self.server_stats),
            "Model": self.model,
            "Query": self.query_label,
            "DataFile": self.data_file,
            "DataSeed": self.data_seed,
            "Shape": list(self.shape),
            "Dtype": self.dtype,
            "Threads": self.threads,
            "Pipeline": self.pipeline,
            "MeasuredSeconds": self.measured_s,
            "Requests": self.requests,
            "Successes": self.successes,
            "Inferences": self.inferences,
            "Failures": _failures_json(self.failures),
            "BurnInRequests": self.burn_in_requests,
            "BurnInFailures": _failures_json(self.burn_in_failures),
            "AbandonedRequests": self.abandoned,
            "AllRequests": {
                "Sent": self.all_requests.sent,
                "Succeeded": self.all_requests.succeeded,
                "Failed": self.all_requests.failed,
                "Cancelled": self.all_requests.cancelled,
            },
            "OutageCount": self.outage_count,
            "Outages": [
                {
                    "StartTime": one.start_unix_ms,
                    "AfterSeconds": one.after_s,
                    "Seconds": one.seconds,
                    "IsOver": one.is_over,
                    "Attempts": one.attempts,
                    "Server": one.server,
                }
                for one in self.outages
            ],
            "Reconnects": self.reconnects,
            "RemadeConnections": self.remade_connections,
            "Resent": self.resent,
            "Moved": self.moved,
            "Asked": self.asked,
            "LateStarts": self.late_starts,
            "Arrivals": self.arrivals,
            "Shed": self.shed,
            "Unsent": self.unsent,
            "Overloaded": self.is_overloaded,
            "LagExceeded": self.lag_exceeded,
            "Steps": [
                {
                    "Step": step.name,
                    "Seconds": step.seconds,
                    **_part_json(step),
                    "Unsent": step.unsent,
                }
                for step in self.steps
            ],
            "Kinds": [
                {
                    "Model": kind.name,
                    "Tensors": kind.tensors,
                    "BatchSize": kind.batch_size,
                    "Weight": kind.weight,
                    **_part_json(kind),
                }
                for kind in self.kinds
            ],
            "Servers": [
                {
                    "Address": server.name,
                    "Kind": server.server.kind,
                    "Version": server.server.version,
                    "Workers": server.workers,
                    "InferencesPerSecond": server.inferences_per_s,
                    **_part_json(server),
                    "ServerStatistics": dict(server.server_stats),
                }
                for server in self.servers
            ],
            "Clients": [_client_json(client) for client in self.clients],
            "ScheduleLag": lags_json(self.start_lags),
            "TimerLag": lags_json(self.timer_lags),
            "ReplyWait": lags_json(self.reply_waits),
            "ConnectTime": lags_json(self.connect_times),
            "ConnectShare": self.connect_share,
            "SaturatedLatencies": self.saturated,
            "ClientCpuSeconds": self.client_cpu_s,
            "ClientBusiestThread": self.busiest_thread,
            "ClientCheck": _check_json(self.client),
            "LeastWorkerRequests": self.least_worker_requests,
            "MostWorkerRequests": self.most_worker_requests,
            "Server": {
                "Kind": self.server.kind,
                "Version": self.server.version,
                "Address": self.server.address,
            },
            "ServerName": self.server_name,
            "Facts": dict(self.facts),
            "Expectations": [
                {"Expect": one.expected, "Value": one.value, "Held": one.held}
                for one in self.expectations
            ],
            "Warnings": [{"Kind": one.kind, "Message": one.message} for one in self.warnings],
            "Interrupted": self.interrupted,
            "Incomplete": self.incomplete,
        }

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all; ConfigError where it cannot be written."""
        write_text(path, json.dumps(self.to_json(), indent=2) + "\n")


def _quantiles_json(latencies: LatencyHistogram) -> dict[str, Any]:
    quantiles = latencies.known_quantiles_ms(_JSON_QUANTILES.values())
    return {
        "AllQueries": dict(zip(_JSON_QUANTILES, quantiles, strict=True)),
        "EncodedHistogram": latencies.encode(),
    }


def _part_json(part: PartFigures) -> dict[str, Any]:
    service = part.service_latencies
    return {
        "Requests": part.requests,
        "Successes": part.successes,
        "Inferences": part.inferences,
        "Failures": _failures_json(part.failures),
        "Shed": part.shed,
        "LateStarts": part.late_starts,
        "Quantiles": _quantiles_json(part.latencies),
        "ServiceQuantiles": None if service is None else _quantiles_json(service),
    }


def _client_json(client: ClientFigures) -> dict[str, Any]:
    return {
        "Name": client.name,
        "Host": client.host,
        "Workers": client.workers,
        "Threads": client.threads,
        "MeasuredSeconds": client.measured_s,
        **_part_json(client),
        "CpuSeconds": client.cpu_s,
        "BusiestThread": client.busiest_thread,
        "Check": None if client.check is None else _check_json(client.check),
        "ClockOffsetSeconds": client.clock_offset_s,
        "ClockUncertaintySeconds": client.clock_uncertainty_s,
        "StartLagSeconds": client.start_lag_s,
        "Lost": client.lost,
    }


def _check_json(check: ClientCheck) -> dict[str, Any]:
    return {
        "Verdict": str(check.verdict),
        "Reason": check.reason,
        "CpuShare": check.cpu_share,
        "MachineBusy": check.machine_busy,
        "Steal": check.steal,
        "CpuQuota": check.cpu_quota,
        "Throttled": check.throttled,
        "CpuWait": check.cpu_wait,
        "CpuPressure": check.cpu_pressure,
        "Others": check.others,
        "ServerOthers": check.server_others,
        "ServerCpuWait": check.server_cpu_wait,
    }


def lags_json(lags: LatencyHistogram) -> dict[str, float | int | None] | None:
    """Quantiles in milliseconds; None where none were taken."""
    if lags.count == 0:
        return None
    q50, q99 = lags.known_quantiles_ms((0.5, 0.99))
    return {"q50": q50, "q99": q99, "q100": lags.max_ms, "count": lags.count}


def _interval_json(interval: Interval) -> dict[str, Any]:
    # 0 while nothing is measured, as aibench's lines have it; no latency is that short.
    known = (value or None for value in interval.quantiles_ms)
    quantiles = dict(zip(_LIVE_QUANTILE_NAMES, known, strict=True))
    in_period = dict(zip(_LIVE_QUANTILE_NAMES, interval.period_quantiles_ms, strict=False))
    return {
        "totalImages": interval.images,
        "instantaneousRate": interval.instantaneous_rate,
        "overallRate": interval.overall_rate,
        **quantiles,
        "failed": interval.failed,
        "requests": interval.requests,
        "period": in_period,
        "partial": interval.is_partial,
    }


def _failures_json(failures: Mapping[str, Failure]) -> dict[str, Any]:
    return {
        kind: {"Count": failure.count, "FirstMessage": failure.first_message}
        for kind, failure in failures.items()
    }
