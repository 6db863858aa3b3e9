"""The client's inner loops: instructions a request, recording a latency, converting pixels."""

import array
import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from hdrh.histogram import HdrHistogram

from benchmarks.perf import callgrind, programs
from benchmarks.perf.bench import TENSOR_BYTES, Bench, installed
from benchmarks.perf.row import Measured, Row, alternate, median_rates, ratios, workers_told

INSTRUCTIONS_TO_REACH = 20_000
FEW_WORKERS, MANY_WORKERS = 1, 50
SAME_WITHIN = 0.1
THREADS = 2
RECORDING_TO_REACH = 40
CONVERTING_TO_REACH = 0.8
LATENCIES = 4096
LATENCY_RANGE_NS = (20_000, 2_000_000_000)
HOUR_US = 3_600_000_000
TENSOR_VALUES = 224 * 224 * 3
LARGE_VALUES = 64 << 20  # their tensor is of 256 MB, which no cache holds


def instructions(bench: Bench) -> Iterator[Row]:
    """User-space instructions a request, by callgrind, with one worker and with many."""
    installed("valgrind", "valgrind")
    defines = callgrind.counted(TENSOR_BYTES)
    driver = programs.compile_driver(bench.folder / "driver", bench.libraries, defines=defines)
    counts = {}
    for workers in (FEW_WORKERS, MANY_WORKERS):
        counts[workers] = callgrind.instructions_per_request(
            driver,
            bench.null_server.port,
            bench.tensors,
            workers=workers,
            threads=min(workers, THREADS),
            requests=bench.effort.instruction_requests,
        )
        yield Row(
            name=f"instructions, {workers_told(workers)}",
            figure="user-space instructions a request",
            rounds=(counts[workers],),
            at_most=INSTRUCTIONS_TO_REACH,
        )
    yield Row(
        name=f"instructions, {workers_told(MANY_WORKERS)} and {FEW_WORKERS}",
        figure=f"those of {MANY_WORKERS} over those of {FEW_WORKERS}",
        rounds=(counts[MANY_WORKERS] / counts[FEW_WORKERS],),
        at_least=1 - SAME_WITHIN,
        at_most=1 + SAME_WITHIN,
    )


def recording(bench: Bench) -> Iterator[Row]:
    """Latencies recorded a second from C, over hdrhistogram's from Python; the same values."""
    low_ns, high_ns = LATENCY_RANGE_NS
    drawn = random.Random(1)
    latencies_ns = [round(low_ns * (high_ns / low_ns) ** drawn.random()) for _ in range(LATENCIES)]
    file = bench.folder / "latencies.bin"
    file.write_bytes(array.array("q", latencies_ns).tobytes())
    sources = (programs.HERE / "recording.c", programs.NATIVE / "histogram.c")
    program = programs.compile_c(bench.folder / "recording", *sources)
    run_s = bench.effort.run_s / 4
    rounds = alternate(
        {
            "hdrhistogram": partial(_record_by_hdrhistogram, latencies_ns, run_s),
            "ours": partial(_record_by_ours, program, file, round(run_s * 1e8)),
        },
        bench.effort.rounds,
    )
    yield Row(
        name="recording a latency",
        figure="rate from C over hdrhistogram's from Python",
        rounds=ratios(rounds, "ours", "hdrhistogram"),
        at_least=RECORDING_TO_REACH,
        beside=median_rates(rounds),
        unit="latencies/s",
    )


def _record_by_ours(program: Path, latencies: Path, count: int) -> Measured:
    return Measured(1e9 / float(programs.output_of([program, count, latencies])))


def _record_by_hdrhistogram(latencies_ns: list[int], run_s: float) -> Measured:
    histogram = HdrHistogram(1, HOUR_US, 3)
    record = histogram.record_value
    latencies_us = [latency // 1000 for latency in latencies_ns]
    count, start = 0, time.perf_counter()
    while (took_s := time.perf_counter() - start) < run_s:
        for latency in latencies_us:
            record(latency)
        count += len(latencies_us)
    return Measured(count / took_s)


def converting(bench: Bench) -> Iterator[Row]:
    """Pixels to tensor values over memcpy into the same memory, in bytes written."""
    sources = (programs.HERE / "converting.c", programs.PIXELS / "convert.c")
    program = programs.compile_c(bench.folder / "converting", *sources)
    for name, values in (("one tensor, reused", TENSOR_VALUES), ("256 MB", LARGE_VALUES)):
        printed = programs.output_of([program, values, bench.effort.rounds, bench.effort.run_s])
        pairs = [[Measured(float(rate)) for rate in line.split()] for line in printed.splitlines()]
        rounds = {
            "converted": [pair[0] for pair in pairs],
            "memcpy": [pair[1] for pair in pairs],
        }
        yield Row(
            name=f"uint8 to float32, {name}",
            figure="bytes written a second over memcpy's",
            rounds=ratios(rounds, "converted", "memcpy"),
            at_least=CONVERTING_TO_REACH,
            beside=median_rates(rounds),
            unit="bytes/s",
        )
