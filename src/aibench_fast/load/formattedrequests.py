"""Requests that differ in more than their tensors, formatted before the clock starts.

Those with strings do, whose lengths vary. Each is kept as it is sent, in bounded memory, and
nothing is formatted while it is timed.
"""

import math

from aibench_fast._core import Tensors
from aibench_fast.errors import ConfigError
from aibench_fast.load.sources import Formatted, Sent, Source
from aibench_fast.protocols.session import Session
from aibench_fast.results.events import Formatting, Observer
from aibench_fast.units import described_size

REQUESTS_A_STEP = 1000
"""So many are formatted between two events that say how far it is."""


def format_requests(
    source: Source,
    place: int,
    session: Session,
    *,
    memory_bytes: int,
    requests: int,
    as_json: bool,
    observe: Observer,
) -> Formatted:
    """Format what `requests` of a kind send, 0 for any number, in so much memory at most.

    `place` is the kind's in the session. Where not all requests fit that differ, the first that do
    are sent again and again, if they have strings. ConfigError where none fits, or without strings
    or in an order not all, or where JSON has no form for a string.
    """
    kind, tensor_count = source.kind, source.tensor_count
    different = tensor_count // math.gcd(tensor_count, kind.batch_size)
    wanted = min(different, requests) if requests else different
    given = min(tensor_count, wanted * kind.batch_size)
    formatted: list[list[bytes]] = []
    shows = kind.has_strings and not session.sends_bodies
    used_bytes = 0
    for number in range(wanted):
        try:
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
        raise ConfigError(
            f"`json_memory_bytes`: there are {described_size(memory_bytes)} for {kind.model}, "
            f"one of whose requests takes {parts_bytes:,} bytes; allow more"
        )
    inputs = [Tensors.of_batches(one, kind.batch_size) for one in zip(*formatted, strict=True)]
    if session.sends_bodies:
        inputs.append(source.bodies.ring(source.first, len(formatted)))
    return Formatted(
        sent=Sent(kind, inputs, first=0, skipped=source.first),
        tensors=min(given, len(formatted) * kind.batch_size),
        given=given,
        memory_bytes=used_bytes,
    )
