"""Whose the figures are: the verdict of a run, a steady burn-in, and `selfcheck`."""

import asyncio
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from commandline import Cli
from fake_redisai import OK, FakeRedisAI
from resultfiles import changed, latencies
from smallruns import against, config_of

from aibench_fast import ConfigError, RunConfig, run
from aibench_fast._core import timer_errors
from aibench_fast.load.config import available_cores
from aibench_fast.load.machine import CpuShares, CpuTimes, QuotaUse
from aibench_fast.load.steady import FIRST_WINDOW_S, MAX_WINDOWS, SteadyState, Window
from aibench_fast.load.surroundings import Shares
from aibench_fast.load.verdict import MUCH_OTHERS, MUCH_STEAL, Seen, check_client
from aibench_fast.results.clientside import ClientCheck, Verdict
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.studies import selfcheck
from aibench_fast.studies.selfcheck import Machine, advice

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


IDLE = CpuShares(busy=0.6, steal=0.0)
FULL = CpuShares(busy=1.0, steal=0.0)
FAST = latencies(*[0.1] * 100)


def checked(around: Shares | None = None, **changes: object) -> ClientCheck:
    usual = {
        "latencies": latencies(*[10.0] * 100),
        "timer_lags": latencies(*[0.03] * 100),
        "reply_waits": latencies(*[0.02] * 100),
        "busiest_thread": 0.2,
        "cpu_share": 0.1,
        "measured_s": 1.0,
        "same_cores": False,
        "around": around or Shares(machine=IDLE, client_cores=IDLE),
    }
    return check_client(Seen(**(usual | changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Verdict.SERVER_BOUND),
        ({"around": Shares()}, Verdict.SERVER_BOUND),
        ({"busiest_thread": 0.95}, Verdict.CLIENT_BOUND),
        ({"busiest_thread": 0.8}, Verdict.UNCLEAR),
        ({"reply_waits": latencies(*[2.0] * 100)}, Verdict.CLIENT_BOUND),
        ({"timer_lags": latencies(*[2.0] * 100)}, Verdict.CLIENT_BOUND),
        ({"latencies": latencies(*[0.1] * 100)}, Verdict.UNCLEAR),
        ({"around": Shares(machine=CpuShares(busy=0.6, steal=0.05))}, Verdict.UNCLEAR),
        ({"around": Shares(client_cores=FULL), "same_cores": True}, Verdict.SERVER_BOUND),
        (
            {"around": Shares(client_cores=FULL), "same_cores": True, "cpu_share": 0.4},
            Verdict.UNCLEAR,
        ),
        ({"latencies": latencies()}, Verdict.UNCLEAR),
    ],
)
def test_the_verdict_follows_from_what_the_client_did(
    changes: dict[str, object], expected: Verdict
) -> None:
    assert checked(**changes).verdict is expected


def test_the_longest_of_what_the_client_adds_decides() -> None:
    short = latencies(*[0.04] * 100)
    found = checked(latencies=latencies(*[0.3] * 100), reply_waits=short, timer_lags=latencies(2.0))
    assert found.verdict is Verdict.CLIENT_BOUND
    assert found.reason.startswith("free workers started 2.000 ms late")


@pytest.mark.parametrize("late", ["timer_lags", "reply_waits"])
def test_few_late_wakings_of_an_idle_client_are_the_machines(late: str) -> None:
    """As of an idle virtual machine: one reply in twenty is late, and nothing of ours ran then."""
    waits = [0.1] * 95 + [3.0] * 5
    lags = {late: latencies(*waits), "latencies": latencies(*(7 + ms for ms in waits))}
    idle = checked(**lags, busiest_thread=0.02, cpu_wait=0.0)
    assert idle.verdict is Verdict.UNCLEAR
    assert "this machine wakes idle threads that late" in idle.reason
    waited = checked(**lags, busiest_thread=0.02, cpu_wait=0.5)
    assert waited.verdict is Verdict.CLIENT_BOUND
    busy = checked(**lags, busiest_thread=0.2, cpu_wait=0.0)
    assert busy.verdict is Verdict.CLIENT_BOUND


