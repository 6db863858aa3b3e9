"""`python -m benchmarks.verdicts`: which verdict a run gets where it is known what is true.

Each set-up makes its truth: a server whose service time is known (`known_server.c`), on a core of
its own or not, other programs on the client's core or the server's, a CPU quota on the client. The
table says for each what is true and what the runs said; the exit code is 1 unless all were right. A
run during which programs that are not of the set-up used the machine, or a hypervisor took it,
proves nothing, and is made again. It takes two cores, and root for the quotas.
"""

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aibench_fast.load.machine import CpuGroups, CpuTimes
from aibench_fast.load.verdict import MUCH_STEAL
from aibench_fast.protocols.serverprocess import ProcessReader
from aibench_fast.results.clientside import Verdict

SOURCE = Path(__file__).with_name("known_server.c")
DURATION = "4s"
MUCH_FOREIGN = 0.05
"""Of the machine's time, used by programs that are not of the set-up."""
TRIES = 10
PERIOD_US = 100_000
QUIET_S = 1.0


@dataclass(frozen=True)
class Setup:
    """A set-up, and what is true of it."""

    name: str
    truth: str
    expected: Verdict
    reason: str
    """A part of the reason that says it."""
    server: tuple[str, int, int] = ("sleep", 5000, 4)
    """The work of the server, for how many microseconds, and how many values it outputs."""
    servers: int = 1
    options: str = "--workers 4"
    client_core: int | None = 0
    """Of the two; None: either."""
    server_core: int | None = 1
    client_neighbours: int = 0
    server_neighbours: int = 0
    quota_cpus: float | None = None


WAITED = "the client waited for the server"
SETUPS = (
    Setup("idle machine, closed loop", "the server takes 5 ms", Verdict.SERVER_BOUND, WAITED),
    Setup(
        "idle machine, open loop, 200/s", "the server takes 5 ms", Verdict.SERVER_BOUND, WAITED,
        options="--workers 16 --limit-rps 200",
    ),
    Setup(
        "idle machine, open loop, 200/s, fast server", "the server works for 1 ms",
        Verdict.SERVER_BOUND, WAITED, ("work", 1000, 4), options="--workers 16 --limit-rps 200",
    ),
    Setup(
        "overloaded open loop, 800/s", "the server can do 500/s", Verdict.SERVER_BOUND, WAITED,
        ("work", 2000, 4), options="--workers 8 --limit-rps 800",
    ),
    Setup(
        "slow server", "the server takes 100 ms", Verdict.SERVER_BOUND, WAITED,
        ("sleep", 100_000, 4),
    ),
    Setup(
        "busy server", "the server works all the time, on its own core", Verdict.SERVER_BOUND,
        WAITED,
        ("work", 1000, 4),
    ),
    Setup(
        "small, fast requests", "an answer costs the client's only thread more than the server",
        Verdict.CLIENT_BOUND, "was on a CPU", ("sleep", 0, 1000), options="--workers 8 --threads 1",
    ),
    Setup(
        "three fast servers", "an answer costs the client's only thread more than the servers",
        Verdict.CLIENT_BOUND, "was on a CPU", ("sleep", 0, 5000), servers=3,
        options="--workers 6 --threads 1",
    ),
    Setup(
        "client on the server's core", "both want all of it", Verdict.UNCLEAR, "share cores",
        ("sleep", 0, 4), client_core=1,
    ),
    Setup(
        "quota of 0.2 CPUs, closed loop", "the client stands still most of the time",
        Verdict.CLIENT_BOUND, "quota of 0.2 CPUs", ("sleep", 0, 4), quota_cpus=0.2,
    ),
    Setup(
        "quota of 0.1 CPUs, open loop, 10,000/s", "the client stands still most of the time",
        Verdict.CLIENT_BOUND, "quota of 0.1 CPUs", ("sleep", 0, 4), quota_cpus=0.1,
        options="--workers 16 --limit-rps 10000",
    ),
    Setup(
        "quota of 0.5 CPUs that is not used up", "the server takes 20 ms",
        Verdict.SERVER_BOUND, WAITED, ("sleep", 20_000, 4), quota_cpus=0.5,
    ),
    Setup(
        "a neighbour on the client's core", "the client waits for its core, the server does not",
        Verdict.CLIENT_BOUND, "of the client's cores", client_neighbours=1,
    ),
    Setup(
        "two neighbours on the client's core", "the client waits for its core, the server does not",
        Verdict.CLIENT_BOUND, "of the client's cores", client_neighbours=2,
    ),
    Setup(
        "the same, open loop, 200/s, Poisson", "the client waits for its core, the server does not",
        Verdict.CLIENT_BOUND, "of the client's cores", client_neighbours=2,
        options="--workers 16 --limit-rps 200 --arrivals poisson",
    ),
    Setup(
        "a neighbour on the server's core", "the server waits for its core, the client does not",
        Verdict.UNCLEAR, "of the cores of the server", ("work", 1000, 4), server_neighbours=1,
    ),
    Setup(
        "two neighbours on the server's core", "the server waits for its core, the client does not",
        Verdict.UNCLEAR, "of the cores of the server", ("work", 1000, 4), server_neighbours=2,
    ),
    Setup(
        "other programs on all cores", "they have most of the machine", Verdict.UNCLEAR,
        "other programs used", ("work", 20_000, 4), client_core=None, server_core=None,
        client_neighbours=1, server_neighbours=1, options="--workers 2",
    ),
)  # fmt: skip


