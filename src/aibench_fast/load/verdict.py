"""Whether a run's figures are the server's or the client's own, and why."""

from aibench_fast.load.machine import CpuShares
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import BUSY_THREAD, ClientCheck, Verdict

HALF_BUSY_THREAD = 0.7
"""Above it a thread has less than a third of its time to spare for bursts."""
OWN_SHARE = 0.1
"""Of the service latency: what the client adds above it is no detail any more."""
WAKING_MS = 0.05
"""The kernel takes that long to wake a thread: more threads or cores do not change it."""
MUCH_STEAL = 0.02
FULL_CORES = 0.95


def check_client(
    *,
    latencies: LatencyHistogram,
    timer_lags: LatencyHistogram,
    reply_waits: LatencyHistogram,
    busiest_thread: float,
    cpu_share: float,
    machine: CpuShares | None,
    same_machine: bool,
) -> ClientCheck:
    """Judge a run by what its client did in the measured time.

    `latencies` are service latencies; `cpu_share` is what the I/O threads used of the cores
    that they may use, 0 to 1; `machine` is None where the system does not tell.
    """
    verdict, reason = _judged(
        latencies, timer_lags, reply_waits, busiest_thread, cpu_share, machine, same_machine
    )
    return ClientCheck(
        verdict=verdict,
        reason=reason,
        cpu_share=cpu_share,
        machine_busy=machine and machine.busy,
        steal=machine and machine.steal,
    )


def _judged(
    latencies: LatencyHistogram,
    timer_lags: LatencyHistogram,
    reply_waits: LatencyHistogram,
    busiest_thread: float,
    cpu_share: float,
    machine: CpuShares | None,
    same_machine: bool,
) -> tuple[Verdict, str]:
    if latencies.count == 0:
        return Verdict.UNCLEAR, "no request was answered"
    if busiest_thread > BUSY_THREAD:
        return (
            Verdict.CLIENT_BOUND,
            f"an I/O thread was on a CPU {busiest_thread:.0%} of the measured time; use more "
            "--threads or cores",
        )
    if machine and machine.steal > MUCH_STEAL:
        return (
            Verdict.UNCLEAR,
            f"the hypervisor gave {machine.steal:.1%} of the cores' time to others; use a machine "
            "of its own",
        )
    if machine and same_machine and machine.busy > FULL_CORES and cpu_share > OWN_SHARE:
        return (
            Verdict.UNCLEAR,
            f"client and server share cores that were {machine.busy:.0%} busy, {cpu_share:.0%} "
            "by the client; run the client on another machine",
        )
    (service_ms,) = latencies.quantiles_ms([0.5])
    # The longest decides: one that is only the waking of a thread does not excuse the other.
    lag_ms, words = max(
        (lags.quantiles_ms([0.5])[0], words)
        for words, lags in (
            ("replies waited {:.3f} ms for their thread", reply_waits),
            ("free workers started {:.3f} ms late", timer_lags),
        )
    )
    if lag_ms > OWN_SHARE * service_ms:
        late = f"{words.format(lag_ms)} at the median, more than {OWN_SHARE:.0%} of"
        if lag_ms <= WAKING_MS:
            return (
                Verdict.UNCLEAR,
                f"{late} so short a service latency; that is what waking a thread takes, and every "
                "client pays it",
            )
        advice = "use more --threads or cores"
        if busiest_thread < OWN_SHARE:
            advice = (
                f"no thread was on a CPU for more than {busiest_thread:.0%} of the time: see in "
                "`aibench-fast selfcheck` how late this machine wakes them"
            )
        return Verdict.CLIENT_BOUND, f"{late} the service latency; {advice}"
    if busiest_thread > HALF_BUSY_THREAD:
        return (
            Verdict.UNCLEAR,
            f"an I/O thread was on a CPU {busiest_thread:.0%} of the measured time; see whether "
            "more --threads or cores change the figures",
        )
    return (
        Verdict.SERVER_BOUND,
        f"no I/O thread was on a CPU for more than {busiest_thread:.0%} of the measured time: the "
        "client waited for the server",
    )