@pytest.mark.parametrize("late", ["timer_lags", "reply_waits"])
def test_late_wakings_that_the_latencies_do_not_show_are_in_no_verdict(late: str) -> None:
    """One value in a hundred of a small sample, or delays that no latency is long enough for."""
    waits = [0.1] * 98 + [3.0] * 2
    rare = {late: latencies(*waits), "latencies": latencies(*(7 + ms for ms in waits))}
    assert checked(**rare, busiest_thread=0.02, cpu_wait=0.0).verdict is Verdict.SERVER_BOUND
    hidden = {late: latencies(*[0.1] * 95, *[3.0] * 5)}  # all latencies are of 10 ms
    assert checked(**hidden, busiest_thread=0.02, cpu_wait=0.0).verdict is Verdict.SERVER_BOUND


@pytest.mark.parametrize("late", ["timer_lags", "reply_waits"])
def test_an_idle_thread_is_not_helped_by_more_threads(late: str) -> None:
    lags = latencies(*[2.0] * 100)
    assert "use more --threads" in checked(**{late: lags}).reason
    idle = checked(**{late: lags}, busiest_thread=0.02)
    assert idle.verdict is Verdict.CLIENT_BOUND
    assert "use more" not in idle.reason
    assert "no thread was on a CPU for more than 2% of the time" in idle.reason


def quota(throttled: float, cpus: float = 0.2) -> QuotaUse:
    return QuotaUse(cpus=cpus, throttled=throttled, throttled_cpus=cpus, folder=Path("/group"))


def test_a_used_up_quota_is_the_clients_limit_whatever_else_is_true() -> None:
    found = checked(Shares(machine=CpuShares(1.0, 0.2), quota=quota(0.98)), busiest_thread=0.05)
    assert found.verdict is Verdict.CLIENT_BOUND
    assert "CPU quota of 0.2 CPUs" in found.reason
    assert "98% of its periods" in found.reason
    assert (found.cpu_quota, found.throttled) == (0.2, 0.98)


@pytest.mark.parametrize(
    ("throttled", "expected"), [(0.01, Verdict.SERVER_BOUND), (0.011, Verdict.CLIENT_BOUND)]
)
def test_a_quota_matters_once_it_reaches_p99(throttled: float, expected: Verdict) -> None:
    assert checked(Shares(quota=quota(throttled))).verdict is expected


def test_a_quota_that_client_and_server_share_limits_both() -> None:
    found = checked(Shares(quota=quota(0.9), quota_is_shared=True))
    assert found.verdict is Verdict.UNCLEAR
    assert "share a control group" in found.reason


NEIGHBOUR = Shares(machine=IDLE, client_cores=FULL, others=0.5, server_others=0.0)
SOME_LATE = [0.02] * 97 + [4.0] * 3
"""Milliseconds: the 99th percentile is long, the median is not."""


@pytest.mark.parametrize("late", ["timer_lags", "reply_waits"])
def test_a_neighbour_that_delays_one_request_in_a_hundred_is_named(late: str) -> None:
    delayed = {late: latencies(*SOME_LATE), "latencies": latencies(*(6 + ms for ms in SOME_LATE))}
    found = checked(NEIGHBOUR, busiest_thread=0.02, cpu_wait=0.03, **delayed)
    assert found.verdict is Verdict.CLIENT_BOUND
    assert "4.00" in found.reason and "at p99, 40% of the latency" in found.reason
    assert "waited for a CPU 3.0% of the time" in found.reason
    assert "other programs used 50% of the client's cores" in found.reason
    assert "--threads" not in found.reason