WOKEN_LATE = "this machine wakes idle threads that late"


@dataclass(frozen=True)
class Outcome:
    """The verdict and the figures of one run."""

    verdict: Verdict
    reason: str
    client_p99_ms: float | None
    """None where too few requests were measured."""
    server_p99_ms: float
    foreign: float
    """The share of the machine's time that other programs than the set-up's used."""
    steal: float

    @property
    def is_disturbed(self) -> bool:
        """Whether what was set up is not what there was."""
        return self.foreign > MUCH_FOREIGN or self.steal > MUCH_STEAL

    @property
    def told_p99(self) -> str:
        """The 99th percentiles by the client and by the server."""
        client = "not known" if self.client_p99_ms is None else f"{self.client_p99_ms:.1f}"
        return f"{client} / {self.server_p99_ms:.1f}"


class Missing(Exception):
    """A set-up needs something that is not there."""


def main() -> int:
    """Run the set-ups in turn, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts", description=__doc__)
    parser.add_argument("--times", type=int, default=3, metavar="N", help="(default: 3)")
    parser.add_argument(
        "--only", nargs="+", metavar="WORDS", help="only set-ups whose name has one of these in it"
    )
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        parser.error("it takes two cores, one for the client and one for the server")
    chosen = [
        one
        for one in SETUPS
        if not options.only or any(words in one.name for words in options.only)
    ]
    print("| set-up | what is true | verdicts | p99 by the client, by the server, ms | right |")
    print("| --- | --- | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory(prefix="aibench-verdicts-") as folder:
        program = Path(folder) / "known_server"
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-O2", "-o", program, SOURCE, "-pthread"], check=True)
        all_right = True
        for setup in chosen:
            row, is_right = tried(setup, options.times, program, cores)
            print(row, flush=True)
            all_right = all_right and is_right
    print("\nSteal is left out: a machine cannot take time away from itself.")
    return 0 if all_right else 1


def tried(setup: Setup, times: int, program: Path, cores: Sequence[int]) -> tuple[str, bool]:
    """The set-up's line of the table, and whether every verdict was right."""
    outcomes: list[Outcome] = []
    disturbed = 0
    while len(outcomes) < times and disturbed < TRIES:
        try:
            outcome = run_once(setup, program, cores)
        except Missing as missing:
            return f"| {setup.name} | {setup.truth} | left out: {missing} | | |", True
        note(setup, outcome)
        if outcome.is_disturbed:
            disturbed += 1
            time.sleep(QUIET_S)
        else:
            outcomes.append(outcome)
    right = sum(is_right(setup, one) for one in outcomes)
    told = ", ".join(dict.fromkeys(f"`{one.verdict}`" for one in outcomes)) or "none"
    if len(outcomes) < times:
        told += f"; {disturbed} runs were disturbed by other programs"
    p99 = ", ".join(one.told_p99 for one in outcomes)
    row = f"| {setup.name} | {setup.truth} | {told} | {p99} | {right} of {times} |"
    return row, right == times


def is_right(setup: Setup, outcome: Outcome) -> bool:
    """Whether the verdict and its reason are true.

    A machine that wakes idle threads late adds to what an idle client measures: that the figures
    are not the server's alone is then true where they are a tenth above the server's own.
    """
    if setup.expected is Verdict.SERVER_BOUND and WOKEN_LATE in outcome.reason:
        measured_ms = outcome.client_p99_ms or 0.0
        return outcome.verdict is Verdict.UNCLEAR and measured_ms > 1.1 * outcome.server_p99_ms
    return outcome.verdict is setup.expected and setup.reason in outcome.reason


def note(setup: Setup, outcome: Outcome) -> None:
    """Say on stderr what a run said."""
    of_it = "right" if is_right(setup, outcome) else "WRONG"
    if outcome.is_disturbed:
        of_it = f"disturbed ({outcome.foreign:.0%} foreign, {outcome.steal:.1%} steal)"
    print(f"{setup.name}: {of_it}: {outcome.verdict}: {outcome.reason}", file=sys.stderr)


