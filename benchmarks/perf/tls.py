"""The cost of TLS to a request: the same client and the same server, with it and without."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from benchmarks.perf import clients
from benchmarks.perf.bench import TENSOR_BYTES, Bench, server_version
from benchmarks.perf.row import (
    Row,
    alternate,
    cpu_ratios,
    median_cpu_us,
    median_rates,
    ratios,
    workers_told,
)

WORKERS = (1, 4)
SMALL_BYTES, SMALL_TENSORS = 64, 10_000


def cost(bench: Bench) -> Iterator[Row]:
    """One SET a request, of large values and of small ones."""
    for value_bytes in (TENSOR_BYTES, SMALL_BYTES):
        for workers in WORKERS:
            yield from _cost(bench, value_bytes, workers)


def _cost(bench: Bench, value_bytes: int, workers: int) -> Iterator[Row]:
    tensors = (
        bench.tensors
        if value_bytes == TENSOR_BYTES
        else bench.tensor_file(SMALL_TENSORS, SMALL_BYTES)
    )
    server = bench.tls_server
    plain = replace(server, port=bench.plain_port_of_tls_server, tls=None)
    sets = partial(
        clients.our_sets, tensors=tensors, value_bytes=value_bytes, workers=workers,
        run_s=bench.effort.run_s,
    )  # fmt: skip
    rounds = alternate(
        {"TLS": partial(sets, server), "plain": partial(sets, plain)}, bench.effort.rounds
    )
    name = f"TLS, SET of {value_bytes:,} bytes, {workers_told(workers)}"
    yield Row(
        name=name,
        figure="requests/s over plain's",
        rounds=ratios(rounds, "TLS", "plain"),
        beside=median_rates(rounds),
        unit="requests/s",
        note=server_version(plain),
    )
    yield Row(
        name=f"client CPU by {name}",
        figure="CPU time a request over plain's",
        rounds=cpu_ratios(rounds, "TLS", "plain"),
        beside=median_cpu_us(rounds),
        unit="us a request",
    )
