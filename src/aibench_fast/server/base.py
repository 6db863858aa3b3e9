"""The base of embedded servers: a process on a port, with a folder of its own."""

import http.client
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, ClassVar, Self

from aibench_fast.errors import ConfigError, InternalError, ServerError

HOST = "127.0.0.1"
ANSWER_TIMEOUT_S = 1.0
PORT_ATTEMPTS = 5
START_TIMEOUT_S = 60.0  # a saved database with models takes a while to load
STOP_TIMEOUT_S = 15.0
HURRY_S = 0.5
"""The time that a server has to end after Ctrl-C or another signal."""
POLL_S = 0.02
LOG_LINES = 5
_OF_A_TABLE = ("|", "+")


class Server(ABC):
    """A server on this machine's loopback that ends when this process ends."""

    _prefix: ClassVar[str]
    """Of the name of its folder."""

    def __init__(self, name: str, port: int) -> None:
        """Start nothing; messages have the name, and port 0 picks a free one.

        ConfigError if there is no such port.
        """
        if not 0 <= port <= 65535:
            raise ConfigError(f"--port {port}: a port is a number from 1 to 65535, or 0 for any")
        self._name = name
        self.host = HOST
        self.port = port
        self.version = ""
        """The version of the running server."""
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        """A pipe that closes with this process, which ends the server."""
        self._folder = Path()
        """Its temporary folder while it runs."""
        self._ends = ExitStack()
        """What is removed when it has ended."""

    @property
    def pid(self) -> int:
        """The server's process id; InternalError before the start and after the stop."""
        return self._running.pid

    def wait(self) -> int:
        """Wait until the server ends by itself; return its exit code."""
        return self._running.wait()

    def start(self) -> Self:
        """Start the server, and return when it answers."""
        if self._process is not None:
            raise InternalError(f"{self._name} is running already")
        self.version = ""
        temporary = tempfile.TemporaryDirectory(prefix=self._prefix)
        self._folder = Path(self._ends.enter_context(temporary))
        try:
            self._start_on_port()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop the server and remove its temporary files; do nothing if it is stopped."""
        self._end_process()
        self._ends.close()

    def __enter__(self) -> Self:
        """Start the server."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop the server."""
        self.stop()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise InternalError(f"{self._name} is not running")
        return self._process

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _start_on_port(self) -> None:
        """Start it on its port; without one on any, on another if that was taken meanwhile."""
        wanted = self.port
        for attempts_left in reversed(range(PORT_ATTEMPTS)):
            self.port = wanted or free_port()
            try:
                self._start_process()
                return
            except ServerError as error:
                if "in use" not in str(error):
                    raise
                if wanted:
                    # A server may listen on several.
                    named = re.search(rf"{self.host}:(\d+)[^|]* in use", str(error))
                    raise ServerError(
                        f"port {named[1] if named else wanted} of {self.host} is in use by "
                        "another program: choose another, or 0 for any that is free"
                    ) from error
                if not attempts_left:
                    raise
                self._end_process()

    def _start_process(self) -> None:
        lifeline, self._lifeline = os.pipe()
        try:
            self._process = self._launch(lifeline)
        finally:
            os.close(lifeline)
        wait_until_ready(self._process, self._name, self._is_ready, self._log)

    @abstractmethod
    def _launch(self, lifeline: int) -> subprocess.Popen[bytes]:
        """Start the process by `_started`; it gets this end of the pipe and listens on `port`."""

    def _started(self, words: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program that writes to the log, and that the terminal's Ctrl-C does not reach."""
        with self._log.open("wb") as log:
            return subprocess.Popen(
                words, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **options
            )

    @abstractmethod
    def _is_ready(self) -> bool:
        """Return whether this server answers, not another one; store its version."""

    def _end_process(self) -> None:
        if self._process is not None:
            end_process(self._process)
            self._process = None
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None


def free_port() -> int:
    """Return a TCP port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def answer_to_get(port: int, path: str) -> bytes | None:
    """Return the body of the answer to a GET; None without an answer of status 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_TIMEOUT_S)
    with closing(connection), suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        reply = connection.getresponse()
        body = reply.read()
        if reply.status == 200:
            return body
    return None


def package_folder(name: str) -> Path | None:
    """Return the folder of a package without importing it; None if it is not installed."""
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0])


def wait_until_ready(
    process: subprocess.Popen[bytes], name: str, is_ready: Callable[[], bool], log: Path
) -> None:
    """Return once `is_ready`; ServerError, with the last lines of its log, if it never is."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None:
        if is_ready():
            return
        if time.monotonic() > deadline_s:
            raise ServerError(
                f"{name} is not ready after {START_TIMEOUT_S:.0f} s; its log ends with: "
                f"{log_end(log)}"
            )
        time.sleep(POLL_S)
    raise ServerError(f"{name} did not start; its log ends with: {log_end(log)}")


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Terminate the process, then kill what is left of its session.

    A Triton that ends during its start leaves the processes of its models.
    """
    is_hurried = isinstance(sys.exc_info()[1], KeyboardInterrupt)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(HURRY_S if is_hurried else STOP_TIMEOUT_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def log_end(log: Path, count: int = LOG_LINES) -> str:
    """Return the last lines of a server's log as one line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    messages = [line for line in lines if line and not line.startswith(_OF_A_TABLE)]
    return " | ".join(messages[-count:]) or "nothing"
