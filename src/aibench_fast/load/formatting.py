"""The tensors of a run in the form that they are sent in: as they are, or formatted beforehand.

Tensors as JSON are, and requests that differ in more than their tensors: those with strings do,
whose lengths vary. They are kept as they are sent, in bounded memory, and nothing is formatted
while it is timed.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from aibench_fast._core import JsonTensors, Tensors
from aibench_fast.errors import ConfigError
from aibench_fast.load.config import RunConfig
from aibench_fast.load.sources import Sent, Source
from aibench_fast.protocols.session import Session
from aibench_fast.protocols.settings import Encoding
from aibench_fast.results.events import Formatting, Observer
from aibench_fast.units import described_size

REQUESTS_A_STEP = 1000
"""So many are formatted between two events that say how far it is."""
PIECE_BYTES = 1 << 20
"""About this much JSON is formatted between two of them."""


def as_sent(
    config: RunConfig, session: Session, sources: Sequence[Source], observe: Observer
) -> tuple[list[Sent], dict[str, Any]]:
    """Return each kind's tensors in the form that they are sent in, and facts for the result.

    ConfigError if the memory limit is too low, or if the encoding has no form for a value.
    """
    as_json = session.encoding is Encoding.JSON
    formats = [session.formats(place) for place in range(len(sources))]
    sharing = len(sources) if as_json else sum(formats)
    requests = config.max_requests(sources[0].tensor_count)
    memory_bytes = config.json_memory_bytes // max(1, sharing)
    sent: list[Sent] = []
    numbers: Counter[str] = Counter()
    for place, source in enumerate(sources):
        if formats[place]:
            one = _format_requests(source, place, session, memory_bytes, requests, observe)
        elif as_json:
            one = _format_tensors(source, memory_bytes, requests, observe)
        else:
            as_they_are = [one for one in source.inputs if isinstance(one, Tensors)]
            one = Sent(source.kind, as_they_are, source.first)
        sent.append(one)
        numbers.update(one.numbers)
    if session.sends_bodies or (not as_json and not any(one.kind.has_strings for one in sources)):
        return sent, {}
    form = "Json" if as_json else "String"
    return sent, {f"{form}{name}": number for name, number in numbers.items()}


def _format_requests(
    source: Source,
    place: int,
    session: Session,
    memory_bytes: int,
    requests: int,
    observe: Observer,
) -> Sent:
    """Format what `requests` of a kind send, 0 for any number, in so much memory at most.

    `place` is the kind's in the session. Where not all requests fit that differ, the first that do
    are sent again and again, if they have strings. ConfigError where none fits, or without strings
    or in an order not all, or where JSON has no form for a string.
    """
    kind, tensor_count = source.kind, source.tensor_count
    as_json = session.encoding is Encoding.JSON
    different = tensor_count // math.gcd(tensor_count, kind.batch_size)
    wanted = min(different, requests) if requests else different
    given = min(tensor_count, wanted * kind.batch_size)
    formatted: list[list[bytes]] = []
    shows = kind.has_strings and not session.sends_bodies
    used_bytes = 0
    for number in range(wanted):
        try:
            if session.sends_bodies:
                parts = session.before_body(source.body_bytes(number))
            else:
                parts = session.parts(place, number)
        except ConfigError as error:
            raise ConfigError(f"request {number + 1} to {kind.model}: {error}") from error
        parts_bytes = sum(map(len, parts))
        if used_bytes + parts_bytes > memory_bytes:
            break
        if shows and number % REQUESTS_A_STEP == 0:
            fitting = memory_bytes // parts_bytes * kind.batch_size
            total = given if source.is_in_order else min(given, fitting)
            done = min(total, number * kind.batch_size)
            size_bytes = -(-total // kind.batch_size) * parts_bytes
            things = session.facts.get("StringsAre", "tensors")
            observe(Formatting(kind.model, done, total, given, size_bytes, as_json, things))
        formatted.append(parts)
        used_bytes += parts_bytes
    if len(formatted) < wanted and source.is_in_order:
        all_bytes = (used_bytes + parts_bytes) * wanted // (len(formatted) + 1)
        raise ConfigError(
            f"`json_memory_bytes`: {described_size(memory_bytes)} hold {len(formatted):,} of the "
            f"{wanted:,} requests of {kind.inputs[0].file}, none of which stands in for another; "
            f"allow about {described_size(all_bytes)}, or send the first with `max_queries`"
        )
    if not formatted or (len(formatted) < wanted and not kind.has_strings):
        raise _too_low(source, memory_bytes, "requests", f"{parts_bytes:,} bytes")
    inputs = [Tensors.of_batches(one, kind.batch_size) for one in zip(*formatted, strict=True)]
    if session.sends_bodies:
        inputs.append(source.bodies.ring(source.first, len(formatted)))
    sent = min(given, len(formatted) * kind.batch_size)
    numbers = {"Tensors": sent, "TensorsGiven": given, "Bytes": used_bytes}
    return Sent(kind, inputs, first=0, skipped=source.first, numbers=numbers)


def _format_tensors(source: Source, memory_bytes: int, requests: int, observe: Observer) -> Sent:
    """Format what `requests` of a kind send as JSON, 0 for any number, in so much memory at most.

    ConfigError where not one tensor fits, or where a value is none that JSON has.
    """
    given = source.tensor_count  # from the first on
    if requests:
        given = min(given, source.first + requests * source.kind.batch_size)
    first = _writers(source, 1)
    _add(first, source, 0, 1)
    first_bytes = _text_bytes(first)
    planned = min(given, memory_bytes // first_bytes)
    if planned == 0:
        raise _too_low(source, memory_bytes, "tensors", f"{first_bytes:,} bytes as JSON")
    writers = _writers(source, planned)
    step = max(1, PIECE_BYTES // first_bytes)
    for done in range(0, planned, step):
        observe(Formatting(source.kind.model, done, planned, given, planned * first_bytes))
        _add(writers, source, done, min(step, planned - done))
        if _text_bytes(writers) * len(writers[0]) > memory_bytes:
            break
    count = min(len(writers[0]), memory_bytes // _text_bytes(writers))
    if count == 0:
        raise _too_low(source, memory_bytes, "tensors", f"{_text_bytes(writers):,} bytes as JSON")
    inputs = [one.finish(count) for one in writers]
    used_bytes = sum(one.batch_bytes(count) for one in inputs)
    numbers = {"Tensors": count, "TensorsGiven": given, "Bytes": used_bytes}
    return Sent(source.kind, inputs, source.first % count, numbers=numbers)


def _too_low(source: Source, memory_bytes: int, things: str, needed: str) -> ConfigError:
    return ConfigError(
        f"`json_memory_bytes`: there are {described_size(memory_bytes)} for {source.kind.model}, "
        f"one of whose {things} takes {needed}; allow more"
    )


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
