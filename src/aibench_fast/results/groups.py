"""The groups of a result's fields: its settings, counts, connections, schedule and server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast.results import fields, forms
from aibench_fast.results.facts import Arrivals
from aibench_fast.results.fields import counter, figure
from aibench_fast.results.figures import Failure
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.stream import SINCE as STREAMS_SINCE
from aibench_fast.tensortype import DTYPES, image_shape


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The settings of a run."""

    max_queries: int = figure("Limit")
    """The limit in images, warm-up included; 0 for none."""
    metadata_autobatching: int = figure("MetadataAutobatching", least=-1)
    """The model's batch size on the server, as given or as the server reports it; -1: unknown."""
    batch_size: int = figure("TensorBatchSize")
    """Images a request; 0 if the kinds of a mix differ."""
    workers: int = figure("Workers", merge=fields.total, least=1)
    """Closed loops, each with a connection of its own."""
    limit_rps: float = figure("MaxRps", form=forms.WHOLE_IF_WHOLE)
    """The limit in requests a second; 0 for none."""
    model: str = figure("Model")
    """The model's name."""
    query_label: str = figure("Query")
    """The model and the command that ran it, in words."""
    data_file: str | None = figure("DataFile")
    """The tensor file; None if the tensors were generated."""
    data_seed: int | None = figure("DataSeed", since="1.2", default=None)
    """The seed of generated tensors; None if they came from a file."""
    shape: Sequence[int] = figure("Shape", since="1.2", default=image_shape())
    """The shape of one tensor, without the batch; empty for a mix."""
    dtype: str = figure("Dtype", since="1.2", default="FLOAT", schema={"enum": (*DTYPES, "")})
    """RedisAI's name for the type of the tensors' values; empty for a mix."""
    threads: int = figure("Threads", merge=fields.total, least=1)
    """Native I/O threads of the client."""
    pipeline: int = figure("Pipeline", since="1.2", least=1, default=1)
    """Requests outstanding on each connection."""


@dataclass(frozen=True)
class RequestCounts:
    """All requests by their end, warm-up included; Sent is the sum of the others."""

    sent: int = figure("Sent", merge=fields.total)
    """Handed to a connection, or given up because there was none."""
    succeeded: int = figure("Succeeded", merge=fields.total)
    """Successes."""
    failed: int = figure("Failed", merge=fields.total)
    """Failures of all kinds."""
    cancelled: int = figure("Cancelled", merge=fields.total)
    """Under way when the run was stopped."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Counts of the whole run, warm-up included."""

    inferences_with_burn_in: int = counter(
        "InferencesIncludingWarmup", is_saved=False, native="answered_tensors"
    )
    """Images that were answered in the whole run."""
    chunks_so_far: int = counter("ChunksSoFar", since=STREAMS_SINCE, is_saved=False)
    """Events with content of all streams of tokens, counted as they came."""
    burn_in_requests: int = figure("BurnInRequests", merge=fields.total)
    """Requests of the warm-up (aibench's burn-in)."""
    burn_in_failures: Mapping[str, Failure] = figure("BurnInFailures", merge=fields.by_key)
    """Requests of the warm-up that failed, by kind."""
    abandoned: int = figure(
        "AbandonedRequests", merge=fields.total,
        summary="Abandoned: {} requests were under way when the run was stopped",
    )  # fmt: skip
    """Requests under way when the run was stopped: neither success nor failure."""
    all_requests: RequestCounts = figure("AllRequests", since="1.6", merge=fields.nested)
    """All requests by their end, warm-up included; Sent is the sum of the others."""
    saturated: int = figure("SaturatedLatencies", merge=fields.total)
    """Latencies above an hour, which are counted as an hour."""


@dataclass(frozen=True)
class Outage:
    """A time in which the server could not be reached."""

    start_unix_ms: int = figure("StartTime")
    """When the connection was lost, as Unix time in milliseconds."""
    after_s: float = figure("AfterSeconds")
    """The same in seconds from the run's start."""
    seconds: float = figure("Seconds")
    """From the loss until the reconnect, or the run's end."""
    is_over: bool = figure("IsOver")
    """Whether the client reconnected."""
    attempts: int = figure("Attempts")
    """Failed attempts to connect."""
    server: str | None = figure("Server", since="1.7", default=None)
    """The server's address, of several; None with one server."""


