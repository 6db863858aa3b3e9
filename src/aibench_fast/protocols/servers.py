"""The servers of a run, one or several: worker w is of server w modulo their number."""

import time
from collections.abc import Callable, Sequence

from aibench_fast.coretypes import Endpoint, HttpPlan, RespPlan
from aibench_fast.errors import ServerError
from aibench_fast.protocols.record import ServerRecord
from aibench_fast.protocols.serverwatch import StatisticsWatch, WatchOfSeveral
from aibench_fast.protocols.session import Session
from aibench_fast.protocols.statistics import Reader


class Servers:
    """Sessions with all servers of a run, which are asked alike."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        """ServerError where one's models answer otherwise than the first one's."""
        self.sessions = sessions
        self.first = sessions[0]
        for session in sessions[1:]:
            _check_alike(self.first.record, session.record)

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where workers connect to, server by server."""
        return [session.endpoint for session in self.sessions]

    @property
    def records(self) -> list[ServerRecord]:
        """What each told."""
        return [session.record for session in self.sessions]

    def label(self, model: str) -> str:
        """Names a model and how it is run."""
        return self.first.label(model)

    def texts(self, kind: int, worker: int, tensors_bytes: int) -> list[bytes]:
        """As `Session.texts`, of the worker's own server."""
        return self._of(worker).texts(kind, worker, tensors_bytes)

    def plan(self, kind: int) -> RespPlan | HttpPlan:
        """What is answered to them, by any server."""
        return self.first.plan(kind)

    def _of(self, worker: int) -> Session:
        return self.sessions[worker % len(self.sessions)]

    def watch(self, also: Callable[[int], Sequence[Reader]]) -> StatisticsWatch:
        """What reads each server's statistics, and what `also` gives of its number."""
        watches = [session.watch(also(n)) for n, session in enumerate(self.sessions)]
        return watches[0] if len(watches) == 1 else WatchOfSeveral(watches)

    def leave(self, patience_s: float) -> None:
        """Take away what the run left in them, as far as they answer within the time."""
        until_s = time.monotonic() + patience_s
        for session in self.sessions:
            session.leave(max(_LEAST_PATIENCE_S, until_s - time.monotonic()))


_LEAST_PATIENCE_S = 0.01


def _check_alike(first: ServerRecord, other: ServerRecord) -> None:
    for one, another in zip(first.outputs, other.outputs, strict=True):
        any_length = one.any_length and another.any_length and one.dtype == another.dtype
        if one != another and not any_length:
            raise ServerError(
                f"the server at {other.server.address} answers {another.output_bytes} bytes of "
                f"{another.dtype} where {first.server.address} answers {one.output_bytes} of "
                f"{one.dtype}: load the same model into both"
            )
