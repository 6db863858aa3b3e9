"""How the events of two logs are held against each other, on logs that are made up."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from aibench_fast.server.tokenlog import (
    CAME,
    CONTENT,
    DONE,
    REASONING,
    RECORD,
    ROLE,
    Records,
    match,
)
from benchmarks.perf.event_logs import (
    BARE_RECORD,
    as_bare_loop_saw,
    closed_loop_tokens_per_s,
    since,
    streams_of,
)

PORT, OTHER_PORT = 40_000, 65_535
MS = 1_000_000


def server_log(*records: tuple[int, int, int, int]) -> Records:
    """Of port, flags, request and milliseconds."""
    return np.array([(*one, at * MS) for *one, at in records], RECORD)


def client_log(*records: tuple[int, int, int]) -> Records:
    """Of port, request and milliseconds."""
    return np.array([(port, 0, request, at * MS) for port, request, at in records], BARE_RECORD)


def reply(port: int, request: int, came: int, *chunks: int) -> list[tuple[int, int, int, int]]:
    """A whole reply: its role with the first chunk, and its end with the last."""
    return [
        (port, CAME, request, came),
        (port, ROLE, request, chunks[0]),
        *((port, CONTENT, request, at) for at in chunks),
        (port, DONE, request, chunks[-1]),
    ]


def seen(server: Records, late_ms: float, *, without: Sequence[int] = ()) -> Records:
    """The records in a client's log of all events, but for those at some places."""
    events = server[(server["flags"] & CAME) == 0]
    kept = np.delete(np.arange(len(events)), without)
    found = np.empty(len(kept), BARE_RECORD)
    for name in ("port", "request"):
        found[name] = events[name][kept]
    found["flags"] = 0
    found["came_ns"] = events["at_ns"][kept] + round(late_ms * MS)
    return found


def shuffled(records: Records) -> Records:
    """Of several I/O threads, whose logs come one after another: any order but within a port."""
    ports = sorted(set(records["port"]), key=lambda _: random.Random(7).random())
    return np.concatenate([records[records["port"] == port] for port in reversed(ports)])


def test_each_event_is_held_against_its_own() -> None:
    server = server_log(
        *reply(PORT, 0, 0, 100, 110, 120), *reply(OTHER_PORT, 0, 1, 101, 111),
        *reply(PORT, 1, 130, 230, 240),
    )  # fmt: skip
    client = seen(server, 0.5)
    client["came_ns"][2] += 7 * MS  # of the second chunk
    found = match(server, shuffled(client))
    assert sorted(found.errors_ns) == [0.5 * MS] * 12 + [7.5 * MS]
    (late,) = found.wrote[found.errors_ns == 7.5 * MS]
    assert (late["port"], late["request"], late["at_ns"]) == (PORT, 0, 110 * MS)
    assert (found.lost, found.unknown) == (0, 0)


def test_what_one_of_them_lacks_is_counted() -> None:
    server = server_log(*reply(PORT, 0, 0, 100, 110, 120), *reply(OTHER_PORT, 0, 1, 101, 111))
    client = np.concatenate([seen(server, 1, without=[4, 8]), client_log((1234, 0, 100))])
    found = match(server, client)
    assert (found.lost, found.unknown, len(found.errors_ns)) == (2, 1, 7)
    more = np.concatenate([seen(server, 1), client_log((PORT, 0, 125))])
    found = match(server, more)
    assert (found.lost, found.unknown) == (0, 1)
    assert set(found.errors_ns) == {MS}


def test_a_port_may_have_several_connections() -> None:
    server = server_log(
        *reply(PORT, 0, 0, 10), *reply(PORT, 0, 100, 120), *reply(PORT, 1, 130, 140),
        *reply(PORT, 0, 200, 210),
    )  # fmt: skip
    found = match(server, seen(server, 2))
    assert (found.lost, found.unknown) == (0, 0)
    assert set(found.errors_ns) == {2 * MS}
    first = seen(server, 2)[3:]  # all of the first connection was lost
    found = match(server, first)
    assert (found.lost, found.unknown) == (3, 0)
    assert set(found.errors_ns) == {2 * MS}


def test_connections_from_before_are_left_out() -> None:
    server = server_log(
        *reply(PORT, 0, 0, 10), *reply(OTHER_PORT, 0, 40, 60), *reply(OTHER_PORT, 1, 65, 70),
        *reply(PORT, 0, 50, 55),
    )  # fmt: skip
    found = since(server, 40 * MS)
    assert list(found["at_ns"] // MS) == [40, 60, 60, 60, 65, 70, 70, 70, 50, 55, 55, 55]


def test_times_of_streams() -> None:
    server = server_log(
        *reply(PORT, 0, 0, 100, 110, 130),
        (PORT, CAME, 1, 200), (PORT, CONTENT, 1, 260),  # not whole
        (OTHER_PORT, CAME, 0, 50), (OTHER_PORT, ROLE, 0, 60), (OTHER_PORT, REASONING, 0, 90),
        (OTHER_PORT, DONE, 0, 90),
    )  # fmt: skip
    found = streams_of(shuffled(server))
    assert sorted(found.first_tokens_ns) == [40 * MS, 100 * MS]
    assert list(found.mean_gaps_ns) == [15 * MS]
    assert list(found.gaps_ns) == [10 * MS, 20 * MS]
    last = streams_of(server, last=1)
    assert list(last.first_tokens_ns) == [40 * MS]
    assert len(last.gaps_ns) == 0


def test_what_the_bare_loop_saw_is_of_its_own_clock() -> None:
    server = server_log(*reply(PORT, 0, 10, 100, 110), *reply(PORT, 1, 120, 200, 220))
    bare = seen(server, 3)
    sent = np.array([(PORT, CAME, 0, 8 * MS), (PORT, CAME, 1, 119 * MS)], BARE_RECORD)
    found = streams_of(as_bare_loop_saw(server, np.concatenate([sent, bare])))
    assert list(found.first_tokens_ns) == [95 * MS, 84 * MS]
    assert list(found.gaps_ns) == [10 * MS, 20 * MS]


def test_tokens_a_second_are_of_whole_rounds() -> None:
    """Of two streams in step, ten tokens a request: a request every 100 ms, one a little late."""
    rounds = [
        (port, request, 100 * request + late)
        for request in range(6)
        for port, late in ((PORT, 0), (OTHER_PORT, 3))
    ]
    replies = [reply(port, request, at, *range(at, at + 10)) for port, request, at in rounds]
    server = server_log(*(record for one in replies for record in one))
    assert closed_loop_tokens_per_s(server, 2, 1) == pytest.approx(200)
