"""Before the clock starts: is the server there, does it know the model, does one request work?"""

from dataclasses import dataclass
from typing import Any

import redis

from aibench_fast import control
from aibench_fast.commands import TENSOR_BLOB, Command, Dialect
from aibench_fast.config import RunConfig
from aibench_fast.errors import ServerError
from aibench_fast.request import Request
from aibench_fast.result import ServerFacts
from aibench_fast.serverstats import server_facts

DTYPE = "FLOAT"


@dataclass(frozen=True)
class Preflight:
    """What was found out, and the control connection that it was found out on."""

    client: redis.Redis
    request: Request
    output_bytes: int
    output_dtype: str
    server: ServerFacts


def preflight(config: RunConfig, first_tensor: int) -> Preflight:
    """Ask the server all that a run takes for granted, then send one request on trial.

    The trial also makes the server compile the model for this shape before anything is measured.
    ServerError, with the server's own words, where something is refused.
    """
    client = control.connect(config.address)
    server = server_facts(client, config.address)
    request = Request(Dialect.MODELRUN, config.model, DTYPE, config.batch_shape)
    _check_commands(client, config, server, request)
    try:
        control.call(client, config.address, "AI.MODELGET", config.model, "META")
    except ServerError as error:
        raise ServerError(
            f"{error} (model {config.model}); load it with `aibench-fast model load`"
        ) from error
    dtype, output_bytes = _trial(client, config, request, first_tensor)
    return Preflight(client, request, output_bytes, dtype, server)


def _check_commands(
    client: redis.Redis, config: RunConfig, server: ServerFacts, request: Request
) -> None:
    needed = {str(command[0]) for command in request.commands(0)} | {"AI.MODELGET"}
    known = control.known_commands(client, config.address, needed)
    if missing := sorted(needed - known):
        raise ServerError(
            f"the server at {config.address} (version {server.version}) does not know "
            f"{', '.join(missing)}: is the RedisAI module loaded?"
        )


def _trial(
    client: redis.Redis, config: RunConfig, request: Request, first_tensor: int
) -> tuple[str, int]:
    """Run one request on the file's own data; return the output's dtype and size in bytes."""
    set_tensor, run_model, get_tensor = request.commands(0)
    data = _read_batch(config, first_tensor)
    for command in (set_tensor, run_model):
        control.call(client, config.address, *_with_tensor(command, data))
    key = str(get_tensor[1])
    reply = control.call(client, config.address, "AI.TENSORGET", key, "META", "BLOB")
    facts = dict(zip(reply[::2], reply[1::2], strict=False))
    if not isinstance(facts.get(b"blob"), bytes) or not isinstance(facts.get(b"dtype"), bytes):
        raise ServerError(f"{config.address} answered AI.TENSORGET {key} META BLOB with no tensor")
    return facts[b"dtype"].decode(), len(facts[b"blob"])


def _with_tensor(command: Command, data: bytes) -> list[Any]:
    return [data if argument is TENSOR_BLOB else argument for argument in command]


def _read_batch(config: RunConfig, first_tensor: int) -> bytes:
    """The bytes of one request's tensor; the file is a ring."""
    wanted = config.batch_size * config.tensor_bytes
    data = bytearray()
    with config.file.open("rb") as file:
        file.seek(first_tensor * config.tensor_bytes)
        while len(data) < wanted:
            data += file.read(wanted - len(data))
            file.seek(0)
    return bytes(data)


def remove_keys(found: Preflight, config: RunConfig) -> None:
    """Delete what the workers stored; a server that refuses or is gone keeps it."""
    keys = [key for worker in range(config.workers) for key in found.request.keys(worker)]
    try:
        control.call(found.client, config.address, "DEL", *keys)
    except ServerError:
        return
