"""Before the clock starts: is the server there, does it know the model, does one request work?"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import redis

from aibench_fast.errors import ServerError
from aibench_fast.load.config import RunConfig
from aibench_fast.protocols.redisai import control
from aibench_fast.protocols.redisai.commands import TENSOR_BLOB, Command
from aibench_fast.protocols.redisai.request import Request
from aibench_fast.protocols.redisai.statistics import server_facts
from aibench_fast.results.result import ServerFacts

HURRY_S = 0.1  # what a server gets to answer in where someone waits for the end


@dataclass(frozen=True)
class Preflight:
    """What was found out, and the control connection that it was found out on."""

    client: redis.Redis
    request: Request
    output_bytes: int
    output_dtype: str
    server: ServerFacts


def preflight(config: RunConfig, tensor: bytes) -> Preflight:
    """Ask the server all that a run takes for granted, then send one request on trial.

    `tensor` has the bytes of a request's tensor, the whole batch. The trial also makes the server
    compile the model for this shape before anything is measured. ServerError, with the server's own
    words, where something is refused.
    """
    client = control.connect(config.address)
    server = server_facts(client, config.address)
    request = Request(
        dialect=config.dialect or control.ask_dialect(client, config.address),
        model=config.model,
        dtype=config.dtype,
        shape=config.batch_shape,
        use_dag=config.use_dag,
        persist=config.persist_results,
        timeout_ms=config.timeout_ms,
    )
    _check_commands(client, config, server, request)
    try:
        control.call(client, config.address, "AI.MODELGET", config.model, "META")
    except ServerError as error:
        raise ServerError(
            f"{error} (model {config.model}); load it with `aibench-fast model load`"
        ) from error
    try:
        dtype, output_bytes = _trial(client, config, request, tensor)
        for worker in range(config.workers):
            for command in request.setup(worker):
                control.call(client, config.address, *command)
    except BaseException:
        clean_up(request, config, HURRY_S)
        raise
    return Preflight(client, request, output_bytes, dtype, server)


def _check_commands(
    client: redis.Redis, config: RunConfig, server: ServerFacts, request: Request
) -> None:
    needed = {"AI.MODELGET", "AI.TENSORSET", "AI.TENSORGET", request.dialect.model_run_command}
    if request.use_dag:
        needed.add(request.dialect.dag_command)
    known = control.known_commands(client, config.address, needed)
    if missing := sorted(needed - known):
        raise ServerError(
            f"the server at {config.address} (version {server.version}) does not know "
            f"{', '.join(missing)}: is the RedisAI module loaded?"
        )


def _trial(
    client: redis.Redis, config: RunConfig, request: Request, tensor: bytes
) -> tuple[str, int]:
    """Run the model once on the run's own data; return the output's dtype and size in bytes.

    Three commands also where a DAG will be sent: only they say what the output is.
    """
    separate = dataclasses.replace(request, use_dag=False)
    _, target = request.keys(0)
    for command in separate.commands(0)[:2]:
        reply = control.call(client, config.address, *_with_tensor(command, tensor))
        if reply != b"OK":
            raise ServerError(
                f"{config.address} answered {command[0]!s} with {reply!r} on trial, expected OK"
            )
    reply = control.call(client, config.address, "AI.TENSORGET", target, "META", "BLOB")
    facts = dict(zip(reply[::2], reply[1::2], strict=False))
    if not isinstance(facts.get(b"blob"), bytes) or not isinstance(facts.get(b"dtype"), bytes):
        raise ServerError(
            f"{config.address} answered AI.TENSORGET {target} META BLOB with no tensor"
        )
    return facts[b"dtype"].decode(), len(facts[b"blob"])


def _with_tensor(command: Command, tensor: bytes) -> list[Any]:
    return [tensor if argument is TENSOR_BLOB else argument for argument in command]


def clean_up(request: Request, config: RunConfig, patience_s: float) -> None:
    """Delete what the workers stored, but for results to keep.

    On a connection of its own, for another one may wait for a server that is stuck; nothing is done
    where it does not answer within `patience_s`.
    """
    keys = []
    for worker in range(config.workers):
        source, target = request.keys(worker)
        keys += [source] if config.persist_results else [source, target]
        keys += [str(command[1]) for command in request.setup(worker)]
    try:
        with control.connect(config.address, patience_s) as client:
            control.call(client, config.address, "DEL", *keys)
    except ServerError:
        return