@dataclass(frozen=True, kw_only=True)
class Connections:
    """Outages, reconnects and redirects, warm-up included."""

    outage_count: int = figure("OutageCount", since="1.6", merge=fields.by_coordinator, default=0)
    """How often a server could not be reached."""
    outages: Sequence[Outage] = figure(
        "Outages", since="1.6", merge=fields.by_coordinator, default=()
    )
    """The first 100 times that a server could not be reached."""
    reconnects: int = counter("Reconnects", since="1.5")
    """Reconnects after the server closed a connection between requests, as HTTP allows."""
    remade: int = counter("RemadeConnections", since="1.9")
    """Reconnects after a connection was lost."""
    resent: int = counter(
        "Resent", since="1.9", summary="Resent: {} requests that the server had not processed"
    )
    """Requests sent again, as the server closed the connection before it had them, or said
    that it did not process them."""
    moved: int = counter("Moved", since="1.7")
    """MOVED redirects to another node of a cluster that were followed."""
    asked: int = counter("Asked", since="1.7")
    """ASK redirects to another node of a cluster that were followed."""
    times: LatencyHistogram = forms.delays("ConnectTime", since="1.9", native="connect_times")
    """Time to connect, with TLS and log-in, in milliseconds, of the measured part."""
    window_waits: LatencyHistogram = forms.delays("WindowWait", since="1.10")
    """How long each success over HTTP/2 waited for the server's flow-control windows, in
    milliseconds, of the measured part; None over other protocols."""


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """Replies of requests that may have several, of measured successes."""

    replies: int = counter("Replies", since="1.10")
    """Replies to requests of streams, of which each may have several or none; 0 of other runs."""
    first_replies: LatencyHistogram = forms.delays("FirstReply", since="1.10")
    """Latency of the first reply, in milliseconds, from the actual start of each request that had
    one; the other latencies end with the last one. None of other runs."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When requests were due, and which were not sent."""

    arrivals: Mapping[str, Any] | None = figure(
        "Arrivals", since="1.4", described_by=Arrivals, default=None
    )
    """How requests were due; None in a closed loop."""
    unsent: int = counter("Unsent", since="1.4")
    """Requests that were due before the end and had no worker free by then."""
    lag_exceeded: bool = figure("LagExceeded", since="1.4", merge=fields.any_of, default=False)
    """Whether a request that was later than MaxLagSeconds ended the run."""


@dataclass(frozen=True)
class ServerFacts:
    """Which server answered."""

    kind: str = figure("Kind")
    """The kind of server, such as RedisAI."""
    version: str = figure("Version")
    """Its version, and that of the program that it is loaded into."""
    address: str = figure("Address")
    """Host and port, or unix socket."""


@dataclass(frozen=True, kw_only=True)
class ServerSide:
    """The server, and its own statistics."""

    facts: ServerFacts = figure("Server")
    """The server; the first of several."""
    name: str | None = figure("ServerName", since="1.6", default=None)
    """Its name in a sweep that compares servers; None otherwise."""
    readings: Mapping[str, Any] = figure("ServerRunTimeStats", default_factory=dict)
    """As aibench writes it, since 1.3: by time in nanoseconds and the server's host:port all fields
    of INFO and INFO modules as text, and ai_info.calls, .samples, .errors and .duration, since the
    server's start. Of more than 200 readings every second one is left out, never the first or the
    last. Before 1.3 the content of ServerPeriods; in 1.0 only the run's AI.INFO."""
    periods: Mapping[str, Any] = figure("ServerPeriods", since="1.3", default_factory=dict)
    """The server's statistics by the end of each reporting period as Unix time in milliseconds,
    and under `overall` of the run. The names inside are flat, with units. Values
    are differences between two readings but for the levels used_memory_bytes, used_memory_rss_bytes
    and process_rss_bytes. `notes` say what could not be read."""
