"""The limits that a good request of a stream of tokens keeps to, such as `ttft=200ms`."""

import re
from collections.abc import Iterable

from aibench_fast.errors import ConfigError
from aibench_fast.units import duration_s

NAMES = {
    "ttft": "first_token_ns", "ttfa": "first_answer_ns", "tpot": "token_ns",
    "latency": "latency_ns",
}  # fmt: skip
"""The figures that can have a limit, and what the native core calls it."""
_LIMIT = re.compile(rf"\s*({'|'.join(NAMES)})\s*(?:=|<=?)\s*(\S+)\s*")


def is_limit(words: str) -> bool:
    """Return whether it is a limit of each request rather than a target of a search."""
    return _LIMIT.fullmatch(words) is not None


def parse_limits(slo: Iterable[str]) -> dict[str, float]:
    """Return the limit in seconds of each figure; ConfigError for anything else."""
    limits: dict[str, float] = {}
    for words in slo:
        match = _LIMIT.fullmatch(words)
        if match is None:
            raise ConfigError(
                f"`slo` {words!r}: give a limit of each request: {', '.join(NAMES)}, such as "
                "ttft=200ms"
            )
        figure, limit = match.groups()
        if figure in limits:
            raise ConfigError(f"`slo` {words!r}: {figure} has a limit already; give one of each")
        try:
            limits[figure] = duration_s(limit)
        except ValueError as error:
            raise ConfigError(f"`slo` {words!r}: {error}") from error
        if not limits[figure] > 0:
            raise ConfigError(f"`slo` {words!r}: it has to be above 0")
    return limits
