"""The server of tokens: OpenAI's API on loopback, with simulated times instead of a model."""

import json
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aibench_fast
from aibench_fast.errors import ConfigError, InternalError
from aibench_fast.server.answers import answer_to_get
from aibench_fast.server.base import Server
from aibench_fast.server.process import STOP_TIMEOUT_S

MODEL = "simulated"
CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
PROGRAM = Path(__file__).with_name("simulated_tokens")
NS_PER_S = 1_000_000_000
MOST_TOKENS = 10_000_000
LONGEST_S = 3600.0
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,255}")


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """How the server behaves. ConfigError if it cannot; times are in seconds."""

    model: str = MODEL
    """The name of the only model, which requests have to give."""
    prefill_s: float = 0.05
    """From a request to its first token, for any prompt."""
    prefill_token_s: float = 0.0001
    """The same in addition, for each token of the prompt: a word, or a number of a list."""
    decode_s: float = 0.01
    """Between two tokens of an answer."""
    batch_limit: int = 0
    """The most requests that have a prefill or a decode at a time; others wait. 0: no limit."""
    output_tokens: int = 128
    """Tokens of an answer whose request has no `max_tokens`."""
    reasoning_tokens: int = 0
    """The first tokens of each chat's answer that are reasoning."""
    log: Path | None = None
    """A file for the time of each event, written at the end."""

    def __post_init__(self) -> None:
        """Check each setting."""
        if not _MODEL_NAME.fullmatch(self.model):
            raise ConfigError(
                f"`model` {self.model!r}: write letters, digits and ._:/@+- alone, such as llama"
            )
        for name in ("prefill_s", "prefill_token_s", "decode_s"):
            value = getattr(self, name)
            if not 0 <= value <= LONGEST_S:
                raise ConfigError(f"`{name}` {value}: it has to be from 0 to {LONGEST_S:g} seconds")
        for name, least in (("batch_limit", 0), ("output_tokens", 1), ("reasoning_tokens", 0)):
            value = getattr(self, name)
            if not least <= value <= MOST_TOKENS:
                raise ConfigError(f"`{name}` {value}: it has to be from {least} to {MOST_TOKENS}")

    def words(self) -> list[str]:
        """Return the program's words for it."""
        words = {
            "--model": self.model,
            "--prefill-ns": _ns(self.prefill_s),
            "--prefill-token-ns": _ns(self.prefill_token_s),
            "--decode-ns": _ns(self.decode_s),
            "--batch": self.batch_limit,
            "--output-tokens": self.output_tokens,
            "--reasoning-tokens": self.reasoning_tokens,
        }
        if self.log is not None:
            words["--log"] = self.log.absolute()
        return [str(word) for pair in words.items() for word in pair]

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
        if not 0 <= port <= 65535:
            raise ConfigError(f"--port {port}: a port is a number from 1 to 65535, or 0 for any")
        if not PROGRAM.is_file():
            raise InternalError(f"{PROGRAM} is missing: build and install the package again")
        super().__init__("the server of tokens", port)
        self.simulation = simulation or Simulation()

    @property
    def url(self) -> str:
        """The URL of chats."""
        return self._at(CHAT)

    @property
    def completions_url(self) -> str:
        """The URL of plain completions."""
        return self._at(COMPLETIONS)

    def stop(self) -> None:
        """Stop the server once its log is written, and remove its temporary files."""
        if self.simulation.log is not None and self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        super().stop()

    def _at(self, path: str) -> str:
        return f"http://{self.host}:{self.port}{path}"

    def _prepare(self) -> None:
        """Do nothing: its settings are words of its command line."""

    def _launch(self, lifeline: int) -> "subprocess.Popen[bytes]":
        where = {"--port": self.port, "--lifeline": lifeline, "--version": aibench_fast.__version__}
        with self._log.open("wb") as log:
            return subprocess.Popen(
                [
                    str(PROGRAM),
                    *(str(word) for pair in where.items() for word in pair),
                    *self.simulation.words(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[lifeline],
                start_new_session=True,  # the terminal's Ctrl-C does not reach it
            )

    def _is_ready(self) -> bool:
        """Return whether it answers itself, not another server on the port; store its version."""
        answer = answer_to_get(self.host, self.port, "/health")
        if answer is None or not answer.startswith(b'{"pid":'):
            return False
        found = json.loads(answer)
        if found["pid"] != self.pid:
            return False
        self.version = str(found["version"])
        return True


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
