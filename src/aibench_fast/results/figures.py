"""Figures of measured requests: of all, and of each step, kind, server and client."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast.results import fields
from aibench_fast.results.clientside import ClientCheck
from aibench_fast.results.fields import InheritedHere, computed, counter, figure, group
from aibench_fast.results.forms import LATENCIES
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.stream import SINCE as STREAMS_SINCE
from aibench_fast.results.stream import StreamFigures, Tokens, stream_figures


@dataclass(frozen=True)
class Failure:
    """The failed requests of one kind."""

    count: int = figure("Count", merge=fields.total, least=1)
    """How many."""
    first_message: str = figure("FirstMessage")
    """The message of the first one."""


def of_either(owners: Sequence[Any], name: str) -> LatencyHistogram | None:
    """Merge service latencies: an owner without any has the same as its other latencies."""
    several = [getattr(one, name) for one in owners]
    if all(one is None for one in several):
        return None
    both = zip(several, owners, strict=True)
    return LatencyHistogram.merged(service or one.latencies for service, one in both)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Figures of measured requests; those of the parts of a run add up to the whole run's."""

    @property
    @computed("Requests")
    def requests(self) -> int:
        """Measured requests, successes and failures."""
        return self.successes + self.measured_failed

    successes: int = counter("Successes")
    """Measured requests whose replies were all right."""
    inferences: int = counter("Inferences")
    """Images in the successes: a request carries a batch of them."""
    failures: Mapping[str, Failure] = figure("Failures", merge=fields.by_key, default_factory=dict)
    """Measured requests that failed, by kind. They are in no latency."""
    shed: int = counter("Shed", since="1.4")
    """Measured requests that were due and not sent, because they were later than MaxLagSeconds."""
    late_starts: int = counter("LateStarts", since="1.1")
    """Measured requests that started late by the schedule, because no worker was free."""
    latencies: LatencyHistogram = figure(
        "Quantiles", form=LATENCIES, merge=fields.together, is_native=True,
        default_factory=LatencyHistogram.empty,
    )  # fmt: skip
    """Latencies of the successes, from the intended start."""
    service_latencies: LatencyHistogram | None = figure(
        "ServiceQuantiles", since="1.1", form=LATENCIES, merge=of_either, default=None
    )
    """Latencies of the successes from the actual start; None if that is the intended one."""

    tokens: Tokens = group(default_factory=Tokens)
    """Streams of tokens."""

    @property
    @computed("Stream", since=STREAMS_SINCE, default=None, described_by=StreamFigures)
    def stream(self) -> Mapping[str, Any] | None:
        """The figures of streams of tokens; None where replies are none."""
        return stream_figures(self.tokens, self.latencies, self.service_latencies)

    @property
    def good_share(self) -> float | None:
        """The share of measured requests within all limits; None without limits or requests."""
        if self.tokens.slo is None or not self.requests:
            return None
        return self.tokens.good_streams / self.requests

    @property
    def measured_failed(self) -> int:
        """Measured requests that failed, of all kinds."""
        return sum(failure.count for failure in self.failures.values())


@dataclass(frozen=True, kw_only=True)
class StepFigures(Figures):
    """Figures of the requests that were due in one step of a profile."""

    name: str = figure("Step")
    """The step as it was written."""
    seconds: float = figure("Seconds", merge=fields.greatest)
    """How long it lasted: less than asked if the run ended in it, 0 if it ended before."""
    inherited = InheritedHere()
    unsent: int = counter("Unsent", since="1.8")
    """Requests that were due in it before the end and had no worker free by then."""


@dataclass(frozen=True, kw_only=True)
class KindFigures(Figures):
    """Figures of one kind of request of a mix."""

    name: str = figure("Model")
    """The model's name."""
    tensors: str = figure("Tensors")
    """The tensors of a request, in words."""
    batch_size: int = figure("BatchSize")
    """Images a request."""
    weight: float = figure("Weight")
    """Its share of the requests, relative to that of the other kinds."""
    inherited = InheritedHere()


@dataclass(frozen=True, kw_only=True)
class ServerFigures(Figures):
    """Figures of the requests that one of several servers was sent."""

    name: str = figure("Address")
    """Its address; in a cluster that of the primary that had the shard when the run began."""
    kind: str = figure("Kind")
    """The server's kind, such as RedisAI."""
    version: str = figure("Version")
    """Its version."""
    workers: int = figure("Workers", merge=fields.total, least=1)
    """Workers that were connected to it."""
    measured_s: float = figure("MeasuredSeconds", is_saved=False, default=0.0)
    """The measured time of the whole run."""

    @property
    @computed("InferencesPerSecond")
    def inferences_per_s(self) -> float:
        """Measured images that it answered, a second of the whole run's measured time."""
        return self.inferences / self.measured_s if self.measured_s > 0 else 0.0

    inherited = InheritedHere()
    server_stats: Mapping[str, Any] = figure("ServerStatistics")
    """The server's own statistics over the run, as in ServerPeriods."""


@dataclass(frozen=True, kw_only=True)
class ClientFigures(Figures):
    """Figures of one client of several."""

    name: str = figure("Name")
    """The name of its Dask worker."""
    host: str = figure("Host")
    """The host that it ran on."""
    workers: int = figure("Workers", least=1)
    """Its closed loops."""
    threads: int = figure("Threads", least=1)
    """Its I/O threads."""
    measured_s: float = figure("MeasuredSeconds", default=0.0)
    """From the end of its warm-up to its last answer."""
    inherited = InheritedHere()
    cpu_s: float = figure("CpuSeconds", default=0.0)
    """CPU time of its I/O threads in the measured part."""
    busiest_thread: float = figure("BusiestThread", default=0.0)
    """The largest share of the measured time that one of its I/O threads was on a CPU."""
    check: ClientCheck | None = figure("Check", default=None)
    """As ClientCheck; None if it was lost before it reported anything."""
    clock_offset_s: float = figure("ClockOffsetSeconds", least=None)
    """Its monotonic clock less the coordinator's."""
    clock_uncertainty_s: float = figure("ClockUncertaintySeconds")
    """How far the offset may be off, either way; 0 where both read one clock."""
    start_lag_s: float = figure("StartLagSeconds", default=0.0)
    """How long after the agreed start, by its own clock, its first thread began."""
    lost: str | None = figure("Lost")
    """How it was lost, if it was: its figures are then the last that it reported."""
