"""Many results as one: sums of counts, bit for bit what one recorder of all values has."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ci import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from resultfiles import changed
from run.test_text import result

from aibench_fast import Result, RunConfig
from aibench_fast._core import Histogram
from aibench_fast.clients.merge import Client, ClientReport, decode, encode, merge
from aibench_fast.clients.periods import Periods
from aibench_fast.clients.split import split
from aibench_fast.cluster import Place
from aibench_fast.report import text
from aibench_fast.results.clientside import ClientCheck, Verdict
from aibench_fast.results.figures import Failure
from aibench_fast.results.forms import LIVE_QUANTILES
from aibench_fast.results.groups import Outage, RequestCounts
from aibench_fast.results.histogram import HIGHEST_US, LatencyHistogram
from aibench_fast.results.journal import Journal, journal_of, recover

WHOLE = RunConfig(file=None, shape=(16,), workers=9)
latencies_us = st.lists(st.integers(1, HIGHEST_US), max_size=40)


def recorded(values_us: Sequence[int]) -> LatencyHistogram:
    histogram = Histogram()
    for value in values_us:
        histogram.record(value * 1000)
    counts = histogram.counts()
    return LatencyHistogram.from_counts(counts.counts, counts.min_us, counts.max_us)


def report(values_us: Sequence[int] = (5,), **changes: Any) -> ClientReport:
    count = len(values_us)
    measured: dict[str, Any] = {
        "latencies": recorded(values_us),
        "successes": count,
        "inferences": count,
        "inferences_with_burn_in": count,
        "all_requests": RequestCounts(count, count, 0, 0),
        "burn_in_requests": 0,
        "duration_s": 2.0,
        "measured_s": 2.0,
    }
    return ClientReport(result(**{**measured, **changes}), measured_after_s=0.0, start_lag_s=0.0)


def merged(*reports: ClientReport | None, **changes: Any) -> Result:
    clients = [
        Client(
            Place(f"tcp://{number}", f"w{number}", "here", None, ""),
            config=share,
            report=one,
            lost="gone" if one is None else None,
        )
        for number, (one, share) in enumerate(zip(reports, split(WHOLE, len(reports)), strict=True))
    ]
    return merge(WHOLE, clients, start_unix_ms=1000, **changes)


@settings(deadline=None, max_examples=examples(30))
@given(st.lists(latencies_us, min_size=1, max_size=5))
def test_a_merge_is_what_one_recorder_of_all_values_has(several: list[list[int]]) -> None:
    """Also after each was sent as bytes."""
    sent = [decode(encode(report(values))) for values in several]
    whole = recorded([value for values in several for value in values])
    made = merged(*sent).latencies
    assert bytes(made._histogram.counts) == bytes(whole._histogram.counts)
    assert made.encode() == whole.encode()
    assert made.extremes_us == whole.extremes_us
    assert made.quantiles_ms(LIVE_QUANTILES) == whole.quantiles_ms(LIVE_QUANTILES)


def test_counts_add_up_and_the_time_is_from_the_first_to_the_last() -> None:
    first = dataclasses.replace(report([1] * 30, measured_s=2.0), measured_after_s=1.0)
    second = dataclasses.replace(report([2] * 20, measured_s=3.0), measured_after_s=0.5)
    whole = merged(first, second)
    assert (whole.requests, whole.inferences, whole.setup.workers) == (50, 50, 2)
    assert whole.measured_s == 3.0
    assert whole.inferences_per_s == 50 / 3
    assert [client.requests for client in whole.clients] == [30, 20]


def test_failures_add_up_by_kind_with_their_first_message() -> None:
    whole = merged(
        report(failures={"connect": Failure(2, "first")}),
        report(failures={"connect": Failure(3, "second"), "protocol": Failure(1, "other")}),
    )
    assert whole.failures == {"connect": Failure(5, "first"), "protocol": Failure(1, "other")}


def outage(after_s: float, seconds: float, *, is_over: bool = True) -> Outage:
    return Outage(0, after_s, seconds, is_over, attempts=1)


def test_an_outage_that_several_clients_saw_is_one() -> None:
    whole = merged(
        report(outages=[outage(1.0, 0.5), outage(4.0, 0.1)], outage_count=3),
        report(outages=[outage(1.2, 0.8, is_over=False)], outage_count=1),
    )
    assert [
        (one.after_s, one.seconds, one.is_over, one.attempts) for one in whole.connections.outages
    ] == [
        (1.0, 1.0, False, 2),
        (4.0, 0.1, True, 1),
    ]
    assert whole.connections.outages[0].start_unix_ms == 2000
    assert whole.connections.outage_count == 3


def test_the_verdict_is_the_worst_clients() -> None:
    def check(verdict: Verdict, cpu_share: float) -> dict[str, Any]:
        return {"check": ClientCheck(verdict, "because", cpu_share, None, 0.01)}

    whole = merged(
        report(**check(Verdict.SERVER_BOUND, 0.3), busiest_thread=0.2, cpu_s=1.0),
        report(**check(Verdict.CLIENT_BOUND, 0.1), busiest_thread=0.95, cpu_s=2.0),
        report(**check(Verdict.UNCLEAR, 0.2)),
    )
    assert whole.client.check.verdict is Verdict.CLIENT_BOUND
    assert whole.client.check.reason == "client w1: because"
    assert (whole.client.check.cpu_share, whole.client.busiest_thread) == (0.3, 0.95)
    assert whole.client.cpu_s == 3.5


def test_what_held_back_any_client_is_told_of_all() -> None:
    def check(**facts: float) -> dict[str, Any]:
        return {"check": ClientCheck(Verdict.SERVER_BOUND, "because", 0.1, None, None, **facts)}

    whole = merged(
        report(**check(cpu_quota=2.0, throttled=0.0, cpu_wait=0.02, server_cpu_wait=0.5)),
        report(**check(cpu_quota=0.5, throttled=0.4, cpu_wait=0.01, others=0.3)),
        report(**check()),
    )
    found = whole.client.check
    assert (found.cpu_quota, found.throttled, found.cpu_wait) == (0.5, 0.4, 0.02)
    assert (found.others, found.server_others, found.server_cpu_wait) == (0.3, None, 0.5)
    assert found.cpu_pressure is None


def test_a_lost_client_scales_nothing() -> None:
    whole = merged(report([1] * 30), None)
    assert (whole.requests, whole.lost_clients, whole.went_well) == (30, 1, False)
    (warned,) = [one for one in whole.warnings if one.kind == "lost_client"]
    assert "w1" in warned.message
    assert "only the 0 answers" in warned.message


def test_facts_that_differ_are_all_told() -> None:
    whole = merged(report(facts={"Host": "b", "Cores": 2}), report(facts={"Host": "a", "Cores": 2}))
    assert whole.facts == {"Host": "a, b", "Cores": 2}


def test_clients_that_measured_another_time_are_warned_of() -> None:
    kinds = {one.kind for one in merged(report(), report(measured_s=1.0)).warnings}
    assert "uneven_clients" in kinds
    assert "uneven_clients" not in {one.kind for one in merged(report(), report()).warnings}


def test_the_summary_has_a_line_a_client() -> None:
    other = dataclasses.replace(report([2000] * 50, measured_s=1.0), start_lag_s=0.00025)
    lines = text.format_summary(merged(report([1000] * 200), other, None)).splitlines()
    place = lines.index("Clients: 3, by requests/s, latency and how late each began")
    assert lines[place + 1 : place + 4] == [
        "\tw0 on here  200 requests, 100.00/s, q50 1.00 ms, q99 1.00 ms, 0.00 ms late",
        "\tw1 on here  50 requests, 50.00/s, q50 2.00 ms, q99 not known, 0.25 ms late",
        "\tw2 on here  0 requests, 0.00/s, 0.00 ms late; LOST: gone",
    ]


def test_a_journal_keeps_clients(tmp_path: Path) -> None:
    whole = merged(report([1] * 30), None, incomplete=True)
    journal = Journal(journal_of(tmp_path / "r.json"))
    journal.add(changed(whole, periods={"overall": {}}))
    journal.close()
    recovered = recover(journal_of(tmp_path / "r.json"))
    assert recovered.to_json()["Clients"] == whole.to_json()["Clients"]
    assert recovered.lost_clients == 1


def test_periods_are_those_of_all_clients_at_one_time() -> None:
    """A client's own is waited for; one that is over, or lost, counts as it ended."""
    periods = Periods(3, period_s=1.0, start_unix_ms=1000)
    periods.add(0, report([1] * 4, duration_s=1.01))
    periods.add(1, report([3] * 2, duration_s=0.99))
    assert [*periods.made()] == []
    periods.lose(2)
    (first,) = periods.made()
    assert (first.interval.unix_ms, first.interval.images) == (2000, 6)
    assert first.latencies.latencies.encode() == recorded([1] * 4 + [3] * 2).encode()
    periods.add(1, report([3] * 5, duration_s=1.4), is_over=True)
    periods.add(0, report([1] * 9, duration_s=2.0))
    (second,) = periods.made()
    assert (second.interval.images, second.interval.instantaneous_rate) == (14, 8.0)
    periods.add(0, report([1] * 9, duration_s=2.5), is_over=True)
    (last,) = periods.rest(2.5)
    assert (last.interval.unix_ms, last.interval.images) == (3500, 14)
    assert last.interval.period_quantiles_ms == []


def test_what_all_clients_left_unsent_is_judged_as_a_whole() -> None:
    few = merged(report([5] * 990, unsent=10), report([5] * 1000))
    many = merged(report([5] * 990, unsent=10), report([5] * 900, shed=100))
    assert (few.not_sent_share, few.went_well) == (0.005, True)
    assert (many.not_sent_share, many.went_well) == (0.055, False)
    assert [one.kind for one in many.warnings].count("not_sent") == 1


def test_new_connections_of_all_clients_are_added_up() -> None:
    """Of a client whose requests waited for none both latencies are the same."""
    waited = report(
        [5000, 5], service_latencies=recorded([4, 5]), times=recorded([4996]),
        reconnects=1, remade=2, resent=3,
    )  # fmt: skip
    result = merged(waited, report([7, 8]))
    assert result.service_latencies.encode() == recorded([4, 5, 7, 8]).encode()
    assert (result.connections.times.count, result.connections.reconnects) == (1, 1)
    assert (result.connections.remade, result.connections.resent) == (2, 3)
