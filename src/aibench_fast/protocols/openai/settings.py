"""The settings of a run that servers of OpenAI's API alone have."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.anyhttp.settings import AnyHttpSettings
from aibench_fast.protocols.settings import MAX_COUNT, check_within

LEAST_SPEED, MOST_SPEED = 0.001, 1000


class StreamEnd(StrEnum):
    """What has to come before the end of a reply, so that its stream is whole."""

    USUAL = "usual"
    """`[DONE]` or a finish_reason."""
    DONE = "done"
    FINISH = "finish"
    HTTP = "http"
    """Nothing more: the end of the reply is that of the stream."""


@dataclass(frozen=True, kw_only=True)
class OpenAiSettings(AnyHttpSettings):
    """How prompts are sent to a server of OpenAI's API."""

    prompts: Path | None = None
    """A .jsonl file: each line has `messages`, `prompt` or `text`, and may have `max_tokens`."""
    trace: Path | None = None
    """A .jsonl file of recorded requests: when each was sent, how long its prompt and its answer
    were, and which blocks its prompt shared with others; see tensors/trace.py."""
    speed: float = 1.0
    """How many times as fast as recorded the requests of `trace` are due."""
    output_tokens: int | None = None
    """The most tokens of an answer, where its line in `prompts` does not say; None: the server's
    default."""
    extra_body: Path | None = None
    """A JSON file with further fields of every request, such as `temperature`."""
    first_token_timeout_s: float = 0.0
    """How long the client waits for a request's first token; 0: as for its whole reply."""
    token_timeout_s: float = 0.0
    """How long a pause between two tokens may be; 0: as long as the whole reply."""
    min_tokens: int = 0
    """A stream of fewer tokens fails."""
    stream_end: StreamEnd = StreamEnd.USUAL
    """What has to come before the end of a reply."""

    def check_prompts(self) -> None:
        """ConfigError where a setting cannot be, or not beside another."""
        others = {
            "body": self.body, "method": self.method, "content_type": self.content_type,
            "success": self.success, "reply": self.reply if self.reply != "any" else None,
        }  # fmt: skip
        for setting, value in others.items():
            if value:
                raise ConfigError(f"`{setting}` with `prompts`: requests are made from prompts")
        self._check_trace()
        if self.output_tokens is not None:
            check_within("output_tokens", self.output_tokens, 1, MAX_COUNT)
        check_within("min_tokens", self.min_tokens, 0, MAX_COUNT)

    def _check_trace(self) -> None:
        if self.trace is None:
            if self.speed != 1:
                raise ConfigError(f"`speed` {self.speed:g} without `trace`: give both")
            return
        if not LEAST_SPEED <= self.speed <= MOST_SPEED:
            raise ConfigError(
                f"`speed` {self.speed:g}: it has to be from {LEAST_SPEED} to {MOST_SPEED}"
            )
        if self.prompts is not None:
            raise ConfigError("`prompts` with `trace`: each says what is sent; give one")
        if self.output_tokens is not None:
            raise ConfigError("`output_tokens` with `trace`: each of its lines has output_length")
