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
)
Observer = Callable[[Event], None]


def ignore(event: Event) -> None:
    """See nothing of a run."""
    del event
