"""Whether a run's figures are the server's or the client's own, and why."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from aibench_fast.load.surroundings import Shares
from aibench_fast.results.clientside import BUSY_THREAD, ClientCheck, Verdict
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import MIN_FOR_P99

MS_PER_S = 1000
HALF_BUSY_THREAD = 0.7
"""Above it a thread has less than a third of its time to spare for bursts."""
OWN_SHARE = 0.1
"""The share of a latency above which the client's part of it matters."""
WAKING_MS = 0.05
"""The kernel takes that long to wake a thread: more threads or cores do not change it."""
SLOW_WAKING_MS = 0.5
"""A machine that saves power, or a virtual one, may take that long to wake an idle thread."""
WAKING_SHARE = 0.25
"""The share of a latency above which waking a thread matters."""
LONG_CPU_WAIT = 0.25
"""The share of the time above which waiting for a CPU, and not for replies, may limit the rate."""
MUCH_STEAL = 0.02
FULL_CORES = 0.95
MUCH_THROTTLED = 0.01
"""The share of the time above which a used-up quota reaches the 99th percentile."""
MUCH_OTHERS = 0.2
"""Of the cores' time, used by other programs."""
WAKING_CPU_WAIT_MS = 0.02
"""A thread that is woken waits so long for a CPU though that is idle."""
SURE = 1.645
"""Standard errors: one value in twenty is further off, to that side."""
NOT_EXCLUDED = 2.326
"""Standard errors: one value in a hundred is further off, to that side."""
LONG_TAIL_WAIT = 0.005
"""Of the requests' time, waited for a CPU: in one request of a hundred alone that makes it half as
long again."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Facts of a run's measured time; shares are 0 to 1."""

    latencies: LatencyHistogram
    """From the actual start."""
    responses: LatencyHistogram | None = None
    """By a schedule, from the intended start."""
    timer_lags: LatencyHistogram
    reply_waits: LatencyHistogram
    busiest_thread: float
    cpu_share: float
    """The part of their CPUs that the I/O threads used."""
    cpu_wait: float | None = None
    """The largest share of the time that one I/O thread was ready to run and waited for a CPU."""
    measured_s: float = 0.0
    same_cores: bool
    """Whether a server runs on cores of the client."""
    around: Shares = field(default_factory=Shares)


Judged = tuple[Verdict, str]


class Delay(NamedTuple):
    """A delay that the client adds to a latency, at one quantile of both."""

    what: str
    """The delay in words."""
    place: str
    """The quantile, in words."""
    is_median: bool
    ms: float
    of_ms: float
    """The latency."""

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.what} {self.place}, {self.ms / self.of_ms:.0%} of the latency"


def check_client(seen: Seen) -> ClientCheck:
    """Judge a run by what its client and its machine did in the measured time."""
    verdict, reason = _judged(seen)
    around = seen.around
    return ClientCheck(
        verdict=verdict,
        reason=reason,
        cpu_share=seen.cpu_share,
        machine_busy=around.machine and around.machine.busy,
        steal=around.machine and around.machine.steal,
        cpu_quota=around.quota and around.quota.cpus,
        throttled=around.quota and around.quota.throttled,
        cpu_wait=seen.cpu_wait,
        cpu_pressure=around.pressure,
        others=around.others,
        server_others=around.server_others,
        server_cpu_wait=around.server_cpu_wait,
    )


def _judged(seen: Seen) -> Judged:
    """Judge by the first rule that applies; docs/measuring.md has them in the same order."""
    if seen.latencies.count == 0:
        return Verdict.UNCLEAR, "no request was answered"
    if judged := _throttled(seen):
        return judged
    on_cpu = f"on a CPU {seen.busiest_thread:.0%} of the measured time"
    if seen.busiest_thread > BUSY_THREAD:
        return (
            Verdict.CLIENT_BOUND,
            f"an I/O thread was {on_cpu}; use more --threads or cores",
        )
    if judged := _neighbours(seen) or _slowed_server(seen):
        return judged
    machine = seen.around.machine
    if machine is not None and machine.steal > MUCH_STEAL:
        return (
            Verdict.UNCLEAR,
            f"the hypervisor gave {machine.steal:.1%} of the cores' time to others; use a machine "
            "of its own",
        )
    if judged := _shared_cores(seen) or _delayed(seen):
        return judged
    if seen.busiest_thread > HALF_BUSY_THREAD:
        return (
            Verdict.UNCLEAR,
            f"an I/O thread was {on_cpu}; see whether more --threads or cores change the figures",
        )
    return (
        Verdict.SERVER_BOUND,
        f"no I/O thread was on a CPU for more than {seen.busiest_thread:.0%} of the measured time: "
        "the client waited for the server",
    )


