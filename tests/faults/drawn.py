"""Random schedules of faults between a client and a server, and what a run under them may take."""

import math
import os
from collections.abc import Callable

import pytest
from ci import examples
from faultproxy import CHANGING, DELAYING, LOSING, REPLIES, REQUESTS, Fault
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from aibench_fast import RunConfig
from aibench_fast._core import due_times_ns
from aibench_fast.load.arrivals import arrivals

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
    """Have a test try many: FAULTS of the environment, or as many as in CI."""
    tried = settings(
        max_examples=int(os.environ.get("FAULTS", examples(in_ci))),
        deadline=None,
        print_blob=True,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow],
    )
    return lambda test: pytest.mark.timeout(0)(tried(test))


def due(config: RunConfig) -> int:
    """How many requests the schedule has until the run is over."""
    schedule = arrivals(config).schedule
    assert schedule is not None
    until_ns = round(config.duration_s * 1e9) or math.inf
    return sum(due_ns < until_ns for due_ns in due_times_ns(schedule, 1000))
