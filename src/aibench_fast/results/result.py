"""What a run measured: immutable, and its JSON.

The JSON keeps aibench's keys, so that its readers go on working, and puts ours beside them. Each
field says since which version of the format it is there. Beside new keys, these versions changed:
    1.2  a DataFile of null, where the tensors are generated
    1.3  ServerRunTimeStats as aibench writes it, INFO's fields as text by time in ns and server;
         what was there before, counted by reporting period, is ServerPeriods
    1.4  a mix has no Shape and no Dtype, and a TensorBatchSize of 0 where its kinds' differ
    1.5  a Dtype may be FP16, BF16, UINT32 or UINT64
    1.9  null for a percentile that is not known: of no success, or of too few; a Dtype may be
         BYTES; a closed loop whose requests waited for new connections has ServiceQuantiles;
         MeasuredSeconds is the schedule's own time
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aibench_fast.files import write_text
from aibench_fast.results.clientside import ClientSide
from aibench_fast.results.facts import Arrivals, Facts
from aibench_fast.results.fieldjson import from_json, to_json
from aibench_fast.results.fields import (
    InheritedHere,
    by_coordinator,
    computed,
    counter,
    figure,
    group,
    total,
)
from aibench_fast.results.figures import (
    ClientFigures,
    Failure,
    Figures,
    KindFigures,
    ServerFigures,
    StepFigures,
)
from aibench_fast.results.forms import (
    LATENCIES,
    MILLISECONDS,
    NAMED_QUANTILES,
    RATE,
    SPREAD_QUANTILES,
    WHOLE_IF_WHOLE,
    by_time,
    delays,
)
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.merging import (
    agreed,
    any_of,
    by_key,
    greatest,
    nested,
    part_by_part,
    together,
)
from aibench_fast.results.notebook import ShownInNotebooks
from aibench_fast.tensortype import image_shape

MIN_FOR_P99 = 100
"""Of fewer values none needs to be beyond their 99th percentile."""
WHOLE_PERIOD = 0.95
"""The share of a reporting period that has to have load, or its rate is not the load's."""
MAX_NOT_SENT = 0.01
"""The share of due requests that were not sent above which the asked load was not there."""
FORMAT_VERSION = "1.9"
AIBENCH_KEYS = (
    "ResultFormatVersion", "Limit", "MetadataAutobatching", "TensorBatchSize", "Workers", "MaxRps",
    "StartTime", "EndTime", "DurationMillis", "OverallRates", "OverallRatesIncludingWarmup",
    "Latency", "OverallQuantiles", "ServiceQuantiles", "ClientRunTimeStats", "ServerRunTimeStats",
    "ServerPeriods",
)  # fmt: skip
"""They come first, as aibench writes them, with ours that belong to them."""
_DTYPES = (
    "FLOAT", "DOUBLE", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "BOOL", "FP16", "BF16",
    "UINT32", "UINT64", "BYTES", "",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What was asked for."""

    max_queries: int = figure("Limit")
    """Images that the run was limited to, burn-in included; 0 for none."""
    metadata_autobatching: int = figure("MetadataAutobatching", least=-1)
    """The model's batch size on the server, as given or as the server reports it; -1: unknown."""
    batch_size: int = figure("TensorBatchSize")
    """Images a request; 0 where the kinds of a mix differ."""
    workers: int = figure("Workers", merge=total, least=1)
    """Closed loops, each with a connection of its own."""
    limit_rps: float = figure("MaxRps", form=WHOLE_IF_WHOLE)
    """Requests a second that the run was limited to; 0 for none."""
    model: str = figure("Model")
    """The model's name."""
    query_label: str = figure("Query")
    """The model and the command that ran it, in words."""
    data_file: str | None = figure("DataFile")
    """The tensor file; None where the tensors were generated."""
    data_seed: int | None = figure("DataSeed", since="1.2", default=None)
    """What generated tensors were drawn from; None where they came from a file."""
    shape: Sequence[int] = figure("Shape", since="1.2", default=image_shape())
    """The shape of one tensor, without the batch; empty for a mix."""
    dtype: str = figure("Dtype", since="1.2", default="FLOAT", schema={"enum": _DTYPES})
    """RedisAI's name for the type of the tensors' values; empty for a mix."""
    threads: int = figure("Threads", merge=total, least=1)
    """Native I/O threads of the client."""
    pipeline: int = figure("Pipeline", since="1.2", least=1, default=1)
    """Requests outstanding on each connection."""


@dataclass(frozen=True)
class RequestCounts:
    """What became of all requests, burn-in included; Sent is the sum of the others."""

    sent: int = figure("Sent", merge=total)
    """Handed to a connection, or given up for want of one."""
    succeeded: int = figure("Succeeded", merge=total)
    """Answered right."""
    failed: int = figure("Failed", merge=total)
    """Failed in any way."""
    cancelled: int = figure("Cancelled", merge=total)
    """Under way when the run was stopped."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Requests that are in no figure of the measured ones."""

    inferences_with_burn_in: int = counter(
        "InferencesIncludingWarmup", is_saved=False, native="answered_tensors"
    )
    """Images that were answered in the whole run."""
    burn_in_requests: int = figure("BurnInRequests", merge=total)
    """Requests of the burn-in."""
    burn_in_failures: Mapping[str, Failure] = figure("BurnInFailures", merge=by_key)
    """Requests of the burn-in that failed, by kind."""
    abandoned: int = figure(
        "AbandonedRequests", merge=total,
        summary="Abandoned: {} requests were under way when the run was stopped",
    )  # fmt: skip
    """Requests under way when the run was stopped: neither success nor failure."""
    all_requests: RequestCounts = figure("AllRequests", since="1.6", merge=nested)
    """What became of all requests, burn-in included; Sent is the sum of the others."""
    saturated: int = figure("SaturatedLatencies", merge=total)
    """Latencies above an hour, which are counted as an hour."""


@dataclass(frozen=True)
class Outage:
    """A time in which the server could not be reached."""

    start_unix_ms: int = figure("StartTime")
    """When a connection was lost that could not be made again, as Unix time in milliseconds."""
    after_s: float = figure("AfterSeconds")
    """The same in seconds from the run's start."""
    seconds: float = figure("Seconds")
    """From the loss until a connection was made again, or the run's end."""
    is_over: bool = figure("IsOver")
    """Whether one was made again."""
    attempts: int = figure("Attempts")
    """Attempts to connect that failed."""
    server: str | None = figure("Server", since="1.7", default=None)
    """Which server, by its address; None where there is one."""


@dataclass(frozen=True, kw_only=True)
class Connections:
    """Connections that were lost or made anew, burn-in included."""

    outage_count: int = figure("OutageCount", since="1.6", merge=by_coordinator, default=0)
    """How often a server could not be reached."""
    outages: Sequence[Outage] = figure("Outages", since="1.6", merge=by_coordinator, default=())
    """The first 100 times that a server could not be reached."""
    reconnects: int = counter("Reconnects", since="1.5", native="reconnects")
    """New connections in place of those that the server closed between requests, as HTTP may."""
    remade: int = counter("RemadeConnections", since="1.9", native="remade")
    """New connections in place of those that were lost."""
    resent: int = counter(
        "Resent", since="1.9", native="resent",
        summary="Resent: {} requests, to which the server had closed the connection",
    )  # fmt: skip
    """Requests that were sent again, as the server closed the connection before it had them."""
    moved: int = counter("Moved", since="1.7", native="moved")
    """Redirects from one node of a cluster to another that were followed, MOVED."""
    asked: int = counter("Asked", since="1.7", native="asked")
    """Redirects from one node of a cluster to another that were followed, ASK."""
    times: LatencyHistogram = delays("ConnectTime", since="1.9", native="connect_times")
    """How long each connection of the measured time took to make, with TLS and log-in, in
    milliseconds."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How requests were due, and what of that was not sent."""

    arrivals: Mapping[str, Any] | None = figure(
        "Arrivals", since="1.4", described_by=Arrivals, default=None
    )
    """How requests were due; None in a closed loop."""
    unsent: int = counter("Unsent", since="1.4", native="unsent")
    """Requests that were due before the end and had no worker free by then."""
    lag_exceeded: bool = figure("LagExceeded", since="1.4", merge=any_of, default=False)
    """Whether a request that was later than MaxLagSeconds ended the run."""


@dataclass(frozen=True)
class ServerFacts:
    """Which server answered."""

    kind: str = figure("Kind")
    """RedisAI, or what else it is."""
    version: str = figure("Version")
    """Its version, and that of what it is loaded into."""
    address: str = figure("Address")
    """Host and port, or unix socket."""


@dataclass(frozen=True, kw_only=True)
class ServerSide:
    """The server, and what it counted itself."""

    facts: ServerFacts = figure("Server")
    """Which server answered; the first of several."""
    name: str | None = figure("ServerName", since="1.6", default=None)
    """What a sweep that compares servers called it; None where there is one."""
    readings: Mapping[str, Any] = figure("ServerRunTimeStats", default_factory=dict)
    """As aibench writes it, since 1.3: by time in nanoseconds and the server's host:port all fields
    of INFO and INFO modules as text, and ai_info.calls, .samples, .errors and .duration, since the
    server's start. Of more than 200 readings every second one is left out, never the first or the
    last. Before 1.3 what is ServerPeriods now; in 1.0 the run's AI.INFO alone."""
    periods: Mapping[str, Any] = figure("ServerPeriods", since="1.3", default_factory=dict)
    """What the server counted itself, by the end of each reporting period as Unix time in
    milliseconds, and under `overall` over the run. The names inside are flat, with units. Values
    are differences between two readings but for the levels used_memory_bytes, used_memory_rss_bytes
    and process_rss_bytes. What could not be read is left out, and said in `notes`."""


@dataclass(frozen=True)
class Interval:
    """One reporting period, and the run so far."""

    unix_ms: int
    images: int = figure("totalImages")
    """Images answered since the start, burn-in included."""
    instantaneous_rate: float = figure("instantaneousRate")
    """Images answered a second in this period."""
    overall_rate: float = figure("overallRate")
    """Measured images a second so far; 0 during the burn-in."""
    quantiles_ms: Sequence[float] = figure("", form=SPREAD_QUANTILES)
    """Percentiles of the latencies measured so far, in milliseconds; null, before 1.9 0, before
    any."""
    failed: int = figure("failed", since="1.1", default=0)
    """Requests that failed since the start, burn-in included."""
    requests: int = figure("requests", since="1.6", default=0)
    """Requests that ended in any way since the start, burn-in included."""
    period_quantiles_ms: Sequence[float] = figure(
        "period", since="1.1", form=NAMED_QUANTILES, default=()
    )
    """Percentiles of the latencies measured in this period alone, in milliseconds; empty without
    any."""
    is_partial: bool = figure("partial", since="1.9", default=False)
    """Whether there was load in only a part of the period, as in the last one: its rate is not the
    load's."""


@dataclass(frozen=True)
class Checked:
    """What was expected of a figure, what was found, and whether it held."""

    expected: str = figure("Expect")
    """As it was written, such as `p99<50ms`."""
    value: float | None = figure("Value")
    """In milliseconds, as a share, or in inferences a second; None where it is not known."""
    held: bool = figure("Held")
    """Whether it held."""
    found: str = figure("Found", is_saved=False, default="")
    """The value in words, with its unit."""

    @property
    def figure(self) -> str:
        """The figure's name, such as `p99`."""
        return self.expected.partition("<")[0].partition(">")[0].strip()

    def __str__(self) -> str:
        """Return the line of the summary."""
        return f"Expected {self.expected}: {self.found}, {'held' if self.held else 'broken'}"


@dataclass(frozen=True)
class Warned:
    """Something that makes the figures doubtful."""

    kind: str = figure("Kind")
    """One word for it, such as few_requests, saturated, same_machine, trend or unsteady."""
    message: str = figure("Message")
    """The same in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Result(Figures, ShownInNotebooks):
    """One run's figures. The burn-in is in none of them but those whose name says so."""

    @property
    @computed("ResultFormatVersion", schema={"pattern": r"^1\.[0-9]+$"})
    def format_version(self) -> str:
        """The format's version, major.minor: a minor one adds keys, a major one changes any."""
        return FORMAT_VERSION

    setup: Setup = group(merge=nested)
    start_unix_ms: int = figure("StartTime", merge=by_coordinator)
    """When the first request was sent, as Unix time in milliseconds."""
    end_unix_ms: int = figure("EndTime", merge=by_coordinator)
    """When the run ended, as Unix time in milliseconds."""
    duration_s: float = figure("DurationMillis", form=MILLISECONDS, merge=greatest)
    """From the first request to the end, burn-in included."""
    measured_s: float = figure("MeasuredSeconds", merge=by_coordinator)
    """What rates are divided by: the schedule's time; in a closed loop from the end of the burn-in
    to the last answer, without what a stuck server added to the duration."""

    @property
    @computed("OverallRates", form=RATE)
    def inferences_per_s(self) -> float:
        """Measured images a second of measured time."""
        return self.inferences / self.measured_s if self.measured_s > 0 else 0.0

    @property
    @computed("OverallRatesIncludingWarmup", form=RATE)
    def inferences_per_s_with_burn_in(self) -> float:
        """Images a second of the whole run, burn-in included."""
        images = self.counts.inferences_with_burn_in
        return images / self.duration_s if self.duration_s > 0 else 0.0

    @property
    @computed("Latency", since="1.1", default="service", schema={"enum": ["service", "response"]})
    def latency(self) -> str:
        """What OverallQuantiles are: `service` latencies from a request's actual start, or
        `response` latencies from its intended one."""
        return "service" if self.service_latencies is None else "response"

    latencies: LatencyHistogram = figure(
        "OverallQuantiles", form=LATENCIES, merge=together, native="latencies"
    )
    """Latencies of the measured successes, from the intended start. In a closed loop that is the
    actual start, unless a request waited for a new connection."""
    intervals: Sequence[Interval] = figure(
        "ClientRunTimeStats", form=by_time(Interval), merge=by_coordinator
    )
    """What the client saw, by the end of each reporting period as Unix time in milliseconds."""
    inherited = InheritedHere(
        LateStarts="Asked", Shed="Arrivals", Overloaded="Unsent", ConnectTime="ReplyWait",
        ConnectShare="ConnectTime", SaturatedLatencies="ConnectShare",
    )  # fmt: skip
    counts: Counts = group(merge=nested)
    connections: Connections = group(merge=nested)
    schedule: Schedule = group(merge=nested)
    steps: Sequence[StepFigures] = figure("Steps", since="1.4", merge=part_by_part, default=())
    """Figures of each step of a profile; together they are the whole."""
    kinds: Sequence[KindFigures] = figure("Kinds", since="1.4", merge=part_by_part, default=())
    """Figures of each kind of request of a mix; together they are the whole."""
    servers: Sequence[ServerFigures] = figure(
        "Servers", since="1.7", merge=part_by_part, default=()
    )
    """Figures of each of several servers; together they are the whole."""
    clients: Sequence[ClientFigures] = figure(
        "Clients", since="1.7", merge=by_coordinator, default=()
    )
    """Figures of each of several clients; together they are the whole."""
    client: ClientSide = group(merge=nested)
    server: ServerSide = group(merge=nested)
    facts: Mapping[str, Any] = figure("Facts", since="1.1", described_by=Facts, merge=agreed)
    """Where and how the run was made; null where it could not be read."""
    expectations: Sequence[Checked] = figure("Expectations", since="1.4", default=())
    """What --expect expected of the figures, in that order."""
    warnings: Sequence[Warned] = figure("Warnings", since="1.4", merge=by_coordinator, default=())
    """What makes the figures doubtful beside failures."""
    interrupted: bool = figure("Interrupted", merge=any_of)
    """Whether the run was ended before its time: the figures are of the part that was measured."""
    incomplete: bool = figure("Incomplete", since="1.6", default=False, merge=any_of)
    """Whether the run was killed: this is what its journal had at the end of a reporting period.
    Interrupted is set too. Of ServerRunTimeStats there are the first reading and the last;
    LeastWorkerRequests, MostWorkerRequests and Unsent, known only at a run's end, are 0."""

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
    @computed("ConnectShare", since="1.9", default=0.0)
    def connect_share(self) -> float:
        """The share of the workers' measured time in which they made connections."""
        times = self.connections.times
        workers_s = self.setup.workers * self.measured_s
        return times.count * times.mean_ms / 1000 / workers_s if times.count and workers_s else 0.0

    @property
    def failed(self) -> int:
        """Failed requests, those of the burn-in among them."""
        in_burn_in = self.counts.burn_in_failures.values()
        return self.measured_failed + sum(failure.count for failure in in_burn_in)

    @property
    def due(self) -> int:
        """Measured requests that were due, whatever became of them."""
        return self.requests + self.shed + self.schedule.unsent

    @property
    def not_sent_share(self) -> float:
        """The share of due requests that were shed or left unsent, 0 to 1."""
        return (self.shed + self.schedule.unsent) / self.due if self.due else 0.0

    @property
    @computed("Overloaded", since="1.9")
    def is_overloaded(self) -> bool:
        """Whether over 1 % of the due requests were shed or left unsent, and no expectation of its
        own allows that."""
        judged = {check.figure for check in self.expectations}
        counts = {"shed": self.shed, "unsent": self.schedule.unsent}
        unjudged = sum(count for figure, count in counts.items() if figure not in judged)
        return unjudged > MAX_NOT_SENT * self.due

    @property
    def went_well(self) -> bool:
        """Whether no request failed, most that were due were sent, and all were always there."""
        return not (
            self.failed
            or self.connections.outage_count
            or self.schedule.lag_exceeded
            or self.lost_clients
            or self.is_overloaded
        )

    @property
    def lost_clients(self) -> int:
        """How many clients went away before their end."""
        return sum(client.lost is not None for client in self.clients)

    def to_json(self, *, exact: bool = False) -> dict[str, Any]:
        """Return the result as JSON values; quantiles are milliseconds.

        `exact`: with all that `from_json` takes to return an equal result.
        """
        values = to_json(self, exact=exact)
        return {key: values[key] for key in AIBENCH_KEYS} | values

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Result":
        """Return the result of exact JSON; KeyError, TypeError or ValueError where it is none."""
        result: Result = from_json(cls, document)
        return result

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all; ConfigError where it cannot be written."""
        write_text(path, json.dumps(self.to_json(), indent=2) + "\n")