def _throttled(seen: Seen) -> Judged | None:
    quota = seen.around.quota
    if quota is None or quota.throttled <= MUCH_THROTTLED:
        return None
    used_up = (
        f"CPU quota of {quota.throttled_cpus:g} CPUs (cgroup) was used up in "
        f"{quota.throttled:.0%} of its periods"
    )
    if seen.around.quota_is_shared:
        return (
            Verdict.UNCLEAR,
            f"client and server share a control group, whose {used_up}; raise it, or run the "
            "client elsewhere",
        )
    return (
        Verdict.CLIENT_BOUND,
        f"the client's {used_up}, and it stood still until the next; raise the quota",
    )


def _neighbours(seen: Seen) -> Judged | None:
    """Other programs on the client's cores that it had to wait for."""
    others = seen.around.others
    if others is None or others <= MUCH_OTHERS:
        return None
    # How long replies waited is a sample: with neighbours, the longest that it allows counts.
    longest = _long_delays(seen, errors=NOT_EXCLUDED)[:1]
    found = [str(delay) for delay in longest if delay.ms > SLOW_WAKING_MS]
    if seen.cpu_wait is not None and (found or _waited_long(seen, seen.cpu_wait)):
        found.append(f"an I/O thread waited for a CPU {seen.cpu_wait:.1%} of the time")
    if not found or _server_was_slowed_more(seen):
        return None
    return (
        Verdict.CLIENT_BOUND,
        f"{'; '.join(found)}, while other programs used {others:.0%} of the client's cores: keep "
        "them off these, or run the client elsewhere",
    )


def _waited_long(seen: Seen, cpu_wait: float) -> bool:
    """Return whether a thread waited so long for a CPU that rate or latencies show it."""
    harmless_s = _harmless_wait_s(seen.latencies)
    return cpu_wait > LONG_CPU_WAIT or cpu_wait * seen.measured_s > harmless_s


def _slowed_server(seen: Seen) -> Judged | None:
    """Other programs on the server's cores that it had to wait for."""
    others, waited_s = seen.around.server_others, seen.around.server_cpu_wait
    if others is None or not _is_server_slowed(seen):
        return None
    waited = (
        "" if waited_s is None else f", whose threads waited {waited_s:.2f} s a second for a CPU"
    )
    return (
        Verdict.UNCLEAR,
        f"other programs used {others:.0%} of the cores of the server{waited}; stop them, or give "
        "the server cores of its own",
    )


def _is_server_slowed(seen: Seen) -> bool:
    """Return whether other programs on its cores made the server late."""
    around = seen.around
    if around.server_others is None or around.server_others <= MUCH_OTHERS:
        return False
    if around.server_cpu_wait is None:  # then by whether there was any core to have
        return around.machine is not None and around.machine.busy > FULL_CORES
    return around.server_cpu_wait * seen.measured_s > _harmless_wait_s(seen.latencies)


def _server_was_slowed_more(seen: Seen) -> bool:
    """Return whether they cost the server more of a request's time than the client, in the mean."""
    waited_s = seen.around.server_cpu_wait
    if waited_s is None or not _is_server_slowed(seen):
        return False
    client_ms = sum(one.mean_ms for one in (seen.reply_waits, seen.timer_lags) if one.count)
    return waited_s * seen.measured_s * MS_PER_S > client_ms * seen.latencies.count


