"""Commands of each server dialect, as lists of arguments and as bytes, and replies of RESP2.

Where a tensor's bytes belong, a list holds TENSOR_BLOB, so that a client can format the rest once
and send the bytes from where they lie. A reply is bytes, int, None, or a list of these; an error
reply is a Refusal. RESP3's null, boolean and number are read too, although they are never asked
for. Nothing is built whose size only the server has named, and nothing here does I/O.
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum, StrEnum
from typing import Any, Literal, NamedTuple

from aibench_fast.errors import InternalError

MAX_LINE_BYTES = 64 << 10
MAX_KEPT_BYTES = 64 << 20
"""Of a reply, in memory."""
MAX_ELEMENTS = 1 << 20
"""Of a reply, those of nested arrays included. A cluster of 16,384 slots needs a fifth of it."""
MAX_DEPTH = 32
KEPT_WHEN_SKIMMED_BYTES = 64 << 10
SHOWN_BYTES = 60
SHOWN_ITEMS = 4
_NUMBER = re.compile(rb"[+-]?\d{1,19}")
_CONSTANTS_OF_RESP3 = {b"_": None, b"#t": True, b"#f": False}


class TensorBlob(Enum):
    """The type of TENSOR_BLOB, the mark for a tensor's bytes in a command."""

    TENSOR_BLOB = "<tensor>"


TENSOR_BLOB: Literal[TensorBlob.TENSOR_BLOB] = TensorBlob.TENSOR_BLOB

Argument = str | bytes | int | Literal[TensorBlob.TENSOR_BLOB]
Command = list[Argument]


class Dialect(StrEnum):
    """A family of commands, by the name of the one that runs a model.

    RedisAI knows MODELRUN in every version, and MODELEXECUTE beside it from 1.2.3.
    """

    MODELRUN = "modelrun"
    MODELEXECUTE = "modelexecute"

    @property
    def model_set_command(self) -> str:
        """Return the command that stores a model."""
        return "AI.MODELSET" if self is Dialect.MODELRUN else "AI.MODELSTORE"

    @property
    def model_run_command(self) -> str:
        """Return the command that runs a model."""
        return "AI.MODELRUN" if self is Dialect.MODELRUN else "AI.MODELEXECUTE"

    @property
    def dag_command(self) -> str:
        """Return the command that runs several commands as one."""
        return "AI.DAGRUN" if self is Dialect.MODELRUN else "AI.DAGEXECUTE"


def named(dialect: Dialect, keyword: str, names: Sequence[str]) -> Command:
    """Return INPUTS or OUTPUTS with its names, which the newer dialect counts."""
    if dialect is Dialect.MODELRUN:
        return [keyword, *names]
    return [keyword, len(names), *names]


def encode(arguments: Command, *blobs_bytes: int | None) -> list[bytes]:
    """Return a command as RESP: the texts before, between and after its tensors.

    `blobs_bytes` are the sizes of what each TENSOR_BLOB stands for, None of one that is sent by
    `bulk_length` and its bytes; InternalError where there are not as many.
    """
    parts = [bytearray(b"*%d\r\n" % len(arguments))]
    sizes = iter(blobs_bytes)
    for argument in arguments:
        part = parts[-1]
        if argument is TENSOR_BLOB:
            size = next(sizes, 0)
            part += b"" if size is None else bulk_length(size)
            parts.append(bytearray(b"\r\n"))
            continue
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        part += bulk_length(len(data)) + data + b"\r\n"
    if len(parts) != len(blobs_bytes) + 1:
        raise InternalError(
            f"a command with {len(parts) - 1} tensors, sizes of {len(blobs_bytes)} were given"
        )
    return [bytes(part) for part in parts]


def bulk_length(size_bytes: int) -> bytes:
    """Return the length that RESP has before an argument."""
    return b"$%d\r\n" % size_bytes


class Refusal(Exception):
    """An error reply, in the server's own words."""


class Skimmed(NamedTuple):
    """A bulk string that was read and not kept."""

    size_bytes: int


class BrokenReply(Exception):
    """The bytes are not RESP, or are too many."""

    def __init__(self, shown: bytes = b"", excess: str = "") -> None:
        """Keep the bytes that are not RESP, or the excess in words."""
        super().__init__(shown, excess)
        self.shown = shown
        self.excess = excess


