"""A run as text: progress lines and the summary, in aibench's form."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aibench_fast.report.streamtext import stream_lines
from aibench_fast.results import events
from aibench_fast.results.fields import leaves
from aibench_fast.results.figures import ClientFigures, Failure, Figures, ServerFigures
from aibench_fast.results.forms import LAGS
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.results.notation import connection_words, reply_words, window_words
from aibench_fast.results.repeats import Repeats
from aibench_fast.results.result import Interval, Result
from aibench_fast.results.serverperiods import OVERALL, server_parts_ms
from aibench_fast.results.streamnames import stream_words
from aibench_fast.tensortype import describe
from aibench_fast.units import described_size

CSV_HEADER = (
    "time (ms),total queries,instantaneous inferences/s,overall inferences/s,"
    "overall q50 lat(ms),overall q90 lat(ms),overall q95 lat(ms),overall q99 lat(ms),"
    "overall q99.999 lat(ms)"
)
ALL_QUERIES = "All queries"
CLOSED_LOOP = (
    "Arrivals: closed loop: a request waits for the one before it, so a stall delays the next ones "
    "without being in their latency"
)
NOT_KNOWN = "not known"
MS_PER_S = 1000
MANY_LATE = 0.01  # the share of late starts above which the asked rate is not what was sent


def line_of(event: object) -> str | None:
    """Return the line that an event of a run or a study is in a file; None if it has none."""
    match event:
        case events.Started():
            return CSV_HEADER
        case Interval():  # rates are whole images a second
            quantiles = ",".join(f"{value:.2f}" for value in event.quantiles_ms)
            return (
                f"{event.unix_ms},{event.images},{event.instantaneous_rate:.0f},"
                f"{event.overall_rate:.0f},{quantiles}"
            )
        case events.BurnInComplete():
            return f"burn-in complete after {event.requests} queries with {event.workers} workers"
        case events.Formatting(done=0):  # before it is done: how much memory formatted tensors take
            is_less = event.total < event.given
            fewer = f" of {event.given:,}, as many as --json-memory allows," if is_less else ""
            return (
                f"{event.model}: {event.total:,}{fewer} {event.things} are "
                f"formatted{_as_json(event)}, in about {described_size(event.memory_bytes)} of "
                "memory"
            )
        case events.SendingFile(done_bytes=0):
            clients = f"{event.clients} client{'' if event.clients == 1 else 's'}"
            return f"{event.file} is sent to {clients} without it: {event.total_bytes:,} bytes"
        case events.Waiting():
            requests = f"{event.requests} request{'' if event.requests == 1 else 's'}"
            return (
                f"the load is over; {requests} under way: waiting for the server, "
                f"{event.seconds_left:.0f} s at most (--dial-read-timeout); Ctrl-C abandons them"
            )
    return None


def live_line(event: object) -> str | None:
    """Return the line that a terminal overwrites by an event; None if it has none."""
    match event:
        case events.Digesting():
            share = event.done_bytes / event.total_bytes
            return f"reading the tensor file for its digest: {share:.0%}"
        case events.Drawing():
            return f"drawing prompts: {event.done / event.total:.0%}"
        case events.Formatting():
            return f"formatting {event.things}{_as_json(event)}: {event.done / event.total:.0%}"
        case events.SendingFile():
            return f"sending {event.file}: {event.done_bytes / event.total_bytes:.0%}"
        case Interval():
            q50, _, _, q99, _ = event.quantiles_ms
            measured = (
                f"{event.overall_rate:.1f}/s overall, q50 {q50:.2f} ms, q99 {q99:.2f} ms"
                if event.overall_rate
                else "nothing measured yet"
            )
            count = f"{event.images:,} images"
            if event.chunks:
                count = f"{event.requests:,} requests, {event.chunks:,} chunks"
            return f"{count}, {event.instantaneous_rate:.1f}/s, {measured}"
    return None


def _as_json(event: events.Formatting) -> str:
    return " as JSON" if event.as_json else ""


def format_summary(result: Result) -> str:
    """Return the summary of a run: rate, latencies, and what makes them doubtful."""
    return "\n".join(_summary_lines(result))


def _summary_lines(result: Result) -> Iterator[str]:
    yield (
        f"Run complete after {result.inferences} inferences with {result.setup.workers} workers "
        f"(Overall inference rate {result.inferences_per_s:.2f} inferences/sec):"
    )
    timed_out = sum(
        result.failures[kind].count
        for kind in ("server_timeout", "client_timeout")
        if kind in result.failures
    )
    if result.service_latencies is None:
        shown = {"Inference execution latency": result.latencies}
    else:
        shown = {
            "Response latency, from the intended start": result.latencies,
            "Service latency, from the actual start": result.service_latencies,
        }
    for label in (ALL_QUERIES, result.setup.query_label):
        yield f"{label:<{len(result.setup.query_label)}}:"
        for name, latencies in shown.items():
            yield f"+ {name} (statistical histogram):"
            yield f"\t{_latency_line(latencies, timed_out)}"
        yield ""
    if result.schedule.arrivals is None:
        yield CLOSED_LOOP
    else:
        yield from _arrival_lines(result)
    for step in result.steps:
        yield f"Step {step.name}: {_part_line(step, step.seconds, step.unsent)}"
    for kind in result.kinds:
        line = _part_line(kind, result.measured_s)
        yield f"Kind {kind.name}, {kind.tensors}, weight {kind.weight:g}: {line}"
    yield from _server_table(result.servers)
    yield from _input_lines(result)
    yield from _doubts(result)
    yield from _server_lines(result)
    yield from _clients_table(result.clients)
    yield from _client_lines(result)
    yield from map(str, result.expectations)
    server = result.server.facts
    yield f"Server: {server.kind} {server.version} at {server.address}"
    yield f"Took: {result.duration_s:8.3f} sec"


def _input_lines(result: Result) -> Iterator[str]:
    """Yield what was sent, and how, as far as that is not the tensors of a file."""
    setup, facts = result.setup, result.facts
    if setup.data_seed is not None and "StringsAre" not in facts:
        tensor = describe(setup.shape, setup.dtype) if setup.shape else "of each kind"
        yield f"Tensors: {tensor}, generated from seed {setup.data_seed}"
    if "Inputs" in facts:
        yield f"Inputs: {facts['Inputs']}"
    if facts.get("Encoding") == "json":
        refused = facts.get("BinaryRefused")
        reason = f"; binary was refused: {refused}" if refused else ""
        yield (
            f"Encoding: JSON, {facts.get('JsonTensors'):,} tensors formatted before the run, "
            f"{described_size(facts.get('JsonBytes', 0))}{reason}"
        )
    elif "StringTensors" in facts:
        yield _strings_line(facts, setup.data_seed)
    if "Sessions" in facts:
        yield f"Conversations: {facts['Sessions']:,}, with {facts['Turns']:,} turns, in their order"
    if "SharedMemory" in facts:
        size = described_size(facts.get("SharedMemoryBytes", 0))
        yield f"Shared memory: {facts['SharedMemory']}, {size}; requests say where they are"


def _strings_line(facts: Mapping[str, Any], seed: int | None) -> str:
    things = facts.get("StringsAre")
    count = f"{facts['StringTensors']:,}"
    size = described_size(facts.get("StringBytes", 0))
    if things is None:
        return f"Strings: {count} tensors formatted before the run, {size}"
    length = facts.get("PromptTokens")
    about = "" if "Tokenizer" in facts else "about "
    tokens = f" of {about}{length} tokens" if length else ""
    drawn = f", drawn from seed {seed}" if seed is not None and things == "prompts" else ""
    return f"{things.capitalize()}: {count}{tokens}{drawn}, formatted before the run, {size}"


def format_repeats(made: Repeats) -> str:
    """Return the summary of repeated runs: medians, intervals, and what makes them doubtful."""
    lines = [f"{len(made.results)} runs, medians with 95 % intervals:"]
    spreads = made.spreads()
    widest = max(5, *map(len, spreads))
    for name, spread in spreads.items():
        interval = spread.interval
        bounds = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        lines.append(f"{name:<{widest}}{spread.median:12.3f}{bounds} {spread.unit}")
    for name, spread in spreads.items():
        lines += [f"The {name} is not stable: {doubt}" for doubt in spread.doubts()]
    if len(lines) > 1 + len(spreads):
        lines.append(
            "Try a longer --duration, more --burn-in, or a machine with nothing else on it"
        )
    if made.until is not None:
        runs, width = len(made.results), made.rate.half_width
        reached = f"is +- {width:.2%}" if math.isfinite(width) else "is not known"
        end = "gave up: " if made.gave_up else ""
        lines.append(
            f"{end}the rate's interval {reached} after {runs} runs; the target was {made.until:.2%}"
        )
    if made.interrupted and not made.results[-1].interrupted:
        lines.append("Interrupted: one more run was cut short and is excluded from these figures")
    return "\n".join(lines)


def _latency_line(latencies: LatencyHistogram, timed_out: int) -> str:
    def shown(value: float | None, unit: str = " ms") -> str:
        return format_ms(value if latencies.count else None, "8.2f", unit)

    q25, q50, q75 = latencies.quantiles_ms((0.25, 0.50, 0.75))
    (q99,) = latencies.known_quantiles_ms((0.99,))
    return (
        f"min: {shown(latencies.min_ms)},  mean: {shown(latencies.mean_ms)}, "
        f"q25: {shown(q25)}, med(q50): {shown(q50)}, q75: {shown(q75)}, "
        f"q99: {shown(q99)}, max: {shown(latencies.max_ms)}, "
        f"stddev: {shown(latencies.stddev_ms, 'ms')}, count: {latencies.count}, "
        f"timedOut count: {timed_out}"
    )


def format_ms(value: float | None, form: str = ".2f", unit: str = " ms") -> str:
    """Return a latency with its unit; NOT_KNOWN if there is none."""
    return NOT_KNOWN if value is None else f"{value:{form}}{unit}"


def _median_and_p99(latencies: LatencyHistogram, unit: str = " ms") -> tuple[str, str]:
    """Return both; NOT_KNOWN for one that is not."""
    q50, q99 = latencies.known_quantiles_ms((0.5, 0.99))
    return format_ms(q50, unit=unit), format_ms(q99, unit=unit)


def _arrival_lines(result: Result) -> Iterator[str]:
    """Yield the rate asked for, what was sent late or never, and how many workers it takes."""
    arrivals = result.schedule.arrivals or {}
    late = f"{result.late_share:.1%} started late, because no worker was free"
    peak_rps = arrivals.get("PeakRps")
    if result.setup.limit_rps:
        line = (
            f"Rate limit: {result.setup.limit_rps:g} requests/s asked, "
            f"{result.requests_per_s:.2f} reached; {late}"
        )
    else:
        asked = arrivals.get("Profile") or f"as recorded in {arrivals.get('File')}"
        if (speed := arrivals.get("Speed") or 1) != 1:
            asked += f", {speed:g} times as fast"
        line = f"Arrivals: {asked}; {result.requests_per_s:.2f} requests/s in all; {late}"
    if result.late_share > MANY_LATE:
        line += f"; {_workers_needed(result, peak_rps)}"
    yield line
    if arrivals.get("Kind") == "poisson":
        yield f"Arrivals: Poisson, drawn from seed {arrivals.get('Seed')}"
    if result.shed:
        max_lag_s = arrivals.get("MaxLagSeconds")
        yield f"Shed: {result.shed} requests were not sent, because they were {max_lag_s:g} s late"
    if unsent := result.schedule.unsent:
        yield f"Unsent: {unsent} requests were due before the end, but no worker was free"
    if result.schedule.lag_exceeded:
        yield f"Ended: a request was more than {arrivals.get('MaxLagSeconds'):g} s late"


def _workers_needed(result: Result, peak_rps: float | None) -> str:
    """Little's law: so many are under way at a time as arrive in a mean service time. J. D. C.
    Little, "A proof for the queuing formula L = lambda W", Operations Research 9, 1961.
    """
    service = result.service_latencies
    if not peak_rps or service is None or service.count == 0:
        return "use more --workers, or lower the rate"
    busy = peak_rps * service.mean_ms / MS_PER_S
    if busy < result.setup.workers:
        return (
            f"at the mean service time of {service.mean_ms:.2f} ms {_workers(math.ceil(busy))} "
            "would be enough on average, but not in bursts or while the server is slow: use more"
        )
    return (
        f"at the mean service time of {service.mean_ms:.2f} ms it takes more than "
        f"{_workers(math.floor(busy))}, if the server is as fast with them; or lower the rate"
    )


def _workers(count: int) -> str:
    return f"{count} worker{'' if count == 1 else 's'}"


def _part_line(part: Figures, seconds: float, unsent: int = 0) -> str:
    """Return the rate, latencies and doubts of a part that took so many seconds."""
    figures = [f"{part.requests} requests, {part.requests / seconds if seconds else 0:.2f}/s"]
    if part.requests:
        q50, q99 = _median_and_p99(part.latencies)
        response = "" if part.service_latencies is None else "response "
        figures += [f"{response}q50 {q50}", f"q99 {q99}"]
        if part.service_latencies is not None:
            figures.append(f"service q99 {_median_and_p99(part.service_latencies)[1]}")
        if stream := part.stream:
            figures.append(stream_words(stream))
    doubts = {
        "failed": part.measured_failed,
        "shed": part.shed,
        "unsent": unsent,
        "started late": part.late_starts,
    }
    figures += [f"{count} {what}" for what, count in doubts.items() if count]
    return ", ".join(figures)


def _server_table(servers: Sequence[ServerFigures]) -> Iterator[str]:
    if not servers:
        return
    width = max(len("Server"), *(len(one.name) for one in servers))
    yield (
        f"{'Server':<{width}} {'workers':>8} {'requests':>10} {'inferences/s':>13} "
        f"{'q50 ms':>9} {'q99 ms':>9} {'failed':>7}"
    )
    for one in servers:
        q50, q99 = _median_and_p99(one.latencies, unit="")
        yield (
            f"{one.name:<{width}} {one.workers:>8} {one.requests:>10} "
            f"{one.inferences_per_s:>13.2f} {q50:>9} {q99:>9} "
            f"{one.measured_failed:>7}"
        )


def _doubts(result: Result) -> Iterator[str]:
    """Yield what to know before trusting the figures."""
    if result.interrupted and not result.incomplete:
        yield "Interrupted: the figures cover the part that was measured"
    if result.failures:
        failed = f"{result.measured_failed} of {result.requests} requests"
        yield f"Failures: {failed}, excluded from the latencies above"
        yield from _failure_lines(result.failures.items())
    if result.counts.burn_in_failures:
        yield "Failures during the warm-up, excluded from every figure above"
        yield from _failure_lines(result.counts.burn_in_failures.items())
    for outage in result.connections.outages:
        end = "" if outage.is_over else ", to the run's end"
        yield (
            f"Outage: {outage.server or 'the server'} could not be reached for "
            f"{outage.seconds:.2f} s{end}, {outage.after_s:.2f} s after the start; "
            f"{outage.attempts} attempts to connect failed"
        )
    if (more := result.connections.outage_count - len(result.connections.outages)) > 0:
        yield f"Outages: {more} more"
    if stream := result.stream:
        yield from stream_lines(stream)
    yield from _connection_lines(result)
    for leaf in leaves(Result):
        if leaf.declared.summary and (count := leaf.of(result)):
            yield leaf.declared.summary.format(count)
    for warned in result.warnings:
        yield f"Warning: {warned.message}"


def _connection_lines(result: Result) -> Iterator[str]:
    """Yield what came of the run's connections: new ones, waits, replies, redirects."""
    made = result.connections
    times_ms = LAGS.write(made.times, False)
    waits_ms = LAGS.write(made.window_waits, False)
    first_ms = LAGS.write(result.streamed.first_replies, False)
    lines = {
        "Connections": connection_words(
            made.reconnects, made.remade, times_ms, result.connect_share
        ),
        "Waits for the server's flow-control windows": window_words(waits_ms, result.window_share),
        "Replies": reply_words(first_ms, result.replies_per_request),
    }
    yield from (f"{title}: {words}" for title, words in lines.items() if words)
    if made.moved or made.asked:
        yield f"Redirects: {made.moved} MOVED and {made.asked} ASK were followed"


