"""One result of the reports of all clients: counts add up, percentiles are of all latencies."""

import dataclasses
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from aibench_fast.clients.clocks import NS_PER_S, SAME_CLOCK, Offset
from aibench_fast.cluster import Place
from aibench_fast.load.config import RunConfig
from aibench_fast.load.doubts import KINDS_OF_FIGURES, doubts_of_figures
from aibench_fast.results.fieldjson import from_json, to_json
from aibench_fast.results.fields import figure, merged
from aibench_fast.results.figures import ClientFigures, Figures
from aibench_fast.results.groups import Outage
from aibench_fast.results.result import Interval, Result, Warned

MS_PER_S = 1000
MAX_UNEVEN = 0.1
"""The share of the measured time that a client may miss without a warning."""
MAX_START_LAG_S = 0.005


@dataclass(frozen=True)
class ClientReport:
    """A client's measurements up to a reporting period's end, or its own."""

    result: Result = figure("Result")
    """Without reporting periods: those of all clients are made of the figures at their ends."""
    measured_after_s: float | None = figure("MeasuredAfterSeconds")
    """From the agreed start until its first request is measured; None before that is known."""
    start_lag_s: float = figure("StartLagSeconds")
    """How long after the agreed start its first thread began."""


@dataclass
class Client:
    """One client, and its last report."""

    place: Place
    config: RunConfig
    offset: Offset = SAME_CLOCK
    report: ClientReport | None = None
    """None before the first."""
    lost: str | None = None
    """How it was lost, if it was."""


def encode(report: ClientReport) -> bytes:
    """Return it as bytes, for the same version of this program to read."""
    return zlib.compress(json.dumps(to_json(report, exact=True)).encode())


def decode(encoded: bytes) -> ClientReport:
    """Read what `encode` made."""
    report: ClientReport = from_json(ClientReport, json.loads(zlib.decompress(encoded)))
    return report


def merge(
    config: RunConfig,
    clients: Sequence[Client],
    *,
    start_unix_ms: int,
    intervals: Sequence[Interval] = (),
    interrupted: bool = False,
    incomplete: bool = False,
) -> Result:
    """Return the result of all clients, of which at least one has reported.

    Of a lost client it has what that had reported. `config` is of the whole run.
    """
    reports = [one.report for one in clients if one.report is not None]
    results = [_named(one, one.report) for one in clients if one.report is not None]
    whole = merged(results)
    from_s, until_s = measured_span_s(reports)
    measured_s = max(0.0, until_s - from_s)
    outages, hidden_outages = _outages(results, start_unix_ms)
    whole = dataclasses.replace(
        whole,
        start_unix_ms=start_unix_ms,
        end_unix_ms=start_unix_ms + round(whole.duration_s * MS_PER_S),
        measured_s=measured_s,
        connections=dataclasses.replace(
            whole.connections,
            outages=outages,
            outage_count=len(outages) + hidden_outages,
        ),
        servers=[dataclasses.replace(one, measured_s=measured_s) for one in whole.servers],
        intervals=tuple(intervals),
        interrupted=interrupted or incomplete,
        incomplete=incomplete,
        clients=[_figures(one) for one in clients],
        warnings=[],
    )
    return dataclasses.replace(whole, warnings=[*_warnings(config, whole, clients)])


def _named(client: Client, report: ClientReport) -> Result:
    """Return a client's result, with the client's name in its verdict."""
    result = report.result
    check = result.client.check
    named = dataclasses.replace(check, reason=f"client {client.place.name}: {check.reason}")
    return dataclasses.replace(result, client=dataclasses.replace(result.client, check=named))


def measured_span_s(reports: Iterable[ClientReport]) -> tuple[float, float]:
    """Return when the first client began to measure and when the last ended, in seconds."""
    spans = [
        (one.measured_after_s, one.measured_after_s + one.result.measured_s)
        for one in reports
        if one.measured_after_s is not None
    ]
    if not spans:
        return 0.0, 0.0
    return min(start for start, _ in spans), max(end for _, end in spans)


