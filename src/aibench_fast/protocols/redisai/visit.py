"""The visits to a server before a run, to learn about it, and after, to delete keys."""

import dataclasses
import hashlib
import itertools
import math
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aibench_fast.coretypes import RespStrings
from aibench_fast.errors import ConfigError, ServerError
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.cluster import RedisCluster, SlotQuestions, read_cluster
from aibench_fast.protocols.redisai.commands import (
    TENSOR_BLOB,
    Command,
    Dialect,
    Refusal,
    Skimmed,
    shown_reply,
)
from aibench_fast.protocols.redisai.connection import (
    REPLY_TIMEOUT_S,
    Connection,
    ConnectionClosed,
    ask_dialect,
    fields,
    info,
    known_commands,
    text,
)
from aibench_fast.protocols.redisai.model import (
    StoredModel,
    check_workers,
    company,
    model_refused,
    most_waiting,
    requests_in_batch,
)
from aibench_fast.protocols.redisai.request import Request, blob_of, dtype_of
from aibench_fast.protocols.redisai.settings import RedisAiSettings
from aibench_fast.protocols.session import HURRY_S, AskedKind, Output, ServerRecord, Workload
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
DELETED_AT_ONCE = 1000
"""Keys of one DEL: while a server deletes them, it answers nobody else."""
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


def visit(
    address: ServerAddress,
    settings: RedisAiSettings,
    workload: Workload,
    cluster: RedisCluster | None = None,
) -> tuple[ServerRecord, list[Request], str]:
    """Ask all that a run takes for granted, then send one request of each kind on trial.

    The requests are what workers will send, in a `cluster` to the primary of a shard. The trial
    also makes the server compile the model for this shape before anything is measured: it has
    REPLY_TIMEOUT_S where that is more than the settings' patience. Last come what each worker needs
    in the server, and its statistics set to 0 where that is asked for. Also return the server's
    numeric address, empty for a unix socket.

    ServerError, with the server's words, where something that is needed is refused. ConfigError
    where there are too few workers or requests for a model that waits for a least batch.
    """
    kinds, workers, patience_s = workload.kinds, workload.workers, settings.patience_s
    shards = cluster.shards if cluster else []
    shard = next((one for one in shards if one.primary == address), None)
    with SlotQuestions(address, cluster, patience_s) as questions:
        connection = questions.home
        server, modules, pid = _server(connection)
        dialect = settings.dialect or ask_dialect(connection)
        requests = [
            Request(
                dialect=dialect,
                model=kind.model,
                inputs=kind.inputs,
                wanted=settings.outputs,
                use_dag=settings.use_dag,
                persist=settings.persist_results,
                timeout_ms=settings.timeout_ms,
                shard=shard,
            )
            for kind in kinds
        ]
        _check_commands(connection, server, requests[0])
        if settings.timeout_ms is not None and EMBEDDED_VERSION not in modules:
            _check_timeout(connection, settings.timeout_ms)
        names = {request.model_key: request.model for request in requests}
        models = {key: read_model(questions, name, key) for key, name in names.items()}
        for place, request in enumerate(requests):
            model = models[request.model_key]
            if model.outputs:
                requests[place] = _fetching(request, model, len(model.outputs))
        batched = _batched(models, requests)
        check_workers(batched, workload.all_workers, workload.most_requests)
        is_shared = workload.all_workers > len(workers)
        if workload.most_requests and is_shared and most_waiting(batched):
            raise ConfigError(
                "a model that waits for MINBATCHSIZE rows, over several clients: the last client "
                "to send its share may be too few; give `duration_s` and no `max_queries`"
            )
        config = _server_config(connection, modules)
        # Models may be of many megabytes, and the trial may have them compiled.
        questions.be_patient(max(REPLY_TIMEOUT_S, patience_s))
        digests = [_model_digest(questions, key) for key in models]
        outputs, trials_s = [], []
        try:
            for place, (kind, request) in enumerate(zip(kinds, requests, strict=True)):
                began_s = time.monotonic()
                model = models[request.model_key]
                requests[place], output = _trial(questions, request, workers[0], kind, model)
                trials_s.append(time.monotonic() - began_s)
                outputs.append(output)
            for worker in workers:
                for request in requests:
                    first = request.placeholders(worker) if questions.is_moving else []
                    for command in [*first, *request.setup(worker)]:
                        questions.call(*command)
            if settings.reset_stats and workload.is_first_client:
                connection.call("CONFIG", "RESETSTAT")
                for key in models:
                    questions.call("AI.INFO", key, "RESETSTAT")
        except BaseException:
            leave(address, requests, workers, HURRY_S, cluster)
            raise
    sizes = {model.batch_size for model in models.values()}
    record = ServerRecord(
        server=server,
        config=config,
        model_digests=digests,
        outputs=outputs,
        autobatching=sizes.pop() if len(sizes) == 1 else None,
        most_waiting=most_waiting(batched),
        trial_s=max(trials_s),
        pid=pid,
    )
    return record, requests, connection.peer


