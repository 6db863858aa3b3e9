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
class Named:
    """A figure, or times, among the figures of streams."""

    name: str
    """In options, such as `goodput` or `ttft`."""
    key: str
    """In `StreamFigures`."""
    unit: str = "ms"

    @property
    def words(self) -> str:
        """The key in words, such as `time to first token`."""
        return " ".join(re.findall("[A-Z][a-z]*", self.key)).lower()


class NamedTimes(Named):
    """Times among the figures of streams."""

    def of(self, stream: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the times of a result, from when requests were due if known; None without any."""
        return stream.get(self.key + FROM_DUE) or stream.get(self.key)

    def histogram(self, stream: Mapping[str, Any]) -> LatencyHistogram:
        """Return all values of the same times, empty without any; ConfigError if unreadable."""
        due = self.key + FROM_DUE
        return stream_histogram(stream, due if stream.get(due) else self.key)

    def is_shown(self, stream: Mapping[str, Any]) -> bool:
        """Whether there are any and other times do not say the same: the time to the first answer
        is that to the first token, unless a model reasons.
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


RATES = (
    Named("tokens", "OutputTokensPerSecond", "tokens/s"),
    Named("tokens_per_user", "OutputTokensPerSecondPerUser", "tokens/s/user"),
    Named("goodput", "Goodput", "good requests/s"),
)
"""Figures a second, of which more is better."""


def _column(key: str) -> str:
    return Named("", key).words.replace(" ", "_")


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
    rates = {rate.name: (stream.get(rate.key), rate.unit) for rate in RATES}
    quantiles = {
        f"{times.name}.{shown}": (found[quantile], times.unit)
        for times in TIMES
        if times.is_shown(stream) and (found := times.of(stream))
        for quantile, shown in SHOWN_QUANTILES.items()
    }
    known = (rates | quantiles).items()
    return {name: (value, unit) for name, (value, unit) in known if value is not None}


def stream_words(stream: Mapping[str, Any]) -> str:
    """Return the rates and medians of figures of streams, for a line."""
    values = stream_values(stream)
    rates = [f"{value:.1f} {unit}" for value, unit in values.values() if unit != "ms"]
    medians = [
        f"{name.removesuffix('.p50')} {value:.3f}"
        for name, (value, _) in values.items()
        if name.endswith(".p50")
    ]
    return ", ".join([*rates, *([f"p50 of {', '.join(medians)} ms"] if medians else [])])
