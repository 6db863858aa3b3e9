"""The events of streams as a server wrote them, held against a client's times of them.

A server's log has the time right before each event was sent, a client's log when it came, by one
clock. The n-th event of a request is the same in both. A request is known by the client's port and
its ordinal on that connection; a port may have had several connections, one after another.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aibench_fast.server.tokenlog import CAME, DONE, TOKEN

BARE_RECORD = np.dtype([("port", "<u2"), ("flags", "<u2"), ("request", "<u4"), ("came_ns", "<i8")])
"""Of the bare loop, which knows no flags but CAME: when it sent the request itself."""
NS_PER_S = 1_000_000_000
_REQUEST_BITS, _EVENT_BITS = 22, 20
_TIME_BITS = 46  # 19 hours

Records = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Matched:
    """The events that both logs have, request by request."""

    wrote: Records
    """The server's records."""
    came_ns: Numbers
    """When the client says that each came."""
    lost: int
    """Events of the server that the client does not have."""
    unknown: int
    """Events of the client that the server does not have."""

    @property
    def errors_ns(self) -> Numbers:
        """How late the client's time of each event is."""
        return np.asarray(self.came_ns - self.wrote["at_ns"])


@dataclass(frozen=True)
class Streams:
    """Times of the requests whose reply is whole."""

    first_tokens_ns: Numbers
    """Of each request, from the request to its first chunk."""
    mean_gaps_ns: npt.NDArray[np.float64]
    """Of each request with two chunks or more."""
    gaps_ns: Numbers
    """Between two chunks of a request, of all requests."""


def read_bare_log(path: Path) -> Records:
    """Return what the bare loop saw, in that order."""
    return np.fromfile(path, BARE_RECORD)


def since(server: Records, from_ns: int) -> Records:
    """Return the records of the connections whose first request came after a time."""
    connections = _connections(server)
    _, first = np.unique(connections, return_index=True)
    return server[server["at_ns"][first][connections] >= from_ns]


def match(server: Records, client: Records) -> Matched:
    """Hold each of the client's events against the server's own record of it."""
    connections = _connections(server)
    is_event = (server["flags"] & CAME) == 0
    theirs = _keys(connections[is_event], server["request"][is_event])
    events = client[(client["flags"] & CAME) == 0]
    ours = _keys(_known_connections(server, connections, events), events["request"])
    _, at_server, at_client = np.intersect1d(theirs, ours, return_indices=True)
    return Matched(
        wrote=server[is_event][at_server],
        came_ns=events["came_ns"][at_client],
        lost=len(theirs) - len(at_server),
        unknown=len(ours) - len(at_client),
    )


def as_bare_loop_saw(server: Records, bare: Records) -> Records:
    """Return the server's records with the bare loop's times, which opens each port once."""
    matched = match(server, bare)
    events = matched.wrote.copy()
    events["at_ns"] = matched.came_ns
    requests, sent = (one[(one["flags"] & CAME) != 0] for one in (server, bare))
    keys = [(one["port"].astype(np.int64) << 32) | one["request"] for one in (requests, sent)]
    _, at_server, at_bare = np.intersect1d(*keys, return_indices=True)
    requests = requests[at_server]
    requests["at_ns"] = sent["came_ns"][at_bare]
    return np.concatenate([requests, events])


def streams_of(records: Records, last: int | None = None) -> Streams:
    """Return the times of the whole requests, or of so many that came last."""
    connections = _connections(records)
    of_request = (connections << _REQUEST_BITS) | records["request"]
    order = np.lexsort((records["at_ns"], of_request))
    records, of_request = records[order], of_request[order]
    is_request = (records["flags"] & CAME) != 0
    came = is_request & np.isin(of_request, of_request[(records["flags"] & DONE) != 0])
    numbers, came_ns = of_request[came], records["at_ns"][came]
    if last is not None:
        numbers = np.sort(numbers[np.argsort(came_ns, kind="stable")][-last:])
        came_ns = came_ns[np.isin(of_request[came], numbers)]
    is_chunk = _is_chunk(records) & np.isin(of_request, numbers)
    chunks_ns, of_chunk = records["at_ns"][is_chunk], of_request[is_chunk]
    answered, first, counts = np.unique(of_chunk, return_index=True, return_counts=True)
    many = counts > 1
    from_first_to_last = chunks_ns[first + counts - 1] - chunks_ns[first]
    return Streams(
        first_tokens_ns=chunks_ns[first] - came_ns[np.isin(numbers, answered)],
        mean_gaps_ns=from_first_to_last[many] / (counts[many] - 1),
        gaps_ns=np.diff(chunks_ns)[of_chunk[1:] == of_chunk[:-1]],
    )


def closed_loop_tokens_per_s(records: Records, streams: int, from_round: int) -> float:
    """Return how many chunks a second a closed loop got, ramp and drain left out.

    A round is over when every stream has begun another request. Only whole rounds count.
    """
    began_ns = np.sort(records["at_ns"][(records["flags"] & CAME) != 0])
    last_round = (len(began_ns) - 1) // streams
    took_ns = began_ns[last_round * streams] - began_ns[from_round * streams]
    chunks = np.count_nonzero(_is_chunk(records)) / len(began_ns)
    return float((last_round - from_round) * streams * chunks / took_ns * NS_PER_S)


def _is_chunk(records: Records) -> npt.NDArray[np.bool_]:
    return np.asarray((records["flags"] & TOKEN) != 0)


def _connections(server: Records) -> Numbers:
    """Number each record's connection. At one port ordinals rise as long as it is the same."""
    order = np.lexsort((server["at_ns"], server["port"]))
    records = server[order]
    is_request = np.flatnonzero((records["flags"] & CAME) != 0)
    port, request = records["port"][is_request], records["request"][is_request].astype(np.int64)
    begins = np.zeros(len(records), np.int64)
    begins[is_request] = np.r_[True, (port[1:] != port[:-1]) | (request[1:] <= request[:-1])]
    numbers = np.empty(len(server), np.int64)
    numbers[order] = np.cumsum(begins) - 1
    return numbers


def _known_connections(server: Records, connections: Numbers, events: Records) -> Numbers:
    """Number the connection of each event of a client: the last of its port that had begun.

    -1: the server does not know it.
    """
    _, first = np.unique(connections, return_index=True)
    ports, starts_ns = server["port"][first].astype(np.int64), server["at_ns"][first]
    base_ns = min(starts_ns.min(), events["came_ns"].min())
    began = (ports << _TIME_BITS) | (starts_ns - base_ns)
    came = (events["port"].astype(np.int64) << _TIME_BITS) | (events["came_ns"] - base_ns)
    order = np.argsort(began)
    at = np.searchsorted(began[order], came, side="right") - 1
    is_known = (at >= 0) & (ports[order][at] == events["port"])
    return np.where(is_known, connections[first][order][at], -1)


def _keys(connections: Numbers, requests: Records) -> Numbers:
    """Return a number for each event: of its connection, its request, its place in that."""
    of_request = (connections << _REQUEST_BITS) | requests
    order = np.argsort(of_request, kind="stable")
    ordered = of_request[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    places = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    keys = np.empty(len(ordered), np.int64)
    keys[order] = (ordered << _EVENT_BITS) | places
    return keys
