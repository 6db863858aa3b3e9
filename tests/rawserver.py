"""HTTP servers on real sockets, a thread a connection, that send exactly what a test says."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO


class Listening:
    """Accepts connections, with TLS or without; a class that inherits this serves each."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            thread = threading.Thread(target=self.serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError

    def refuse(self) -> None:
        """Refuse new connections."""
        with suppress(OSError):  # it may do so already
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self) -> None:
        self.refuse()
        for thread in self._threads:
            thread.join()


def read_request(stream: BinaryIO) -> tuple[bytes, bytes] | None:
    """Return a request's head and body; None at the connection's end."""
    head = b""
    length = 0
    while not head.endswith(b"\r\n\r\n"):
        if not (line := stream.readline()):
            return None
        head += line
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head, stream.read(length)


class RawServer(Listening):
    """Answers each request with what `reply` makes of its head and body; `asked` has both.

    It closes the connection behind a reply that says so, or is of HTTP/1.0, and behind the
    `lasts`th one, which does not say so.
    """

    def __init__(self, reply: Callable[[bytes, bytes], bytes], lasts: int = 1 << 30) -> None:
        self._reply = reply
        self._lasts = lasts
        self.asked: list[tuple[bytes, bytes]] = []
        super().__init__()

    def serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            for _ in range(self._lasts):
                if not (asked := read_request(stream)):
                    return
                self.asked.append(asked)
                reply = self._reply(*asked)
                try:
                    connection.sendall(reply)
                except OSError:
                    return
                if b"Connection: close" in reply or reply.startswith(b"HTTP/1.0"):
                    return


@contextmanager
def raw_server(reply: Callable[[bytes, bytes], bytes], lasts: int = 1 << 30) -> Iterator[RawServer]:
    server = RawServer(reply, lasts)
    try:
        yield server
    finally:
        server.close()
