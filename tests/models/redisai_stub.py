"""A server that answers like a RedisAI of a given version, and remembers what it was asked."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hiredis

OK = b"+OK\r\n"
NIL = b"$-1\r\n"


class Stub(socketserver.ThreadingTCPServer):
    """Knows the AI.* commands it is given; each bulk string has at most `bulk_limit` bytes."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, known: set[str], replies: dict[str, bytes], bulk_limit: int) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.known = known
        self.replies = replies
        self.bulk_limit = bulk_limit
        self.asked: list[list[bytes]] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def stored(self) -> list[list[bytes]]:
        """The commands that stored a model."""
        return [command for command in self.asked if command[0].startswith(b"AI.MODELS")]

    def reply(self, command: list[bytes]) -> bytes:
        words = [word.decode(errors="replace") for word in command[:3]]
        given = self.replies.get(" ".join(words))
        if given is not None:
            return given
        if max(map(len, command)) > self.bulk_limit:
            return b"-ERR Protocol error: invalid bulk length\r\n"
        match words:
            case ["PING"]:
                return b"+PONG\r\n"
            case ["COMMAND", "INFO", *_]:
                names = [name.decode() for name in command[2:]]
                entries = [b"*1\r\n$1\r\nx\r\n" if name in self.known else NIL for name in names]
                return b"*%d\r\n%b" % (len(entries), b"".join(entries))
            case [name, *_] if name in self.known:
                return OK
        return b"-ERR unknown command '%b'\r\n" % command[0]


class Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        assert isinstance(self.server, Stub)
        reader = hiredis.Reader()
        while data := self.request.recv(1 << 20):
            reader.feed(data)
            while (command := reader.gets()) is not False:
                self.server.asked.append(command)
                self.request.sendall(self.server.reply(command))


@contextmanager
def stub(
    *known: str, bulk_limit: int = 512 << 20, replies: dict[str, bytes] | None = None
) -> Iterator[Stub]:
    """A stub on a free port, until the block ends."""
    with Stub(set(known), replies or {}, bulk_limit) as server:
        thread: Any = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
