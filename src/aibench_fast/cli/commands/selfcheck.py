"""`aibench-fast selfcheck`."""

import argparse
import json
from collections.abc import Iterator

from aibench_fast.cli.options import server
from aibench_fast.cli.options.parser import add_all, by_name, refuse, shape
from aibench_fast.cli.options.secrets import read_headers
from aibench_fast.cli.output import progress_bar
from aibench_fast.files import check_outputs, write_text
from aibench_fast.load.config import RunConfig
from aibench_fast.load.kinds import IMAGE_SHAPE
from aibench_fast.studies.selfcheck import MODEL, STEPS, TIMER_RPS, Machine, SelfCheck, check_client
from aibench_fast.studies.streamcheck import STEPS as STREAM_STEPS
from aibench_fast.studies.streamcheck import TOKENS_PER_S, StreamCheck, check_streams
from aibench_fast.tensortype import DTYPES, canonical, describe

EXAMPLE = "aibench-fast selfcheck --shape 224,224,3 --workers 16 --threads 2"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    server.add_server_options(parser, any_protocol=True)
    add_all(
        parser,
        {
            "--model NAME": "with a server: run its model with this key or name (default: "
            "%(default)s)",
            "--shape N,...": "set the shape of one tensor, without the batch (default: "
            f"{','.join(map(str, IMAGE_SHAPE))}, or with --url the model's)",
            "--dtype DTYPE": f"set the data type: {', '.join(DTYPES)} (default: FLOAT, or with "
            "--url the model's)",
            "--workers N": "use N workers, each on its own connection (default: 1)",
            "--threads N": "use N native I/O threads (default: as in a run)",
            "--batch-size B": "send B tensors per request (default: 1)",
            "--pipeline N": "keep N requests outstanding on each connection (default: 1)",
            "--use-dag true|false": "send each request as one DAG instead of three commands",
            "--streams": f"find how many streams of tokens, {TOKENS_PER_S} a second each, the "
            "client reads in time, against a simulated server on the same cores",
            "--json-out-file FILE": "save the findings as JSON (default: do not)",
            "--quiet": "print no progress and no lines",
        },
        RunConfig,
        model={"default": MODEL},
        shape={"type": shape},
        dtype={"type": canonical},
    )
    parser.set_defaults(handler=_selfcheck)


def _selfcheck(options: argparse.Namespace) -> int:
    check_outputs([("--json-out-file", options.json_out_file)])
    if not server.is_server_given(options):
        of_server = {
            "--tls": server.tls_settings(options),
            "--user": options.user,
            "--password-file": options.password_file,
            "--ask-password": options.ask_password,
        }
        refuse(of_server, "without a server: name it by --host, --port, --socket or --url")
    found, lines = _of_streams(options) if options.streams else _of_requests(options)
    if options.json_out_file:
        write_text(options.json_out_file, json.dumps(found.to_json(), indent=2) + "\n")
    if not options.quiet:
        print("\n".join(lines))
    return 0


def _of_streams(options: argparse.Namespace) -> tuple[StreamCheck, Iterator[str]]:
    requests = {
        "--url, --host, --port or --socket": server.is_server_given(options),
        "--model": options.model != MODEL,
        "--shape": options.shape,
        "--dtype": options.dtype,
        "--workers": options.workers != 1,
        "--batch-size": options.batch_size != 1,
        "--pipeline": options.pipeline != 1,
        "--use-dag": options.use_dag,
    }
    refuse(requests, "with --streams: streams have none; leave one of them out")
    with progress_bar(options.quiet, transient=True) as progress:
        steps = progress.add_task("clock, timer, streams", total=STREAM_STEPS)
        found = check_streams(options.threads, lambda: progress.advance(steps))
    return found, _stream_lines(found)