def test_one_late_reply_of_a_small_sample_is_not_chance_beside_a_neighbour() -> None:
    """Of 380 sampled replies one was late: two in a hundred of all may have been."""
    sampled = {
        "reply_waits": latencies(*[0.02] * 379, 3.0),
        "latencies": latencies(*[5.2] * 2940, *[8.2] * 60),
    }
    found = checked(NEIGHBOUR, busiest_thread=0.02, cpu_wait=0.01, **sampled)
    assert found.verdict is Verdict.CLIENT_BOUND
    assert "at p99" in found.reason
    alone = checked(Shares(client_cores=IDLE, others=0.0), busiest_thread=0.02, **sampled)
    assert alone.verdict is Verdict.SERVER_BOUND
    large = {**sampled, "reply_waits": latencies(*[0.02] * 7999, 3.0)}
    found = checked(NEIGHBOUR, busiest_thread=0.02, cpu_wait=0.01, **large)
    assert found.verdict is Verdict.SERVER_BOUND


def test_a_neighbour_that_delays_nothing_is_not_the_limit() -> None:
    assert checked(NEIGHBOUR, cpu_wait=0.03).verdict is Verdict.SERVER_BOUND


def test_a_thread_that_waits_for_a_cpu_is_held_back_though_no_reply_says_so() -> None:
    many = {"latencies": latencies(*[0.5] * 20_000)}  # to wake a thread for each takes 0.4 s
    assert checked(NEIGHBOUR, cpu_wait=0.25, **many).verdict is Verdict.SERVER_BOUND
    found = checked(NEIGHBOUR, cpu_wait=0.26, **many)
    assert found.verdict is Verdict.CLIENT_BOUND
    assert found.reason.startswith("an I/O thread waited for a CPU 26.0% of the time")
    alone = checked(Shares(client_cores=IDLE, others=MUCH_OTHERS), cpu_wait=0.26, **many)
    assert alone.verdict is Verdict.SERVER_BOUND


def test_few_stamped_replies_do_not_hide_that_a_thread_waited() -> None:
    few = {"reply_waits": latencies(*[0.02] * 50), "timer_lags": latencies()}
    with_tail = {"latencies": latencies(*[9.0] * 97, *[42.0] * 3), **few}
    assert checked(NEIGHBOUR, cpu_wait=0.004, **with_tail).verdict is Verdict.SERVER_BOUND
    assert checked(NEIGHBOUR, cpu_wait=0.006, **with_tail).verdict is Verdict.CLIENT_BOUND
    assert checked(NEIGHBOUR, cpu_wait=0.006, **few).verdict is Verdict.SERVER_BOUND
    assert checked(NEIGHBOUR, cpu_wait=0.11, **few).verdict is Verdict.CLIENT_BOUND


def test_a_99th_percentile_of_a_few_is_not_judged() -> None:
    few = latencies(*[0.02] * 50, 4.0)
    assert checked(NEIGHBOUR, reply_waits=few).verdict is Verdict.SERVER_BOUND


def test_late_starts_are_judged_by_the_latency_that_they_are_in() -> None:
    late = latencies(*[0.083] * 100)
    scheduled = {"latencies": latencies(*[0.4] * 100), "responses": latencies(*[0.48] * 100)}
    idle = checked(timer_lags=late, busiest_thread=0.02, **scheduled)
    assert idle.verdict is Verdict.SERVER_BOUND
    overloaded = {"latencies": latencies(*[5.0] * 100), "responses": latencies(*[900.0] * 100)}
    waited = checked(timer_lags=latencies(*[60.0] * 100), **overloaded)
    assert waited.verdict is Verdict.SERVER_BOUND


@pytest.mark.parametrize(
    ("lag_ms", "busiest", "expected"),
    [
        (0.02, 0.02, Verdict.SERVER_BOUND),
        (0.03, 0.02, Verdict.UNCLEAR),
        (0.4, 0.02, Verdict.UNCLEAR),
        (0.4, 0.75, Verdict.CLIENT_BOUND),
        (0.6, 0.02, Verdict.CLIENT_BOUND),
    ],
)
def test_waking_an_idle_thread_is_not_the_clients_limit(
    lag_ms: float, busiest: float, expected: Verdict
) -> None:
    lags = latencies(*[lag_ms] * 100)
    found = checked(
        latencies=FAST, timer_lags=latencies(), reply_waits=lags, busiest_thread=busiest
    )
    assert found.verdict is expected
    assert ("takes so long to wake a thread" in found.reason) == (expected is Verdict.UNCLEAR)


