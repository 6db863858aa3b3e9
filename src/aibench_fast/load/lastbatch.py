"""The end of a run whose last requests wait for a batch that nobody is left to fill."""

import time
from collections.abc import Sequence

from aibench_fast import _core, coretypes
from aibench_fast.load.readings import histogram
from aibench_fast.protocols.session import ServerRecord

PATIENCE_S = 1.0
"""Beyond the longest time that any request took."""
MS_PER_S = 1000


class LastBatch:
    """Notices that the last requests of a run will not be answered.

    A model with a least batch and no time limit runs once enough requests are there. When a run
    begins no more of them, fewer may be left than a batch takes. They are given the time that the
    longest request took, and a second more: a batch that runs is answered by then.
    """

    def __init__(
        self, generator: _core.LoadGenerator, records: Sequence[ServerRecord], pipeline: int
    ) -> None:
        """Watch a load generator on these servers."""
        self._generator = generator
        self._most_left = pipeline * sum(record.most_waiting for record in records)
        self._trial_s = max(record.trial_s for record in records)
        self._seen = (0, 0)
        self._since_s = 0.0

    def is_stuck(self) -> bool:
        """Return whether what is left now waits in vain; to be asked again and again."""
        if not self._most_left or not self._generator.is_ending():
            return False
        snapshot = self._generator.snapshot()
        seen = begun, ended = snapshot.counters["begun"], snapshot.counters["requests"]
        if seen != self._seen:
            self._seen, self._since_s = seen, time.monotonic()
        left = begun - ended
        longest_s = max(self._trial_s, _longest_s(snapshot)) + PATIENCE_S
        return 0 < left <= self._most_left and time.monotonic() - self._since_s > longest_s


def _longest_s(snapshot: coretypes.Snapshot) -> float:
    """Return the longest latency until now, in seconds."""
    of_any = [
        histogram(one.get("service_latencies", one["latencies"]))
        for one in (snapshot.measured.histograms, snapshot.burn_in.histograms)
    ]
    return max(one.max_ms if one.count else 0.0 for one in of_any) / MS_PER_S