def leave(
    address: ServerAddress,
    requests: Sequence[Request],
    workers: Sequence[int],
    patience_s: float,
    cluster: RedisCluster | None,
) -> None:
    """Delete what the workers stored, but for results to keep, as far as servers answer in time.

    In a `cluster` the primary may have lost the slot, which its new owner is then asked for.
    """
    keys = [request.probe_key for request in requests if request.shard]
    for request, worker in itertools.product(requests, workers):
        sources, targets = request.keys(worker)
        keys += sources if request.persist else [*sources, *targets]
        keys += [str(command[1]) for command in request.setup(worker)]
    with suppress(ServerError):
        _delete(address, keys, patience_s, cluster)
        return
    others = [node for node in cluster.nodes if node != address] if cluster else []
    shard = requests[0].shard
    if others and shard and patience_s > HURRY_S:
        with suppress(ServerError):
            _delete(read_cluster(others).owner(shard.tag), keys, patience_s, cluster)


def _delete(
    address: ServerAddress, keys: Sequence[str], patience_s: float, cluster: RedisCluster | None
) -> None:
    with SlotQuestions(address, cluster, patience_s, tries_again=False) as questions:
        for first in range(0, len(keys), DELETED_AT_ONCE):
            some = keys[first : first + DELETED_AT_ONCE]
            if isinstance(questions.ask(["DEL", *some]), Refusal):
                for key in some:  # a slot's keys may be on two nodes
                    questions.call("DEL", key)


def _server(connection: Connection) -> tuple[ServerFacts, dict[str, str], int | None]:
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


def _check_commands(connection: Connection, server: ServerFacts, request: Request) -> None:
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


def _check_timeout(connection: Connection, timeout_ms: int) -> None:
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


def _batched(
    models: Mapping[str, StoredModel], requests: Sequence[Request]
) -> list[tuple[StoredModel, int]]:
    """Return the requests that the server runs together, by their models and rows, each once."""
    alike = {
        (request.model_key, request.rows, *((one.dtype, *one.shape) for one in request.inputs)):
        request for request in requests
    }  # fmt: skip
    return [(models[request.model_key], request.rows) for request in alike.values()]


def _fetching(request: Request, model: StoredModel, count: int) -> Request:
    places = model.places(request.wanted, count)
    return dataclasses.replace(request, output_count=count, fetched=places)


def _server_config(connection: Connection, modules: dict[str, str]) -> dict[str, str] | None:
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


def _model_digest(questions: SlotQuestions, key: str) -> str | None:
    digest = hashlib.sha256()
    questions.call("AI.MODELGET", key, "META")  # where it is
    taken_bytes = questions.stream(["AI.MODELGET", key, "BLOB"], digest.update)
    return digest.hexdigest() if taken_bytes else None


def _trial(
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
        request = _fetching(request, model, count)
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