def run_once(setup: Setup, program: Path, cores: Sequence[int]) -> Outcome:
    """One run of the set-up."""
    client_cores, server_cores = (
        cores if core is None else [cores[core]] for core in (setup.client_core, setup.server_core)
    )
    neighbours = [cores[0]] * setup.client_neighbours + [cores[1]] * setup.server_neighbours
    result_file = program.with_name("result.json")
    with ExitStack() as stack:
        enter = nothing
        if setup.quota_cpus is not None:
            enter = stack.enter_context(limited_group(setup.quota_cpus))
        servers = [
            stack.enter_context(known_server(program, setup.server, server_cores))
            for _ in range(setup.servers)
        ]
        busy = [stack.enter_context(busy_loop(core)) for core in neighbours]
        urls = " ".join(f"--url http://127.0.0.1:{one.port}" for one in servers)
        command = (
            f"{sys.executable} -m aibench_fast run {urls} --encoding json --model m --shape 8 "
            f"{setup.options} --burn-in 0.5s --duration {DURATION} --quiet --json-out-file "
            f"{result_file}"
        )
        pids = [one.process.pid for one in servers] + [one.pid for one in busy]
        before, used_s = CpuTimes.read(), [*map(cpu_s, pids)]
        client = start(command.split(), client_cores, enter)
        client_s = wait_for(client)
        after = CpuTimes.read()
        used_s = [cpu_s(pid) - earlier for pid, earlier in zip(pids, used_s, strict=True)]
        p99_ms = max(one.end() for one in servers)
    assert before is not None
    assert after is not None
    foreign_s = after.used_s - before.used_s - client_s - sum(used_s)
    return outcome_of(
        json.loads(result_file.read_text()), p99_ms, foreign_s / (after.total_s - before.total_s)
    )


def outcome_of(result: dict[str, Any], server_p99_ms: float, foreign: float) -> Outcome:
    """Return the outcome that a saved result holds."""
    check = result["ClientCheck"]
    return Outcome(
        verdict=Verdict(check["Verdict"]),
        reason=check["Reason"],
        client_p99_ms=result["OverallQuantiles"]["AllQueries"]["q99"],
        server_p99_ms=server_p99_ms,
        foreign=foreign,
        steal=check["Steal"],
    )


def nothing() -> None:
    """Do nothing in the child before its program starts."""


def start(
    command: Sequence[object], cores: Sequence[int], enter: Callable[[], None] = nothing
) -> "subprocess.Popen[str]":
    """Start a program on these cores; `enter` is called in it first."""

    def prepare() -> None:
        os.sched_setaffinity(0, cores)
        enter()

    return subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=prepare,
    )  # fmt: skip


def wait_for(client: "subprocess.Popen[str]") -> float:
    """Wait for the client; return its CPU seconds."""
    assert client.stdout is not None
    said = client.stdout.read()
    _, status, usage = os.wait4(client.pid, 0)
    client.returncode = os.waitstatus_to_exitcode(status)
    if client.returncode not in (0, 1):  # 1: requests of an overloaded schedule were not sent
        raise RuntimeError(f"exit code {client.returncode}: {said}")
    return usage.ru_utime + usage.ru_stime


def cpu_s(pid: int) -> float:
    """The CPU time that a process used so far."""
    return sum(ProcessReader(pid).read().counters.values())


@dataclass(frozen=True)
class KnownServer:
    """A server that runs."""

    process: "subprocess.Popen[str]"
    port: int

    def end(self) -> float:
        """End it; return the 99th percentile of its own record, in milliseconds."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.stdout is not None
        return float(self.process.stdout.read().split()[2])


@contextmanager
def known_server(
    program: Path, does: tuple[str, int, int], cores: Sequence[int]
) -> Iterator[KnownServer]:
    """A server that does this."""
    process = start([program, *does], cores)
    try:
        assert process.stdout is not None
        yield KnownServer(process, int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


@contextmanager
def busy_loop(core: int) -> Iterator["subprocess.Popen[str]"]:
    """A program that wants all of a core."""
    process = start([sys.executable, "-c", "while True: pass"], [core])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def limited_group(cpus: float) -> Iterator[Callable[[], None]]:
    """A control group below our own with such a quota; what is yielded puts a process into it."""
    own = CpuGroups().folders
    if not own:
        raise Missing("there are no control groups with a CPU controller here")
    group = own[0] / f"aibench-verdicts-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        raise Missing(f"no control group can be made: {error.strerror}") from error
    try:
        quota_us = round(cpus * PERIOD_US)
        limits = (("cpu.cfs_quota_us", f"{quota_us}"), ("cpu.max", f"{quota_us} {PERIOD_US}"))
        for name, limit in limits:
            with contextlib.suppress(OSError):
                (group / name).write_text(limit)
        groups = CpuGroups()
        groups.folders = [group]
        if groups.read().cpus is None:
            raise Missing("control groups have no CPU controller here")

        def enter() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        yield enter
    finally:
        group.rmdir()


if __name__ == "__main__":
    sys.exit(main())
