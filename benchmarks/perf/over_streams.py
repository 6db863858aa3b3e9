"""Streams of tokens, beside a bare loop, AIPerf and guidellm, each held against the server's log.

The server sends a stream's first token after 100 ms, and then one every 10 ms, and logs when. What
a client reports is compared with the same requests in the log: the last ones, after its warm-up.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import numpy as np

from aibench_fast.server.tokenlog import Records, read_log
from aibench_fast.server.tokenserver import Simulation, TokenServer
from benchmarks.perf import stream_clients
from benchmarks.perf.bench import Bench
from benchmarks.perf.event_logs import as_bare_loop_saw, closed_loop_tokens_per_s, streams_of
from benchmarks.perf.row import Row, alternate
from benchmarks.perf.stream_clients import (
    OUTPUT_TOKENS,
    Aiperf,
    Guidellm,
    Load,
    Reported,
)

PREFILL_S, DECODE_S = 0.1, 0.01
REQUEST_S = PREFILL_S + (OUTPUT_TOKENS - 1) * DECODE_S
STREAMS = 64
RUN_TIMES, LEAST_RUN_S = 10, 3.0
"""A run is so many times as long as those of other rows, as a request takes a second."""
ROUNDS_DIVISOR = 10
"""There are so many times fewer rounds: AIPerf and guidellm take up to half a minute for each."""
BARE_LOOP_CPU, AIPERF_CPU = 1.15, 30.0
TOKENS_TO_REACH = (0.98, 1.02)
GAP_ERROR_MS = 1.0
NS_PER_MS, US_PER_S = 1e6, 1e6
OURS, BARE_LOOP, AIPERF = "ours", "bare loop", "AIPerf"

Client = Callable[[Load], Callable[[Records], Reported]]
"""Bears a load, and returns what it reports, for which the bare loop needs the server's log."""


@dataclass(frozen=True)
class Compared:
    """One round of a client beside what the server did."""

    cpu_us: float
    """For a token."""
    threads_cpu_us: float
    """The same of the threads that bear the load alone."""
    first_token_error_ms: float
    """Of the mean; positive: reported longer than it was."""
    gap_error_ms: float
    """Of the mean."""
    gap_p99_error_ms: float
    """Of the 99th percentile; never negative."""
    tokens: float
    """The tokens a second that it reports, over the server's."""