def test_programs_that_take_the_servers_cores_make_the_figures_unclear() -> None:
    # Of 100 requests that take 1 s in all, a few much of it, its threads waited 0.6 %, or 0.4 %.
    with_tail = latencies(*[9.0] * 97, *[42.0] * 3)
    taken = Shares(machine=FULL, client_cores=FULL, others=0.6, server_others=0.6)
    found = checked(taken._replace(server_cpu_wait=0.006), cpu_wait=0.01, latencies=with_tail)
    assert found.verdict is Verdict.UNCLEAR
    assert found.reason.startswith(
        "other programs used 60% of the cores of the server, whose threads"
    )
    assert (found.others, found.server_others, found.server_cpu_wait) == (0.6, 0.6, 0.006)
    little = taken._replace(server_cpu_wait=0.004)
    assert checked(little, latencies=with_tail).verdict is Verdict.SERVER_BOUND
    # Where no request takes longer than the others, each waited a little.
    assert checked(taken._replace(server_cpu_wait=0.09)).verdict is Verdict.SERVER_BOUND
    assert checked(taken._replace(server_cpu_wait=0.11)).verdict is Verdict.UNCLEAR
    few = latencies(*[10.0] * 50)
    half = taken._replace(server_cpu_wait=0.06)
    assert checked(half, latencies=few).verdict is Verdict.UNCLEAR
    alone = taken._replace(server_others=MUCH_OTHERS, server_cpu_wait=0.9)
    assert checked(alone).verdict is Verdict.SERVER_BOUND


def test_of_a_machine_that_others_took_the_side_that_they_cost_more_is_named() -> None:
    # Of 100 requests, three of which are late, the client waited 0.14 ms each, in the mean.
    taken = Shares(machine=FULL, client_cores=FULL, others=0.7, server_others=0.7)
    late = {"reply_waits": latencies(*SOME_LATE), "timer_lags": latencies(), "cpu_wait": 0.02}
    served = {**late, "latencies": latencies(*[9.0] * 97, *[39.0] * 3)}
    server = checked(taken._replace(server_cpu_wait=0.016), **served)
    assert server.verdict is Verdict.UNCLEAR
    client = checked(taken._replace(server_cpu_wait=0.012), **served)
    assert client.verdict is Verdict.CLIENT_BOUND
    assert "of the client's cores" in client.reason


def test_where_no_waiting_is_counted_full_cores_tell_of_it() -> None:
    taken = Shares(machine=FULL, server_others=0.6)
    assert checked(taken).verdict is Verdict.UNCLEAR
    assert checked(taken._replace(machine=IDLE)).verdict is Verdict.SERVER_BOUND


def test_a_client_that_waits_for_the_server_to_leave_its_core_is_not_told_to_use_threads() -> None:
    shared = Shares(machine=IDLE, client_cores=FULL, others=0.0)
    found = checked(shared, same_cores=True, cpu_share=0.05, reply_waits=latencies(*[3.0] * 100))
    assert found.verdict is Verdict.UNCLEAR
    assert "share cores that were 100% busy" in found.reason


def test_the_shares_of_the_cores_are_of_the_time_between_two_readings() -> None:
    earlier = CpuTimes(total=1000, idle=500, steal=10)
    assert CpuTimes(1200, 550, 20).since(earlier) == CpuShares(busy=0.75, steal=0.05)
    assert CpuTimes(1200, 550, 20).used_s - earlier.used_s == pytest.approx(140 / TICKS_PER_S)
    assert earlier.since(earlier) is None
    now = CpuTimes.read()
    assert now.total > now.idle > 0
    several = [CpuTimes.read([core]) for core in sorted(os.sched_getaffinity(0))]
    assert all(one is not None and 0 < one.total < 2 * now.total for one in several)
    assert CpuTimes.read([10_000]) is None