def _server_lines(result: Result) -> Iterator[str]:
    """Yield where the time of a mean request went, by the server's counters of its model."""
    parts = server_parts_ms(result.server.periods.get(OVERALL, {}))
    service = result.service_latencies or result.latencies
    if parts is None or service.count == 0:
        return
    inside = ", ".join(f"{name} {ms:.3f}" for name, ms in parts.items())
    left_ms = service.mean_ms - sum(parts.values())
    around = f", and {left_ms:.3f} around it" if left_ms >= 0 else ""
    with_warm_up = (
        "; the server's figures include the warm-up" if result.counts.burn_in_requests else ""
    )
    mean_ms = f"{service.mean_ms:.3f} ms"
    yield f"A mean request's {mean_ms}: in the server {inside}{around}{with_warm_up}"


def _client_lines(result: Result) -> Iterator[str]:
    side, client = result.client, result.client.check
    figures = [f"CPU {client.cpu_share:.1%}", f"busiest thread {side.busiest_thread:.1%}"]
    if client.cpu_wait is not None:
        figures.append(f"waited for a CPU {client.cpu_wait:.1%}")
    if client.cpu_quota is not None and client.throttled is not None:
        figures.append(
            f"quota {client.cpu_quota:g} CPUs, used up in {client.throttled:.0%} of its periods"
        )
    figures += [
        f"{name} p50 {q50:.3f}, p99 {format_ms(q99, '.3f', '')}, max {lags.max_ms:.3f} ms"
        for name, lags in (
            ("schedule lag", side.start_lags),
            ("reply wait", side.reply_waits),
        )
        if lags.count
        for q50, q99 in [lags.known_quantiles_ms((0.5, 0.99))]
    ]
    if client.steal is not None:
        figures.append(f"steal {client.steal:.1%}")
    if client.others is not None:
        figures.append(f"other programs {client.others:.1%}")
    yield f"Client: {', '.join(figures)}"
    yield f"Verdict: {client.verdict}: {client.reason}"


def _clients_table(clients: Sequence[ClientFigures]) -> Iterator[str]:
    if not clients:
        return
    yield f"Clients: {len(clients)}, by requests/s, latency and how late each began"
    width = max(len(f"{one.name} on {one.host}") for one in clients)
    for one in clients:
        line = _part_line(one, one.measured_s)
        began = f"{one.start_lag_s * MS_PER_S:.2f} ms late"
        if one.clock_uncertainty_s:
            began += f" (+- {one.clock_uncertainty_s * MS_PER_S:.2f} ms)"
        lost = "" if one.lost is None else f"; LOST: {one.lost}"
        yield f"\t{f'{one.name} on {one.host}':<{width}}  {line}, {began}{lost}"


def _failure_lines(failures: Iterable[tuple[str, Failure]]) -> Iterator[str]:
    for kind, failure in failures:
        yield f"\t{kind}: {failure.count}, first: {failure.first_message}"
