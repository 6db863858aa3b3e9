"""Over HTTP, to a real Triton whose model answers zeros: beside wrk and Triton's own client.

A request is one inference with a tensor of 602,112 bytes in binary.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from aibench_fast.protocols.address import http_address
from aibench_fast.protocols.openinference.http.inference import HttpInference
from aibench_fast.protocols.openinference.session import OpenInferenceSession
from aibench_fast.protocols.openinference.settings import OpenInferenceSettings
from aibench_fast.protocols.session import AskedInput, AskedKind, Workload
from aibench_fast.server.triton import NULL_INPUT, NULL_MODEL, NULL_OUTPUT
from benchmarks.perf import clients
from benchmarks.perf.bench import Bench, installed
from benchmarks.perf.row import (
    Measured,
    Row,
    alternate,
    cpu_row,
    fastest,
    rate_row,
    workers_told,
)

RATE_TO_REACH, CPU_TO_REACH = 0.95, 1.1
TRITONCLIENT_TO_REACH = 1.4
THREADS = (1, 2, 4)
SHAPE = (224, 224, 3)
FIRST_REQUESTS = 50  # until the rate is known


def against_wrk(bench: Bench) -> Iterator[Row]:
    """Our rate and CPU time over wrk's, on one thread or on more, whichever was faster."""
    program = installed("wrk", "wrk")
    url, headers, body = _request(bench)
    wrk = partial(clients.wrk, program, url, headers, body)
    for workers in bench.effort.http_workers:
        yield from _against_wrk(bench, wrk, workers)


def _request(bench: Bench) -> tuple[str, Path, Path]:
    """Where our requests go, and files of their headers and of the body of the first."""
    tensor = bench.tensor_file(1).read_bytes()
    asked = AskedKind(NULL_MODEL, [AskedInput("FLOAT", (1, *SHAPE), tensor, NULL_INPUT)])
    session = OpenInferenceSession(
        HttpInference,
        http_address(bench.triton.url),
        OpenInferenceSettings(),
        Workload(kinds=[asked]),
    )
    text, _ = session.texts(0, 0, len(tensor))
    head, _, json = text.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers, body = bench.folder / "headers", bench.folder / "body"
    headers.write_text("".join(f"{line}\n" for line in lines))
    body.write_bytes(json + tensor)
    _, path, _ = line.split(" ")
    return bench.triton.url + path, headers, body


def _against_wrk(bench: Bench, wrk: Callable[..., Measured], workers: int) -> Iterator[Row]:
    effort = bench.effort
    run_s = math.ceil(effort.run_s)  # wrk takes whole seconds
    same = bench.tensor_file(1)  # as wrk sends one body
    numbers = [threads for threads in THREADS if threads <= workers]
    wrk_threads, _ = fastest({n: partial(wrk, workers, n, run_s) for n in numbers})
    rounds = alternate(
        {
            "wrk": partial(wrk, workers, wrk_threads, run_s),
            "ours": partial(_ours, bench, same, workers, run_s),
            "ours, distinct tensors": partial(_ours, bench, bench.tensors, workers, run_s),
        },
        effort.rounds,
    )
    many = workers_told(workers)
    note = f"{_server_told(bench)}, wrk on {wrk_threads} threads"
    limits = {"ours": (RATE_TO_REACH, CPU_TO_REACH), "ours, distinct tensors": (None, None)}
    for ours, (rate, cpu) in limits.items():
        which = ours.removeprefix("ours")
        yield rate_row(
            rounds, ours, "wrk", name=f"wrk, {many}{which}", figure="requests/s over wrk's",
            at_least=rate, note=note,
        )  # fmt: skip
        yield cpu_row(
            rounds, ours, "wrk", name=f"client CPU over HTTP, {many}{which}",
            figure="CPU time a request over wrk's", at_most=cpu, note=note,
        )  # fmt: skip


def against_tritonclient(bench: Bench) -> Iterator[Row]:
    """Our rate over that of Triton's own Python client, one worker each."""
    effort = bench.effort
    theirs = partial(
        clients.tritonclient, "http", http_address(bench.triton.url).authority, NULL_MODEL,
        (NULL_INPUT, NULL_OUTPUT), bench.tensors,
    )  # fmt: skip
    requests = round(theirs(FIRST_REQUESTS).per_s * effort.run_s) + 1
    rounds = alternate(
        {
            "tritonclient": partial(theirs, requests),
            "ours": partial(_ours, bench, bench.tensors, 1, effort.run_s),
        },
        effort.rounds,
    )
    yield rate_row(
        rounds, "ours", "tritonclient", name="tritonclient, 1 worker",
        figure="requests/s over tritonclient's", at_least=TRITONCLIENT_TO_REACH,
        note=_server_told(bench),
    )  # fmt: skip


def _ours(bench: Bench, tensors: Path, workers: int, run_s: float) -> Measured:
    return clients.ours(bench.triton.url, tensors, workers, run_s, model=NULL_MODEL)


def _server_told(bench: Bench) -> str:
    return f"triton {bench.triton.version}"
