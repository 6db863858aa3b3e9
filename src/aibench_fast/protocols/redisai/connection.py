"""One connection for questions to a server before and after a run, never for the load itself.

RESP2, because RedisAI 1.0 runs on servers that do not know HELLO. An answer has a limit in time, as
a whole, and in size: who answers may be another program, or none that means well.
"""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, TypeVar

from aibench_fast.errors import ServerError
from aibench_fast.protocols import reaching
from aibench_fast.protocols.address import ServerAddress, TlsSettings
from aibench_fast.protocols.redisai.commands import (
    BrokenReply,
    Command,
    Dialect,
    Refusal,
    ReplyReader,
    encode,
    shown_reply,
)

Reply = TypeVar("Reply")

CONNECT_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 90.0
RECEIVE_BYTES = 1 << 16
_WITH_SUBCOMMANDS = {"INFO", "CONFIG", "COMMAND", "MODULE", "AI.INFO", "AI.CONFIG"}
NODE_OF_CLUSTER = "it is a node of a cluster: give `cluster_mode`"
LATE_ANSWER_S = 1.0
"""For an answer that was on its way when sending failed."""
_ADVICE = {
    "LOADING": "try again once it has loaded its data",
    "ASK": NODE_OF_CLUSTER,
    "CLUSTERDOWN": "see CLUSTER INFO: a primary is down, or slots have no node",
    "CROSSSLOT": NODE_OF_CLUSTER,
    "MOVED": NODE_OF_CLUSTER,
    "NOAUTH": "give the password, by `password`, and the `user` if it has one",
    "NOPERM": "docs/access.md has the rights that a run needs",
    "OOM": "raise its maxmemory",
    "READONLY": "it is a replica: name its primary",
    "TRYAGAIN": "the slot is on its way to another node: wait until that is over",
    "WRONGPASS": "see whether `user` and the password are right",
}
"""Advice for a refusal, by its first word."""


def known_advice(refusal: Refusal) -> str | None:
    """Return advice for a refusal; None if its first word is unknown."""
    return _ADVICE.get(str(refusal).partition(" ")[0])


class ConnectionClosed(ServerError):
    """The server ended the connection where it was asked something."""


