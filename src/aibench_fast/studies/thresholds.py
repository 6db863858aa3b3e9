"""Expectations of a run's figures, such as `p99<50ms`, and whether they held."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import ge, gt, le, lt
from typing import NamedTuple

from aibench_fast.errors import ConfigError
from aibench_fast.load.config import RunConfig
from aibench_fast.protocols.openai.settings import is_limit
from aibench_fast.results.histogram import US_PER_MS, LatencyHistogram, least_count
from aibench_fast.results.result import Checked, Result
from aibench_fast.units import duration_s

MS_PER_S = 1000
FIGURE = r"(?:[a-z]+\.)?[a-z_]+[\d.]*"
"""The name of a figure, as a regular expression."""
_WORDS = re.compile(rf"\s*({FIGURE})\s*(<=|>=|<|>)\s*(\S+)\s*")
_TARGET = re.compile(rf"\s*({FIGURE})\s*=\s*(\S+)\s*")
_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d+)?)")
_COMPARE: dict[str, Callable[[float, float], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_STATISTICS = ("min", "mean", "max")
_TIMES: dict[str, Callable[[Result], LatencyHistogram]] = {
    "": lambda result: result.latencies,
    "ttfe": lambda result: result.tokens.response_first_events,
    "ttft": lambda result: result.tokens.response_first_tokens,
    "ttfa": lambda result: result.tokens.response_first_answers,
    "tpot": lambda result: result.tokens.token_times,
    "gap": lambda result: result.tokens.chunk_gaps,
    "out": lambda result: result.tokens.output_lengths,
    "in": lambda result: result.tokens.input_lengths,
}
"""By what stands before a point: nothing, or a time or length of streams of tokens."""
_LENGTHS = ("out", "in")
"""Of those the ones in tokens."""
RATES: dict[str, tuple[str, Callable[[Result], float | None]]] = {
    "rate": ("inferences", lambda result: result.inferences_per_s),
    "tokens": ("output tokens", lambda result: result.tokens.output_tokens_per_s),
    "tokens_per_user": (
        "output tokens of a user",
        lambda result: result.tokens.output_tokens_per_s_and_user or None,
    ),
    "requests": ("requests", lambda result: result.tokens.requests_per_s),
    "goodput": ("good requests", lambda result: result.tokens.goodput),
}
"""Figures per second; None if unknown."""
_SHARES: dict[str, Callable[[Result], tuple[int, int]]] = {
    "good": lambda result: (
        result.tokens.good_streams,
        result.requests if result.tokens.slo else 0,
    ),
    "errors": lambda result: (result.measured_failed, result.requests),
    "shed": lambda result: (result.shed, result.due),
    "unsent": lambda result: (result.schedule.unsent, result.due),
}
"""How many, and of how many."""
MORE_IS_BETTER = (*RATES, "good")
_OF_LIMITS = ("goodput", "good")
_OF_TOKENS = ("tokens", "tokens_per_user", "requests", *_OF_LIMITS)
_KNOWN = (
    "p50, p99, p99.9 and so on, min, mean, max (times), the same behind ttfe., ttft., ttfa., "
    "tpot., gap. (times of streams of tokens), out. or in. (tokens of a request), errors, shed, "
    "unsent, good (shares), rate, tokens, tokens_per_user, requests, goodput (per second)"
)


@dataclass(frozen=True)
class Expectation:
    """A figure of a run, and its limit."""

    words: str
    """As it was written."""
    figure: str
    comparison: str
    limit: float
    """In milliseconds, as a share, or per second."""

    @property
    def least_requests(self) -> int:
        """The number of measured requests that the figure needs."""
        return _figure(self.figure).least_requests

    def check(self, result: Result) -> Checked:
        """Check a result; a figure that is not known does not hold."""
        figure = _figure(self.figure)
        value = figure.value(result)
        if value is None:
            return Checked(self.words, None, held=False, found="not known")
        held = _COMPARE[self.comparison](value, self.limit)
        return Checked(self.words, value, held=held, found=figure.shown.format(value))


def parse_expectation(words: str, typed: str | None = None) -> Expectation:
    """Read `p99<50ms`, `errors<0.1%` or `rate>200`; ConfigError if it is something else.

    `typed` begins the error message (default: the words, as of `expect`).
    """
    typed = typed or f"`expect` {words!r}"
    match = _WORDS.fullmatch(words)
    if match is None:
        raise ConfigError(f"{typed}: write a figure, < or >, and a limit: p99<50ms")
    figure, comparison, limit = match.groups()
    try:
        return Expectation(words.strip(), figure, comparison, _figure(figure).read(limit))
    except ValueError as error:
        raise ConfigError(f"{typed}: {error}") from error


def parse_target(words: str) -> Expectation:
    """Read a target: `p99=50ms` and `errors=0.1%` are upper limits, `rate=200` a lower one.

    `p99<50ms` is read as it is. ConfigError if it is not a target.
    """
    typed = f"`slo` {words!r}"
    if match := _TARGET.fullmatch(words):
        figure, limit = match.groups()
        words = f"{figure}{'>=' if figure in MORE_IS_BETTER else '<='}{limit}"
    return parse_expectation(words, typed)


def split_slo(
    slo: Sequence[str | Expectation],
) -> tuple[tuple[str, ...], list[Expectation]]:
    """Return limits of each request, such as `ttft=200ms`, and targets; ConfigError for others."""
    limits = tuple(one for one in slo if isinstance(one, str) and is_limit(one))
    targets = [
        parse_target(one) if isinstance(one, str) else one for one in slo if one not in limits
    ]
    return limits, targets


def expectations(words: Iterable[str | Expectation], *configs: RunConfig) -> list[Expectation]:
    """Return expectations of runs of these configs, those that are words parsed.

    ConfigError if one cannot be, or as `check_possible`.
    """
    expected = [parse_expectation(one) if isinstance(one, str) else one for one in words]
    for config in configs:
        check_possible(expected, config)
    return expected


def check_possible(
    expected: Iterable[Expectation], config: RunConfig, setting: str = "expect"
) -> None:
    """ConfigError where a run of this config can never have the figure."""
    for one in expected:
        of_tokens = one.figure in _OF_TOKENS or _parts(one.figure)[0]
        if of_tokens and not config.protocol.streams_tokens:
            raise ConfigError(
                f"`{setting}` {one.words!r}: only streams of tokens have it; give `prompts`, or "
                "another figure"
            )
        if one.figure in _OF_LIMITS and not config.slo:
            raise ConfigError(
                f"`{setting}` {one.words!r} without limits of each request: give `slo` too, such "
                "as ttft=200ms"
            )


def checked(result: Result, expected: Sequence[Expectation]) -> Result:
    """Return the result with the outcome of each expectation."""
    return dataclasses.replace(result, expectations=[one.check(result) for one in expected])


def _parts(figure: str) -> tuple[str, str]:
    """Return which times a figure is of, and its name among theirs: `ttft.p99` is of `ttft`."""
    of, point, name = figure.partition(".")
    return (of, name) if point and of in _TIMES else ("", figure)


class _Figure(NamedTuple):
    """How a figure's limit is read, and how it is found and shown."""

    read: Callable[[str], float]
    value: Callable[[Result], float | None]
    shown: str
    least_requests: int = 1


