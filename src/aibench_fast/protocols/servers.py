"""The servers of a run, one or several: worker w is of server w modulo their number."""

import time
from collections.abc import Sequence
from typing import Protocol

from aibench_fast.coretypes import ClusterNodes, Kind
from aibench_fast.errors import ServerError
from aibench_fast.protocols.session import HURRY_S, ServerRecord, Session, Workload
from aibench_fast.protocols.statistics import Reader, StatisticsWatch, WatchOfSeveral

_LEAST_PATIENCE_S = 0.01


class FoundServers(Protocol):
    """The servers of a run that are not visited yet."""

    count: int

    def visit(self, number: int, workload: Workload) -> Session:
        """Make a session with one, by its number and in order; ServerError, ConfigError."""

    def cluster_nodes(self, kinds: Sequence[Kind], workers: int) -> ClusterNodes | None:
        """Return what workers need to follow their keys in a cluster; None where there is none."""
        return None


class Servers:
    """Sessions with all servers of a run, which are asked alike."""

    def __init__(self, found: FoundServers, workloads: Sequence[Workload]) -> None:
        """Visit each; what a failed visit leaves the servers before with is taken away.

        ServerError and ConfigError as `FoundServers.visit`, and ServerError where the models of one
        answer otherwise than the first one's.
        """
        self.cluster_nodes = found.cluster_nodes
        self.sessions: list[Session] = []
        try:
            for number, workload in enumerate(workloads):
                self.sessions.append(found.visit(number, workload))
                _check_alike(self.sessions[0].record, self.sessions[-1].record)
        except BaseException:
            for session in self.sessions:
                session.leave(HURRY_S)
            raise
        self.first = self.sessions[0]
        self.endpoints = [session.endpoint for session in self.sessions]
        """Where workers connect to, server by server."""
        self.records = [session.record for session in self.sessions]

    def texts(self, kind: int, worker: int, tensors_bytes: int) -> list[bytes]:
        """As `Session.texts`, of the worker's own server."""
        return self.sessions[worker % len(self.sessions)].texts(kind, worker, tensors_bytes)

    def written(self, workers: int) -> list[memoryview] | None:
        """Return the memory that each worker's server writes outputs to; None: they send them."""
        count = len(self.sessions)
        found = [self.sessions[worker % count].written(worker) for worker in range(workers)]
        return [place for place in found if place is not None] or None

    def watch(self, process: Reader | None) -> StatisticsWatch:
        """Return a watch of all servers' statistics; `process` as in `Session.watch`."""
        watches = [session.watch(process) for session in self.sessions]
        return watches[0] if len(watches) == 1 else WatchOfSeveral(watches)

    def leave(self, patience_s: float) -> None:
        """Take away what the run left in them, as far as they answer within the time."""
        until_s = time.monotonic() + patience_s
        for session in self.sessions:
            session.leave(max(_LEAST_PATIENCE_S, until_s - time.monotonic()))


def _check_alike(first: ServerRecord, other: ServerRecord) -> None:
    for one, another in zip(first.outputs, other.outputs, strict=True):
        any_length = one.any_length and another.any_length and one.dtype == another.dtype
        if one != another and not any_length:
            raise ServerError(
                f"the server at {other.server.address} answers {another.output_bytes} bytes of "
                f"{another.dtype} where {first.server.address} answers {one.output_bytes} of "
                f"{one.dtype}: load the same model into both"
            )