def test_a_slow_server_is_what_limits_a_run(cli: Cli, tensor_file: Path, tmp_path: Path) -> None:
    with FakeRedisAI(AI_MODELRUN=lambda *_: asyncio.sleep(0.05, OK)) as server:
        done = cli(
            "run", "--file", tensor_file, "--port", server.port, "--workers", 2,
            "--max-queries", 20, "--limit-rps", 30, "--quiet", "--json-out-file", "r.json", code=0,
        )  # fmt: skip
    assert "schedule lag p50 " in done.stdout
    check = json.loads((tmp_path / "r.json").read_text())["ClientCheck"]
    # Others that take the cores meanwhile may hold up the client, or make any verdict unclear.
    others = max(check["Others"], check["ServerOthers"])
    if check["Steal"] <= MUCH_STEAL and others <= MUCH_OTHERS:
        assert check["Verdict"] == "server-bound"
    assert f"Verdict: {check['Verdict']}: " in done.stdout
    assert 0 < check["CpuShare"] < 0.5
    assert 0 <= check["Steal"] <= 1


def test_a_closed_loop_is_called_one(cli: Cli, tensor_file: Path) -> None:
    with FakeRedisAI() as server:
        done = cli("run", "--file", tensor_file, "--port", server.port, "--quiet")
    assert "Arrivals: closed loop" in done.stdout


def filled(state: SteadyState, *windows: tuple[int, float]) -> list[bool]:
    """Whether the state was steady after each window of so many requests and such a p50."""
    told = []
    for count, p50_ms in windows:
        state.window_ended(Window(state.window_s, latencies(*[p50_ms] * count)))
        told.append(state.is_reached)
    return told


def test_a_state_is_steady_once_rate_and_median_agree() -> None:
    rising = [(100, 9.0), (120, 7.0), (140, 5.0)]
    assert filled(SteadyState(0.05), *rising, (140, 5.0), (141, 5.1)) == [False] * 4 + [True]
    assert not any(filled(SteadyState(0.05), *[(100, 5.0 * 1.2**n) for n in range(7)]))
    assert not any(filled(SteadyState(0.05), *[(round(100 * 1.2**n), 5.0) for n in range(7)]))
    assert not any(filled(SteadyState(0.05), *[(10, 5.0)] * 7))  # too few to tell


