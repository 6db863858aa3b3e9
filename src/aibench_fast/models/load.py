"""Loads a model into a server."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aibench_fast.errors import ConfigError, ServerError, misread
from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.models.mobilenet import INPUT, OUTPUT
from aibench_fast.protocols.redisai.commands import Command, Dialect, Refusal, named, shown_reply
from aibench_fast.protocols.redisai.connection import Connection, ask_dialect, fields, text
from aibench_fast.protocols.redisai.model import model_refused

# One mebibyte below the bulk string limit that servers have by default; RedisAI's own default.
DEFAULT_CHUNK_BYTES = 511 << 20


class Backend(StrEnum):
    """The engine of a model; NULL, in the embedded server, answers without inference."""

    TF = "TF"
    TFLITE = "TFLITE"
    ONNX = "ONNX"
    NULL = "NULL"


FORMATS = {
    Backend.TF: ModelFormat.PB,
    Backend.TFLITE: ModelFormat.TFLITE,
    Backend.ONNX: ModelFormat.ONNX,
}


@dataclass(frozen=True)
class ModelSpec:
    """A model to store in a server; ConfigError if the options contradict one another.

    `blob` is the model file's content, `inputs` and `outputs` are names in a TF graph. The server
    runs up to `batch_size` rows of waiting requests as one (0: one request at a time). It waits for
    `min_batch_size` rows, but no longer than `min_batch_timeout_ms` (0: for ever).
    """

    name: str
    backend: Backend = Backend.TF
    device: str = "CPU"
    blob: bytes = b""
    inputs: tuple[str, ...] = (INPUT,)
    outputs: tuple[str, ...] = (OUTPUT,)
    batch_size: int = 0
    min_batch_size: int = 0
    min_batch_timeout_ms: int = 0
    tag: str | None = None

    def __post_init__(self) -> None:
        """Check the values without a server."""
        if not self.name:
            raise ConfigError("the model's name is empty; give the key that it is to have")
        if not self.blob and self.backend is not Backend.NULL:
            raise ConfigError(
                f"the model {self.name} is empty, and the {self.backend} backend needs one; "
                "name a model file, or none for the built-in model"
            )
        for option, value in (
            ("--batchsize", self.batch_size),
            ("--minbatchsize", self.min_batch_size),
            ("--minbatchtimeout", self.min_batch_timeout_ms),
        ):
            if value < 0:
                raise ConfigError(f"{option} is {value}, and must be 0 or more")
        if self.min_batch_size > self.batch_size:
            raise ConfigError(
                f"--minbatchsize {self.min_batch_size} with --batchsize {self.batch_size}: a batch "
                "can never get that large; raise --batchsize"
            )
        if self.min_batch_timeout_ms and not self.min_batch_size:
            raise ConfigError(
                f"--minbatchtimeout {self.min_batch_timeout_ms} without --minbatchsize: there is "
                "nothing to wait for; give both or neither"
            )

    @property
    def batches(self) -> bool:
        """Return whether requests are batched: never with TFLITE, whose batch is fixed."""
        return self.batch_size > 0 and self.backend is not Backend.TFLITE


def read_model(backend: Backend, file: Path | None) -> bytes:
    """Return a file's content, or the backend's built-in model; ConfigError if it is unreadable."""
    if file is None:
        return b"" if backend is Backend.NULL else built_in_model(FORMATS[backend])
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the model file {file}: {error.strerror}; is the name right?"
        ) from error


def load_model(connection: Connection, spec: ModelSpec, dialect: Dialect | None = None) -> Dialect:
    """Store a model in a server, replacing one of the same name; return the dialect.

    The default is the newest dialect of the server. Raises ServerError with the server's words.
    """
    dialect = dialect or ask_dialect(connection)
    step = chunk_bytes(connection) if spec.blob else 1
    connection.call(*model_set(dialect, spec, step))
    return dialect


def model_set(dialect: Dialect, spec: ModelSpec, step: int) -> Command:
    """Return the command that stores a model, in chunks of `step` bytes.

    The TF backend needs the names of the graph's inputs and outputs, the others refuse them.
    """
    command: Command = [dialect.model_set_command, spec.name, spec.backend, spec.device]
    if spec.tag is not None:
        command += ["TAG", spec.tag]
    if spec.batches:
        command += ["BATCHSIZE", spec.batch_size]
        if spec.min_batch_size:
            command += ["MINBATCHSIZE", spec.min_batch_size]
        if spec.min_batch_timeout_ms:
            command += ["MINBATCHTIMEOUT", spec.min_batch_timeout_ms]
    if spec.backend is Backend.TF and (spec.inputs or spec.outputs):
        command += named(dialect, "INPUTS", spec.inputs) + named(dialect, "OUTPUTS", spec.outputs)
    if spec.blob:
        chunks = [spec.blob[start : start + step] for start in range(0, len(spec.blob), step)]
        command += ["BLOB", *chunks]
    return command


def stored_model(connection: Connection, name: str, *, in_cluster: bool = False) -> ModelSpec:
    """Read a model from a server, in the form in which it can be stored again.

    `in_cluster`: the name has a shard's tag. Raises ServerError with the server's words, or if the
    backend is unknown.
    """
    (reply,) = connection.exchange([["AI.MODELGET", name, "META", "BLOB"]])
    if isinstance(reply, Refusal):
        raise model_refused(connection, name, reply, in_cluster=in_cluster)
    facts = fields(reply)
    backend = text(facts.get("backend"))
    if facts and backend not in [*Backend]:
        raise ServerError(
            f"the model {name} at {connection.address} runs on {backend}, an unknown backend"
        )
    try:
        blob = facts["blob"]
        return ModelSpec(
            name=name,
            backend=Backend(backend),
            device=text(facts["device"]),
            blob=b"".join(blob) if isinstance(blob, list) else bytes(blob),
            inputs=tuple(map(text, facts["inputs"])),
            outputs=tuple(map(text, facts["outputs"])),
            batch_size=int(facts["batchsize"]),
            min_batch_size=int(facts["minbatchsize"]),
            min_batch_timeout_ms=int(facts.get("minbatchtimeout", 0)),
            tag=text(facts["tag"]) or None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ServerError(
            f"{connection.address} answered AI.MODELGET {name} META BLOB with "
            f"{shown_reply(reply)}, which is not a model: {misread(error)}"
        ) from error


def chunk_bytes(connection: Connection) -> int:
    """Return how many bytes of a model an argument may have: the server's smallest limit."""
    limits = [DEFAULT_CHUNK_BYTES]
    # Managed servers refuse CONFIG, and RedisAI before 1.2.7 does not answer AI.CONFIG GET.
    for command in (
        ("CONFIG", "GET", "proto-max-bulk-len"),
        ("AI.CONFIG", "GET", "MODEL_CHUNK_SIZE"),
    ):
        try:
            reply = connection.call(*command)
        except ServerError:
            continue
        value = reply[-1] if isinstance(reply, list) and reply else reply
        digits = value if isinstance(value, bytes) else str(value).encode()
        if digits.isdigit() and int(digits) > 0:
            limits.append(int(digits))
    return min(limits)
