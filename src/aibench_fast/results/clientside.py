"""The client in the measured time, and whether it or the server set the figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aibench_fast.results.fields import figure, greatest, least, nested, total
from aibench_fast.results.forms import delays
from aibench_fast.results.histogram import LatencyHistogram

BUSY_THREAD = 0.9
"""The share of a core above which a client's thread may be what limits the rate."""


class Verdict(StrEnum):
    """Whether client or server set the figures of a run."""

    SERVER_BOUND = "server-bound"
    CLIENT_BOUND = "client-bound"
    UNCLEAR = "unclear"


_WORST = (Verdict.CLIENT_BOUND, Verdict.UNCLEAR, Verdict.SERVER_BOUND)


def of_the_worst(owners: Sequence[Any], name: str) -> Any:
    """Return the value of the client that speaks most against the figures."""
    return getattr(min(owners, key=lambda one: _WORST.index(one.verdict)), name)


@dataclass(frozen=True)
class ClientCheck:
    """The client's use of its machine, and what follows; shares are 0 to 1."""

    verdict: Verdict = figure("Verdict", merge=of_the_worst)
    """Whether client or server set the figures."""
    reason: str = figure("Reason", merge=of_the_worst)
    """Why, in words."""
    cpu_share: float = figure("CpuShare", merge=greatest)
    """Share of the usable cores that the I/O threads used."""
    machine_busy: float | None = figure("MachineBusy", merge=greatest)
    """Share of all cores that was busy; None if the system does not report it."""
    steal: float | None = figure("Steal", merge=greatest)
    """Share that a hypervisor gave to others; None if the system does not report it."""
    cpu_quota: float | None = figure("CpuQuota", since="1.9", merge=least, default=None)
    """CPUs that the tightest quota of the client's control groups allows; None without a quota."""
    throttled: float | None = figure("Throttled", since="1.9", merge=greatest, default=None)
    """The share of a quota's periods in which it was used up and the client stood still; None
    without a quota."""
    cpu_wait: float | None = figure("CpuWait", since="1.9", merge=greatest, default=None)
    """The largest share of the time that one I/O thread was ready to run and waited for a CPU."""
    cpu_pressure: float | None = figure("CpuPressure", since="1.9", merge=greatest, default=None)
    """The share of the time in which some program on the machine waited for a CPU, by the kernel's
    pressure stall information."""
    others: float | None = figure("Others", since="1.9", merge=greatest, default=None)
    """Share of the client's cores that programs other than client and servers used; None if a
    server of an unknown process runs on the machine."""
    server_others: float | None = figure("ServerOthers", since="1.9", merge=greatest, default=None)
    """The same for the cores that the servers on this machine may use; None without any."""
    server_cpu_wait: float | None = figure(
        "ServerCpuWait", since="1.9", merge=greatest, default=None
    )
    """Seconds a second, added up, that threads of the servers on this machine were ready to run and
    waited for a CPU; None if unknown."""


@dataclass(frozen=True, kw_only=True)
class ClientSide:
    """The client in the measured time."""

    start_lags: LatencyHistogram = delays("ScheduleLag", since="1.4")
    """By a schedule: actual less intended start of every measured request, in milliseconds; None in
    a closed loop."""
    timer_lags: LatencyHistogram = delays("TimerLag", since="1.4")
    """The same of requests that a free worker waited for: the delay that the client itself adds."""
    reply_waits: LatencyHistogram = delays("ReplyWait", since="1.4")
    """How long replies waited in the kernel for their thread, in milliseconds, of a sample; None
    if the kernel does not report it."""
    cpu_s: float = figure("ClientCpuSeconds", merge=total)
    """CPU time of the I/O threads in the measured part."""
    busiest_thread: float = figure("ClientBusiestThread", merge=greatest)
    """The largest share of the measured time that one I/O thread was on a CPU."""
    check: ClientCheck = figure("ClientCheck", since="1.4", merge=nested)
    """The client's use of its machine, and what follows."""
    least_worker_requests: int = figure("LeastWorkerRequests", since="1.2", merge=least, default=0)
    """Measured requests of the worker that had the fewest."""
    most_worker_requests: int = figure("MostWorkerRequests", since="1.2", merge=greatest, default=0)
    """Measured requests of the worker that had the most."""