class Connection(AbstractContextManager["Connection"]):
    """A connection that has logged in and answered PING; closed at the end of a `with` block."""

    def __init__(self, address: ServerAddress, patience_s: float = REPLY_TIMEOUT_S) -> None:
        """Connect; an answer has `patience_s` to be whole. ServerError as `call`."""
        self.address = address
        self.is_spoilt = False
        """Whether replies no longer belong to their questions, because one failed."""
        self._has_answered = False
        self._unsent: OSError | None = None
        """Why the last question was not sent as a whole."""
        self.patience_s = patience_s
        """The timeout of each whole reply from now on."""
        self._until_s = 0.0
        """When the newest answer has to be whole."""
        self._replies = ReplyReader(self._receive)
        timeout_s = min(CONNECT_TIMEOUT_S, patience_s)
        self._socket = _connected(address, timeout_s)
        try:
            for command in log_in_commands(address):
                self.call(*command)
            if (pong := self.call("PING")) != b"PONG":
                raise self._not_understood("PING", BrokenReply(text(pong).encode()))
            self.peer = "" if address.socket else str(self._socket.getpeername()[0])
            """The server's numeric address; empty for a unix socket."""
        except BaseException as error:
            self.close()
            is_stuck = isinstance(error.__cause__, TimeoutError)
            may_want_tls = self.is_spoilt and not (is_stuck or address.socket or address.tls)
            if may_want_tls and reaching.speaks_tls(address.host, address.port, timeout_s):
                raise ServerError(
                    f"the server at {address} speaks TLS: give `tls`, or rediss:// as its `url`"
                ) from error
            raise

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close it; once is enough."""
        self._socket.close()

    def cut(self) -> None:
        """End it while another thread waits for an answer, which gets a ConnectionClosed."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def call(self, *command: Any) -> Any:
        """Ask one question that has to be answered; ServerError names it where it is not."""
        (reply,) = self.exchange([command])
        if isinstance(reply, Refusal):
            raise self.refused(command, reply)
        return reply

    def refused(self, command: Sequence[Any], refusal: Refusal) -> ServerError:
        """Return the error that a refusal is, with what to do about it where that is known."""
        message = f"{self.address} refused {command[0]}: {refusal}"
        if advice := known_advice(refusal):
            message = f"{message.rstrip('.')}; {advice}"
        return ServerError(message)

    def optional(self, *command: Any) -> Any:
        """Ask what a server may refuse without harm; None where it does."""
        (reply,) = self.exchange([command])
        return None if isinstance(reply, Refusal) else reply

    def exchange(self, commands: Sequence[Sequence[Any]], *, skim: bool = False) -> list[Any]:
        """Ask several questions at once; an error reply is a Refusal among the replies.

        With `skim` a long bulk string is not kept: it is `Skimmed`, with its size. ServerError
        where the connection ends, or the bytes are not a reply.
        """
        self._send(_name(commands[0]), b"".join(encode([*command])[0] for command in commands))
        return [
            self._read(_name(command), lambda: self._replies.read(skim=skim))
            for command in commands
        ]

    def stream(self, command: Command, take: Callable[[bytes], None]) -> int | None:
        """Take the bytes of a bulk or an array of them as they come; return how many, or None."""
        self._send(_name(command), encode(command)[0])
        return self._read(_name(command), lambda: self._replies.stream(take))

    def _send(self, name: str, request: bytes) -> None:
        left_s = self.patience_s
        try:
            self._socket.settimeout(left_s)
            self._socket.sendall(request)
        except TimeoutError as error:
            raise self._ended(name, error) from error
        except OSError as error:
            # The server may have refused what it did not read, or say why by a TLS alert.
            self._unsent = error
            left_s = min(LATE_ANSWER_S, left_s)
        self._until_s = time.monotonic() + left_s

    def _read(self, name: str, read: Callable[[], Reply]) -> Reply:
        """Return what `read` makes of the answer to a question, by what `_receive` gives it."""
        try:
            reply = read()
            if self._unsent and not isinstance(reply, Refusal):
                raise self._unsent
        except (OSError, EOFError) as error:
            lost = error if isinstance(error, ssl.SSLError) else self._unsent or error
            raise self._ended(name, lost) from lost
        except BrokenReply as error:
            raise self._not_understood(name, error) from error
        self.is_spoilt = self.is_spoilt or self._unsent is not None
        return reply

    def _receive(self) -> bytes:
        """Some bytes of the answer; OSError, and EOFError at the end of the connection."""
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._socket.settimeout(left_s)
        data = self._socket.recv(RECEIVE_BYTES)
        if not data:
            raise EOFError
        self._has_answered = True
        return data

    def _ended(self, name: str, error: OSError | EOFError) -> ServerError:
        self.is_spoilt = True
        hint = "" if self._has_answered else reaching.wanted_certificate(self.address.tls)
        if isinstance(error, EOFError):
            return ConnectionClosed(
                f"the server at {self.address} closed the connection at {name}{hint}"
            )
        if isinstance(error, ssl.SSLError) and not isinstance(error, reaching.ENDS):
            return reaching.explained(self.address, error)
        if isinstance(error, TimeoutError):
            return ServerError(
                f"the server at {self.address} did not answer {name} within "
                f"{self.patience_s:g} s; is it busy or stuck?"
            )
        return ConnectionClosed(
            f"the connection to {self.address} was lost at {name}: {_words(error)}{hint}"
        )

    def _not_understood(self, name: str, reply: BrokenReply) -> ServerError:
        self.is_spoilt = True
        if reply.excess:
            return ServerError(
                f"the server at {self.address} answered {name} with {reply.excess}: is it the "
                "server that you mean?"
            )
        shown = f" with {shown_reply(reply.shown)}" if reply.shown else ""
        return ServerError(
            f"what answers at {self.address} is not a Redis server: it answered {name}{shown}"
        )


