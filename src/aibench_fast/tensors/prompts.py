"""Prompts drawn to a length, each a line of JSON as a file of prompts has them."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from aibench_fast.errors import ConfigError
from aibench_fast.files import reading
from aibench_fast.tensors.readonce import read_once
from aibench_fast.tensors.strings import SHOWN_CHARACTERS, WORDS, Strings, draw_number

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

MAX_DRAWN = 10_000
MAX_DRAWN_BYTES = 128 << 20
"""Of all drawn prompts of a kind together, unless a single one is larger."""
TYPICAL_TOKEN_BYTES = 6
"""A word of the list and a space."""
BATCH_TOKENS = 200_000
"""Of prompts that a tokenizer splits at once, on all cores; each takes some 200 bytes."""
PROGRESS_PARTS = 100

Bounds = tuple[int, int]


def most_drawn(prompt_tokens: Bounds) -> int:
    """Return how many prompts of such a length are drawn at most; a run sends them in turn."""
    return max(1, min(MAX_DRAWN, MAX_DRAWN_BYTES // (TYPICAL_TOKEN_BYTES * prompt_tokens[1])))


def draw(
    count: int,
    prompt_tokens: Bounds,
    output_tokens: Bounds | None,
    tokenizer: Path | None,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Strings:
    """Return `count` prompts, lines of `text` and `max_tokens`; a seed gives the same ones.

    Lengths are even within the bounds. Each prompt begins with words of its own, so that no server
    can answer one from its cache of another's beginning. Without a tokenizer a word stands for a
    token. With one, each text has as many tokens as drawn, without special tokens. `progress` is
    called before every hundredth part with how many are done, and `count`.

    ConfigError if the tokenizer cannot be read, or has no text of some length.
    """
    generator = random.Random(seed)
    lengths = [draw_number(generator, prompt_tokens) for _ in range(count)]
    drawn = (_text(generator, length, number) for number, length in enumerate(lengths))
    texts = drawn if tokenizer is None else _exact(drawn, lengths, read_tokenizer(tokenizer))
    answers = [output_tokens and draw_number(generator, output_tokens) for _ in range(count)]
    step = -(-count // PROGRESS_PARTS)

    def lines() -> Iterator[list[bytes]]:
        for number, one in enumerate(zip(texts, answers, strict=True)):
            if number % step == 0:
                progress(number, count)
            yield [_line(*one)]

    return Strings(lines())


def _text(generator: random.Random, words: int, number: int) -> str:
    """Return a text of so many words, which begins with its number, the last digit first."""
    draw_one, known = generator.random, len(WORDS)
    beginning = []
    for _ in range(min(words, _DIGITS)):
        number, digit = divmod(number, known)
        beginning.append(WORDS[digit])
    drawn = [WORDS[int(draw_one() * known)] for _ in range(words - len(beginning))]
    return " ".join(beginning + drawn)


_DIGITS = next(n for n in range(1, MAX_DRAWN) if len(WORDS) ** n >= MAX_DRAWN)


def _line(text: str, most: int | None) -> bytes:
    return json.dumps({"text": text, "max_tokens": most}).encode()


def _tokenizer_files(path: Path) -> list[Path]:
    return [path / "tokenizer.json" if path.is_dir() else path]


@read_once(_tokenizer_files)
def read_tokenizer(path: Path) -> "Tokenizer":
    """Read a tokenizer.json, or the one of a folder; ConfigError."""
    (file,) = _tokenizer_files(path)
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ConfigError(
            "`tokenizer` needs the package tokenizers: pip install 'aibench-fast[tokenizer]'"
        ) from error
    with reading(f"cannot read `tokenizer` {file}", Exception):  # which the package raises
        tokenizer = Tokenizer.from_str(file.read_text("utf-8"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _exact(texts: Iterator[str], lengths: Sequence[int], tokenizer: "Tokenizer") -> Iterator[str]:
    """Yield each text, of as many words, cut to so many tokens: words have one or more."""
    wanted = iter(lengths)
    while batch := list(islice(texts, max(1, BATCH_TOKENS // max(lengths)))):
        asked = list(islice(wanted, len(batch)))
        found = tokenizer.encode_batch(batch, add_special_tokens=False)
        longer = [place for place, one in enumerate(found) if len(one) != asked[place]]
        for place in longer:
            batch[place] = batch[place][: _end(found[place], asked[place])]
        again = tokenizer.encode_batch([batch[place] for place in longer], add_special_tokens=False)
        for place, tokens in zip(longer, again, strict=True):
            if len(tokens) != asked[place]:
                raise ConfigError(
                    f"`tokenizer` makes {len(tokens)} tokens of "
                    f"{batch[place][:SHOWN_CHARACTERS]!r}..., where a prompt of {asked[place]} was "
                    "wanted; leave it out for about so many"
                )
        yield from batch


def _end(tokens: "Encoding", length: int) -> int | None:
    """Return where the token of this number ends; None if there are fewer."""
    return tokens.offsets[length - 1][1] if length < len(tokens) else None
