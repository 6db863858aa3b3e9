"""Recorded requests to a generative model, in Mooncake's form.

Each line has the time of a request in milliseconds, the lengths of its prompt and answer in tokens,
and a hash id for each block of its prompt, the last of which may be shorter. Equal ids stand for
equal blocks, so that what prompts share with earlier ones can be sent without the prompts.
"""

import hashlib
import json
import math
from array import array
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from aibench_fast.errors import ConfigError
from aibench_fast.files import reading
from aibench_fast.tensors.prompts import read_tokenizer
from aibench_fast.tensors.readonce import read_once
from aibench_fast.tensors.strings import WORDS
from aibench_fast.tensortype import joined_strings

BLOCK_TOKENS = 512
NS_PER_MS = 1_000_000
MAX_TOKENS = 10_000_000
MAX_MS = 366 * 24 * 3600 * 1000
KEPT_BLOCKS = 4096
"""Texts of blocks that are kept for the requests that share them: some 17 MB."""
_LENGTHS = ("input_length", "output_length")
LEAST_WORDS = 32
"""A list of so many words makes blocks that differ from the first few words on."""


class Line(NamedTuple):
    """A recorded request."""

    timestamp_ms: float
    input_tokens: int
    output_tokens: int
    hash_ids: Sequence[int]


class Trace:
    """The requests of a trace, as tensors of one string: a line of JSON with `text`, `max_tokens`.

    A word stands for a token, and with a tokenizer is one. Texts are made as they are read, from
    the seed and the hash ids.
    """

    def __init__(self, file: Path, seed: int, tokenizer: Path | None = None) -> None:
        """Read the trace; ConfigError as `read`.

        ConfigError too if the tokenizer cannot be read, or has too few words of one token.
        """
        self._lines = read(file)
        words = WORDS if tokenizer is None else _single(tokenizer)
        of_byte = [words[byte % len(words)] for byte in range(256)]

        def block(name: object) -> list[str]:
            """Return its words: the same for a name everywhere, and others for any other name."""
            digest = hashlib.shake_128(f"{seed} {name}".encode()).digest(BLOCK_TOKENS)
            return [of_byte[byte] for byte in digest]

        self._block = lru_cache(KEPT_BLOCKS)(block)

    def __len__(self) -> int:
        """Return the number of requests."""
        return len(self._lines)

    def read(self, first: int, count: int) -> bytes:
        """Return `count` requests from index `first` on; the first follows the last."""
        lines = (self._lines[place % len(self)] for place in range(first, first + count))
        return joined_strings([self._prompt(line, line.hash_ids) for line in lines])

    def trial(self) -> bytes:
        """Return a request as long as the first one, of blocks that no request has."""
        first = self._lines[0]
        names = [f"trial {one}" for one in first.hash_ids]
        return joined_strings([self._prompt(first, names)])

    def _prompt(self, line: Line, names: Sequence[object]) -> bytes:
        """Return a request whose blocks have these names."""
        *whole, last = names
        rest = line.input_tokens - BLOCK_TOKENS * len(whole)
        words = [" ".join(self._block(one)) for one in whole]
        words.append(" ".join(self._block(last)[:rest]))
        return json.dumps({"text": " ".join(words), "max_tokens": line.output_tokens}).encode()


def read_arrivals(file: Path, speed: float) -> "array[int]":
    """Return when each request is due, `speed` times as fast as recorded.

    In nanoseconds after the first one. ConfigError as `read`.
    """
    times_ms = [line.timestamp_ms for line in read(file)]
    return array("q", [round((one - times_ms[0]) * NS_PER_MS / speed) for one in times_ms])


@read_once()
def read(file: Path) -> Sequence[Line]:
    """Return the requests of a trace; ConfigError names the line that is wrong, and how."""
    found: list[Line] = []
    with reading(f"`trace` {file}: cannot be read"), file.open("rb") as lines:
        for number, text in enumerate(lines, 1):
            if not text.strip():
                continue
            where = f"`trace` {file}, line {number}: "
            line = _line(where, text)
            if found and line.timestamp_ms < (before_ms := found[-1].timestamp_ms):
                raise ConfigError(
                    f"{where}timestamp {line.timestamp_ms:g} is before {before_ms:g} of the line "
                    "above it; put the lines in order of time"
                )
            found.append(line)
    if not found:
        raise ConfigError(f"`trace` {file}: it has no request; each line is one, as JSON")
    return found


def _line(where: str, text: bytes) -> Line:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}not JSON: {error}") from error
    if not isinstance(given, dict):
        raise ConfigError(f"{where}not a JSON object")
    known = ("timestamp", *_LENGTHS, "hash_ids")
    if missing := [name for name in known if name not in given]:
        raise ConfigError(f"{where}{' and '.join(missing)} missing; a line has {', '.join(known)}")
    timestamp, hash_ids = given["timestamp"], given["hash_ids"]
    if type(timestamp) not in (int, float) or not 0 <= timestamp <= MAX_MS:
        raise ConfigError(f"{where}timestamp {_shown(timestamp)}: it has to be 0 ms or more")
    for name in _LENGTHS:
        if type(given[name]) is not int or not 1 <= given[name] <= MAX_TOKENS:
            raise ConfigError(
                f"{where}{name} {_shown(given[name])}: it has to be a whole number of tokens from "
                f"1 to {MAX_TOKENS}"
            )
    if not isinstance(hash_ids, list) or not all(type(one) is int for one in hash_ids):
        raise ConfigError(
            f"{where}hash_ids {_shown(hash_ids)}: it has to be a list of whole numbers"
        )
    blocks = math.ceil(given["input_length"] / BLOCK_TOKENS)
    if len(hash_ids) != blocks:
        raise ConfigError(
            f"{where}{len(hash_ids)} hash_ids, where {given['input_length']} tokens have {blocks} "
            f"blocks of {BLOCK_TOKENS}; give one for each"
        )
    return Line(timestamp, given["input_length"], given["output_length"], hash_ids)


def _shown(value: Any) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."


def _single(path: Path) -> list[str]:
    """Return the words that are one token wherever they stand; ConfigError if there are too few."""
    tokenizer = read_tokenizer(path)

    def tokens(words: Sequence[str]) -> int:
        return len(tokenizer.encode(" ".join(words), add_special_tokens=False))

    found = [word for word in WORDS if tokens([word]) == 1 and tokens([word, word]) == 2]
    if len(found) < LEAST_WORDS or tokens(found) != len(found):
        raise ConfigError(
            f"`tokenizer` {path}: {len(found)} of {len(WORDS)} words are one token each, too few "
            "for prompts of exactly so many; leave it out for about as many"
        )
    return found
