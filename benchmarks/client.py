"""What the client itself costs: ours beside a bare C loop and a redis-py pipeline loop.

All send the same three commands to the same embedded server, whose NULL backend answers at once.
Rounds alternate between the clients, so that a slow moment of the machine hits all of them; the
figures are ratios of medians. Run it on an otherwise idle machine:

    python benchmarks/client.py --rounds 5 --requests 4000
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).parents[1]))
import hiredis_source
from aibench_fast.commands import TENSOR_BLOB, Dialect
from aibench_fast.control import connect
from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.request import Request
from aibench_fast.server import EmbeddedServer

MODEL = "null"
TENSOR_BYTES = 224 * 224 * 3 * 4
SHAPE = (1, 224, 224, 3)
WORKERS = (1, 8)
# More I/O threads than cores: on loopback the kernel copies in them, and no copy waits for another.
MANY_THREADS = 4
MEMORY_WORKERS = 50
TARGETS = {
    "requests/s of the bare C loop, 1 worker": 0.85,
    "requests/s of the bare C loop, 8 workers": 0.85,
    f"requests/s of the bare C loop, 8 workers, {MANY_THREADS} threads": 0.85,
    "requests/s of redis-py, 1 worker": 5.0,
}


@dataclass(frozen=True)
class Measured:
    """One round of one client."""

    requests_per_s: float
    cpu_s_per_request: float


def build_bare_loop(folder: Path) -> Path:
    """Compile the bare C loop with the same hiredis as the client has."""
    sources = hiredis_source.hiredis_source(folder / "hiredis")
    program = folder / "bare_loop"
    subprocess.run(
        [os.environ.get("CC", "cc"), "-std=c11", "-O2", "-D_GNU_SOURCE", "-pthread", "-w",
         f"-I{sources}", "-o", program, Path(__file__).with_name("bare_loop.c"),
         *(sources / name for name in hiredis_source.FILES)],
        check=True,
    )  # fmt: skip
    return program


def bare_loop(program: Path, port: int, workers: int, requests: int, tensors: Path) -> Measured:
    arguments = (program, port, workers, requests, MODEL, tensors, TENSOR_BYTES)
    done = subprocess.run([*map(str, arguments)], check=True, capture_output=True, text=True)
    count, took_s, cpu_s = map(float, done.stdout.split())
    return Measured(count / took_s, cpu_s / count)


def ours(
    folder: Path, port: int, workers: int, requests: int, tensors: Path, *more: str
) -> Measured:
    out = folder / "ours.json"
    subprocess.run(
        [sys.executable, "-m", "aibench_fast", "run", "--port", str(port), "--model", MODEL,
         "--file", str(tensors), "--workers", str(workers), "--burn-in", str(2 * workers),
         "--max-queries", str(requests), "--quiet", "--json-out-file", str(out),
         "--output-file-stats-hdr-response-latency-hist", str(folder / "hist.txt"), *more],
        check=True, capture_output=True,
    )  # fmt: skip
    result = json.loads(out.read_text())
    per_s = result["Successes"] / result["MeasuredSeconds"]
    return Measured(per_s, result["ClientCpuSeconds"] / result["Requests"])


def redis_py(port: int, requests: int, tensors: Path) -> Measured:
    client = redis.Redis(port=port, protocol=2)
    request = Request(dialect=Dialect.MODELRUN, model=MODEL, dtype="FLOAT", shape=SHAPE)
    commands = request.commands(0)
    data = [
        tensors.read_bytes()[n * TENSOR_BYTES : (n + 1) * TENSOR_BYTES]
        for n in range(min(20, requests))
    ]
    start, cpu = time.monotonic(), time.process_time()
    for number in range(requests):
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            tensor = data[number % len(data)]
            pipeline.execute_command(*(tensor if a is TENSOR_BLOB else a for a in command))
        pipeline.execute()
    took_s, cpu_s = time.monotonic() - start, time.process_time() - cpu
    return Measured(requests / took_s, cpu_s / requests)


def memory_over_map_mb(folder: Path, port: int, tensors: Path) -> float:
    """The most memory that a run with 50 workers had resident, less the tensor file's size."""
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
        [sys.executable, "-c", program, "run", "--port", str(port), "--model", MODEL,
         "--file", str(tensors), "--workers", str(MEMORY_WORKERS), "--quiet",
         "--max-queries", "2000",
         "--output-file-stats-hdr-response-latency-hist", str(folder / "hist.txt")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    peak_bytes = int(done.stdout.splitlines()[-1]) * 1024
    return (peak_bytes - tensors.stat().st_size) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--tensors", type=int, default=200, help="distinct tensors in the file")
    parser.add_argument("--json", type=Path, help="save the figures here")
    options = parser.parse_args()
    rounds: dict[str, list[Measured]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name, EmbeddedServer() as server:
        folder = Path(name)
        tensors = folder / "tensors.out"
        with tensors.open("wb") as out:
            for _ in range(options.tensors):
                out.write(os.urandom(TENSOR_BYTES))
        program = build_bare_loop(folder)
        with connect(server.address) as client:
            load_model(client, server.address, ModelSpec(name=MODEL, backend=Backend.NULL))
        for _ in range(options.rounds):
            for workers in WORKERS:
                arguments = (server.port, workers, options.requests, tensors)
                rounds[f"bare C loop, {workers}"].append(bare_loop(program, *arguments))
                rounds[f"ours, {workers}"].append(ours(folder, *arguments))
            more = ("--threads", str(MANY_THREADS))
            rounds[f"ours, 8 ({MANY_THREADS} threads)"].append(ours(folder, *arguments, *more))
            rounds["redis-py, 1"].append(redis_py(server.port, options.requests // 4, tensors))
        memory_mb = memory_over_map_mb(folder, server.port, tensors)
    report(rounds, memory_mb, options.json)


def report(rounds: dict[str, list[Measured]], memory_mb: float, out: Path | None) -> None:
    rate = {k: statistics.median(m.requests_per_s for m in v) for k, v in rounds.items()}
    cpu = {k: statistics.median(m.cpu_s_per_request for m in v) for k, v in rounds.items()}
    print(f"{'client, workers':<20}{'requests/s':>12}{'client CPU us/request':>24}")
    for name in rate:
        print(f"{name:<20}{rate[name]:>12.0f}{cpu[name] * 1e6:>24.0f}")
    ratios = {
        "requests/s of the bare C loop, 1 worker": rate["ours, 1"] / rate["bare C loop, 1"],
        "requests/s of the bare C loop, 8 workers": rate["ours, 8"] / rate["bare C loop, 8"],
        f"requests/s of the bare C loop, 8 workers, {MANY_THREADS} threads": (
            rate[f"ours, 8 ({MANY_THREADS} threads)"] / rate["bare C loop, 8"]
        ),
        "requests/s of redis-py, 1 worker": rate["ours, 1"] / rate["redis-py, 1"],
        "client CPU of the bare C loop, 1 worker": cpu["ours, 1"] / cpu["bare C loop, 1"],
    }
    print(f"\n{'ours, as a multiple of':<52}{'measured':>10}{'to reach':>10}")
    for name, ratio in ratios.items():
        target = f"{TARGETS[name]:.2f}" if name in TARGETS else ""
        print(f"{name:<52}{ratio:>10.2f}{target:>10}")
    print(f"\nmemory over the map at {MEMORY_WORKERS} workers: {memory_mb:.1f} MB (at most 40)")
    if out:
        figures = {"requests_per_s": rate, "cpu_s_per_request": cpu, "ratios": ratios}
        out.write_text(json.dumps({**figures, "memory_over_map_mb": memory_mb}, indent=2))


if __name__ == "__main__":
    main()
