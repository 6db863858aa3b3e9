"""A client of redis-py for tests that talk to a server themselves."""

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from aibench_fast.models.load import ModelSpec, load_model, stored_model
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.connection import Connection


def connect(address: ServerAddress) -> redis.Redis:
    """A RESP2 connection whose replies stay bytes."""
    options: dict[str, object] = {
        "protocol": 2,
        "socket_timeout": 90.0,
        "retry": Retry(NoBackoff(), 0),  # of a server that has ended at once, not after seconds
        "username": address.user,
        "password": address.password,
    }
    if address.socket:
        client = redis.Redis(unix_socket_path=str(address.socket), **options)  # type: ignore[arg-type]
    else:
        client = redis.Redis(host=address.host, port=address.port, **options)  # type: ignore[arg-type]
    client.set_response_callback("COMMAND", lambda reply, **_: reply)
    client.ping()
    return client


def load_into(address: ServerAddress, spec: ModelSpec) -> None:
    """Store a model as the command line does."""
    with Connection(address) as connection:
        load_model(connection, spec)


def stored_in(address: ServerAddress, name: str) -> ModelSpec:
    """Read a model back."""
    with Connection(address) as connection:
        return stored_model(connection, name)