def _outages(results: Sequence[Result], start_unix_ms: int) -> tuple[list[Outage], int]:
    """Merge outages that overlap; return them, and how many more there were than are listed.

    Their times are of the coordinator's clock, at which the run began at `start_unix_ms`.
    """
    connections = [result.connections for result in results]
    seen = [one for each in connections for one in each.outages]
    found: list[Outage] = []
    for one in sorted(seen, key=lambda o: (o.server or "", o.after_s)):
        last = found[-1] if found else one
        if found and last.server == one.server and one.after_s <= last.after_s + last.seconds:
            until_s = max(last.after_s + last.seconds, one.after_s + one.seconds)
            found[-1] = dataclasses.replace(
                last,
                seconds=until_s - last.after_s,
                is_over=last.is_over and one.is_over,
                attempts=last.attempts + one.attempts,
            )
        else:
            after_ms = round(one.after_s * MS_PER_S)
            found.append(dataclasses.replace(one, start_unix_ms=start_unix_ms + after_ms))
    found.sort(key=lambda o: o.after_s)
    return found, sum(one.outage_count - len(one.outages) for one in connections)


def _figures(client: Client) -> ClientFigures:
    figures = ClientFigures(
        name=client.place.name,
        host=client.place.host,
        workers=client.config.workers,
        threads=client.config.io_threads,
        clock_offset_s=client.offset.ns / NS_PER_S,
        clock_uncertainty_s=client.offset.uncertainty_ns / NS_PER_S,
        lost=client.lost,
    )
    if client.report is None:
        return figures
    result = client.report.result
    return dataclasses.replace(
        figures,
        **{one.name: getattr(result, one.name) for one in dataclasses.fields(Figures)},
        measured_s=result.measured_s,
        cpu_s=result.client.cpu_s,
        busiest_thread=result.client.busiest_thread,
        check=result.client.check,
        start_lag_s=client.report.start_lag_s,
    )


def _warnings(config: RunConfig, whole: Result, clients: Sequence[Client]) -> Iterator[Warned]:
    for kind, message in doubts_of_figures(config, whole):
        yield Warned(kind, message)
    seen = set(KINDS_OF_FIGURES)
    for client in clients:
        for warned in client.report.result.warnings if client.report else ():
            if warned.kind not in seen:
                seen.add(warned.kind)
                yield warned
    for client in clients:
        if client.lost is not None:
            answered = client.report.result.successes if client.report else 0
            yield Warned(
                "lost_client",
                f"client {client.place.name} was lost: {client.lost}; only the {answered} answers "
                "that it had reported are counted",
            )
    uneven = [
        one.name
        for one in whole.clients
        if one.lost is None and one.measured_s < (1 - MAX_UNEVEN) * whole.measured_s
    ]
    if uneven and not whole.interrupted:
        yield Warned(
            "uneven_clients",
            f"{_names(uneven)} measured less than {1 - MAX_UNEVEN:.0%} of the time that the rate "
            "is of: they ended sooner or began later; give --duration, and --burn-in as a time",
        )
    late = [one.name for one in whole.clients if one.start_lag_s > MAX_START_LAG_S]
    if late:
        yield Warned(
            "late_start",
            f"{_names(late)} began more than {MAX_START_LAG_S * MS_PER_S:g} ms after the agreed "
            "start: there is too little CPU for so many clients",
        )
    unsure = [one.name for one in whole.clients if one.clock_uncertainty_s > MAX_START_LAG_S]
    if unsure:
        yield Warned(
            "uncertain_clock",
            f"the clock of {_names(unsure)} is not known to {MAX_START_LAG_S * MS_PER_S:g} ms, so "
            "neither is the time when its load began",
        )


def _names(clients: Sequence[str]) -> str:
    more = f" and {len(clients) - 1} more" if len(clients) > 1 else ""
    return f"client {clients[0]}{more}"
