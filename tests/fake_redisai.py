"""A server that speaks RESP and plays RedisAI, so that it can be slow, broken or silent on order.

A behaviour decides what one command answers: it gets the command's arguments and how many commands
of that name came before, and returns bytes, or an awaitable of them where it wants to be late.
None cuts the connection. Real servers are used wherever nothing has to misbehave.
"""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from loopthread import LoopThread

from aibench_fast import ServerAddress

OK = b"+OK\r\n"
OUTPUT_BYTES = 4004

TOO_LARGE = b"-ERR Protocol error: invalid bulk length\r\n"

Reply = bytes | None
Behaviour = Callable[[Sequence[bytes], int], Reply | Awaitable[Reply]]


def bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


def array(*items: bytes) -> bytes:
    return b"*%d\r\n%b" % (len(items), b"".join(items))


def _tensor_get(arguments: Sequence[bytes], _number: int) -> bytes:
    output = bulk(bytes(OUTPUT_BYTES))
    if b"META" not in arguments:
        return output
    shape = array(b":1\r\n", b":1001\r\n")
    return array(bulk(b"dtype"), bulk(b"FLOAT"), bulk(b"shape"), shape, bulk(b"blob"), output)


def _command_info(arguments: Sequence[bytes], _number: int) -> bytes:
    return array(*(array(bulk(name.lower())) for name in arguments[2:]))


META = (
    b"*18\r\n$7\r\nbackend\r\n$4\r\nNULL\r\n$6\r\ndevice\r\n$3\r\nCPU\r\n$3\r\ntag\r\n$0\r\n\r\n"
    b"$9\r\nbatchsize\r\n:0\r\n$12\r\nminbatchsize\r\n:0\r\n$6\r\ninputs\r\n*0\r\n"
    b"$7\r\noutputs\r\n*0\r\n$15\r\nminbatchtimeout\r\n:0\r\n$4\r\nblob\r\n$0\r\n\r\n"
)
"""The reply to AI.MODELGET for a model of the NULL backend."""


class _TooLarge(Exception):
    """A bulk is longer than may be."""


