"""The server of tokens: OpenAI's API on loopback, with simulated times instead of a model."""

import json
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

import aibench_fast
from aibench_fast.errors import ConfigError, InternalError
from aibench_fast.protocols.protocol import SIMULATED
from aibench_fast.protocols.settings import check_within
from aibench_fast.server.base import STOP_TIMEOUT_S, Server, answer_to_get

MODEL = "simulated"
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
PROGRAM = Path(__file__).with_name("simulated_tokens")
NS_PER_S = 1_000_000_000
MOST_TOKENS = 10_000_000
LONGEST_S = 3600.0
MOST_EVENTS_PER_WRITE = 64
FAILURES = {"error_event": 1, "cut": 2, "end": 3, "hang": 4}
"""How a stream may fail, and the program's numbers of them."""
STATUSES = range(400, 600)
MILLION = 1_000_000
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,255}")


def _number(default: float, option: str, least: float, most: float) -> Any:
    """Declare a number: the program's option for it, and the least and the most that it may be."""
    return field(default=default, metadata={"option": option, "least": least, "most": most})


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """How the server behaves. ConfigError if it cannot; times are in seconds."""

    model: str = MODEL
    """The name of the only model, which requests have to give."""
    prefill_s: float = _number(0.05, "--prefill-ns", 0, LONGEST_S)
    """From a request to its first token, for any prompt."""
    prefill_token_s: float = _number(0.0001, "--prefill-token-ns", 0, LONGEST_S)
    """The same in addition, for each token of the prompt: a word, or a number of a list."""
    decode_s: float = _number(0.01, "--decode-ns", 0, LONGEST_S)
    """Between two tokens of an answer."""
    batch_limit: int = _number(0, "--batch", 0, MOST_TOKENS)
    """The most requests that have a prefill or a decode at a time; others wait. 0: no limit."""
    output_tokens: int = _number(128, "--output-tokens", 1, MOST_TOKENS)
    """Tokens of an answer whose request has no `max_tokens`."""
    reasoning_tokens: int = _number(0, "--reasoning-tokens", 0, MOST_TOKENS)
    """The first tokens of each chat's answer that are reasoning."""
    events_per_write: int = _number(1, "--events-per-write", 1, MOST_EVENTS_PER_WRITE)
    """Tokens whose events are sent in one write, when the last of them is due; the first token's
    event is sent alone."""
    segments: int = _number(1, "--segments", 1, MOST_TOKENS)
    """How many pieces each write is sent in."""
    stall_s: float = _number(0.0, "--stall-ns", 0, LONGEST_S)
    """For how long the server does nothing at the end of each `stall_period_s`; what would have
    been due comes that much later."""
    stall_period_s: float = _number(10.0, "--stall-period-ns", 0, LONGEST_S)
    failures: Mapping[str, float] = field(default_factory=dict)
    """The shares of requests that fail, from 0 to 1: by a status of HTTP in place of a stream, such
    as `429`; by an `error_event`; by a `cut`, where the server closes the connection; by an `end`
    of the reply without a finish_reason; or by a `hang`, where nothing more comes. The first
    request does not, as clients send it on trial."""
    fail_after: int = _number(1, "--fail-after", 0, MOST_TOKENS)
    """Tokens before a stream fails."""
    retry_after_s: int = _number(1, "--retry-after", 0, MOST_TOKENS)
    """The Retry-After of a reply of status 429, in seconds."""
    seed: int = _number(0, "--seed", 0, 2**63 - 1)
    """Chooses which requests fail."""
    log: Path | None = None
    """A file for the time of each event, written at the end."""

    def __post_init__(self) -> None:
        """Check each setting."""
        if not _MODEL_NAME.fullmatch(self.model):
            raise ConfigError(
                f"`model` {self.model!r}: write letters, digits and ._:/@+- alone, such as llama"
            )
        for one, value in self._numbers():
            check_within(one.name, value, one.metadata["least"], one.metadata["most"])
        if self.stall_s and not self.stall_s < self.stall_period_s:
            raise ConfigError(
                f"`stall_s` {self.stall_s:g} with `stall_period_s` {self.stall_period_s:g}: it has "
                "to be shorter"
            )
        for kind, share in self.failures.items():
            is_number = kind.isascii() and kind.isdecimal()
            if not (kind in FAILURES or (is_number and int(kind) in STATUSES)):
                raise ConfigError(
                    f"`failures` {kind}: it has to be a status from 400 to 599 or one of "
                    f"{', '.join(FAILURES)}"
                )
            if not 0 <= share <= 1:
                raise ConfigError(f"`failures` {kind}: its share has to be from 0 to 1")
        if (total := sum(self.failures.values())) > 1:
            raise ConfigError(f"`failures`: their shares come to {total:g}; they may be 1 together")

    def _numbers(self) -> list[tuple[Field[Any], float]]:
        return [(one, getattr(self, one.name)) for one in fields(self) if one.metadata]

    def words(self) -> list[str]:
        """Return the program's words for it."""
        words: list[tuple[str, object]] = [("--model", self.model)]
        for one, value in self._numbers():
            option = one.metadata["option"]
            words.append((option, round(value * NS_PER_S) if option.endswith("-ns") else value))
        if self.log is not None:
            words.append(("--log", self.log.absolute()))
        for kind, share in self.failures.items():
            words.append(("--fail", f"{FAILURES.get(kind) or kind}:{round(share * MILLION)}"))
        return [str(word) for pair in words for word in pair]

    def __str__(self) -> str:
        """Return the times in words."""
        limit = f", {self.batch_limit} at a time" if self.batch_limit else ""
        return (
            f"simulated: prefill {self.prefill_s * 1e3:g} ms and {self.prefill_token_s * 1e3:g} a "
            f"token of the prompt, decode {self.decode_s * 1e3:g} ms a token{limit}"
        )


