"""The tensors of a run as JSON text, formatted before the clock starts, in bounded memory."""

from aibench_fast._core import JsonTensors
from aibench_fast.errors import ConfigError
from aibench_fast.load.sources import Formatted, Sent, Source, none_fits
from aibench_fast.results.events import Formatting, Observer

PIECE_BYTES = 1 << 20
"""About this much is formatted between two progress events."""


def format_source(source: Source, memory_bytes: int, requests: int, observe: Observer) -> Formatted:
    """Format what `requests` of a kind send, 0 for any number, in so much memory at most.

    ConfigError where not one tensor fits, or where a value is none that JSON has.
    """
    given = _sent(source, requests)
    first = _writers(source, 1)
    _add(first, source, 0, 1)
    first_bytes = _text_bytes(first)
    planned = min(given, memory_bytes // first_bytes)
    if planned == 0:
        raise none_fits(source, memory_bytes, first_bytes)
    writers = _writers(source, planned)
    step = max(1, PIECE_BYTES // first_bytes)
    for done in range(0, planned, step):
        observe(Formatting(source.kind.model, done, planned, given, planned * first_bytes))
        _add(writers, source, done, min(step, planned - done))
        if _text_bytes(writers) * len(writers[0]) > memory_bytes:
            break
    count = min(len(writers[0]), memory_bytes // _text_bytes(writers))
    if count == 0:
        raise none_fits(source, memory_bytes, _text_bytes(writers))
    inputs = [one.finish(count) for one in writers]
    return Formatted(
        sent=Sent(source.kind, inputs, source.first % count),
        tensors=count,
        given=given,
        memory_bytes=sum(one.batch_bytes(count) for one in inputs),
    )


def _sent(source: Source, requests: int) -> int:
    """Return how many tensors, from the file's first on, are sent at all."""
    tensor_count = len(source.inputs[0])
    last = source.first + requests * source.kind.batch_size
    return min(tensor_count, last) if requests else tensor_count


def _writers(source: Source, most: int) -> list[JsonTensors]:
    return [JsonTensors(one.dtype, one.tensor_bytes, most) for one in source.kind.inputs]


def _add(writers: list[JsonTensors], source: Source, first: int, count: int) -> None:
    for one, tensors, writer in zip(source.kind.inputs, source.inputs, writers, strict=True):
        try:
            writer.add(tensors.read(first, count))
        except ConfigError as error:
            raise ConfigError(f"input {one.name} of {source.kind.model}: {error}") from error


def _text_bytes(writers: list[JsonTensors]) -> int:
    """Return what one tensor of each input takes."""
    return sum(one.text_bytes for one in writers)
