"""The settings of a run that HTTP endpoints alone have."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from aibench_fast.errors import ConfigError
from aibench_fast.protocols.settings import ServerSettings

METHODS = ("GET", "POST", "PUT")
_CLASS_OF_STATUSES = range(200, 300)
_STATUSES = range(200, 600)
_JSON_SUFFIXES = (".json", ".jsonl")


class Reply(StrEnum):
    """A rule for the bodies of replies whose status is a success."""

    ANY = "any"
    SAME_SIZE = "same-size"
    """As many bytes as the trial's."""
    JSON = "json"


@dataclass(frozen=True, kw_only=True)
class AnyHttpSettings(ServerSettings):
    """How requests are sent to any endpoint that speaks HTTP."""

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Headers of every request; they may be secret."""
    body: Path | None = None
    """A file, or a folder of files, each of which is the body of a request; or a .jsonl file, each
    line of which is."""
    method: str | None = None
    """One of METHODS; None: POST. A GET has no body."""
    content_type: str | None = None
    """Of bodies; None: application/json for .json and .jsonl files, else
    application/octet-stream."""
    success: tuple[int, ...] = ()
    """The statuses of successes; empty: 200 to 299."""
    reply: Reply = Reply.ANY
    """The rule for the bodies of successes."""

    @property
    def sends_bodies(self) -> bool:
        """Return whether requests go to an endpoint, and not to a model of a server."""
        return self.body is not None or self.method is not None

    @property
    def body_type(self) -> str | None:
        """Return the content type of bodies, unless `headers` has it; None without any."""
        if self.body is None:
            return None
        usual = "json" if self.body.suffix in _JSON_SUFFIXES else "octet-stream"
        return self.content_type or f"application/{usual}"

    @property
    def statuses(self) -> tuple[int, ...]:
        """Return the statuses of successes."""
        return self.success or tuple(_CLASS_OF_STATUSES)

    def check_requests(self) -> None:
        """ConfigError where a setting cannot be, or not beside another."""
        if self.method is not None and self.method not in METHODS:
            raise ConfigError(f"`method` {self.method}: it has to be one of {', '.join(METHODS)}")
        if self.method == "GET" and self.body is not None:
            raise ConfigError("`method` GET with `body`: a GET has none; leave one of them out")
        if self.method != "GET" and self.body is None:
            raise ConfigError(f"`method` {self.method} without `body`: give what to send")
        given = self.content_type
        if given is not None and not (given.isascii() and given.isprintable() and given.strip()):
            raise ConfigError(f"`content_type` {given!r}: a type is a line of ASCII, as image/jpeg")
        wrong = [status for status in self.success if status not in _STATUSES]
        if wrong:
            raise ConfigError(f"`success` {wrong[0]}: a status is from 200 to 599")
