"""What a figure depends on beside the server's speed: the machine, the software, the bytes sent.

Nothing here is done while a run is measured.
"""

import hashlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, cast

import redis

from aibench_fast._core import Tensors
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.redisai.commands import Command, encode
from aibench_fast.protocols.redisai.control import REPLY_TIMEOUT_S, log_in_command

PIECE_BYTES = 1 << 20
_CPU_INFO = Path("/proc/cpuinfo")
_GOVERNORS = Path("/sys/devices/system/cpu")
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

Progress = Callable[[int, int], None]
"""Hears how many bytes are done, and of how many."""

_digests: dict[tuple[str, int, int, int], str] = {}


def host_facts() -> dict[str, Any]:
    """The machine and the software that the load comes from; None for what cannot be read."""
    system = os.uname()
    implementation = sys.implementation.name
    return {
        "Host": socket.gethostname(),
        "CpuModel": _cpu_model(),
        "Cores": len(os.sched_getaffinity(0)),
        "Governor": _governor(),
        "Kernel": f"{system.sysname} {system.release}",
        "Python": f"{implementation} {'.'.join(map(str, sys.version_info[:3]))}",
        "Package": version("aibench-fast"),
    }


def _cpu_model() -> str | None:
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return os.uname().machine  # ARM names none


def _governor() -> str | None:
    """The frequency governor of the cores; several are joined by commas."""
    found = set()
    for file in _GOVERNORS.glob("cpu[0-9]*/cpufreq/scaling_governor"):
        try:
            found.add(file.read_text().strip())
        except OSError:
            return None
    return ",".join(sorted(found)) or None


def server_config(client: redis.Redis) -> dict[str, str] | None:
    """The server's settings that bear on speed; None where it tells none of them."""
    pipeline = client.pipeline(transaction=False)
    for name in _SERVER_CONFIG:  # one by one: several at once are of servers from 7.0 on
        pipeline.execute_command("CONFIG", "GET", name)  # type: ignore[no-untyped-call]
    pipeline.execute_command("INFO", "modules")  # type: ignore[no-untyped-call]
    try:
        *settings, modules = pipeline.execute(raise_on_error=False)
    except redis.RedisError:
        return None
    found = {}
    for name, reply in zip(_SERVER_CONFIG, settings, strict=True):
        if isinstance(reply, list) and len(reply) == 2:
            found[name] = reply[1].decode("utf-8", "replace")
    if isinstance(modules, dict):
        found |= {name: str(modules[name]) for name in _MODULE_CONFIG if name in modules}
    return found or None


def data_digest(file: Path, progress: Progress) -> str:
    """The SHA-256 of a file, in hexadecimal; `progress` hears how far it is.

    A file that has not changed meanwhile is read once a process. OSError where it cannot be read.
    """
    status = file.stat()
    key = (str(file.resolve()), status.st_ino, status.st_size, status.st_mtime_ns)
    if key not in _digests:
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            for piece in _pieces(stream, status.st_size):
                digest.update(piece)
                progress(stream.tell(), status.st_size)
        _digests[key] = digest.hexdigest()
    return _digests[key]


def generated_digest(tensors: Tensors, tensor_bytes: int) -> str:
    """The SHA-256 of all generated tensors one after another, in hexadecimal."""
    digest = hashlib.sha256()
    step = max(1, PIECE_BYTES // tensor_bytes)
    for first in range(0, len(tensors), step):
        digest.update(tensors.read(first, min(step, len(tensors) - first)))
    return digest.hexdigest()


def model_digest(address: ServerAddress, model: str) -> str | None:
    """The SHA-256 of the model as the server gives it out; None where it gives out none.

    Of a model that was stored from a file it is the file's.
    """
    digest = hashlib.sha256()
    try:
        with _stream(address) as stream:
            if login := log_in_command(address):
                _send(stream, login)
                stream.readline()
            _send(stream, ["AI.MODELGET", model, "BLOB"])
            blob_bytes = _digest_reply(stream, digest)
    except (OSError, ValueError):
        return None
    return digest.hexdigest() if blob_bytes else None


def _digest_reply(stream: BinaryIO, digest: "hashlib._Hash") -> int:
    """Digest a bulk string, or an array of them, a piece at a time; return how many bytes.

    A client library would hold the whole model in memory, twice, which a run is not to cost.
    ValueError where the reply is something else.
    """
    kind, number = stream.read(1), int(stream.readline())
    if kind == b"*":
        return sum(_digest_reply(stream, digest) for _ in range(number))
    if kind != b"$":
        raise ValueError("no model")
    for piece in _pieces(stream, number):
        digest.update(piece)
    stream.read(2)
    return number


def _pieces(stream: BinaryIO, total_bytes: int) -> Iterator[bytes]:
    left = total_bytes
    while left > 0 and (piece := stream.read(min(left, PIECE_BYTES))):
        left -= len(piece)
        yield piece


def _send(stream: BinaryIO, command: Command) -> None:
    stream.write(encode(command, 0)[0])
    stream.flush()


@contextmanager
def _stream(address: ServerAddress) -> Iterator[BinaryIO]:
    """A connection to a server as a file of bytes."""
    if address.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(REPLY_TIMEOUT_S)
        connection.connect(str(address.socket))
    else:
        connection = socket.create_connection((address.host, address.port), REPLY_TIMEOUT_S)
    with connection, connection.makefile("rwb") as stream:
        yield cast(BinaryIO, stream)
