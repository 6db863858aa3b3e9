"""What several clients measured as one result: sums of counts, and of no percentile a mean."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aibench_fast.clients.clocks import NS_PER_S, Offset
from aibench_fast.clients.report import ClientReport
from aibench_fast.load.config import RunConfig
from aibench_fast.load.doubts import doubts_of_figures
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.result import (
    ClientCheck,
    ClientFigures,
    Failure,
    Interval,
    Outage,
    PartFigures,
    RequestCounts,
    Result,
    ServerFigures,
    StepFigures,
    Verdict,
    Warned,
)

MS_PER_S = 1000
MAX_UNEVEN = 0.1
"""The share of the measured time that a client may miss without a warning."""
MAX_START_LAG_S = 0.005
_SUMS = (
    "workers", "threads", "requests", "successes", "inferences", "inferences_with_burn_in",
    "burn_in_requests", "reconnects", "remade_connections",
    "resent", "moved", "asked", "abandoned", "late_starts", "shed",
    "unsent", "saturated", "client_cpu_s",
)  # fmt: skip
_HISTOGRAMS = ("latencies", "start_lags", "timer_lags", "reply_waits", "connect_times")
_SHARES = (
    "machine_busy", "steal", "throttled", "cpu_wait", "cpu_pressure", "others", "server_others",
    "server_cpu_wait",
)  # fmt: skip
"""Of a ClientCheck; None where they are not known."""
_WORST = (Verdict.CLIENT_BOUND, Verdict.UNCLEAR, Verdict.SERVER_BOUND)


@dataclass(frozen=True)
class Client:
    """One client, and what it told last."""

    name: str
    host: str
    config: RunConfig
    offset: Offset
    report: ClientReport | None = None
    """None: nothing yet."""
    lost: str | None = None
    """How it went away, where it did."""


def merge(
    config: RunConfig,
    clients: Sequence[Client],
    *,
    start_unix_ms: int,
    intervals: Sequence[Interval] = (),
    interrupted: bool = False,
    incomplete: bool = False,
) -> Result:
    """The result of all clients, of which at least one has told something.

    What a lost client had told of is in it, and no more than that. `config` is of the whole run.
    """
    told = [(one, one.report) for one in clients if one.report is not None]
    reports = [report for _, report in told]
    results = [report.result for report in reports]
    first = results[0]
    duration_s = max(one.duration_s for one in results)
    from_s, until_s = measured_span_s(reports)
    measured_s = max(0.0, until_s - from_s)
    outages, hidden_outages = _outages(results)
    added: dict[str, Any] = {name: sum(getattr(one, name) for one in results) for name in _SUMS}
    for name in _HISTOGRAMS:
        added[name] = LatencyHistogram.merged(getattr(one, name) for one in results)
    merged = dataclasses.replace(
        first,
        **added,
        service_latencies=_merged_services(results),
        start_unix_ms=start_unix_ms,
        end_unix_ms=start_unix_ms + round(duration_s * MS_PER_S),
        duration_s=duration_s,
        measured_s=measured_s,
        failures=_failures(one.failures for one in results),
        burn_in_failures=_failures(one.burn_in_failures for one in results),
        all_requests=_request_counts(one.all_requests for one in results),
        outages=[
            dataclasses.replace(one, start_unix_ms=start_unix_ms + round(one.after_s * MS_PER_S))
            for one in outages
        ],
        outage_count=len(outages) + hidden_outages,
        lag_exceeded=any(one.lag_exceeded for one in results),
        steps=_steps([one.steps for one in results]),
        kinds=_parts([one.kinds for one in results], _first),
        servers=_servers([one.servers for one in results], measured_s),
        intervals=tuple(intervals),
        busiest_thread=max(one.busiest_thread for one in results),
        client=_check([(one.name, report.result.client) for one, report in told]),
        least_worker_requests=min(one.least_worker_requests for one in results),
        most_worker_requests=max(one.most_worker_requests for one in results),
        facts=_facts([one.facts for one in results]),
        interrupted=interrupted or incomplete,
        incomplete=incomplete,
        clients=[_figures(one) for one in clients],
        warnings=[],
    )
    return dataclasses.replace(merged, warnings=[*_warnings(config, merged, clients)])


def measured_span_s(reports: Iterable[ClientReport]) -> tuple[float, float]:
    """From which time to which any client measured, in seconds from the agreed start."""
    spans = [
        (one.measured_after_s, one.measured_until_s)
        for one in reports
        if one.measured_after_s is not None
    ]
    if not spans:
        return 0.0, 0.0
    return min(start for start, _ in spans), max(end for _, end in spans)


def _merged_services(
    parts: Sequence[Result] | Sequence[PartFigures],
) -> LatencyHistogram | None:
    """None where no client has any: of one that has none the latencies are the same."""
    if all(one.service_latencies is None for one in parts):
        return None
    return LatencyHistogram.merged(one.service_latencies or one.latencies for one in parts)


def _failures(several: Iterable[Mapping[str, Failure]]) -> dict[str, Failure]:
    total: dict[str, Failure] = {}
    for failures in several:
        for kind, failure in failures.items():
            before = total.get(kind, Failure(0, failure.first_message))
            total[kind] = Failure(before.count + failure.count, before.first_message)
    return total


def _request_counts(several: Iterable[RequestCounts]) -> RequestCounts:
    total: Counter[str] = Counter()
    for one in several:
        total.update(dataclasses.asdict(one))
    return RequestCounts(**{one.name: total[one.name] for one in dataclasses.fields(RequestCounts)})


def _parts(several: Sequence[Sequence[Any]], like: Callable[[Sequence[Any]], Any]) -> list[Any]:
    """Parts of the same place in each client's list as one; `like` chooses what else it tells."""
    return [
        dataclasses.replace(
            like(parts),
            **{
                name: sum(getattr(one, name) for one in parts)
                for name in ("successes", "inferences", "shed", "late_starts")
            },
            failures=_failures(one.failures for one in parts),
            latencies=LatencyHistogram.merged(one.latencies for one in parts),
            service_latencies=_merged_services(parts),
        )
        for parts in zip(*several, strict=False)
    ]