def _figure(name: str) -> _Figure:
    """Return the figure of this name; ValueError if it is unknown."""
    if name in RATES:
        unit, value = RATES[name]
        return _Figure(_plain, value, f"{{:.2f}} {unit}/s")
    if name in _SHARES:
        return _Figure(_share, partial(_share_of, _SHARES[name]), "{:.3%}")
    of, statistic = _parts(name)
    quantile = _QUANTILE.fullmatch(statistic)
    if not quantile and statistic not in _STATISTICS:
        raise ValueError(f"unknown figure {name!r}; use {_KNOWN}")
    share = float(quantile[1]) / 100 if quantile else 0.0
    least = least_count(share) if quantile else 1
    is_length = of in _LENGTHS

    def value_of(result: Result) -> float | None:
        times = _TIMES[of](result)
        if times.count < least:
            return None
        found: float = getattr(times, f"{statistic}_ms", 0.0)
        if quantile:
            (found,) = times.quantiles_ms([share])
        return found * US_PER_MS if is_length else found

    shown = "{:.1f} tokens" if is_length else "{:.3f} ms"
    return _Figure(_plain if is_length else _milliseconds, value_of, shown, least)


def _share_of(counts: Callable[[Result], tuple[int, int]], result: Result) -> float | None:
    count, of = counts(result)
    return count / of if of else None


def _milliseconds(limit: str) -> float:
    return duration_s(limit) * MS_PER_S


def _share(limit: str) -> float:
    value = _plain(limit.removesuffix("%"))
    return value / 100 if limit.endswith("%") else value


def _plain(limit: str) -> float:
    try:
        value = float(limit)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{limit!r} is not a number of 0 or more")
    return value
