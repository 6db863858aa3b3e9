"""What an observer of a run hears of."""

from collections.abc import Callable

from aibench_fast.results.result import (
    BurnInComplete,
    Digesting,
    Formatting,
    Interval,
    IntervalLatencies,
    Reading,
    Sample,
    SendingFile,
    SoFar,
    Started,
    Waiting,
)

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