def _steps(several: Sequence[Sequence[StepFigures]]) -> list[StepFigures]:
    unsent = [sum(one.unsent for one in parts) for parts in zip(*several, strict=False)]
    return [
        dataclasses.replace(one, unsent=of_all)
        for one, of_all in zip(_parts(several, _longest), unsent, strict=True)
    ]


def _servers(several: Sequence[Sequence[ServerFigures]], measured_s: float) -> list[ServerFigures]:
    """What each server was sent by all; the first client read what it counted itself."""
    workers = [sum(one.workers for one in parts) for parts in zip(*several, strict=False)]
    return [
        dataclasses.replace(one, workers=of_all, measured_s=measured_s)
        for one, of_all in zip(_parts(several, _first), workers, strict=True)
    ]


def _first(parts: Sequence[Any]) -> Any:
    return parts[0]


def _longest(parts: Sequence[Any]) -> Any:
    return max(parts, key=lambda part: part.seconds)


def _outages(results: Sequence[Result]) -> tuple[list[Outage], int]:
    """What several saw of a server's outage as one; and how many more there were than are told."""
    seen = sorted((one for result in results for one in result.outages), key=lambda o: o.after_s)
    found: list[Outage] = []
    last_of: dict[str | None, int] = {}
    for one in seen:
        place = last_of.get(one.server)
        if place is not None and one.after_s <= found[place].after_s + found[place].seconds:
            last = found[place]
            until_s = max(last.after_s + last.seconds, one.after_s + one.seconds)
            found[place] = dataclasses.replace(
                last,
                seconds=until_s - last.after_s,
                is_over=last.is_over and one.is_over,
                attempts=last.attempts + one.attempts,
            )
        else:
            last_of[one.server] = len(found)
            found.append(one)
    return found, sum(result.outage_count - len(result.outages) for result in results)


