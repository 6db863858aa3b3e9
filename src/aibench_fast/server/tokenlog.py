"""The log of the server of tokens: when it sent each event, held against when a client got it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROLE, CONTENT, REASONING, FINISH, USAGE, DONE, CAME = (1 << bit for bit in range(7))
"""Flags of a record; the first six are those of an event, as in the client's own log, and CAME is
a request's, when it was whole."""
TOKEN = CONTENT | REASONING
RECORD = np.dtype([("port", "<u2"), ("flags", "<u2"), ("request", "<u4"), ("at_ns", "<i8")])
"""The client's port, flags, the request's number on its connection from 0 on, and the time of
CLOCK_MONOTONIC right before the send that carried the event."""


_EVENT_BITS = 20

Records = NDArray[Any]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Matched:
    """The events that a server's and a client's log both have, stream by stream."""

    requests: Numbers
    """Which request each event is of, by any number."""
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


def read_log(file: Path) -> Records:
    """Return its records, of type RECORD, in the order in which they were written."""
    return np.fromfile(file, RECORD)


def match(server: Records, client: Records) -> Matched:
    """Hold each event of a client's log against the server's record of it, by one clock.

    The n-th event of a request is the same in both. A request is known by its port, its number, and
    when it came: a port may have several connections, one after another.
    """
    is_request = (server["flags"] & CAME) != 0
    requests, sent = server[is_request], server[~is_request]
    came = client[(client["flags"] & CAME) == 0]
    sent_keys = _keys(requests, sent, sent["at_ns"])
    came_keys = _keys(requests, came, came["came_ns"])
    keys, at_server, at_client = np.intersect1d(sent_keys, came_keys, return_indices=True)
    return Matched(
        requests=keys >> _EVENT_BITS,
        wrote=sent[at_server],
        came_ns=came["came_ns"][at_client],
        lost=len(sent) - len(at_server),
        unknown=len(came) - len(at_client),
    )


def _keys(requests: Records, events: Records, times_ns: Numbers) -> Numbers:
    """Return a number for each event: of its request, and its place there; -1 without a request."""
    streams = np.concatenate(
        [(one["port"].astype(np.int64) << 32) | one["request"] for one in (requests, events)]
    )
    # A stable sort: a request comes before an event of the same time.
    order = np.lexsort((np.concatenate([requests["at_ns"], times_ns]), streams))
    places = np.arange(len(order))
    is_request = order < len(requests)
    began = np.maximum.accumulate(np.where(is_request, places, 0))
    is_known = is_request[began] & (streams[order][began] == streams[order])
    keys = np.empty(len(order), np.int64)
    keys[order] = np.where(is_known, (np.cumsum(is_request) << _EVENT_BITS) | (places - began), -1)
    return keys[len(requests) :]
