"""The questions to a server before a run, to learn about it, and the trial requests."""

import dataclasses
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from aibench_fast.coretypes import RespStrings
from aibench_fast.errors import ServerError
from aibench_fast.protocols.redisai.cluster import SlotQuestions
from aibench_fast.protocols.redisai.commands import (
    TENSOR_BLOB,
    Command,
    Dialect,
    Refusal,
    Skimmed,
    shown_reply,
)
from aibench_fast.protocols.redisai.connection import (
    Connection,
    ConnectionClosed,
    fields,
    info,
    known_commands,
    text,
)
from aibench_fast.protocols.redisai.model import (
    StoredModel,
    company,
    model_refused,
    requests_in_batch,
)
from aibench_fast.protocols.redisai.request import Request, blob_of, dtype_of
from aibench_fast.protocols.session import AskedKind, Output
from aibench_fast.results.groups import ServerFacts
from aibench_fast.tensortype import OPEN_BYTES_MAX, OPEN_TIMES_MAX, STRINGS, canonical, describe

REDISAI_MODULE = "ai"
MAX_OUTPUTS_TRIED = 64
_OTHER_OUTPUTS = re.compile(r"OUTPUTS|\d outputs|number of outputs", re.ASCII)
"""In the errors of all versions for another number of output keys than the model has."""
EMBEDDED_VERSION = "ai_embedded_version"
MODELEXECUTE_FROM, TIMEOUT_FROM = "1.2.3", "1.2.1"
"""The versions of RedisAI that these came with."""
UNKNOWN = "unknown"
# What bears on a benchmark; passwords and paths are none of a result's business.
_SERVER_CONFIG = (
    "io-threads",
    "io-threads-do-reads",
    "maxmemory",
    "maxmemory-policy",
    "save",
    "appendonly",
    "proto-max-bulk-len",
    "hz",
    "activedefrag",
    "cluster-enabled",
)
_MODULE_CONFIG = (
    "ai_threads_per_queue",
    "ai_inter_op_parallelism",
    "ai_intra_op_parallelism",
    "ai_model_execution_timeout",
    "ai_backend_memory_limit",
)


def server_facts(connection: Connection) -> tuple[ServerFacts, dict[str, str], int | None]:
    """Return the server's facts, INFO's fields of modules, and its process number."""
    found = info(connection.optional("INFO", "server"))
    base = "valkey" if "valkey_version" in found else "redis"
    modules = info(connection.optional("INFO", "modules"))
    embedded = modules.get(EMBEDDED_VERSION)
    version = embedded or _module_version(connection)
    facts = ServerFacts(
        kind="aibench-fast embedded server" if embedded else "RedisAI",
        version=f"{version} on {base} {found.get(f'{base}_version', 'unknown')}",
        address=str(connection.address),
    )
    pid = found.get("process_id", "")
    return facts, modules, int(pid) if pid.isdecimal() else None


def _module_version(connection: Connection) -> str:
    """RedisAI's version, which MODULE LIST gives as 10207 for 1.2.7."""
    modules = connection.optional("MODULE", "LIST")
    for module in modules if isinstance(modules, list) else ():
        found = fields(module)
        number = found.get("ver")
        if text(found.get("name")) == REDISAI_MODULE and isinstance(number, int) and number > 0:
            return f"{number // 10000}.{number // 100 % 100}.{number % 100}"
    return UNKNOWN


def check_commands(connection: Connection, server: ServerFacts, request: Request) -> None:
    """ServerError where the server does not know a command of a request."""
    needed = {"AI.MODELGET", "AI.TENSORSET", "AI.TENSORGET", request.dialect.model_run_command}
    if request.use_dag:
        needed.add(request.dialect.dag_command)
    known = known_commands(connection, needed)
    missing = [] if known is None else sorted(needed - known)
    if missing:
        unknown = (
            f"the server at {connection.address} (version {server.version}) does not know "
            f"{', '.join(missing)}: "
        )
        if request.dialect is Dialect.MODELEXECUTE and len(missing) < len(needed):
            raise ServerError(
                f"{unknown}`dialect` {Dialect.MODELEXECUTE} takes RedisAI {MODELEXECUTE_FROM} or "
                f"newer; `dialect` {Dialect.MODELRUN} works with every version"
            )
        raise ServerError(f"{unknown}is the RedisAI module loaded?")


def check_timeout(connection: Connection, timeout_ms: int) -> None:
    """ServerError where the server's version has no such limit."""
    version = _module_version(connection)
    if version != UNKNOWN and _numbers(version) < _numbers(TIMEOUT_FROM):
        raise ServerError(
            f"`timeout_ms` {timeout_ms} takes RedisAI {TIMEOUT_FROM} or newer, and the server at "
            f"{connection.address} has {version}: leave it out, or update the server"
        )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def read_model(questions: SlotQuestions, name: str, key: str) -> StoredModel:
    """Ask for a model that is stored under a key; ServerError where it is not there."""
    reply = questions.ask(["AI.MODELGET", key, "META"])
    if isinstance(reply, Refusal):
        raise model_refused(
            questions.connection, key, reply, in_cluster=questions.cluster is not None
        )
    return StoredModel.of(name, reply)


