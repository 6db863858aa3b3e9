"""The settings of a run that servers of OpenAI's API alone have, and the limits of its `slo`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.anyhttp.settings import AnyHttpSettings
from aibench_fast.protocols.protocol import MAX_PROMPT_TOKENS
from aibench_fast.protocols.settings import MAX_COUNT, check_range, check_within
from aibench_fast.units import Range, described_range, duration_s

LEAST_SPEED, MOST_SPEED = 0.001, 1000
MS_PER_S = 1000
NAMES = {
    "ttft": "first_token_ns", "ttfa": "first_answer_ns", "tpot": "token_ns",
    "latency": "latency_ns",
}  # fmt: skip
"""The figures that can have a limit, and what the native core calls it."""
_LIMIT = re.compile(rf"\s*({'|'.join(NAMES)})\s*(?:=|<=?)\s*(\S+)\s*")


class Api(StrEnum):
    """The kind of request: the continuation of a chat, or of a text."""

    CHAT = "openai-chat"
    COMPLETIONS = "openai-completions"


class StreamEnd(StrEnum):
    """The event that makes a stream complete, before the end of its reply."""

    USUAL = "usual"
    """`[DONE]` or a finish_reason."""
    DONE = "done"
    FINISH = "finish"
    HTTP = "http"
    """Nothing more: the end of the reply is that of the stream."""


@dataclass(frozen=True, kw_only=True)
class OpenAiSettings(AnyHttpSettings):
    """How prompts are sent to a server of OpenAI's API."""

    api: Api | None = None
    """None: as the path of the URL says."""
    prompts: Path | None = None
    """A .jsonl file: each line has `messages`, `prompt` or `text`, and may have `max_tokens`."""
    trace: Path | None = None
    """A .jsonl file of recorded requests: when each was sent, how long its prompt and its answer
    were, and which blocks its prompt shared with others; see tensors/trace.py."""
    speed: float = 1.0
    """How many times as fast as recorded the requests of `trace` are due."""
    prompt_tokens: Range | None = None
    """Draw prompts of so many tokens from `seed` instead: of a number, or evenly of a range."""
    tokenizer: Path | None = None
    """A tokenizer.json, or a folder with one, for drawn prompts of exactly so many tokens; None:
    about as many."""
    output_tokens: Range | None = None
    """The most tokens of an answer, where its line in `prompts` does not say; for drawn prompts it
    may be a range. None: the server's default."""
    extra_body: Path | None = None
    """A JSON file with further fields of every request, such as `temperature`."""
    first_token_timeout_s: float = 0.0
    """How long the client waits for a request's first token; 0: as for its whole reply."""
    token_timeout_s: float = 0.0
    """How long a pause between two tokens may be; 0: as long as the whole reply."""
    min_tokens: int = 0
    """A stream of fewer tokens fails."""
    stream_end: StreamEnd = StreamEnd.USUAL
    """The event that makes a stream complete."""

    slo: tuple[str, ...] = ()
    """The limits of a good request: of `ttft`, `ttfa`, `tpot` and `latency`, such as
    `ttft=200ms`. Under a schedule times count from when the request was due."""

    @property
    def limits(self) -> dict[str, float]:
        """Return those limits in milliseconds."""
        return {figure: limit_s * MS_PER_S for figure, limit_s in parse_limits(self.slo).items()}

    def check_prompts(self) -> None:
        """ConfigError where a setting cannot be, or not beside another."""
        for setting in ("body", "method", "content_type", "success", "reply"):
            if getattr(self, setting) != getattr(AnyHttpSettings, setting):
                raise ConfigError(
                    f"`{setting}` with prompts of OpenAI's API: requests are made from prompts"
                )
        if self.api is not None and self.api not in [*Api]:
            raise ConfigError(f"`api` {self.api}: it has to be {' or '.join(Api)}")
        named = ("prompts", "prompt_tokens", "trace")
        given = [f"`{name}`" for name in named if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"{' with '.join(given)}: each says what is sent; give one")
        check_within("min_tokens", self.min_tokens, 0, MAX_COUNT)
        parse_limits(self.slo)
        self._check_lengths()
        self._check_trace()
        if self.prompts is not None and self.prompts.suffix != ".jsonl":
            raise ConfigError(f"`prompts` {self.prompts}: write them as lines of a .jsonl file")

    def _check_lengths(self) -> None:
        if self.tokenizer is not None and self.prompt_tokens is None and self.trace is None:
            raise ConfigError(
                "`tokenizer` without `prompt_tokens` or `trace`: it is for drawn prompts"
            )
        if self.prompt_tokens is not None:
            check_range("`prompt_tokens`", self.prompt_tokens, MAX_PROMPT_TOKENS)
        if self.output_tokens is None:
            return
        check_range("`output_tokens`", self.output_tokens, MAX_COUNT)
        if self.prompt_tokens is None and not isinstance(self.output_tokens, int):
            raise ConfigError(
                f"`output_tokens` {described_range(self.output_tokens)} without `prompt_tokens`: a "
                "range is for drawn prompts; give a number, or each line of `prompts` its "
                "max_tokens"
            )

    def _check_trace(self) -> None:
        if self.trace is None:
            if self.speed != 1:
                raise ConfigError(f"`speed` {self.speed:g} without `trace`: give both")
            return
        if not LEAST_SPEED <= self.speed <= MOST_SPEED:
            raise ConfigError(
                f"`speed` {self.speed:g}: it has to be from {LEAST_SPEED} to {MOST_SPEED}"
            )
        if self.output_tokens is not None:
            raise ConfigError("`output_tokens` with `trace`: each of its lines has output_length")


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