def _of_requests(options: argparse.Namespace) -> tuple[SelfCheck, Iterator[str]]:
    is_given = server.is_server_given(options)
    config = by_name(
        RunConfig,
        options,
        file=None,
        **(server.located(options) if is_given else {"tls": None}),
        headers=read_headers(options.header),
        command_line=None,
    )
    with progress_bar(options.quiet, transient=True) as progress:
        steps = progress.add_task("clock, timer, ceiling, schedule", total=STEPS)
        found = check_client(config, lambda: progress.advance(steps), embedded=not is_given)
    against = "a model that does nothing, on the same cores"
    if is_given:
        against = f"the model {options.model} of {found.ceiling.server.facts.address}"
    return found, _lines(found, against)


def _machine_lines(machine: Machine) -> Iterator[str]:
    known = machine.facts
    timer_p50, timer_p99 = machine.timer_errors.quantiles_ms((0.5, 0.99))
    quota = "" if machine.cpu_quota is None else f", a quota of {machine.cpu_quota:g} CPUs"
    yield (
        f"Machine: {known['CpuModel']}, {known['Cores']} cores{quota}, governor "
        f"{known['Governor'] or 'unknown'}, {known['Kernel']}"
    )
    yield f"Clock: {machine.clock_cost_ns:.1f} ns per reading, two readings per request"
    yield (
        f"Timer: wakes {timer_p50:.3f} ms late at p50, {timer_p99:.3f} at p99, "
        f"{machine.timer_errors.max_ms:.3f} at most, {TIMER_RPS} times per second"
    )


def _stream_lines(found: StreamCheck) -> Iterator[str]:
    yield from _machine_lines(found.machine)
    for step in found.steps:
        p50, p99, largest = step.errors_ms
        yield (
            f"{step.streams:,} streams: {step.events_per_s:,.0f} events/s, times wrong by "
            f"{p50:.3f} ms at p50, {p99:.3f} at p99, {largest:.3f} at most; {step.cpu_us:.1f} us "
            f"of CPU an event, busiest thread {step.busiest_thread:.0%}; accuracy {step.accuracy}"
        )
    best = found.ceiling
    most = f"{best.streams:,} streams and {best.events_per_s:,.0f} events/s" if best else "none"
    if best:
        yield (
            f"Client: {best.cpu_us:.1f} us of CPU per event, so {1e6 / best.cpu_us:,.0f} events/s "
            "on a core of its own"
        )
    yield (
        f"Ceiling: {most}, with {found.threads} threads against a simulated server on the same "
        f"cores; {found.beyond}"
    )


def _lines(found: SelfCheck, against: str) -> Iterator[str]:
    """Yield the findings; `against` says which model the runs were made with."""
    machine, config, ceiling = found.machine, found.config, found.ceiling
    start_p50, start_p99 = found.scheduled.client.timer_lags.quantiles_ms((0.5, 0.99))
    (p50,) = ceiling.latencies.quantiles_ms([0.5])
    request_us = ceiling.client.cpu_s * 1e6 / max(1, ceiling.requests)
    yield from _machine_lines(machine)
    yield (
        f"Schedule: requests start {start_p50:.3f} ms late at p50, {start_p99:.3f} at p99, at "
        f"{TIMER_RPS} requests/s"
    )
    yield (
        f"Ceiling: {ceiling.requests_per_s:,.0f} requests/s of {config.batch_size} x "
        f"{describe(config.shape, config.dtype)}, p50 {p50:.3f} ms, with {config.workers} workers "
        f"and {config.io_threads} threads against {against}"
    )
    yield (
        f"Client: {request_us:.1f} us of CPU per request, busiest thread "
        f"{ceiling.client.busiest_thread:.0%}, steal {ceiling.client.check.steal or 0.0:.1%}"
    )
    limits = "".join(
        f", {name} {' '.join(map(str, values))}" for name, values in machine.socket_limits.items()
    )
    yield f"Limits: {machine.open_files:,} open files{limits}"
    advised = found.advice()
    yield from (f"Change: {words}" for words in advised)
    if not advised:
        yield "Nothing to change was found"
