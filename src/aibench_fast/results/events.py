"""What an observer of a run hears of while it goes on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast.results.figures import Failure
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import Interval, Result, ServerFacts


@dataclass(frozen=True)
class Digesting:
    """The tensor file is read for its digest; nothing is measured yet."""

    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Formatting:
    """A model's tensors are formatted; nothing is measured yet."""

    model: str
    done: int
    total: int
    """Tensors of each input."""
    given: int
    """How many there are; where more than `total`, no more fit in the memory allowed."""
    memory_bytes: int
    """What `total` take, by the first one."""
    as_json: bool = True
    """False: strings in binary."""


@dataclass(frozen=True)
class SendingFile:
    """A file is sent to the clients that do not have it; nothing is measured yet."""

    file: str
    done_bytes: int
    total_bytes: int
    clients: int


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
class IntervalLatencies:
    """The measured latencies of one reporting period alone; times are of the wall clock."""

    start_unix_s: float
    end_unix_s: float
    latencies: LatencyHistogram


@dataclass(frozen=True)
class LiveOutage:
    """A time in which a server could not be reached, while the run goes on."""

    after_s: float
    """When it began, from the run's start."""
    seconds: float
    """How long it lasted, or lasts until now."""
    is_over: bool
    attempts: int
    """To connect, that failed."""
    server: str | None = None
    """Its address, of a run of several servers."""


@dataclass(frozen=True)
class Waiting:
    """The load is over, and requests that were under way are waited for."""

    requests: int
    seconds_left: float
    """Until the last of them runs into its time-out."""


@dataclass(frozen=True)
class Reading:
    """What a live view shows: the run so far, and what came since the reading before."""

    seconds: float
    """Since the start."""
    seconds_left: float | None
    """Until the end as far as it is known; None where it is not."""
    is_measuring: bool
    """False during the burn-in."""
    requests: int
    """Ended in any way, burn-in included."""
    rate: float
    """Images answered a second since the reading before."""
    quantiles_ms: Sequence[float]
    """p50 and p99 of the latencies measured since then; empty where none were."""
    latencies: LatencyHistogram
    """All that were measured."""
    failures: Mapping[str, Failure]
    """By kind, burn-in included."""
    server: Mapping[str, Any]
    """What the server counted in the last reporting period; empty before it is known."""
    outages: Sequence[LiveOutage] = ()
    """In the order in which they began."""


@dataclass(frozen=True)
class Sample:
    """A reply's first output for the request's first image: its index, the dtype and the bytes."""

    tensor: int
    dtype: str
    output: bytes


@dataclass(frozen=True)
class SoFar:
    """What a run came to by the end of a reporting period, should it never come to its own."""

    result: Result


Event = (
    Digesting
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


def ignore(event: Event) -> None:
    """See nothing of a run."""
    del event