def _connected(address: ServerAddress, timeout_s: float) -> socket.socket:
    try:
        if address.socket:
            return _over_unix_socket(address.socket, timeout_s)
        if address.tls:
            return _over_tls(address, address.tls, timeout_s)
        return socket.create_connection((address.host, address.port), timeout_s)
    except socket.gaierror as error:
        raise ServerError(
            f"no server answers at {address}: there is no host {address.host} "
            f"({error.strerror}); is the name right?"
        ) from error
    except OSError as error:
        raise ServerError(
            f"no server answers at {address}: {_words(error)}; is it running, and is the address "
            "right?"
        ) from error


def _over_unix_socket(path: Path, timeout_s: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
    except BaseException as error:
        connection.close()
        if isinstance(error, PermissionError):
            raise ServerError(
                f"no permission for the unix socket {path}: it takes the right to write to it, and "
                "to search its folders; ask the server's owner (unixsocketperm)"
            ) from error
        if isinstance(error, ConnectionRefusedError) and not path.is_socket():
            raise ServerError(f"{path} is not a unix socket: is `socket` right?") from error
        raise
    return connection


def _over_tls(address: ServerAddress, tls: TlsSettings, timeout_s: float) -> socket.socket:
    try:
        return reaching.by_tls(address.host, address.port, tls, timeout_s)
    except (ssl.SSLError, TimeoutError) as error:
        if isinstance(error, TimeoutError) and _is_plain(address, timeout_s):
            raise ServerError(f"no TLS with {address}: {reaching.NOT_SPOKEN}") from error
        raise reaching.explained(address, error) from error


def _is_plain(address: ServerAddress, timeout_s: float) -> bool:
    """Return whether a server that does not shake hands answers without."""
    try:
        with socket.create_connection((address.host, address.port), timeout_s) as plain:
            plain.sendall(b"PING\r\n")
            return plain.recv(1) in (b"+", b"-")
    except OSError:
        return False


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "nothing within the time allowed"
    if isinstance(error, reaching.ENDS):
        return "it was cut"
    return (error.strerror or str(error)).lower()


def _name(command: Sequence[Any]) -> str:
    """Return the command and its subcommand, without the arguments that may be large or secret."""
    words = [str(word) for word in command[:2]]
    return " ".join(words) if words[0] in _WITH_SUBCOMMANDS else words[0]


def log_in_commands(address: ServerAddress) -> list[Command]:
    """Return the commands that a connection of our own begins with: none without a password."""
    if address.password is None:
        return []
    who = [] if address.user is None else [address.user]
    return [["AUTH", *who, address.password]]


def known_commands(connection: Connection, names: Iterable[str]) -> frozenset[str] | None:
    """Return which of these commands COMMAND INFO knows; None if it does not say."""
    asked = list(names)
    replies = connection.optional("COMMAND", "INFO", *asked)
    if not isinstance(replies, list) or len(replies) != len(asked):
        return None
    return frozenset(name for name, reply in zip(asked, replies, strict=True) if reply)


def ask_dialect(connection: Connection) -> Dialect:
    """Return the newest dialect that the server knows; ServerError where it knows none."""
    newest_first = (Dialect.MODELEXECUTE, Dialect.MODELRUN)
    known = known_commands(connection, [d.model_run_command for d in newest_first])
    if known is None:
        raise ServerError(
            f"the server at {connection.address} does not report by COMMAND INFO which AI.* "
            "commands it knows; name the `dialect`"
        )
    for dialect in newest_first:
        if dialect.model_run_command in known:
            return dialect
    raise ServerError(
        f"the server at {connection.address} knows no AI.* commands; is RedisAI loaded, and the "
        "port right?"
    )


def fields(reply: Any) -> dict[str, Any]:
    """Return a reply of names and values in turn as a dict; empty if it is something else."""
    if not isinstance(reply, list):
        return {}
    pairs = zip(reply[::2], reply[1::2], strict=False)
    return {text(name): value for name, value in pairs if isinstance(name, bytes | str)}


def text(reply: Any) -> str:
    """Return a reply as text, whatever it is."""
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


def info(reply: Any) -> dict[str, str]:
    """Return the names and values of an INFO reply; a name may have colons, a value has none."""
    if not isinstance(reply, bytes | str):
        return {}
    lines = (line.rpartition(":") for line in text(reply).splitlines())
    return {name: value for name, colon, value in lines if colon}