def _check(checks: Sequence[tuple[str, ClientCheck]]) -> ClientCheck:
    """The verdict of the client that speaks most against the figures, and the highest shares, and
    the tightest quota."""
    name, worst = min(checks, key=lambda one: _WORST.index(one[1].verdict))
    known: dict[str, list[float]] = {
        share: [value for _, one in checks if (value := getattr(one, share)) is not None]
        for share in _SHARES
    }
    quotas = [one.cpu_quota for _, one in checks if one.cpu_quota is not None]
    return ClientCheck(
        verdict=worst.verdict,
        reason=f"client {name}: {worst.reason}",
        cpu_share=max(one.cpu_share for _, one in checks),
        **{share: max(values, default=None) for share, values in known.items()},
        cpu_quota=min(quotas, default=None),
    )


def _facts(several: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each fact as all clients tell it; where they differ all that is told, in words."""
    facts: dict[str, Any] = {}
    for name in several[0]:
        values = [one.get(name) for one in several]
        are_equal = all(value == values[0] for value in values)
        facts[name] = values[0] if are_equal else ", ".join(sorted({*map(str, values)}))
    return facts


def _figures(client: Client) -> ClientFigures:
    report = client.report
    result = None if report is None else report.result
    return ClientFigures(
        name=client.name,
        host=client.host,
        workers=client.config.workers,
        threads=client.config.io_threads,
        successes=result.successes if result else 0,
        inferences=result.inferences if result else 0,
        failures=result.failures if result else {},
        shed=result.shed if result else 0,
        late_starts=result.late_starts if result else 0,
        latencies=result.latencies if result else LatencyHistogram.empty(),
        service_latencies=result.service_latencies if result else None,
        measured_s=result.measured_s if result else 0.0,
        cpu_s=result.client_cpu_s if result else 0.0,
        busiest_thread=result.busiest_thread if result else 0.0,
        check=result.client if result else None,
        clock_offset_s=client.offset.ns / NS_PER_S,
        clock_uncertainty_s=client.offset.uncertainty_ns / NS_PER_S,
        start_lag_s=report.start_lag_s if report else 0.0,
        lost=client.lost,
    )


def _warnings(config: RunConfig, merged: Result, clients: Sequence[Client]) -> Iterator[Warned]:
    for kind, message in doubts_of_figures(config, merged):
        yield Warned(kind, message)
    of_figures = {
        "few_requests",
        "connecting",
        "not_sent",
        "saturated",
        "trend",
        "incomplete",
        "other_programs",
    }
    told: set[str] = set(of_figures)
    for client in clients:
        for warned in client.report.result.warnings if client.report else ():
            if warned.kind not in told:
                told.add(warned.kind)
                yield warned
    for client in clients:
        if client.lost is not None:
            answered = client.report.result.successes if client.report else 0
            yield Warned(
                "lost_client",
                f"client {client.name} was lost: {client.lost}; of its share of the load only the "
                f"{answered} answers that it had told of are counted",
            )
    uneven = [
        one.name
        for one in merged.clients
        if one.lost is None and one.measured_s < (1 - MAX_UNEVEN) * merged.measured_s
    ]
    if uneven and not merged.interrupted:
        yield Warned(
            "uneven_clients",
            f"{_names(uneven)} measured less than {1 - MAX_UNEVEN:.0%} of the time that the rate "
            "is of: ended sooner or began later than others; give --duration and a burn-in as time",
        )
    late = [one.name for one in merged.clients if one.start_lag_s > MAX_START_LAG_S]
    if late:
        yield Warned(
            "late_start",
            f"{_names(late)} began more than {MAX_START_LAG_S * MS_PER_S:g} ms after the agreed "
            "start: too little CPU for so many clients",
        )
    unsure = [one.name for one in merged.clients if one.clock_uncertainty_s > MAX_START_LAG_S]
    if unsure:
        yield Warned(
            "uncertain_clock",
            f"the clock of {_names(unsure)} is not known to {MAX_START_LAG_S * MS_PER_S:g} ms, so "
            "when its load began is not either",
        )


def _names(clients: Sequence[str]) -> str:
    more = f" and {len(clients) - 1} more" if len(clients) > 1 else ""
    return f"client {clients[0]}{more}"
