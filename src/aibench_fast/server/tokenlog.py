"""The log of the server of tokens: when it sent each event."""

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


def read_log(file: Path) -> NDArray[Any]:
    """Return its records, of type RECORD, in the order in which they were written."""
    return np.fromfile(file, RECORD)
