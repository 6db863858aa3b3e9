"""A profile: how the rate of arrivals goes over time, in steps and ramps, as one line of words."""

import re
from dataclasses import dataclass

from aibench_fast.errors import ConfigError
from aibench_fast.units import duration_s

_RATE = r"(\d+(?:\.\d+)?|\.\d+)/s"
_STEP = re.compile(rf"{_RATE}(?:\s+to\s+{_RATE})?\s+(?:for|over)\s+(\S+)")
MAX_STEPS = 100
"""Each has a histogram of its own in every I/O thread."""


@dataclass(frozen=True)
class Step:
    """A stretch of a profile: a constant rate, or a ramp in a straight line."""

    from_per_s: float
    to_per_s: float
    duration_s: float
    words: str
    """As it was written."""

    @property
    def requests(self) -> float:
        """Return how many requests are due in it, which need not be a whole number."""
        return (self.from_per_s + self.to_per_s) / 2 * self.duration_s

    def __str__(self) -> str:
        """Return it as it was written."""
        return self.words


def parse_profile(words: str) -> tuple[Step, ...]:
    """Read `10/s for 30s, 20/s to 80/s over 1m`; ConfigError names the step that is wrong."""
    steps = tuple(_step(part.strip(), words) for part in words.split(","))
    if len(steps) > MAX_STEPS:
        raise ConfigError(f"`profile` has {len(steps)} steps; there are at most {MAX_STEPS}")
    if not any(step.requests for step in steps):
        raise ConfigError(f"`profile` {words!r}: no step has a rate above 0: nothing would be sent")
    return steps


def _step(part: str, words: str) -> Step:
    match = _STEP.fullmatch(part)
    if match is None:
        raise ConfigError(
            f"`profile` {words!r}: {part!r} is not a step; write `10/s for 30s` or "
            "`20/s to 80/s over 1m`, and commas between several"
        )
    from_per_s, to_per_s, length = match.groups()
    try:
        length_s = duration_s(length)
    except ValueError as error:
        raise ConfigError(f"`profile` {words!r}: {error}") from error
    if length_s <= 0:
        raise ConfigError(f"`profile` {words!r}: the step {part!r} lasts no time")
    start = float(from_per_s)
    return Step(start, float(to_per_s) if to_per_s else start, length_s, part)
