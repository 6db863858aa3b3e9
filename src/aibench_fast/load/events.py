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
)
Observer = Callable[[Event], None]