def batched(
    models: Mapping[str, StoredModel], requests: Sequence[Request]
) -> list[tuple[StoredModel, int]]:
    """Return the requests that the server runs together, by their models and rows, each once."""
    alike = {
        (request.model_key, request.rows, *((one.dtype, *one.shape) for one in request.inputs)):
        request for request in requests
    }  # fmt: skip
    return [(models[request.model_key], request.rows) for request in alike.values()]


def fetching(request: Request, model: StoredModel, count: int) -> Request:
    """Return a request with the outputs to fetch, of a model that has so many; ConfigError."""
    places = model.places(request.wanted, count)
    return dataclasses.replace(request, output_count=count, fetched=places)


def server_config(connection: Connection, modules: dict[str, str]) -> dict[str, str] | None:
    """Return the server's settings that bear on speed; None if it reports none."""
    # One by one: several at once are of servers from 7.0 on.
    replies = connection.exchange([("CONFIG", "GET", name) for name in _SERVER_CONFIG])
    found = {
        name: text(reply[1])
        for name, reply in zip(_SERVER_CONFIG, replies, strict=True)
        if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], bytes)
    }
    found |= {name: modules[name] for name in _MODULE_CONFIG if name in modules}
    return found or None


def model_digest(questions: SlotQuestions, key: str) -> str | None:
    """Return the SHA-256 of a model as the server gives it out; None where it does not."""
    digest = hashlib.sha256()
    questions.call("AI.MODELGET", key, "META")  # where it is
    taken_bytes = questions.stream(["AI.MODELGET", key, "BLOB"], digest.update)
    return digest.hexdigest() if taken_bytes else None


def trial(
    questions: SlotQuestions, request: Request, worker: int, kind: AskedKind, model: StoredModel
) -> tuple[Request, Output]:
    """Run the model once on the run's own data; return the request with what came out.

    Separate commands also where a DAG will be sent: only they say what the outputs are.
    """
    separate = dataclasses.replace(request, use_dag=False)
    try:
        for command, one in zip(separate.commands(worker), kind.inputs, strict=False):
            tensor = blob_of(one, one.trial)
            sent = [tensor if part is TENSOR_BLOB else part for part in command]
            _check_ok(questions, command, questions.call(*sent))
        count = _run(questions, separate, worker, model)
        request = fetching(request, model, count)
        found = [_fetched(questions, key) for key in request.fetched_keys(worker)]
    except ConnectionClosed as error:
        tensors = " and ".join(describe(one.shape, dtype_of(one)) for one in request.inputs)
        raise ServerError(
            f"{error}, the trial request of {tensors} to the model {request.model}; "
            "the server may have ended: a shape that the model does not take can do that"
        ) from error
    outputs = [output for output, _ in found]
    together = dataclasses.replace(
        outputs[0],
        output_bytes=sum(one.output_bytes for one in outputs),
        any_length=any(one.any_length for one in outputs),
    )
    return dataclasses.replace(request, output_bytes=[each for _, each in found]), together


def _run(questions: SlotQuestions, request: Request, worker: int, model: StoredModel) -> int:
    """Run the model on the tensors that were set; return how many outputs it has.

    Where that is not known, it is tried with one more key as long as the server refuses their
    number. A model that waits for a larger batch gets as many equal requests as fill it.
    """
    others = requests_in_batch(model, request.rows) - 1
    first: ServerError | None = None
    for count in range(request.output_count, MAX_OUTPUTS_TRIED + 1):
        attempt = dataclasses.replace(request, output_count=count)
        for placeholder in attempt.placeholders(worker) if questions.is_moving else ():
            questions.call(*placeholder)
        command = attempt.run(worker)
        with company(questions.connection.address, questions.commands(command), others):
            reply = questions.ask(command)
        if not isinstance(reply, Refusal):
            _check_ok(questions, command, reply)
            return count
        first = first or questions.refused(command, reply)
        if model.outputs or not _OTHER_OUTPUTS.search(str(reply)):
            break
    assert first is not None
    raise first


def _check_ok(questions: SlotQuestions, command: Command, reply: Any) -> None:
    if reply != b"OK":
        raise ServerError(
            f"{questions.connection.address} answered {command[0]!s} on trial with "
            f"{shown_reply(reply)}, expected OK"
        )


def _fetched(questions: SlotQuestions, key: str) -> tuple[Output, int | RespStrings]:
    """Return an output of the trial, and the size of each reply's, or its strings of any length."""
    reply = questions.call("AI.TENSORGET", key, "META", "BLOB", skim=True)
    found = fields(reply)
    dtype, blob = found.get("dtype"), found.get("blob")
    if not isinstance(blob, bytes | Skimmed) or not isinstance(dtype, bytes):
        raise ServerError(
            f"{questions.connection.address} answered AI.TENSORGET META BLOB of the trial's "
            f"output with {shown_reply(reply)}, which is not a tensor"
        )
    size_bytes = blob.size_bytes if isinstance(blob, Skimmed) else len(blob)
    ours = canonical(text(dtype))
    output = Output(ours, size_bytes, size_bytes, any_length=ours == STRINGS)
    if ours != STRINGS:
        return output, size_bytes
    shape = found.get("shape")
    lengths = shape if isinstance(shape, list) else []
    strings = math.prod(length for length in lengths if isinstance(length, int))
    most_bytes = max(OPEN_BYTES_MAX, OPEN_TIMES_MAX * size_bytes)
    return output, RespStrings(strings, size_bytes, most_bytes)