def test_windows_get_longer_and_keep_what_was_in_them() -> None:
    state = SteadyState(0.05)
    filled(state, *[(100, 5.0 + n) for n in range(MAX_WINDOWS)])
    assert state.window_s == 2 * FIRST_WINDOW_S
    assert [one.seconds for one in state.windows] == [2 * FIRST_WINDOW_S] * (MAX_WINDOWS // 2)
    assert sum(one.latencies.count for one in state.windows) == 100 * MAX_WINDOWS


@pytest.mark.parametrize("limit_rps", [0.0, 150.0])
def test_an_automatic_burn_in_ends_when_the_server_is_warm(
    limit_rps: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Between cold and warm there is a factor of six; what else the machine does is less.
    monkeypatch.setattr("aibench_fast.load.steady.STEADY_TOLERANCE", 0.3)
    warm_s = time.monotonic() + 1

    async def warm_up(_: Sequence[bytes], number: int) -> bytes:
        await asyncio.sleep(0.06 if time.monotonic() < warm_s else 0.01)
        return OK

    with FakeRedisAI(AI_MODELRUN=warm_up) as server:
        result = against(
            server, shape=(4,), workers=4, burn_in_until_steady=True, duration_s=0.7,
            limit_rps=limit_rps,
        )  # fmt: skip
    assert result.counts.burn_in_requests > 60
    assert result.successes > 50
    (p50,) = (result.service_latencies or result.latencies).quantiles_ms([0.5])
    assert p50 < 40
    assert not [one for one in result.warnings if one.kind == "unsteady"]


def test_a_burn_in_that_never_gets_steady_is_warned_of(
    tensor_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aibench_fast.load.steady.MAX_UNSTEADY_S", 2.5)

    async def slower_and_slower(_: Sequence[bytes], number: int) -> bytes:
        await asyncio.sleep(0.001 * 1.003**number)
        return OK

    with FakeRedisAI(AI_MODELRUN=slower_and_slower) as server:
        result = against(server, tensor_file, burn_in_until_steady=True, duration_s=0.2)
    (warned,) = [one for one in result.warnings if one.kind == "unsteady"]
    assert "the warm-up never became steady: its last windows had" in warned.message


def test_an_automatic_burn_in_needs_a_duration(tensor_file: Path) -> None:
    for settings in ({}, {"duration_s": 1.0, "max_queries": 9}, {"burn_in": 5, "duration_s": 1.0}):
        with pytest.raises(ConfigError, match="`burn_in"):
            RunConfig(file=tensor_file, burn_in_until_steady=True, **settings)  # type: ignore[arg-type]


def test_timers_never_wake_early_and_every_wait_is_counted() -> None:
    started_s = time.monotonic()
    errors = timer_errors(50, 1_000_000)
    assert time.monotonic() - started_s >= 0.05
    assert LatencyHistogram.from_counts(errors.counts, errors.min_us, errors.max_us).count == 50


@pytest.fixture
def short_selfcheck(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BURN_IN_S", "CEILING_S", "SCHEDULED_S"):
        monkeypatch.setattr(selfcheck, name, 0.2)
    monkeypatch.setattr(selfcheck, "TIMER_WAITS", 200)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tls"], "--tls without a server"),
        (["--user", "me", "--streams"], "--user without a server"),
        (["--ask-password"], "--ask-password without a server"),
        (["--cacert", "ca.pem"], "--cacert without TLS"),
    ],
)
def test_selfcheck_refuses_what_is_for_a_server_that_is_not_named(
    cli: Cli, words: list[str], told: str
) -> None:
    done = cli("selfcheck", *words, code=2)
    assert told in done.stderr


@pytest.mark.usefixtures("short_selfcheck")
def test_selfcheck_tells_the_ceiling_and_what_bounds_it(cli: Cli, tmp_path: Path) -> None:
    done = cli("selfcheck", "--shape", 16, "--workers", 2, "--json-out-file", "s.json", code=0)
    begun = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert begun[:7] == [
        "Machine", "Clock", "Timer", "Schedule", "Ceiling", "Client", "Limits",
    ]  # fmt: skip
    found = json.loads((tmp_path / "s.json").read_text())["SelfCheck"]
    assert found["Ceiling"]["RequestsPerSecond"] > 0
    assert found["Ceiling"]["ClientCpuNsPerRequest"] > 0
    assert 0 < found["TimerError"]["q50"] <= found["TimerError"]["q99"]
    assert found["ClockCostNs"] > 0
    assert found["SocketLimits"]["net.core.somaxconn"]
    assert found["CpuQuota"] is None or found["CpuQuota"] > 0


@pytest.mark.parametrize(
    ("quota_cpus", "expected"), [(None, False), (0.5, True), (available_cores(), False)]
)
def test_selfcheck_advises_on_a_quota(quota_cpus: float | None, expected: bool) -> None:
    machine = Machine(
        facts={}, clock_cost_ns=20.0, timer_errors=FAST, open_files=1 << 20,
        cpu_quota=quota_cpus, socket_limits={},
    )  # fmt: skip
    with FakeRedisAI() as server:
        config = config_of(server, shape=(4,), max_queries=9)
        ceiling = changed(run(config), busiest_thread=0.95)
    advised = "\n".join(advice(machine, config, ceiling))
    assert ("a quota of 0.5 CPUs" in advised) == expected
    assert "--threads" not in advised  # that are as many as cores or workers


@pytest.mark.usefixtures("short_selfcheck")
def test_selfcheck_says_what_to_change(cli: Cli) -> None:
    done = cli("selfcheck", "--shape", "1024,1024,3", "--batch-size", 2, code=0)
    assert "Change: net.ipv4.tcp_wmem allows" in done.stdout
    assert "a request has 25,165,824" in done.stdout
