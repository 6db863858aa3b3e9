"""Times of streams from the logs of their events, a server's or a client's.

A request is known by the client's port and its ordinal on that connection; a port may have had
several connections, one after another.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aibench_fast.server.tokenlog import CAME, DONE, TOKEN, Numbers, Records, match

BARE_RECORD = np.dtype([("port", "<u2"), ("flags", "<u2"), ("request", "<u4"), ("came_ns", "<i8")])
"""Of the bare loop, which knows no flags but CAME: when it sent the request itself."""
NS_PER_S = 1_000_000_000
_REQUEST_BITS = 22


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