def beside_others(bench: Bench) -> Iterator[Row]:
    """CPU time a token, errors of what is reported, and how many streams a client is good for."""
    clients = _clients(bench)
    run_s = max(LEAST_RUN_S, bench.effort.run_s * RUN_TIMES)
    rounds = alternate(
        {name: partial(_compare, bench, one, STREAMS, run_s) for name, one in clients.items()},
        max(1, bench.effort.rounds // ROUNDS_DIVISOR),
    )
    yield from _cpu_rows(rounds)
    yield from _error_rows(rounds)
    for name, client in clients.items():
        error_ms = median(one.gap_p99_error_ms for one in rounds[name])
        compare = partial(_compare, bench, client, run_s=run_s)
        yield _most_streams_row(name, compare, error_ms, bench.effort.many_workers)


def _clients(bench: Bench) -> dict[str, Client]:
    """Return the clients that are there, by name."""
    found: dict[str, Client] = {
        OURS: lambda load: _as_reported(stream_clients.ours(bench.folder, load)),
        BARE_LOOP: partial(_bare_loop, bench),
    }
    for name, client in stream_clients.installed_clients().items():
        found[name] = _without_start(bench, client)
    return found


def _as_reported(reported: Reported) -> Callable[[Records], Reported]:
    return lambda _: reported


def _without_start(bench: Bench, client: Aiperf | Guidellm) -> Client:
    """Return a client whose CPU time is without that of a run of one request."""
    with TokenServer(_simulation(bench)) as server:
        start_s = client.start_cpu_s(_url(server))

    def bear(load: Load) -> Callable[[Records], Reported]:
        reported = client.run(load)
        return _as_reported(replace(reported, cpu_s=reported.cpu_s - start_s))

    return bear


def _bare_loop(bench: Bench, load: Load) -> Callable[[Records], Reported]:
    log, cpu_s = stream_clients.bare_loop(bench.bare_stream, bench.folder, load)

    def report(server: Records) -> Reported:
        saw = as_bare_loop_saw(server, log)
        requests = len(streams_of(saw).first_tokens_ns) - load.warm_up_requests
        streams = streams_of(saw, requests)
        return Reported(
            requests=requests,
            first_token_ms=streams.first_tokens_ns.mean() / NS_PER_MS,
            gap_ms=streams.gaps_ns.mean() / NS_PER_MS,
            gap_p99_ms=np.percentile(streams.gaps_ns, 99) / NS_PER_MS,
            tokens_per_s=closed_loop_tokens_per_s(saw, load.streams, 1),
            cpu_s=cpu_s,
            token_cpu_s=cpu_s / len(streams_of(saw).first_tokens_ns) / OUTPUT_TOKENS,
        )

    return report


def _compare(bench: Bench, client: Client, streams: int, run_s: float) -> Compared:
    """Have a client measure a server, and compare what it reports with what the server did."""
    simulation = _simulation(bench)
    with TokenServer(simulation) as server:
        report = client(Load(_url(server), streams, run_s, REQUEST_S))
    assert simulation.log is not None
    log = read_log(simulation.log)
    reported = report(log)
    did = streams_of(log, reported.requests)
    gaps_ns = did.mean_gaps_ns if reported.gaps_are_means else did.gaps_ns
    gap_p99_ms = np.percentile(gaps_ns, 99) / NS_PER_MS
    tokens = len(streams_of(log).first_tokens_ns) * OUTPUT_TOKENS
    return Compared(
        cpu_us=reported.cpu_s / tokens * US_PER_S,
        threads_cpu_us=reported.token_cpu_s * US_PER_S,
        first_token_error_ms=reported.first_token_ms - did.first_tokens_ns.mean() / NS_PER_MS,
        gap_error_ms=reported.gap_ms - gaps_ns.mean() / NS_PER_MS,
        gap_p99_error_ms=abs(reported.gap_p99_ms - gap_p99_ms),
        tokens=reported.tokens_per_s / closed_loop_tokens_per_s(log, streams, 1),
    )


def _simulation(bench: Bench) -> Simulation:
    return Simulation(
        prefill_s=PREFILL_S, prefill_token_s=0, decode_s=DECODE_S, log=bench.folder / "server.log"
    )


def _url(server: TokenServer) -> str:
    return f"http://{server.host}:{server.port}"


def _cpu_rows(rounds: Mapping[str, Sequence[Compared]]) -> Iterator[Row]:
    pairs = zip(rounds[OURS], rounds[BARE_LOOP], strict=True)
    yield Row(
        name=f"client CPU, {STREAMS} streams",
        figure="CPU time a token of the I/O threads over the bare loop's",
        rounds=tuple(one.threads_cpu_us / bare.threads_cpu_us for one, bare in pairs),
        at_most=BARE_LOOP_CPU, beside=_medians(rounds, "threads_cpu_us"), unit="us a token",
    )  # fmt: skip
    for name in rounds:
        if name not in (OURS, BARE_LOOP):
            pairs = zip(rounds[name], rounds[OURS], strict=True)
            yield Row(
                name=f"{name}, {STREAMS} streams",
                figure="CPU time a token of all processes over ours",
                rounds=tuple(other.cpu_us / one.cpu_us for other, one in pairs),
                at_least=AIPERF_CPU if name == AIPERF else None,
                beside=_medians(rounds, "cpu_us"), unit="us a token",
            )  # fmt: skip


def _medians(rounds: Mapping[str, Sequence[Compared]], what: str) -> dict[str, float]:
    """Return the median of each client, but of those where it is not known."""
    medians = {name: median(getattr(one, what) for one in of) for name, of in rounds.items()}
    return {name: value for name, value in medians.items() if value}


def _error_rows(rounds: Mapping[str, Sequence[Compared]]) -> Iterator[Row]:
    for name, of in rounds.items():
        least, most = TOKENS_TO_REACH if name == OURS else (None, None)
        yield Row(
            name=f"tokens/s, {name}", figure="tokens a second as reported over the server's",
            rounds=tuple(one.tokens for one in of), at_least=least, at_most=most,
        )  # fmt: skip
    for what, figure in (
        ("first_token_error_ms", "ms by which the mean time to first token is off"),
        ("gap_error_ms", "ms by which the mean gap is off"),
        ("gap_p99_error_ms", "ms by which the p99 of gaps is off"),
    ):
        for name, of in rounds.items():
            values = tuple(getattr(one, what) for one in of)
            yield Row(name=f"{name}: {figure.partition('the ')[2]}", figure=figure, rounds=values)


def _most_streams_row(
    name: str, compare: Callable[[int], Compared], error_ms: float, at_most: int
) -> Row:
    """Double the streams as long as p99 of the gaps is right, or halve them until it is.

    `error_ms` is that of STREAMS.
    """
    errors = {STREAMS: error_ms}

    def is_right(streams: int) -> bool:
        if streams not in errors:
            errors[streams] = compare(streams).gap_p99_error_ms
        return errors[streams] < GAP_ERROR_MS

    most = STREAMS
    while is_right(most) and 2 * most <= at_most and is_right(2 * most):
        most *= 2
    while most > 0 and not is_right(most):
        most //= 2
    return Row(
        name=f"streams, {name}",
        figure=f"the most streams whose p99 of gaps is off by less than {GAP_ERROR_MS:g} ms",
        rounds=(most,), beside={f"{streams}:": error for streams, error in errors.items()},
        unit="ms",
    )  # fmt: skip
