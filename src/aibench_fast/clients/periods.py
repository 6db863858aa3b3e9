"""The reporting periods of all clients as those of the whole run."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from aibench_fast.clients.merge import ClientReport, measured_span_s
from aibench_fast.results.events import IntervalLatencies
from aibench_fast.results.forms import LIVE_QUANTILES
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import WHOLE_PERIOD, Interval

MS_PER_S = 1000
MAX_WAIT = 3
"""Periods for which a client that is behind is waited for."""


@dataclass
class _Reported:
    """One client's reports, by period."""

    by_period: dict[int, ClientReport] = field(default_factory=dict)
    is_over: bool = False

    @property
    def newest(self) -> int:
        return max(self.by_period, default=0)

    def at(self, period: int) -> ClientReport | None:
        """Return the newest report up to a period's end, and forget those before it."""
        known = sorted(one for one in self.by_period if one <= period)
        for one in known[:-1]:
            del self.by_period[one]
        return self.by_period[known[-1]] if known else None


class Period(NamedTuple):
    """A reporting period of the whole run."""

    interval: Interval
    latencies: IntervalLatencies


class Periods:
    """Makes periods of the whole run from the clients' reports at the ends of theirs.

    Clients start together, so their periods end together, whatever their wall clocks say. A period
    is made when all clients that still report have reported it.
    """

    def __init__(self, clients: int, period_s: float, start_unix_ms: int) -> None:
        """Begin, with clients that are numbered from 0 on."""
        self.intervals: list[Interval] = []
        self._reported = [_Reported() for _ in range(clients)]
        self._period_s = period_s
        self._start_unix_ms = start_unix_ms
        self._made = 0
        self._until_s = 0.0
        self._before = LatencyHistogram.empty()

    def add(self, client: int, report: ClientReport, *, is_over: bool = False) -> None:
        """Take a client's report; `is_over`: its last one."""
        periods = report.result.duration_s / self._period_s
        reported = self._reported[client]
        reported.by_period[math.ceil(periods) if is_over else round(periods)] = report
        reported.is_over = is_over

    def lose(self, client: int) -> None:
        """Expect nothing more of a client."""
        self._reported[client].is_over = True

    def made(self) -> Iterator[Period]:
        """The periods that are whole now, and were not before."""
        while self._is_whole(self._made + 1):
            self._made += 1
            yield self._period(self._made * self._period_s)

    def rest(self, duration_s: float) -> Iterator[Period]:
        """At the end of the run: the one that it ended in."""
        yield from self.made()
        if duration_s > self._until_s:
            self._made = max(one.newest for one in self._reported)
            yield self._period(duration_s)

    def _is_whole(self, period: int) -> bool:
        newest = [one.newest for one in self._reported]
        waited_for = [one.newest for one in self._reported if not one.is_over]
        if not waited_for:  # the last one is `rest`'s
            return max(newest) > period
        return min(waited_for) >= period or max(newest) >= period + MAX_WAIT

    def _period(self, until_s: float) -> Period:
        reports = [report for one in self._reported if (report := one.at(self._made)) is not None]
        results = [one.result for one in reports]
        from_s, _ = measured_span_s(reports)
        inferences = sum(one.inferences for one in results)
        latencies = LatencyHistogram.merged(one.latencies for one in results)
        images = sum(one.counts.inferences_with_burn_in for one in results)
        counts = [one.counts.all_requests for one in results]
        images_before = self.intervals[-1].images if self.intervals else 0
        of_period = IntervalLatencies(
            start_unix_s=self._unix_ms(self._until_s) / MS_PER_S,
            end_unix_s=self._unix_ms(until_s) / MS_PER_S,
            latencies=latencies.since(self._before),
        )
        interval = Interval(
            unix_ms=self._unix_ms(until_s),
            images=images,
            instantaneous_rate=(images - images_before) / (until_s - self._until_s),
            overall_rate=inferences / (until_s - from_s) if until_s > from_s else 0.0,
            quantiles_ms=latencies.quantiles_ms(LIVE_QUANTILES),
            failed=sum(one.failed for one in counts),
            requests=sum(one.succeeded + one.failed for one in counts),
            period_quantiles_ms=latencies.quantiles_since_ms(self._before, LIVE_QUANTILES),
            chunks=sum(one.counts.chunks_so_far for one in results),
            is_partial=until_s - self._until_s < WHOLE_PERIOD * self._period_s,
        )
        self.intervals.append(interval)
        self._before, self._until_s = latencies, until_s
        return Period(interval, of_period)

    def _unix_ms(self, after_s: float) -> int:
        return self._start_unix_ms + round(after_s * MS_PER_S)
