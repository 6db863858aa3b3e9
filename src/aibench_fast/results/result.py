"""The result of a run: immutable, and its JSON.

The JSON keeps aibench's keys, so that its readers work, and has ours beside them. Each field
declares the format version that added it. These versions changed more than they added:
    1.2  DataFile is null if the tensors are generated
    1.3  ServerRunTimeStats is as aibench writes it, INFO's fields as text by time in ns and server;
         its former content, by reporting period, is ServerPeriods
    1.4  a mix has no Shape and no Dtype, and a TensorBatchSize of 0 if its kinds' differ
    1.5  a Dtype may be FP16, BF16, UINT32 or UINT64
    1.9  a percentile of too few successes is null; a Dtype may be BYTES; a closed loop whose
         requests waited for new connections has ServiceQuantiles; MeasuredSeconds is the
         schedule's own time
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aibench_fast.files import write_text
from aibench_fast.results import fields, forms
from aibench_fast.results.clientside import ClientSide
from aibench_fast.results.facts import Facts
from aibench_fast.results.fieldjson import from_json, to_json
from aibench_fast.results.fields import InheritedHere, computed, figure, group
from aibench_fast.results.figures import (
    ClientFigures,
    Figures,
    KindFigures,
    ServerFigures,
    StepFigures,
)
from aibench_fast.results.groups import Connections, Counts, Schedule, ServerSide, Setup, Streamed
from aibench_fast.results.histogram import LOWEST_US, US_PER_MS, LatencyHistogram
from aibench_fast.results.notebook import ShownInNotebooks
from aibench_fast.results.stream import SINCE as STREAMS_SINCE

MIN_FOR_P99 = 100
"""With fewer values, none has to be beyond the 99th percentile."""
WHOLE_PERIOD = 0.95
"""The share of a reporting period that needs load for its rate to be the load's."""
MAX_NOT_SENT = 0.01
"""Above this share of due requests that were not sent, the run did not make its load."""
FORMAT_VERSION = "1.10"
AIBENCH_KEYS = (
    "ResultFormatVersion", "Limit", "MetadataAutobatching", "TensorBatchSize", "Workers", "MaxRps",
    "StartTime", "EndTime", "DurationMillis", "OverallRates", "OverallRatesIncludingWarmup",
    "Latency", "OverallQuantiles", "ServiceQuantiles", "ClientRunTimeStats", "ServerRunTimeStats",
    "ServerPeriods",
)  # fmt: skip
"""These come first, in aibench's order, with our keys that belong to them."""


@dataclass(frozen=True)
class Interval:
    """One reporting period, and the run so far."""

    unix_ms: int
    images: int = figure("totalImages")
    """Images answered since the start, warm-up included."""
    instantaneous_rate: float = figure("instantaneousRate")
    """Images answered a second in this period."""
    overall_rate: float = figure("overallRate")
    """Measured images a second so far; 0 during the warm-up."""
    quantiles_ms: Sequence[float] = figure("", form=forms.SPREAD_QUANTILES)
    """Percentiles of the latencies measured so far, in milliseconds; null, before 1.9 0, before
    any."""
    failed: int = figure("failed", since="1.1", default=0)
    """Failed requests since the start, warm-up included."""
    requests: int = figure("requests", since="1.6", default=0)
    """Requests that ended since the start, warm-up included."""
    period_quantiles_ms: Sequence[float] = figure(
        "period", since="1.1", form=forms.NAMED_QUANTILES, default=()
    )
    """Percentiles of the latencies measured in this period alone, in milliseconds; empty without
    any."""
    chunks: int = figure("chunks", since=STREAMS_SINCE, default=0)
    """Events with content of streams of tokens since the start, warm-up included; they count as
    they come."""
    is_partial: bool = figure("partial", since="1.9", default=False)
    """Whether there was load in only a part of the period, as often in the last one. Its rate
    is not the load's."""


@dataclass(frozen=True)
class Checked:
    """An expectation of a figure, the value, and whether it held."""

    expected: str = figure("Expect")
    """As it was written, such as `p99<50ms`."""
    value: float | None = figure("Value")
    """In milliseconds, as a share, or in inferences a second; None if unknown."""
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
    """A reason to doubt the figures."""

    kind: str = figure("Kind")
    """One word, such as few_requests, saturated, same_machine, trend or unsteady."""
    message: str = figure("Message")
    """One sentence."""