class TokenServer(Server):
    """A native server of streams of tokens; every reply says that it is simulated.

    Args:
        simulation: how it behaves.
        port: TCP port; 0 picks a free one.

    Raises InternalError if the package was built without it, ConfigError if the port cannot be, and
    ServerError, with the last lines of its log, if the server does not start.
    """

    _prefix = "aibench-tokens-"

    def __init__(self, simulation: Simulation | None = None, port: int = 0) -> None:
        """Check the arguments; start nothing."""
        if not PROGRAM.is_file():
            raise InternalError(f"{PROGRAM} is missing: build and install the package again")
        super().__init__("the server of tokens", port)
        self.simulation = simulation or Simulation()

    @property
    def url(self) -> str:
        """The URL of chats."""
        return f"http://{self.host}:{self.port}{CHAT}"

    @property
    def completions_url(self) -> str:
        """The URL of plain completions."""
        return f"http://{self.host}:{self.port}{COMPLETIONS}"

    def stop(self) -> None:
        """Stop the server once its log is written, and remove its temporary files."""
        if self.simulation.log is not None and self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        super().stop()

    def _launch(self, lifeline: int) -> subprocess.Popen[bytes]:
        words = [
            str(PROGRAM),
            *("--port", str(self.port)),
            *("--lifeline", str(lifeline)),
            *("--name", SIMULATED),
            *("--version", aibench_fast.__version__),
            *self.simulation.words(),
        ]
        return self._started(words, stdin=subprocess.DEVNULL, pass_fds=[lifeline])

    def _is_ready(self) -> bool:
        """Return whether it answers itself, not another server on the port; store its version."""
        answer = answer_to_get(self.port, "/health")
        if answer is None or not answer.startswith(b'{"pid":'):
            return False
        found = json.loads(answer)
        if found["pid"] != self.pid:
            return False
        self.version = str(found["version"])
        return True
