"""Prompts of which some are turns of conversations, in the order that they are sent in."""

import json
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from aibench_fast.errors import ConfigError
from aibench_fast.tensors import bodies
from aibench_fast.tensors.readonce import read_once
from aibench_fast.tensors.strings import Strings
from aibench_fast.tensortype import joined_strings

NS_PER_MS = 1_000_000
MAX_DELAY_MS = 24 * 3600 * 1000
_OWN = ("session", "delay_ms", "answer")
"""The fields of a turn that are not sent."""


class Turn(NamedTuple):
    """A line of a file of prompts, which may be a turn of a conversation."""

    number: int
    """Of the line."""
    text: bytes
    fields: frozenset[str]
    delay_ms: float


class Conversations:
    """Conversations one after another, as tensors of one string: each turn as a line of JSON.

    A turn with `text` becomes `messages`: the texts of the turns before it with their recorded
    answers, and its own. They are made as they are read, because all together they grow with the
    square of a conversation's length.
    """

    def __init__(self, conversations: Sequence[Sequence[Turn]]) -> None:
        """Take the turns of each conversation, at least one."""
        self._turns = [turn for turns in conversations for turn in turns]
        self.first_turns = array("Q", accumulate(map(len, conversations), initial=0))
        """The place of each one's first turn, and at the end the number of all turns."""
        self.delays_ns = array("q", [round(turn.delay_ms * NS_PER_MS) for turn in self._turns])
        """How long each turn waits after the one before it."""

    def __len__(self) -> int:
        """Return the number of turns."""
        return len(self._turns)

    @property
    def count(self) -> int:
        """Return the number of conversations."""
        return len(self.first_turns) - 1

    def read(self, first: int, count: int) -> bytes:
        """Return `count` turns from index `first` on; the first follows the last."""
        return joined_strings([self._line(n % len(self)) for n in range(first, first + count)])

    def number(self, place: int) -> int:
        """Return the number of a turn's line."""
        return self._turns[place].number

    def _line(self, place: int) -> bytes:
        begin = self.first_turns[bisect_right(self.first_turns, place) - 1]
        *before, last = self._turns[begin : place + 1]
        if "text" not in last.fields or not last.fields.isdisjoint(("messages", "prompt")):
            return last.text
        messages: list[Any] = []
        for turn in before:
            fields = json.loads(turn.text)
            answer = {"role": "assistant", "content": fields.get("answer")}
            messages = [*_messages(fields, messages), answer]
        fields = json.loads(last.text)
        sent = {name: value for name, value in fields.items() if name not in (*_OWN, "text")}
        return json.dumps({**sent, "messages": _messages(fields, messages)}).encode()


def line_of(file: Path, place: int) -> int:
    """Return the number, from 1 on, of the line or file that has the prompt of this index."""
    prompts = read(file)
    if isinstance(prompts, Conversations):
        return prompts.number(place)
    return bodies.numbered(file)[place][0]


def _messages(fields: Mapping[str, Any], before: list[Any]) -> list[Any]:
    """Return the messages of a turn, by those of the turn before it and its answer."""
    given = fields.get("messages")
    return given if given is not None else [*before, {"role": "user", "content": fields["text"]}]


@read_once(bodies.files_of)
def read(file: Path) -> Strings | Conversations:
    """Read a file of prompts; those without sessions stay as they lie.

    Lines with equal `session` are the turns of a conversation, and any other line is one by itself.
    ConfigError as of `bodies.numbered`, or where a turn is wrong, by its line.
    """
    sessions: dict[object, list[Turn]] = {}
    for turn, session in _turns(file):
        key = object() if session is None else json.dumps(session)
        sessions.setdefault(key, []).append(turn)
    if not any(isinstance(key, str) for key in sessions):
        return Strings([turn.text] for (turn,) in sessions.values())
    for turns in sessions.values():
        _check(f"`prompts` {file}, line ", turns)
    return Conversations([*sessions.values()])


def _turns(file: Path) -> Iterator[tuple[Turn, str | float | None]]:
    """Yield each line and its session, if it has one; what is no JSON object shows later."""
    for number, text in bodies.numbered(file):
        fields = _fields(text)
        where = f"`prompts` {file}, line {number}: "
        session = fields.get("session")
        if "session" in fields and (
            not isinstance(session, str | int | float) or isinstance(session, bool)
        ):
            raise ConfigError(f"{where}its session has to be a string or a number")
        alone = [name for name in ("delay_ms", "answer") if name in fields and session is None]
        if alone:
            raise ConfigError(f"{where}{alone[0]} without session: no turn is before or behind it")
        for name in ("text", "answer"):
            if not isinstance(fields.get(name, ""), str):
                raise ConfigError(f"{where}its {name} has to be a string")
        delay_ms = fields.get("delay_ms", 0)
        if type(delay_ms) not in (int, float) or not 0 <= delay_ms <= MAX_DELAY_MS:
            raise ConfigError(
                f"{where}its delay_ms has to be a number of milliseconds, at most a day"
            )
        yield Turn(number, text, frozenset(fields), delay_ms), session


def _fields(text: bytes) -> dict[str, Any]:
    """Return the fields of a line that may be a turn; of another it is faster to find none."""
    if not any(name.encode() in text for name in _OWN):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _check(where: str, turns: Sequence[Turn]) -> None:
    if turns[0].delay_ms:
        raise ConfigError(
            f"{where}{turns[0].number}: delay_ms on the first turn of its session; it is the pause "
            "after the turn before"
        )
    for turn, after in pairwise(turns):
        if "text" in after.fields and "messages" not in after.fields:
            known = [name for name in ("text", "messages") if name in turn.fields]
            if not known or "answer" not in turn.fields:
                raise ConfigError(
                    f"{where}{turn.number}: without {'answer' if known else 'text or messages'}, "
                    f"which line {after.number} of its session goes on from"
                )
