"""Tensors of strings: read from a text file or a JSONL file, or generated."""

import codecs
import json
import math
import random
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from aibench_fast.errors import ConfigError
from aibench_fast.files import reading
from aibench_fast.tensors.readonce import read_once
from aibench_fast.tensors.tensorfile import files_of
from aibench_fast.tensortype import STRINGS, describe, joined_strings

JSONL_SUFFIX = ".jsonl"
MAX_FILE_BYTES = 512 << 20
"""Files of strings are read completely."""
SHOWN_CHARACTERS = 60
LEAST_WORDS, MOST_WORDS = 4, 36
"""Words of a generated string: 110 bytes on average, between a search query and a paragraph."""
_TEXT = """
the of and to in a is that for it was on with as be by at this from or have an they which one
you were all her she there would their we him been has when who will no more if out so up what
about into than them can only other time new some could these two may first then do any like my
now over such our man me even most made after also did many before must through back years where
much your way well down should because each just those people how too little state good very
make world still see own work men day get here between both under never know same last another
while house water general order market service question answer number customer product company
today information development government international understanding responsibility
"""
WORDS = _TEXT.split()


class Strings:
    """Tensors of strings in memory; like `_core.Tensors`, but of different lengths."""

    def __init__(self, tensors: Iterable[Sequence[bytes]]) -> None:
        """Keep tensors, each a sequence of strings."""
        data = bytearray()
        self._ends = array("Q", [0])
        for strings in tensors:
            data += joined_strings(strings)
            self._ends.append(len(data))
        self._data = bytes(data)

    def __len__(self) -> int:
        """Return the number of tensors."""
        return len(self._ends) - 1

    def read(self, first: int, count: int) -> bytes:
        """Return `count` tensors from index `first` on; the first follows the last."""
        places = (place % len(self) for place in range(first, first + count))
        return b"".join(self._data[self._ends[n] : self._ends[n + 1]] for n in places)


@read_once(files_of)
def read(path: Path, shape: tuple[int, ...]) -> Strings:
    """Read a file of tensors of this shape, without a batch dimension.

    Each line of a .jsonl file is a tensor: a JSON string, or an array of strings. Other files are
    text with one string per line; a tensor of several strings takes as many lines.

    ConfigError if it cannot be read, has no tensor, or has an invalid line.
    """
    lines, values = _lines(path), math.prod(shape)
    if path.suffix == JSONL_SUFFIX:
        return Strings(_json_tensors(path, lines, shape))
    if len(lines) % values:
        raise ConfigError(
            f"text file {path}: {len(lines):,} lines are not a whole number of tensors of "
            f"{describe(shape, STRINGS)}, which take {values:,} each"
        )
    return Strings(lines[place : place + values] for place in range(0, len(lines), values))


def generate(tensor_count: int, shape: Sequence[int], seed: int) -> Strings:
    """Return tensors of English words; a seed gives the same ones on every machine."""
    generator = random.Random(seed)
    values = math.prod(shape)
    return Strings([_words(generator) for _ in range(values)] for _ in range(tensor_count))


def _words(generator: random.Random) -> bytes:
    count = draw_number(generator, (LEAST_WORDS, MOST_WORDS))
    return " ".join(WORDS[int(generator.random() * len(WORDS))] for _ in range(count)).encode()


def draw_number(generator: random.Random, within: tuple[int, int]) -> int:
    """Return a number within the bounds, all of which are equally likely."""
    # Python guarantees the same sequence in all versions for random() alone.
    low, high = within
    return low + int(generator.random() * (high - low + 1))


def _lines(path: Path) -> list[bytes]:
    """Return the lines without their ends; ConfigError if there are none."""
    with reading(f"text file {path}: cannot be read"):
        files = read_whole(files_of(path), f"text file {path}", "a file of strings has")
    text = b"".join(files).removeprefix(codecs.BOM_UTF8)
    if not text:
        raise ConfigError(f"text file {path}: is empty")
    lines = text.removesuffix(b"\n").split(b"\n")
    return [line.removesuffix(b"\r") for line in lines]


def read_whole(files: Sequence[Path], where: str, which: str) -> list[bytes]:
    """Return what is in each file; OSError, or ConfigError if that is too much together."""
    size_bytes = sum(file.stat().st_size for file in files)
    if size_bytes > MAX_FILE_BYTES:
        raise ConfigError(
            f"{where}: {size_bytes:,} bytes, where {which} at most {MAX_FILE_BYTES:,}; leave some "
            "of them out"
        )
    return [file.read_bytes() for file in files]


def _json_tensors(
    path: Path, lines: Sequence[bytes], shape: Sequence[int]
) -> Iterator[list[bytes]]:
    values = math.prod(shape)
    for number, line in enumerate(lines, 1):
        try:
            strings = [*_flat(json.loads(line))]
        except (ValueError, TypeError, RecursionError) as error:
            raise ConfigError(
                f"text file {path}, line {number}: write a JSON string, or an array of strings: "
                f"{error}"
            ) from error
        if len(strings) != values:
            raise ConfigError(
                f"text file {path}, line {number}: {len(strings):,} strings, where a tensor of "
                f"{describe(shape, STRINGS)} has {values:,}"
            )
        yield strings


def _flat(value: Any) -> Iterator[bytes]:
    if isinstance(value, str):
        yield value.encode()
    elif isinstance(value, list):
        for one in value:
            yield from _flat(one)
    else:
        raise TypeError(f"found {json.dumps(value)[:SHOWN_CHARACTERS]}")