class ReplyReader:
    """Reads one reply after another from what `receive` returns, which is never empty.

    BrokenReply where there is none; the replies after it cannot be read any more.
    """

    def __init__(self, receive: Callable[[], bytes]) -> None:
        """Read nothing yet."""
        self._receive = receive
        self._buffer = bytearray()
        self._at = 0
        """Where the unread part of the buffer begins."""
        self._take: Callable[[bytes], None] | None = None
        """Takes the bytes of bulk strings that are longer than `_most_kept_bytes`; None: no one."""
        self._most_kept_bytes = 0
        self._elements = 0
        self._kept_bytes = 0

    def read(self, *, skim: bool = False) -> Any:
        """Read a reply; with `skim` a bulk of more than KEPT_WHEN_SKIMMED_BYTES is Skimmed."""
        return self._next((lambda _: None) if skim else None, KEPT_WHEN_SKIMMED_BYTES)

    def stream(self, take: Callable[[bytes], None]) -> int | None:
        """Hand on the bytes of a bulk or an array of them; return how many, None of others."""
        return _skimmed_bytes(self._next(take, -1))

    def _next(self, take: Callable[[bytes], None] | None, most_kept_bytes: int) -> Any:
        self._take, self._most_kept_bytes = take, most_kept_bytes
        self._elements = self._kept_bytes = 0
        return self._reply(0)

    def _reply(self, depth: int) -> Any:
        line = self._line()
        self._keep(len(line))
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest
        if kind == b"-":
            return Refusal(rest.decode("utf-8", "replace"))
        if kind in (b":", b"("):
            return _number(line)
        if kind == b"$":
            return self._bulk(_length(line))
        if kind == b"*":
            count = self._count(_length(line), depth)
            return None if count is None else [self._reply(depth + 1) for _ in range(count)]
        return _scalar_of_resp3(line)

    def _bulk(self, size: int | None) -> bytes | Skimmed | None:
        if size is None:
            return None
        if self._take and size > self._most_kept_bytes:
            self._pass_on(size, self._take)
            return Skimmed(size)
        self._keep(size)
        kept = bytearray()
        self._pass_on(size, kept.extend)
        return bytes(kept)

    def _keep(self, size: int) -> None:
        self._kept_bytes += size
        if self._kept_bytes > MAX_KEPT_BYTES:
            raise BrokenReply(excess=f"more than {MAX_KEPT_BYTES:,} bytes")

    def _count(self, count: int | None, depth: int) -> int | None:
        """Return the length of an array that is `depth` arrays down."""
        if depth >= MAX_DEPTH:
            raise BrokenReply(excess=f"arrays nested more than {MAX_DEPTH} deep")
        self._elements += count or 0
        if self._elements > MAX_ELEMENTS:
            raise BrokenReply(
                excess=f"{self._elements:,} elements, where {MAX_ELEMENTS:,} are the most that is "
                "read"
            )
        return count

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n", self._at, self._at + MAX_LINE_BYTES + 2)) < 0:
            if len(self._buffer) - self._at >= MAX_LINE_BYTES + 2:
                raise BrokenReply(excess=f"a line of more than {MAX_LINE_BYTES:,} bytes")
            self._fill()
        line = bytes(self._buffer[self._at : end])
        self._at = end + 2
        if not line:
            raise BrokenReply(b"\r\n")
        return line

    def _pass_on(self, size: int, take: Callable[[bytes], None]) -> None:
        """Hand on so many bytes, and read the line's end behind them."""
        left = size
        while left:
            if self._at == len(self._buffer):
                self._fill()
            piece = bytes(self._buffer[self._at : self._at + left])
            self._at += len(piece)
            left -= len(piece)
            take(piece)
        while len(self._buffer) - self._at < 2:
            self._fill()
        end = bytes(self._buffer[self._at : self._at + 2])
        if end != b"\r\n":
            raise BrokenReply(end)
        self._at += 2

    def _fill(self) -> None:
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += self._receive()


def _skimmed_bytes(reply: Any) -> int | None:
    """Return the size of a skimmed bulk string or an array of them; None of anything else."""
    if isinstance(reply, Skimmed):
        return reply.size_bytes
    sizes = [_skimmed_bytes(one) for one in reply] if isinstance(reply, list) else []
    whole = [size for size in sizes if size is not None]
    return sum(whole) if sizes and len(whole) == len(sizes) else None


def _length(line: bytes) -> int | None:
    """Return a bulk string's or an array's length, None of one that is null."""
    length = _number(line)
    if length < -1:
        raise BrokenReply(line)
    return None if length == -1 else length


def _number(line: bytes) -> int:
    if not _NUMBER.fullmatch(line[1:]):
        raise BrokenReply(line)
    return int(line[1:])


def _scalar_of_resp3(line: bytes) -> bool | float | None:
    if line in _CONSTANTS_OF_RESP3:
        return _CONSTANTS_OF_RESP3[line]
    if line[:1] == b",":
        with suppress(ValueError):
            return float(line[1:])
    raise BrokenReply(line)


def shown_reply(reply: Any) -> str:
    """Return a reply as a message repeats it: its beginning, on one line."""
    if reply is None:
        return "nothing"
    if isinstance(reply, Skimmed):
        return f"{reply.size_bytes} bytes"
    if isinstance(reply, list):
        shown = f"[{', '.join(map(shown_reply, reply[:SHOWN_ITEMS]))}]"
    elif isinstance(reply, bool):
        shown = "true" if reply else "false"
    elif isinstance(reply, bytes):
        shown = f"'{' '.join(reply[:SHOWN_BYTES].decode('utf-8', 'replace').split())}'"
    else:
        shown = str(reply)
    return shown[: 2 * SHOWN_BYTES]
