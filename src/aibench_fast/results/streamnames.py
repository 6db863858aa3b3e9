"""Figures of streams of tokens by the names that they have in options, tables and comparisons."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.stream import LENGTHS, stream_histogram

SHOWN_QUANTILES = {"q50": "p50", "q99": "p99"}
"""Of times, in tables and comparisons."""
FROM_DUE = "FromDue"
"""Ends the key of times that count from when requests were due."""
_FIRST_TOKEN, _FIRST_ANSWER = "TimeToFirstToken", "TimeToFirstAnswer"


@dataclass(frozen=True)
class NamedTimes:
    """Times among the figures of streams."""

    name: str
    """In options, such as `ttft`."""
    key: str
    """In `StreamFigures`."""

    @property
    def words(self) -> str:
        """The key in words, such as `time to first token`."""
        return key_words(self.key)

    def of(self, stream: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the times of a result's figures, from when requests were due if they were; None
        without any.
        """
        return stream.get(self.key + FROM_DUE) or stream.get(self.key)

    def histogram(self, stream: Mapping[str, Any]) -> LatencyHistogram:
        """Return all values of the same times, empty without any; ConfigError if unreadable."""
        due = self.key + FROM_DUE
        return stream_histogram(stream, due if stream.get(due) else self.key)

    def is_shown(self, stream: Mapping[str, Any]) -> bool:
        """Whether there are any and other times do not say the same.

        The time to the first answer is that to the first token, unless a model reasons.
        """
        is_repeated = self.key == _FIRST_ANSWER and stream.get(self.key) == stream.get(_FIRST_TOKEN)
        return self.of(stream) is not None and not is_repeated


TIMES = (
    NamedTimes("ttfe", "TimeToFirstEvent"),
    NamedTimes("ttft", _FIRST_TOKEN),
    NamedTimes("ttfa", _FIRST_ANSWER),
    NamedTimes("tpot", "TimePerOutputToken"),
    NamedTimes("gap", "ChunkGap"),
)


@dataclass(frozen=True)
class NamedRate:
    """A figure a second, of which more is better."""

    name: str
    """In options, such as `goodput`."""
    key: str
    """In `StreamFigures`."""
    unit: str

    @property
    def words(self) -> str:
        """The key in words, such as `output tokens per second`."""
        return key_words(self.key)

    def of(self, stream: Mapping[str, Any]) -> float | None:
        """Return the rate among a result's figures; None without any."""
        return stream.get(self.key)


RATES = (
    NamedRate("tokens", "OutputTokensPerSecond", "tokens/s"),
    NamedRate("tokens_per_user", "OutputTokensPerSecondPerUser", "tokens/s/user"),
    NamedRate("goodput", "Goodput", "good requests/s"),
)


def key_words(key: str) -> str:
    """Return a key in words, such as `chunk gap`."""
    return " ".join(re.findall("[A-Z][a-z]*", key)).lower()


def _column(key: str) -> str:
    return key_words(key).replace(" ", "_")


def stream_columns(stream: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result's figures of streams as columns of a table; times are in milliseconds."""
    columns = {
        f"{times.name}_{statistic}_ms": value
        for times in TIMES
        if (found := times.of(stream))
        for statistic, value in found.items()
    }
    columns |= {
        f"{_column(key)}_{statistic}": value
        for key in LENGTHS
        if (found := stream.get(key))
        for statistic, value in found.items()
    }
    others = {
        _column(key): value for key, value in stream.items() if isinstance(value, int | float | str)
    }
    return columns | others


def stream_values(stream: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
    """Return the rates, medians and p99 that are known, by name, each with its unit."""
    rates = {
        rate.name: (value, rate.unit) for rate in RATES if (value := rate.of(stream)) is not None
    }
    return rates | {
        f"{times.name}.{shown}": (value, "ms")
        for times in TIMES
        if times.is_shown(stream) and (found := times.of(stream))
        for quantile, shown in SHOWN_QUANTILES.items()
        if (value := found[quantile]) is not None
    }


def stream_words(stream: Mapping[str, Any]) -> str:
    """Return the rates and medians of figures of streams, for a line."""
    rates = [f"{value:.1f} {rate.unit}" for rate in RATES if (value := rate.of(stream)) is not None]
    medians = [
        f"{times.name} {found['q50']:.3f}"
        for times in TIMES
        if times.is_shown(stream) and (found := times.of(stream))
    ]
    return ", ".join([*rates, *([f"p50 of {', '.join(medians)} ms"] if medians else [])])
