"""Debian's redis-server, which has TLS, with the embedded server's module and its NULL backend."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from certificates import Certificate
from redisclient import load_into

from aibench_fast.errors import ServerError
from aibench_fast.models.load import Backend, ModelSpec
from aibench_fast.protocols.address import ServerAddress, TlsSettings
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.server.base import free_port
from aibench_fast.server.embedded import server_module

MODEL = "null"
START_S = 30.0


class TlsRedis:
    """Listens by TLS on one port, without it on another, while the `with` block lasts."""

    def __init__(
        self,
        program: Path,
        authority: Path,
        certificate: Certificate,
        *settings: str,
        asks_clients: bool = False,
    ) -> None:
        self.port = free_port()
        self.plain_port = free_port()
        self.tls = TlsSettings(ca_file=authority)
        self._program = program
        self._folder = tempfile.TemporaryDirectory(prefix="tls-redis-")
        self._settings = [
            "bind 127.0.0.1 127.0.0.2", f"port {self.plain_port}", f"tls-port {self.port}",
            'save ""', f"dir {self._folder.name}",
            f"tls-cert-file {certificate.certificate}", f"tls-key-file {certificate.key}",
            f"tls-ca-cert-file {authority}",
            f"tls-auth-clients {'yes' if asks_clients else 'no'}",
            f"loadmodule {server_module()}",
            *settings,
        ]  # fmt: skip

    @property
    def address(self) -> ServerAddress:
        return ServerAddress("localhost", self.port, tls=self.tls)

    def __enter__(self) -> "TlsRedis":
        self.start()
        return self

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(self._program), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
        )
        with self._process.stdin as file:
            file.write("\n".join(self._settings) + "\n")
        until = time.monotonic() + START_S
        plain = ServerAddress("127.0.0.1", self.plain_port)
        while True:
            try:
                with Connection(plain, 1.0):
                    break
            except ServerError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.02)
        load_into(plain, ModelSpec(name=MODEL, blob=b"", backend=Backend.NULL))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._folder.cleanup()