@dataclass(frozen=True, kw_only=True)
class Result(Figures, ShownInNotebooks):
    """The result of one run. Figures exclude the warm-up unless they say otherwise."""

    @property
    @computed("ResultFormatVersion", schema={"pattern": r"^1\.[0-9]+$"})
    def format_version(self) -> str:
        """The format's version, major.minor: a minor one adds keys, a major one changes any."""
        return FORMAT_VERSION

    setup: Setup = group()
    start_unix_ms: int = figure("StartTime", merge=fields.by_coordinator)
    """When the first request was sent, as Unix time in milliseconds."""
    end_unix_ms: int = figure("EndTime", merge=fields.by_coordinator)
    """When the run ended, as Unix time in milliseconds."""
    duration_s: float = figure("DurationMillis", form=forms.MILLISECONDS, merge=fields.greatest)
    """From the first request to the end, warm-up included."""
    measured_s: float = figure("MeasuredSeconds", merge=fields.by_coordinator)
    """The time that rates are divided by: the schedule's time; in a closed loop from the end of the
    warm-up to the last answer, without the time that a stuck server added."""

    @property
    @computed("OverallRates", form=forms.RATE)
    def inferences_per_s(self) -> float:
        """Measured images a second of measured time."""
        return self.inferences / self.measured_s if self.measured_s > 0 else 0.0

    @property
    @computed("OverallRatesIncludingWarmup", form=forms.RATE)
    def inferences_per_s_with_burn_in(self) -> float:
        """Images a second of the whole run, warm-up included."""
        images = self.counts.inferences_with_burn_in
        return images / self.duration_s if self.duration_s > 0 else 0.0

    @property
    @computed("Latency", since="1.1", default="service", schema={"enum": ["service", "response"]})
    def latency(self) -> str:
        """The kind of OverallQuantiles: `service` latencies from a request's actual start, or
        `response` latencies from its intended one."""
        return "service" if self.service_latencies is None else "response"

    latencies: LatencyHistogram = figure(
        "OverallQuantiles", form=forms.LATENCIES, merge=fields.together, is_native=True
    )
    """Latencies of the measured successes, from the intended start. In a closed loop that is the
    actual start, unless a request waited for a new connection."""
    intervals: Sequence[Interval] = figure(
        "ClientRunTimeStats", form=forms.by_time(Interval), merge=fields.by_coordinator
    )
    """Figures by the end of each reporting period as Unix time in milliseconds."""
    inherited = InheritedHere(
        LateStarts="Asked", Shed="Arrivals", Overloaded="Unsent", ConnectTime="ReplyWait",
        ConnectShare="ConnectTime", SaturatedLatencies="ConnectShare",
    )  # fmt: skip
    counts: Counts = group()
    connections: Connections = group()
    streamed: Streamed = group()
    schedule: Schedule = group()
    steps: Sequence[StepFigures] = figure(
        "Steps", since="1.4", merge=fields.part_by_part, default=()
    )
    """Figures of each step of a profile; together they are the whole."""
    kinds: Sequence[KindFigures] = figure(
        "Kinds", since="1.4", merge=fields.part_by_part, default=()
    )
    """Figures of each kind of request of a mix; together they are the whole."""
    servers: Sequence[ServerFigures] = figure(
        "Servers", since="1.7", merge=fields.part_by_part, default=()
    )
    """Figures of each of several servers; together they are the whole."""
    clients: Sequence[ClientFigures] = figure(
        "Clients", since="1.7", merge=fields.by_coordinator, default=()
    )
    """Figures of each of several clients; together they are the whole."""
    client: ClientSide = group()
    server: ServerSide = group()
    facts: Mapping[str, Any] = figure("Facts", since="1.1", described_by=Facts, merge=fields.agreed)
    """Facts about machine, software, model and data."""
    expectations: Sequence[Checked] = figure("Expectations", since="1.4", default=())
    """The outcome of each --expect, in order."""
    warnings: Sequence[Warned] = figure(
        "Warnings", since="1.4", merge=fields.by_coordinator, default=()
    )
    """Reasons to doubt the figures, beside failures."""
    interrupted: bool = figure("Interrupted", merge=fields.any_of)
    """Whether the run was ended early: the figures are of the part that was measured."""
    incomplete: bool = figure("Incomplete", since="1.6", default=False, merge=fields.any_of)
    """Whether the run was killed: the result is from its journal, at the end of a reporting period.
    Interrupted is set too. ServerRunTimeStats has the first and the last reading;
    LeastWorkerRequests, MostWorkerRequests and Unsent, known only at a run's end, are 0."""

    @property
    def held(self) -> bool:
        """Whether all expectations held."""
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
    @computed("WindowShare", since="1.10", default=0.0)
    def window_share(self) -> float:
        """The share of the latencies, added up, in which requests waited for flow control."""
        waits, latencies = self.connections.window_waits, self.service_latencies or self.latencies
        if not waits.count or not latencies.count:
            return 0.0
        # A request that did not wait counts as one that waited for the shortest delay.
        waited_ms = max(0.0, waits.mean_ms - LOWEST_US / US_PER_MS) * waits.count
        return min(1.0, waited_ms / (latencies.mean_ms * latencies.count))

    @property
    @computed("RepliesPerRequest", since="1.10", default=0.0)
    def replies_per_request(self) -> float:
        """Replies to a request of a stream, on average; 0 of other runs."""
        return self.streamed.replies / self.successes if self.successes else 0.0

    @property
    def failed(self) -> int:
        """Failed requests, warm-up included."""
        in_burn_in = self.counts.burn_in_failures.values()
        return self.measured_failed + sum(failure.count for failure in in_burn_in)

    @property
    def due(self) -> int:
        """Measured requests that were due, sent or not."""
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
        """Whether no request failed, most due ones were sent, and no server or client was lost."""
        return not (
            self.failed
            or self.connections.outage_count
            or self.schedule.lag_exceeded
            or self.lost_clients
            or self.is_overloaded
        )

    @property
    def lost_clients(self) -> int:
        """How many clients were lost."""
        return sum(client.lost is not None for client in self.clients)

    def to_json(self, *, exact: bool = False) -> dict[str, Any]:
        """Return the result as JSON values; quantiles are milliseconds. If `exact`, with everything
        that `from_json` needs to return an equal result.
        """
        values = to_json(self, exact=exact)
        return {key: values[key] for key in AIBENCH_KEYS} | values

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Result":
        """Read exact JSON; KeyError, TypeError or ValueError if it is something else."""
        result: Result = from_json(cls, document)
        return result

    def save(self, path: Path) -> None:
        """Write the JSON, whole or not at all; ConfigError if that fails."""
        write_text(path, json.dumps(self.to_json(), indent=2) + "\n")
