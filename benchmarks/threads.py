"""`python -m benchmarks.threads`: how many I/O threads are best, by workers, tensors and model.

Each cell is the median rate of so many threads over that of the best, all taken in turn in one run;
beside it the client's CPU time a request. The default of RunConfig.io_threads comes from here.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from aibench_fast.models import ModelFormat, built_in_model
from aibench_fast.models.load import ModelSpec, load_model
from aibench_fast.protocols.redisai.connection import Connection
from benchmarks.perf import clients
from benchmarks.perf.bench import FULL, MODEL, QUICK, Bench
from benchmarks.perf.row import Measured, alternate

WORKERS = (1, 2, 4, 8, 16, 50, 200)
THREADS = (1, 2, 4, 8, 16)
SMALL_VALUES = (16, 16_384, 65_536, 98_304)
MOBILENET_WORKER_S = 0.02
MOBILENET = "mobilenet"


def main() -> None:
    """Measure, and print a table in Markdown for each kind of request."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="(default: 7)")
    parser.add_argument(
        "--kinds", nargs="+", metavar="TITLE", help="only those whose title begins so"
    )
    parser.add_argument("--quick", action="store_true", help="see that it works")
    options = parser.parse_args()
    effort = QUICK if options.quick else replace(FULL, tensors=200, rounds=options.rounds)
    with (
        tempfile.TemporaryDirectory(prefix="aibench-threads-") as folder,
        Bench(Path(folder), effort) as bench,
    ):
        for title, settings, worker_s in kinds(bench):
            if options.kinds and not any(title.startswith(kind) for kind in options.kinds):
                continue
            print(f"\n{title}\n")
            print("| workers | " + " | ".join(f"{n} threads" for n in THREADS) + " |")
            print("| ---: |" + " ---: |" * len(THREADS))
            for workers in WORKERS:
                print(row(bench, workers, settings, worker_s), flush=True)


def kinds(bench: Bench) -> Iterator[tuple[str, Mapping[str, Any], float]]:
    """The kinds of request: a title, the settings of `clients.ours`, least seconds a worker.

    A round has to last long enough for every worker to have several requests answered.
    """
    with Connection(bench.null_server) as connection:
        blob = built_in_model(ModelFormat.PB)
        load_model(connection, ModelSpec(name=MOBILENET, blob=blob))
    yield "NULL backend, 602,112 bytes", {"tensors": bench.tensors}, 0
    for values in SMALL_VALUES:
        settings = {"tensors": None, "shape": (values,)}
        yield f"NULL backend, {4 * values:,} bytes", settings, 0
    settings = {"tensors": bench.tensors, "model": MOBILENET}
    yield "MobileNet V1, 602,112 bytes", settings, MOBILENET_WORKER_S


def row(bench: Bench, workers: int, settings: Mapping[str, Any], worker_s: float) -> str:
    """One line of the table: the rate over the best thread count's, and the CPU time."""
    run_s = max(bench.effort.run_s, workers * worker_s)
    measured = alternate(
        {
            threads: partial(
                clients.ours, bench.null_server, workers=workers, run_s=run_s, threads=threads,
                **{"model": MODEL, **settings},
            )
            for threads in THREADS
            if threads <= workers
        },
        bench.effort.rounds,
    )  # fmt: skip
    rates = {threads: statistics.median(m.per_s for m in ms) for threads, ms in measured.items()}
    best = max(rates.values())
    cells = [
        f"{rates[n] / best:.2f} ({cpu_us(measured[n]):.0f} us)" if n in rates else ""
        for n in THREADS
    ]
    return f"| {workers} | " + " | ".join(cells) + " |"


def cpu_us(measured: Sequence[Measured]) -> float:
    """The client's median CPU time a request, in microseconds."""
    return statistics.median(one.cpu_s for one in measured) * 1e6


if __name__ == "__main__":
    main()
