"""The control connection: questions asked of a server before and after a run, never during it."""

from collections.abc import Iterable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from aibench_fast.errors import ServerError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.commands import Command, Dialect

CONNECT_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 90.0


def connect(address: ServerAddress, patience_s: float = REPLY_TIMEOUT_S) -> redis.Redis:
    """Open a RESP2 connection that has answered PING; ServerError where nothing does.

    RESP2 because RedisAI 1.0 runs on servers that do not know HELLO. Replies stay bytes, and are
    waited for no longer than `patience_s`.
    """
    options: dict[str, Any] = {
        "protocol": 2,
        "socket_connect_timeout": min(CONNECT_TIMEOUT_S, patience_s),
        "socket_timeout": patience_s,
        "retry": Retry(NoBackoff(), 0),  # its own ten retries would hide what happens for minutes
        "username": address.user,
        "password": address.password,
    }
    if address.socket:
        client = redis.Redis(unix_socket_path=str(address.socket), **options)
    else:
        client = redis.Redis(host=address.host, port=address.port, **options)
    # redis-py's own parser fails on the nil that stands for a command the server does not know.
    client.set_response_callback("COMMAND", lambda reply, **_: reply)
    call(client, address, "PING")
    return client


def log_in_command(address: ServerAddress) -> Command | None:
    """The command that a connection of our own begins with; None without a password."""
    if address.password is None:
        return None
    who = [] if address.user is None else [address.user]
    return ["AUTH", *who, address.password]


def call(client: redis.Redis, address: ServerAddress, *arguments: Any) -> Any:
    """Send one command and return its raw reply; ServerError with the server's own words."""
    try:
        return client.execute_command(*arguments)  # type: ignore[no-untyped-call]
    except (redis.ResponseError, redis.AuthenticationError) as error:
        raise ServerError(f"{address} refused {arguments[0]}: {error}") from error
    except redis.InvalidResponse as error:
        raise ServerError(f"what answers at {address} is no Redis server: {error}") from error
    except (redis.RedisError, OSError) as error:
        raise ServerError(
            f"no server answers at {address}: {error}; is it running, and is the address right?"
        ) from error


def known_commands(
    client: redis.Redis, address: ServerAddress, names: Iterable[str]
) -> frozenset[str]:
    """Which of the named commands the server knows, by COMMAND INFO."""
    asked = list(names)
    replies = call(client, address, "COMMAND", "INFO", *asked)
    return frozenset(name for name, reply in zip(asked, replies, strict=True) if reply)


def ask_dialect(client: redis.Redis, address: ServerAddress) -> Dialect:
    """Return the newest dialect that the server knows; ServerError where it knows none."""
    newest_first = (Dialect.MODELEXECUTE, Dialect.MODELRUN)
    known = known_commands(client, address, [d.model_run_command for d in newest_first])
    for dialect in newest_first:
        if dialect.model_run_command in known:
            return dialect
    raise ServerError(
        f"the server at {address} knows no AI.* commands; is RedisAI loaded, and the port right?"
    )