def _harmless_wait_s(latencies: LatencyHistogram) -> float:
    """Return how long client or server may wait for a CPU, in all, without a mark on the latencies.

    How that is spread over the requests is not known: where few take longer than the others, over
    all of them.
    """
    share = OWN_SHARE
    if latencies.count >= MIN_FOR_P99:
        p50_ms, p99_ms = latencies.quantiles_ms((0.5, 0.99))
        if p99_ms - p50_ms > OWN_SHARE * p99_ms:
            share = LONG_TAIL_WAIT
    return latencies.count * max(WAKING_CPU_WAIT_MS, share * latencies.mean_ms) / MS_PER_S


def _shared_cores(seen: Seen) -> Judged | None:
    cores = seen.around.client_cores
    if cores is None or not seen.same_cores or cores.busy <= FULL_CORES:
        return None
    if seen.cpu_share <= OWN_SHARE and not _long_delays(seen):
        return None
    return (
        Verdict.UNCLEAR,
        f"client and server share cores that were {cores.busy:.0%} busy, {seen.cpu_share:.0%} by "
        "the client; run the client on another machine, or on other cores",
    )


def _delayed(seen: Seen) -> Judged | None:
    delays = _long_delays(seen, errors=-SURE)
    if not delays:
        return None
    delay, is_idle = delays[0], seen.busiest_thread < HALF_BUSY_THREAD
    if delay.ms <= (SLOW_WAKING_MS if is_idle else WAKING_MS):
        woken_late = [one for one in delays if one.ms > WAKING_SHARE * one.of_ms]
        if not woken_late:
            return None
        return (
            Verdict.UNCLEAR,
            f"{woken_late[0]}: this machine takes so long to wake a thread, which every client "
            "pays for, and the latency is that short",
        )
    if seen.busiest_thread >= OWN_SHARE or _waited_long(seen, seen.cpu_wait or 0.0):
        return Verdict.CLIENT_BOUND, f"{delay}; use more --threads or cores"
    if any(one.is_median and one.ms > SLOW_WAKING_MS for one in delays):
        return (
            Verdict.CLIENT_BOUND,
            f"{delay}; no thread was on a CPU for more than {seen.busiest_thread:.0%} of the time: "
            "see in `aibench-fast selfcheck` how late this machine wakes them",
        )
    return (
        Verdict.UNCLEAR,
        f"{delay}, though no thread was on a CPU for more than {seen.busiest_thread:.0%} of the "
        "time: this machine wakes idle threads that late, as power saving or a hypervisor does; "
        "see `aibench-fast selfcheck`",
    )


def _long_delays(seen: Seen, *, errors: float = 0.0) -> list[Delay]:
    """Return what the client adds to the latencies where that matters, the longest first."""
    long = [one for one in _delays(seen, errors) if one.ms > OWN_SHARE * one.of_ms]
    return sorted(long, key=lambda one: one.ms, reverse=True)


def _delays(seen: Seen, errors: float) -> Iterator[Delay]:
    """Starts are late in what users wait for, replies in what the server took.

    A delay counts as far as it shows in the latency: that is at most so much above the shortest
    one, less what that was delayed itself. `errors` are the standard errors by which a delay's
    quantile may be off: less than 0 for what the sample is sure of, more for what it allows.
    """
    for words, lags, latencies in (
        ("replies waited {:.3f} ms for their thread", seen.reply_waits, seen.latencies),
        ("free workers started {:.3f} ms late", seen.timer_lags, seen.responses or seen.latencies),
    ):
        for quantile, place in ((0.5, "at the median"), (0.99, "at p99")):
            if quantile > 0.5 and min(lags.count, latencies.count) < MIN_FOR_P99:
                continue
            (of_ms,) = latencies.quantiles_ms([quantile])
            (ms,) = lags.quantiles_ms([_moved(quantile, lags.count, errors)])
            shown_ms = min(ms, of_ms - latencies.min_ms + lags.min_ms)
            yield Delay(words.format(shown_ms), place, quantile == 0.5, shown_ms, of_ms)


def _moved(quantile: float, count: int, errors: float) -> float:
    """Return a quantile, moved by so many standard errors of the share of a sample below it.

    By the normal approximation of the binomial (Conover, Practical Nonparametric Statistics, 3.2).
    """
    error = math.sqrt(quantile * (1 - quantile) / max(1, count))
    return min(1.0, max(0.0, quantile + errors * error))
