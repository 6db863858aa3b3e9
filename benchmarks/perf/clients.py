"""The clients that are compared: each call is one round of one of them."""

import csv
import sys
from pathlib import Path
from typing import Any

from aibench_fast import RunConfig, _core, coretypes
from aibench_fast.load.config import default_threads
from aibench_fast.load.runner import run
from aibench_fast.protocols.address import ServerAddress
from aibench_fast.protocols.session import native_tls
from benchmarks.perf.bench import MODEL, TENSOR_BYTES
from benchmarks.perf.programs import HERE, output_of
from benchmarks.perf.row import Measured

NS_PER_S = 1_000_000_000
REPLY_TIMEOUT_S = 90
REDIS_BENCHMARK_KEY = "key:__rand_int__"  # what it sends without -r, as it stands


def ours(
    server: ServerAddress | str, tensors: Path | None, workers: int, run_s: float = 0, **more: Any
) -> Measured:
    """`aibench-fast run`, in this process, so that a file's digest is computed once.

    A server that speaks HTTP is given by its URL. Without a tensor file they are generated. `more`
    are settings of RunConfig, one of which limits the run where `run_s` is 0. The rate is in
    tensors a second.

    RuntimeError where a request failed.
    """
    where = "url" if isinstance(server, str) else "address"
    config = RunConfig(
        file=tensors, workers=workers, burn_in=2 * workers, duration_s=run_s,
        **{where: server, "model": MODEL, **more},
    )  # fmt: skip
    result = run(config)
    if result.failed:
        raise RuntimeError(f"requests failed: {result.failures}")
    return Measured(
        result.successes * config.batch_size / result.measured_s,
        result.client.cpu_s / result.requests,
    )


def our_sets(
    address: ServerAddress,
    tensors: Path,
    value_bytes: int,
    workers: int,
    run_s: float,
    pipeline: int = 1,
) -> Measured:
    """The native load generator by itself, with one SET a request, to redis-benchmark's key.

    RuntimeError where a request failed.
    """
    head = b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n" % (
        len(REDIS_BENCHMARK_KEY), REDIS_BENCHMARK_KEY.encode(),
    )  # fmt: skip
    text = (head + b"$%d\r\n" % value_bytes, b"\r\n")
    generator = _core.LoadGenerator(
        kinds=[
            coretypes.Kind(
                inputs=[_core.Tensors.open([tensors], value_bytes)],
                requests=[text] * workers,
                plan=coretypes.RespPlan([None]),
            )
        ],
        endpoints=[
            coretypes.Endpoint(
                address.host, address.port, tls=native_tls(address.tls, address.host)
            )
        ],
        threads=default_threads(workers, value_bytes),
        burn_in_requests=2 * workers * pipeline,
        max_requests=0,
        duration_ns=round(run_s * NS_PER_S),
        reply_timeout_ns=REPLY_TIMEOUT_S * NS_PER_S,
        connect_timeout_ns=REPLY_TIMEOUT_S * NS_PER_S,
        stop_on_failure=True,
        pipeline=pipeline,
    )
    generator.start()
    generator.wait(run_s + REPLY_TIMEOUT_S)
    found = generator.snapshot()
    generator.close()
    if failures := found.measured.failures or found.burn_in.failures:
        raise RuntimeError(f"requests failed: {failures}")
    measured_s = (found.last_completed_ns - found.measured_from_ns) / NS_PER_S
    successes = found.measured.counters["successes"]
    return Measured(successes / measured_s, found.cpu_ns / NS_PER_S / successes)


def bare_loop(
    program: Path,
    address: ServerAddress,
    tensors: Path,
    workers: int,
    threads: int,
    requests: int,
    model: str = MODEL,
) -> Measured:
    """The bare C loop."""
    arguments = (address.port, workers, threads, requests, model, tensors, TENSOR_BYTES)
    return _measured(output_of([program, *arguments]))


def bare_grpc(
    program: Path, port: int, connections: int, streams: int, body: Path, requests: int
) -> Measured:
    """The bare C loop over gRPC, with `streams` requests outstanding on each connection."""
    return _measured(output_of([program, port, connections, streams, requests, body]))


def redis_benchmark(
    program: Path, address: ServerAddress, clients: int, requests: int, *arguments: str
) -> Measured:
    """Redis's own benchmark program; `arguments` say what it sends and how."""
    printed = output_of(
        [program, "-h", address.host, "-p", address.port, "-c", clients, "-n", requests, "--csv",
         *arguments]
    )  # fmt: skip
    (found,) = csv.DictReader(printed.splitlines())
    return Measured(float(found["rps"]))


def redis_py(address: ServerAddress, tensors: Path, requests: int) -> Measured:
    """A redis-py pipeline."""
    program = (sys.executable, "-m", "benchmarks.perf.redis_py_loop")
    arguments = (address.port, requests, MODEL, tensors, TENSOR_BYTES)
    return _measured(output_of([*program, *arguments]))


def wrk(
    program: Path, url: str, headers: Path, body: Path, connections: int, threads: int, run_s: int
) -> Measured:
    """A well known HTTP load generator; every request of it has the headers and the body."""
    printed = output_of(
        [program, "-c", connections, "-t", threads, "-d", f"{run_s}s", "-s", HERE / "wrk_loop.lua",
         url, "--", headers, body]
    )  # fmt: skip
    return _measured(printed.splitlines()[-1])


def tritonclient(
    protocol: str, authority: str, model: str, names: tuple[str, str], tensors: Path, requests: int
) -> Measured:
    """Triton's own Python client, over `http` or `grpc`.

    `names` are of the model's input and output.
    """
    program = (sys.executable, "-m", "benchmarks.perf.tritonclient_loop")
    return _measured(output_of([*program, protocol, authority, requests, model, *names, tensors]))


def _measured(printed: str) -> Measured:
    """Read the requests, seconds and CPU seconds that a loop printed."""
    count, took_s, cpu_s = map(float, printed.split())
    return Measured(count / took_s, cpu_s / count)
