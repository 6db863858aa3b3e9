"""Events that the observer of a study receives, in addition to those of each run."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aibench_fast.errors import AibenchError, ConfigError
from aibench_fast.results import events
from aibench_fast.results.result import Result


@dataclass(frozen=True)
class Planned:
    """The number of runs of a study."""

    runs: int | None
    """All of its runs; None if that depends on what they measure."""
    done: int = 0
    """Runs whose results an earlier study left."""


@dataclass(frozen=True)
class ServerStarted:
    """An embedded server runs."""

    description: str
    """Its address, process and model."""


@dataclass(frozen=True)
class RunStarted:
    """A run begins; its servers have not been visited."""

    name: str
    """In words, such as `8 workers, auto-batching 0, tensor batch 1, run 2`."""
    file: Path | None
    """Where its result will be saved."""


@dataclass(frozen=True)
class RunFinished:
    """A run ended, and its result is saved."""

    name: str
    file: Path | None
    result: Result
    unsaved: ConfigError | None = None
    """Why `file` cannot be written. It is raised after the observer has seen the result."""


@dataclass(frozen=True)
class RunFailed:
    """A run did not start, or lost its server. The study continues."""

    name: str
    error: AibenchError


@dataclass(frozen=True)
class Note:
    """A problem that a person should know of. The study continues."""

    words: str


@dataclass(frozen=True)
class Progress:
    """The state of a study, in words."""

    words: str


@dataclass(frozen=True)
class SearchPlanned:
    """The longest duration of a search in which runs of one value agree."""

    runs: int
    seconds: float


@dataclass(frozen=True)
class StepFinished:
    """A step of a search was judged."""

    number: int
    value: float
    result: Result
    held: bool
    reason: str | None
    """Why it does not hold although every target does; None if the targets decide."""


StudyEvent = (
    events.Event
    | Planned
    | ServerStarted
    | RunStarted
    | RunFinished
    | RunFailed
    | Note
    | Progress
    | SearchPlanned
    | StepFinished
)
StudyObserver = Callable[[StudyEvent], None]
