"""A self-check: what this machine and this client can do, before any server is measured."""

import dataclasses
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aibench_fast import _core
from aibench_fast.load.config import RunConfig, available_cores, available_cpus
from aibench_fast.load.machine import CpuGroups, host_facts
from aibench_fast.load.readings import histogram
from aibench_fast.load.resolve import resolve
from aibench_fast.load.runner import OTHER_FILES, run
from aibench_fast.load.verdict import MUCH_STEAL
from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.results.clientside import BUSY_THREAD
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import Result
from aibench_fast.server import EmbeddedServer

MODEL = "null"
BURN_IN_S = 0.5
CEILING_S = 3.0
SCHEDULED_S = 2.0
STEPS = 3
"""How often `check_client` reports progress."""

CLOCK_READINGS = 1_000_000
SLOW_CLOCK_NS = 200.0
"""Slower readings have to enter the kernel."""
TIMER_RPS = 1000
TIMER_WAITS = 2000
WAITS_AT_A_TIME = 100
"""Signals are handled between them."""
LATE_TIMER_MS = 0.1
NS_PER_S = 1_000_000_000
GOVERNOR = "performance"
NO_LIMIT_FILES = 1 << 30
_SOCKET_LIMITS = (
    "net.core.somaxconn", "net.ipv4.tcp_wmem", "net.ipv4.tcp_rmem", "net.ipv4.ip_local_port_range",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """Properties of the machine, found without a request."""

    facts: dict[str, Any]
    clock_cost_ns: float
    """Of one reading; a request needs two."""
    timer_errors: LatencyHistogram
    """How late a waiting thread woke, TIMER_RPS times per second."""
    open_files: int
    """The limit of the process."""
    cpu_quota: float | None
    """How many CPUs the tightest quota of its control groups allows; None without one."""
    socket_limits: dict[str, tuple[int, ...]]
    """By sysctl's names; those that can be read."""


@dataclass(frozen=True)
class SelfCheck:
    """The findings of a self-check."""

    machine: Machine
    config: RunConfig
    ceiling: Result
    """Of a closed loop, against a model that does nothing unless a server was given."""
    scheduled: Result
    """Of TIMER_RPS requests per second against the same model."""

    def advice(self) -> list[str]:
        """Return what to change before a measurement like this one."""
        return list(advice(self.machine, self.config, self.ceiling))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; times are in milliseconds unless the name says ns."""
        machine, config, ceiling = self.machine, self.config, self.ceiling
        client_ns = ceiling.client.cpu_s * NS_PER_S / ceiling.requests if ceiling.requests else None
        return {
            "SelfCheck": {
                "Facts": machine.facts,
                "ClockCostNs": machine.clock_cost_ns,
                "TimerError": _quantiles(machine.timer_errors),
                "StartError": _quantiles(self.scheduled.client.timer_lags),
                "OpenFiles": machine.open_files,
                "CpuQuota": machine.cpu_quota,
                "SocketLimits": {name: [*values] for name, values in machine.socket_limits.items()},
                "Ceiling": {
                    "RequestsPerSecond": ceiling.requests_per_s,
                    "Quantiles": _quantiles(ceiling.latencies),
                    "ClientCpuNsPerRequest": client_ns,
                    "BusiestThread": ceiling.client.busiest_thread,
                    "Workers": config.workers,
                    "Threads": config.io_threads,
                    "BatchSize": config.batch_size,
                    "Shape": [*config.shape],
                    "Dtype": config.dtype,
                },
                "Advice": self.advice(),
            }
        }


def check_client(
    config: RunConfig, advance: Callable[[], None], *, embedded: bool = True
) -> SelfCheck:
    """Measure the machine, and the client against a server, in about 8 seconds.

    `config` says what a request is and how many are under way; `advance` is called after each of
    STEPS steps. The server is an `embedded` one whose model does nothing, or the config's own.
    ConfigError if the embedded server is not installed; ServerError if the config's is not there;
    KeyboardInterrupt if a run was ended.
    """
    machine = look_at_machine()
    advance()
    with _embedded(config) if embedded else nullcontext(resolve(config)) as config:
        config = dataclasses.replace(config, burn_in_s=BURN_IN_S, duration_s=CEILING_S)
        ceiling = _whole(run(config))
        advance()
        by_schedule = dataclasses.replace(
            config, pipeline=1, limit_rps=TIMER_RPS, duration_s=SCHEDULED_S
        )
        scheduled = _whole(run(by_schedule))
        advance()
    return SelfCheck(machine, config, ceiling, scheduled)


@contextmanager
def _embedded(config: RunConfig) -> Iterator[RunConfig]:
    """Yield the config with an embedded server's address, and its model that does nothing."""
    with EmbeddedServer() as server:
        with Connection(server.address) as connection:
            load_model(connection, ModelSpec(name=MODEL, backend=Backend.NULL))
        yield dataclasses.replace(config, model=MODEL, address=server.address)


def _whole(result: Result) -> Result:
    """Return the result of a run; KeyboardInterrupt if it was ended before its time."""
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def look_at_machine() -> Machine:
    """Measure clock and timer, in about TIMER_WAITS / TIMER_RPS seconds, and read the limits."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Machine(
        facts=host_facts(),
        clock_cost_ns=_core.clock_cost_ns(CLOCK_READINGS),
        timer_errors=LatencyHistogram.merged(
            histogram(_core.timer_errors(WAITS_AT_A_TIME, NS_PER_S // TIMER_RPS))
            for _ in range(TIMER_WAITS // WAITS_AT_A_TIME)
        ),
        open_files=NO_LIMIT_FILES if hard == resource.RLIM_INFINITY else hard,
        cpu_quota=CpuGroups().read().cpus,
        socket_limits={
            name: tuple(int(word) for word in file.read_text().split())
            for name in _SOCKET_LIMITS
            if (file := Path("/proc/sys", *name.split("."))).exists()
        },
    )


def advice(machine: Machine, config: RunConfig, ceiling: Result) -> Iterator[str]:
    """Yield what to change before such a measurement; `ceiling` is a closed loop's result."""
    if not _core.IS_OPTIMISED:
        yield "this client was compiled without optimisation: build it again"
    governor = machine.facts.get("Governor")
    if governor not in (None, GOVERNOR):
        yield f"the cores' governor is {governor}: set it to {GOVERNOR}, or rates will vary"
    if machine.clock_cost_ns > SLOW_CLOCK_NS:
        yield (
            f"the clock costs {machine.clock_cost_ns:.0f} ns per reading, as if it enters the "
            "kernel: set it to tsc (/sys/devices/system/clocksource)"
        )
    (late_ms,) = machine.timer_errors.quantiles_ms([0.99])
    if late_ms > LATE_TIMER_MS:
        yield (
            f"timers fire {late_ms:.3f} ms late at p99, which delays requests of a schedule; "
            "keep other programs off the cores, and disable power saving"
        )
    if machine.cpu_quota is not None and machine.cpu_quota < available_cores():
        yield (
            f"the control group has a quota of {machine.cpu_quota:g} CPUs on {available_cores()} "
            "cores: once it is used up, the client stops for up to a tenth of a second; raise the "
            "quota (docker --cpus, Kubernetes' limits.cpu)"
        )
    if machine.open_files < config.workers + OTHER_FILES:
        yield (
            f"the limit of open files is {machine.open_files}, {config.workers} workers need "
            f"{config.workers + OTHER_FILES}: raise ulimit -n"
        )
    yield from _socket_advice(machine.socket_limits, config)
    if ceiling.client.check.steal is not None and ceiling.client.check.steal > MUCH_STEAL:
        yield (
            f"the hypervisor gave {ceiling.client.check.steal:.1%} of the cores' time to others: "
            "use a dedicated machine"
        )
    if ceiling.client.busiest_thread > BUSY_THREAD and config.io_threads < min(
        config.workers, available_cpus(machine.cpu_quota)
    ):
        yield (
            f"the busiest I/O thread was on a CPU {ceiling.client.busiest_thread:.0%} of the time, "
            f"and there are more cores: use more than {config.io_threads} --threads"
        )


def _socket_advice(limits: dict[str, tuple[int, ...]], config: RunConfig) -> Iterator[str]:
    (somaxconn,) = limits.get("net.core.somaxconn", (config.workers,))
    if somaxconn < config.workers:
        yield (
            f"net.core.somaxconn is {somaxconn}: with the same limit on the server, "
            f"{config.workers} workers may wait for their connections"
        )
    first, last = limits.get("net.ipv4.ip_local_port_range", (1, 65535))
    if last - first < config.workers:
        yield (
            f"net.ipv4.ip_local_port_range has {last - first + 1} ports for {config.workers} "
            "connections: widen it"
        )
    request_bytes = config.tensor_bytes * config.batch_size
    *_, send_bytes = limits.get("net.ipv4.tcp_wmem", (request_bytes,))
    if send_bytes < request_bytes:
        yield (
            f"net.ipv4.tcp_wmem allows {send_bytes:,} bytes, a request has {request_bytes:,}: the "
            "kernel sends it in pieces, each a round trip on a distant network; raise it"
        )


def _quantiles(latencies: LatencyHistogram) -> dict[str, float]:
    q50, q99 = latencies.quantiles_ms((0.5, 0.99))
    return {"q50": q50, "q99": q99, "q100": latencies.max_ms}
