"""Beside redis-benchmark: large values by SET, small ones by SET, and small tensors in DAGs."""

from collections.abc import Callable, Iterator
from functools import partial

from aibench_fast.protocols.redisai.commands import TENSOR_BLOB, Dialect
from aibench_fast.protocols.redisai.request import Request
from aibench_fast.protocols.session import AskedInput
from benchmarks.perf import clients
from benchmarks.perf.bench import MODEL, TENSOR_BYTES, Bench, server_version
from benchmarks.perf.row import (
    Measured,
    Row,
    alternate,
    fastest,
    median_rates,
    ratios,
    workers_told,
)

LARGE_WORKERS, SMALL_WORKERS = (1, 4, 16, 50), (1, 16, 50)
LARGE_TO_REACH, SMALL_TO_REACH = 1.0, 0.8
PIPELINE = 16
REQUESTS_MULTIPLE = 16 * 50  # the longest pipeline, the most workers
SMALL_SHAPE = (1, 16)
SMALL_BYTES = 64
SMALL_TENSORS = 10_000
FIRST_REQUESTS = 800  # until the rate is known
FIRST_SMALL_REQUESTS = 24_000

Client = Callable[..., Measured]


def large_sets(bench: Bench) -> Iterator[Row]:
    """One SET of 602,112 bytes a request to a plain server; ours distinct, theirs one buffer."""
    server = bench.plain_server
    for workers in LARGE_WORKERS:
        yield _compare(
            bench,
            name=f"SET of 602,112 bytes, {workers_told(workers)}",
            ours=partial(clients.our_sets, server, bench.tensors, TENSOR_BYTES, workers),
            theirs=partial(clients.redis_benchmark, bench.redis_benchmark, server, workers),
            sending=("-d", str(TENSOR_BYTES), "-t", "set"),
            first_requests=FIRST_REQUESTS,
            at_least=LARGE_TO_REACH,
            server=server_version(server),
        )


def small_sets(bench: Bench) -> Iterator[Row]:
    """One SET of 64 bytes a request, 16 outstanding, to a plain server."""
    server = bench.plain_server
    tensors = bench.tensor_file(SMALL_TENSORS, SMALL_BYTES)
    for workers in SMALL_WORKERS:
        yield _compare(
            bench,
            name=f"SET of 64 bytes, {workers_told(workers)}",
            ours=partial(
                clients.our_sets, server, tensors, SMALL_BYTES, workers, pipeline=PIPELINE
            ),
            theirs=partial(clients.redis_benchmark, bench.redis_benchmark, server, workers),
            sending=("-d", str(SMALL_BYTES), "-t", "set", "-P", str(PIPELINE)),
            first_requests=FIRST_SMALL_REQUESTS,
            at_least=SMALL_TO_REACH,
            server=server_version(server),
        )


def small_dags(bench: Bench) -> Iterator[Row]:
    """One AI.DAGRUN of a tensor of 16 floats a request, 16 outstanding, to the NULL backend."""
    server = bench.null_server
    inputs = [AskedInput("FLOAT", SMALL_SHAPE)]
    request = Request(dialect=Dialect.MODELRUN, model=MODEL, inputs=inputs, use_dag=True)
    (command,) = request.commands(0)
    blob = "x" * SMALL_BYTES  # an argument of a program has no bytes that are 0
    sent = [blob if argument is TENSOR_BLOB else str(argument) for argument in command]
    for workers in SMALL_WORKERS:
        yield _compare(
            bench,
            name=f"DAG of 16 floats, {workers_told(workers)}",
            ours=partial(_our_dags, bench, workers),
            theirs=partial(clients.redis_benchmark, bench.redis_benchmark, server, workers),
            sending=("-P", str(PIPELINE), *sent),
            first_requests=FIRST_SMALL_REQUESTS,
            at_least=SMALL_TO_REACH,
            server=server_version(server),
        )


def _our_dags(bench: Bench, workers: int, run_s: float) -> Measured:
    return clients.ours(
        bench.null_server, None, workers, run_s, use_dag=True, shape=SMALL_SHAPE[1:],
        dtype="FLOAT", pipeline=PIPELINE,
    )  # fmt: skip


def _compare(
    bench: Bench,
    *,
    name: str,
    ours: Callable[[float], Measured],
    theirs: Client,
    sending: tuple[str, ...],
    first_requests: int,
    at_least: float,
    server: str,
) -> Row:
    """Compare with redis-benchmark, on one thread or on two, whichever is faster."""
    effort = bench.effort
    guess = theirs(first_requests, *sending).per_s
    probe = _whole_rounds(guess * effort.probe_s)
    threads = {"1 thread": (), "2 threads": ("--threads", "2")}
    best, found = fastest(
        {told: partial(theirs, probe, *more, *sending) for told, more in threads.items()}
    )
    requests = _whole_rounds(found.per_s * effort.run_s)
    rounds = alternate(
        {
            "redis-benchmark": partial(theirs, requests, *threads[best], *sending),
            "ours": partial(ours, effort.run_s),
        },
        effort.rounds,
    )
    return Row(
        name=name,
        figure="requests/s over redis-benchmark's",
        rounds=ratios(rounds, "ours", "redis-benchmark"),
        at_least=at_least,
        beside=median_rates(rounds),
        unit="requests/s",
        note=f"{server}, redis-benchmark on {best}",
    )


def _whole_rounds(requests: float) -> int:
    """At least so many, and a multiple of what any of these rows has outstanding.

    redis-benchmark on two threads aborts where the last of its pipelines is not full.
    """
    return -(-round(requests) // REQUESTS_MULTIPLE) * REQUESTS_MULTIPLE
