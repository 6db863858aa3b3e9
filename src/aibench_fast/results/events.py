"""Events that an observer of a run receives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast.results.figures import Failure
from aibench_fast.results.groups import Outage, ServerFacts
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import Interval, Result


@dataclass(frozen=True)
class Digesting:
    """The tensor file is being read for its digest, before the load."""

    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Drawing:
    """Prompts are being drawn, before the load."""

    done: int
    total: int


@dataclass(frozen=True)
class Formatting:
    """A model's tensors are being formatted, before the load."""

    model: str
    done: int
    total: int
    """Tensors of each input."""
    given: int
    """Tensors in the file; if more than `total`, the allowed memory has no room for more."""
    memory_bytes: int
    """Memory for `total` tensors, estimated from the first."""
    as_json: bool = True
    """False: strings in binary."""
    things: str = "tensors"
    """Their name: tensors, bodies or prompts."""


@dataclass(frozen=True)
class SendingFile:
    """A file is being sent to the clients that lack it, before the load."""

    file: str
    done_bytes: int
    total_bytes: int
    clients: int


@dataclass(frozen=True)
class Started:
    """Everything is checked and connected: the load begins."""

    server: ServerFacts


@dataclass(frozen=True)
class BurnInComplete:
    """The warm-up is over: from now on requests are measured."""

    requests: int
    workers: int


@dataclass(frozen=True)
class IntervalLatencies:
    """The measured latencies of one reporting period; times are of the wall clock."""

    start_unix_s: float
    end_unix_s: float
    latencies: LatencyHistogram


@dataclass(frozen=True)
class Waiting:
    """The load is over; the client waits for requests that are under way."""

    requests: int
    seconds_left: float
    """Until the last of them times out."""


@dataclass(frozen=True)
class StreamReading:
    """Streams of tokens since the last reading."""

    tokens_per_s: float
    """Output tokens that came a second, by chunks and the tokens a chunk so far."""
    quantiles_ms: Mapping[str, Sequence[float]]
    """p50 and p99 of times measured since then, by their names in options; empty without any."""


@dataclass(frozen=True)
class Reading:
    """The run so far and since the last reading, for a live view."""

    seconds: float
    """Since the start."""
    seconds_left: float | None
    """Until the end; None if unknown."""
    is_measuring: bool
    """False during the warm-up."""
    requests: int
    """Requests that ended, warm-up included."""
    rate: float
    """Images answered a second since the last reading."""
    quantiles_ms: Sequence[float]
    """p50 and p99 of the latencies measured since then; empty without any."""
    latencies: LatencyHistogram
    """All measured latencies."""
    failures: Mapping[str, Failure]
    """By kind, warm-up included."""
    server: Mapping[str, Any]
    """The server's statistics of the last reporting period; empty before they are known."""
    outages: Sequence[Outage] = ()
    """In the order in which they began."""
    streams: StreamReading | None = None
    """None where replies are no streams of tokens."""


@dataclass(frozen=True)
class Sample:
    """A reply's first output for the request's first image: index, dtype and bytes."""

    tensor: int
    dtype: str
    output: bytes


@dataclass(frozen=True)
class SoFar:
    """The result at the end of a reporting period, in case the run is killed."""

    result: Result


Event = (
    Digesting
    | Drawing
    | Formatting
    | Started
    | BurnInComplete
    | Interval
    | IntervalLatencies
    | Reading
    | Sample
    | SendingFile
    | SoFar
    | Waiting
)
Observer = Callable[[Event], None]


def ignore(event: object) -> None:
    """Do nothing with an event, of a run or of a study."""
