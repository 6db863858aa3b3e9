"""Against a server that answers at once: a bare C loop, redis-py, and what ours keeps in memory.

A request is AI.TENSORSET, AI.MODELRUN and AI.TENSORGET with a tensor of 602,112 bytes.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.perf import clients
from benchmarks.perf.bench import MODEL, Bench
from benchmarks.perf.row import Row, alternate, cpu_row, fastest, rate_row, workers_told

TO_REACH = {1: 0.95, 4: 0.95, 8: 0.95, 16: 0.95, 50: 0.95}
"""By workers: our rate over the bare loop's."""
CPU_TO_REACH = 1.1
REDIS_PY_TO_REACH = 5.0
THREADS = (1, 2, 4, 8, 16)
MEMORY_WORKERS, MEMORY_MB = 50, 40.0
MANY_WORKERS_MEMORY_MB = 60.0
SLOWEST_TO_REACH = 0.5
FIRST_REQUESTS = 500  # until the rate is known
MEMORY_TENSORS = 200
REQUESTS_OF_EACH_WORKER = 25


def against_bare_loop(bench: Bench) -> Iterator[Row]:
    """Our rate and CPU time over those of a bare C loop at its best thread count."""
    for workers, at_least in TO_REACH.items():
        yield from _against_bare_loop(bench, workers, at_least)


def _against_bare_loop(bench: Bench, workers: int, at_least: float) -> Iterator[Row]:
    effort, server = bench.effort, bench.null_server
    bare = partial(clients.bare_loop, bench.bare_loop, server, bench.tensors, workers)
    ours = partial(clients.ours, server, bench.tensors, workers)
    numbers = sorted({threads for threads in (*THREADS, workers) if threads <= workers})
    guess = bare(numbers[0], FIRST_REQUESTS).per_s
    probe = round(guess * effort.probe_s) + workers
    bare_threads, best = fastest({n: partial(bare, n, probe) for n in numbers})
    our_threads, _ = fastest({n: partial(ours, effort.probe_s, threads=n) for n in numbers})
    requests = round(best.per_s * effort.run_s) + workers
    rounds = alternate(
        {
            "bare loop": partial(bare, bare_threads, requests),
            "ours": partial(ours, effort.run_s),
            "ours, best threads": partial(ours, effort.run_s, threads=our_threads),
        },
        effort.rounds,
    )
    many = workers_told(workers)
    threads = f"{bare_threads} threads in the loop"
    over = {"figure": "requests/s over the bare C loop's"}
    yield rate_row(
        rounds, "ours", "bare loop", name=f"bare loop, {many}", at_least=at_least, note=threads,
        **over,
    )  # fmt: skip
    yield rate_row(
        rounds, "ours, best threads", "bare loop", name=f"bare loop, {many}, best threads",
        note=f"{threads}, {our_threads} in ours", **over,
    )  # fmt: skip
    yield cpu_row(
        rounds, "ours", "bare loop", name=f"client CPU, {many}",
        figure="CPU time a request over the bare C loop's", at_most=CPU_TO_REACH, note=threads,
    )  # fmt: skip


def against_redis_py(bench: Bench) -> Iterator[Row]:
    """Our rate over that of a redis-py pipeline, one worker each."""
    effort, server = bench.effort, bench.null_server
    theirs = partial(clients.redis_py, server, bench.tensors)
    requests = round(theirs(FIRST_REQUESTS // 10).per_s * effort.run_s) + 1
    rounds = alternate(
        {
            "redis-py": partial(theirs, requests),
            "ours": partial(clients.ours, server, bench.tensors, 1, effort.run_s),
        },
        effort.rounds,
    )
    yield rate_row(
        rounds, "ours", "redis-py", name="redis-py, 1 worker",
        figure="requests/s over a redis-py pipeline's", at_least=REDIS_PY_TO_REACH,
    )  # fmt: skip


def memory(bench: Bench) -> Iterator[Row]:
    """The memory that a run keeps beside the tensor file's map."""
    _, memory_mb = _run_in_a_process(bench, MEMORY_WORKERS)
    yield Row(
        name=f"memory, {workers_told(MEMORY_WORKERS)}",
        figure="most memory over the map, MB",
        rounds=(memory_mb,),
        at_most=MEMORY_MB,
    )


def many_workers(bench: Bench) -> Iterator[Row]:
    """Whether very many workers on two threads all get on."""
    workers = bench.effort.many_workers
    result, memory_mb = _run_in_a_process(bench, workers, "--threads", "2")
    failed = sum(one["Count"] for one in result["Failures"].values())
    name = workers_told(workers)
    yield Row(name=f"failures, {name}", figure="failed requests", rounds=(failed,), at_most=0)
    yield Row(
        name=f"memory, {name}",
        figure="most memory over the map, MB",
        rounds=(memory_mb,),
        at_most=MANY_WORKERS_MEMORY_MB,
    )
    mean = result["Requests"] / workers
    least, most = result["LeastWorkerRequests"], result["MostWorkerRequests"]
    yield Row(
        name=f"slowest worker, {name}",
        figure="its requests over the mean",
        rounds=(least / mean,),
        at_least=SLOWEST_TO_REACH,
        beside={"least": least, "mean": mean, "most": most},
        unit="requests",
    )


def _run_in_a_process(bench: Bench, workers: int, *more: str) -> tuple[dict[str, Any], float]:
    """Run ours in a process of its own; return its result, and its most memory over the map in MB.

    Every tensor is sent, so that all of the map is resident and counts.
    """
    tensors = bench.tensor_file(min(MEMORY_TENSORS, bench.effort.tensors))
    out = bench.folder / "run.json"
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from aibench_fast.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1])\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "run", "--port", str(bench.null_server.port),
         "--model", MODEL, "--file", tensors, "--workers", str(workers), "--burn-in", str(workers),
         "--max-queries", str(workers * (1 + REQUESTS_OF_EACH_WORKER)), "--quiet",
         "--json-out-file", out,
         "--output-file-stats-hdr-response-latency-hist", bench.folder / "histogram.txt", *more],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode not in (0, 1):  # 1: requests failed, which the result tells
        raise RuntimeError(f"aibench-fast run: {done.stderr}")
    peak_bytes = int(done.stdout.splitlines()[-1]) * 1024
    return json.loads(out.read_text()), (peak_bytes - tensors.stat().st_size) / 1e6