class FakeRedisAI(LoopThread):
    """Listens on 127.0.0.1 while the `with` block lasts."""

    def __init__(self, **behaviours: Behaviour) -> None:
        """Replace what commands answer; `AI_MODELRUN=...` is for AI.MODELRUN."""
        self._behaviours: dict[str, Behaviour] = {
            "PING": lambda *_: b"+PONG\r\n",
            "CLIENT": lambda *_: OK,
            "INFO": lambda *_: bulk(b"# Server\r\nredis_version:7.0.15\r\n"),
            "MODULE": lambda *_: array(
                array(bulk(b"name"), bulk(b"ai"), bulk(b"ver"), b":10207\r\n")
            ),
            "CONFIG": lambda *_: b"-ERR unknown command\r\n",
            "COMMAND": _command_info,
            "AI.MODELGET": lambda *_: array(),
            "AI.INFO": lambda *_: b"-ERR cannot find run info for key\r\n",
            "AI.TENSORSET": lambda *_: OK,
            "AI.MODELRUN": lambda *_: OK,
            "AI.TENSORGET": _tensor_get,
            "AI.DAGRUN": lambda *_: array(OK, OK, bulk(bytes(OUTPUT_BYTES))),
            "AI.MODELEXECUTE": lambda *_: OK,
            "AI.DAGEXECUTE": lambda *_: array(OK, OK, bulk(bytes(OUTPUT_BYTES))),
            "DEL": lambda *_: b":0\r\n",
            **{name.replace("_", "."): behaviour for name, behaviour in behaviours.items()},
        }
        self.counts: Counter[str] = Counter()
        self.blobs: list[bytes] = []
        self.last: dict[str, list[bytes]] = {}
        self.connections = 0
        self.largest_bulk: int | None = None  # longer ones are refused unread, as by Redis
        self.large_first = 0  # but of so many commands, the first ones
        self.close_after: str | None = None  # cuts the connection behind what this answered
        self.left_s: float | None = None  # when it left, of the monotonic clock
        self.tls: ssl.SSLContext | None = None  # to be set before it is entered, as the next two
        self.host = "127.0.0.1"
        self.port = 0  # any that is free

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._serve, self.host, self.port, limit=1 << 20, ssl=self.tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]

    @property
    def address(self) -> ServerAddress:
        return ServerAddress(self.host, self.port)

    @property
    def settings(self) -> dict[str, ServerAddress]:
        """Those of a run against it."""
        return {"address": self.address}

    def behaviour(self, command: str) -> Behaviour:
        """Return the present answer to a command."""
        return self._behaviours[command]

    def behave(self, command: str, behaviour: Behaviour) -> None:
        """Replace what one more command answers."""
        self._behaviours[command] = behaviour

    def leave_after(self, command: str, replies: int) -> None:
        """Answer a command so many times OK, then cut who sends it and refuse new connections."""

        def answer(_: Sequence[bytes], number: int) -> bytes | None:
            if number < replies:
                return OK
            self.left_s = self.left_s or time.monotonic()
            self.stop_listening()
            return None

        self.behave(command, answer)

    def stop_listening(self) -> None:
        """Refuse new connections from now on."""
        self._loop.call_soon_threadsafe(self._server.close)

    def _answer(
        self, name: str, arguments: Sequence[bytes], number: int
    ) -> Reply | Awaitable[Reply]:
        return self._behaviours[name](arguments, number)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while arguments := await self._read_command(reader):
                name = arguments[0].decode().upper()
                number = self.counts[name]
                self.counts[name] += 1
                if name == "AI.TENSORSET":
                    self.blobs.append(arguments[-1])
                self.last[name] = [a if len(a) < 100 else b"<blob>" for a in arguments]
                reply = self._answer(name, arguments, number)
                if not isinstance(reply, bytes) and reply is not None:
                    reply = await reply
                if reply is None:
                    break
                writer.write(reply)
                if name == self.close_after:
                    await writer.drain()
                    break
        except _TooLarge:
            writer.write(TOO_LARGE)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, LookupError):
            pass  # the end, or bytes that are no command that it knows
        finally:
            if self.close_after is None:
                writer.transport.abort()
            else:
                writer.close()

    async def _read_command(self, reader: asyncio.StreamReader) -> list[bytes]:
        head = await reader.readline()
        if not head:
            return []
        arguments = []
        for _ in range(int(head[1:])):
            length = int((await reader.readline())[1:])
            if self.largest_bulk is not None and length > self.largest_bulk:
                if self.large_first == 0:
                    raise _TooLarge
                self.large_first -= 1
            arguments.append((await reader.readexactly(length + 2))[:-2])
        return arguments


class KnownRedisAI(FakeRedisAI):
    """Answers like a RedisAI of a given version: it knows the AI.* commands it is given alone.

    Each bulk string has at most `bulk_limit` bytes. `replies` are by a command's first words, up to
    three. It remembers what it was asked.
    """

    def __init__(
        self, *known: str, bulk_limit: int = 512 << 20, replies: dict[str, bytes] | None = None
    ) -> None:
        super().__init__()
        self._known = set(known)
        self._bulk_limit = bulk_limit
        self._replies = replies or {}
        self.asked: list[list[bytes]] = []

    def stored(self) -> list[list[bytes]]:
        """The commands that stored a model."""
        return [command for command in self.asked if command[0].startswith(b"AI.MODELS")]

    def _answer(self, name: str, arguments: Sequence[bytes], number: int) -> bytes:
        self.asked.append([*arguments])
        words = [word.decode(errors="replace") for word in arguments[:3]]
        given = self._replies.get(" ".join(words))
        if given is not None:
            return given
        if max(map(len, arguments)) > self._bulk_limit:
            return b"-ERR Protocol error: invalid bulk length\r\n"
        if name == "PING":
            return b"+PONG\r\n"
        if name == "COMMAND":
            known = [command.decode() in self._known for command in arguments[2:]]
            return array(*(array(bulk(b"x")) if one else b"$-1\r\n" for one in known))
        return OK if name in self._known else b"-ERR unknown command '%b'\r\n" % arguments[0]
