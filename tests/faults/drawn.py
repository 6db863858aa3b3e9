"""Random schedules of faults between a client and a server, and what a run under them may take."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import conservation
import pytest
from ci import examples
from faultproxy import CHANGING, DELAYING, LOSING, REPLIES, REQUESTS, Fault, FaultProxy
from faults.runs import observed
from hypothesis import HealthCheck, Phase, settings
from hypothesis import event as count_event
from hypothesis import strategies as st

from aibench_fast import Result, RunConfig
from aibench_fast._core import due_times_ns
from aibench_fast.load.arrivals import arrivals
from aibench_fast.load.profile import parse_profile

REPLY_TIMEOUT_S, CONNECT_TIMEOUT_S, RECONNECT_FOR_S = 0.06, 0.2, 0.03
LONGEST_DOWN_MS = 100
A_FAULT_S = REPLY_TIMEOUT_S + CONNECT_TIMEOUT_S + RECONNECT_FOR_S + LONGEST_DOWN_MS / 1000
BUSY_MACHINE_S = 10.0
AMOUNTS = {
    "down": st.integers(30, LONGEST_DOWN_MS),
    "delay": st.integers(1, 100),
    "throttle": st.integers(500, 50_000),
    "split": st.integers(1, 400),
    "garbage": st.integers(1, 50),
    "drop": st.integers(1, 300),
    "double": st.integers(1, 300),
}


@st.composite
def fault(draw: st.DrawFn, most_bytes: int = 1500) -> Fault:
    """One of any kind, behind at most so many bytes."""
    kind = draw(st.sampled_from([*DELAYING, *LOSING, *CHANGING]))
    return Fault(
        kind=kind,
        connection=draw(st.integers(0, 3)),
        direction=draw(st.sampled_from([REPLIES, REQUESTS])),
        at_bytes=draw(st.integers(0, most_bytes)),
        amount=draw(AMOUNTS.get(kind, st.just(0))),
    )


def schedules(in_ci: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Have a test try many: FAULTS of the environment, or as many in CI; each takes 0.2 s."""
    tried = settings(
        max_examples=int(os.environ.get("FAULTS", examples(in_ci, 10))),
        deadline=None,
        print_blob=True,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow],
    )
    return lambda test: pytest.mark.timeout(0)(tried(test))


@dataclass(frozen=True)
class Load:
    """The load while the faults happen, in any protocol."""

    shape: str
    servers: int
    workers: int
    requests: int
    burn_in: int
    stops: bool
    sheds: bool

    @property
    def is_open(self) -> bool:
        return self.shape not in ("closed", "conversations")

    def possible(self) -> Self:
        """Without what a run refuses."""
        return replace(self, burn_in=0) if self.is_open else replace(self, sheds=False)

    def settings(self, rate_per_s: float, profile: str) -> dict[str, object]:
        """Those of a run; a profile has its own rates."""
        when: dict[str, object] = {"max_queries": self.requests, "burn_in": self.burn_in}
        if self.shape == "profile":
            when = {"profile": parse_profile(profile)}
        elif self.is_open:
            seconds = self.requests / rate_per_s
            when = {"limit_rps": rate_per_s, "arrivals": self.shape, "duration_s": seconds}
        if self.sheds:
            when |= {"max_lag_s": 0.02, "on_lag": "shed"}
        return when | {
            "workers": self.workers, "threads": min(2, self.workers),
            "on_disconnect": "stop" if self.stops else "reconnect",
            "reply_timeout_s": REPLY_TIMEOUT_S, "connect_timeout_s": CONNECT_TIMEOUT_S,
            "reconnect_for_s": RECONNECT_FOR_S, "reporting_period_s": 0.02,
            "interval_latencies": True,
        }  # fmt: skip


DRAWN = {
    "servers": st.sampled_from([1, 1, 2]),
    "burn_in": st.sampled_from([0, 5]),
    "stops": st.sampled_from([False, False, False, True]),
    "sheds": st.booleans(),
}
"""The settings that are drawn for every load."""


def run_through(
    proxies: Sequence[FaultProxy], load: Load, config: RunConfig
) -> tuple[Result, list[Fault], set[str]]:
    """Run while the faults happen, and hold the counts against the schedule.

    Return the result, the faults that happened, and the kinds of failures.
    """
    result, intervals = observed(config, lambda: [proxy.arm() for proxy in proxies])
    for proxy in proxies:
        proxy.disarm()
    done = [fault for proxy in proxies for fault in proxy.done]
    failed = {*result.failures, *result.counts.burn_in_failures}
    for kind in sorted({fault.kind for fault in done} | failed):
        count_event(kind)
    assert conservation.broken(result, intervals) == []
    assert result.duration_s < 0.3 + (len(done) + 1) * A_FAULT_S + BUSY_MACHINE_S
    if load.is_open and not load.stops and "connect" not in failed:
        sent = result.counts.all_requests.sent
        assert due(config) == sent + result.shed + result.schedule.unsent
    return result, done, failed


def due(config: RunConfig) -> int:
    """How many requests the schedule has until the run is over."""
    schedule = arrivals(config).schedule
    assert schedule is not None
    until_ns = round(config.duration_s * 1e9) or math.inf
    return sum(due_ns < until_ns for due_ns in due_times_ns(schedule, 1000))
