"""`python -m benchmarks.same_twice`: how often `compare` calls a server worse than itself.

Each trial is two sweeps of the same four cells, five runs each, against one embedded server whose
model does nothing, and `aibench-fast compare` of the two. The runs of A and B take turns, as they
should; with --one-after-the-other all of A's come first, as a user might do. What follows `--` is
for the sweeps, such as `-- --limit-rps 400`, where a p99 is of a few hundred requests.

With --simulate the runs are made up instead, with the noise of several kinds of machine.
"""

import argparse
import dataclasses
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.results.compare import compare
from aibench_fast.results.files import read_record
from aibench_fast.results.record import Cell, RunRecord
from aibench_fast.server import EmbeddedServer

TRIALS = 20
RUNS = 5
WORKERS = (1, 4)
BATCH_SIZES = (1, 8)
MODEL = "null"
ALLOWED_WORSE = 1
"""Of TRIALS."""
REQUESTS = 300
"""Of a simulated run."""
Floats = NDArray[np.float64]
Generator = np.random.Generator


def main() -> int:
    """Make the trials; 1 where more than ALLOWED_WORSE in TRIALS were worse."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_twice", description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS, metavar="N", help="(default: 20)")
    parser.add_argument("--duration", default="800ms", help="of a run (default: 800ms)")
    parser.add_argument("--one-after-the-other", action="store_true", help="do not take turns")
    parser.add_argument("--simulate", type=int, metavar="N", help="N made-up trials of each noise")
    parser.add_argument("sweep", nargs="*", metavar="-- OPTION", help="more options of the sweeps")
    options = parser.parse_args()
    if options.simulate:
        for name, noise in NOISES.items():
            for turns in (True, False):
                worse = simulated_worse(noise, options.simulate, turns)
                how = "by turns" if turns else "one after the other"
                print(f"{name}, {how}: {worse} of {options.simulate} worse", flush=True)
        return 0
    began = time.monotonic()
    codes = []
    with (
        EmbeddedServer(password=None) as server,
        tempfile.TemporaryDirectory(prefix="aibench-same-") as name,
    ):
        with Connection(server.address) as connection:
            load_model(connection, ModelSpec(name=MODEL, backend=Backend.NULL))
        for trial in range(1, options.trials + 1):
            codes.append(code := _trial(server, Path(name) / str(trial), options))
            print(f"trial {trial}: exit code {code}, {time.monotonic() - began:.0f} s", flush=True)
    worse = sum(code == 1 for code in codes)
    print(f"{worse} of {len(codes)} comparisons of a server with itself have exit code 1")
    return int(worse > ALLOWED_WORSE * len(codes) / TRIALS)


def _trial(server: EmbeddedServer, folder: Path, options: argparse.Namespace) -> int:
    """Make both sweeps, and return the comparison's exit code; SystemExit where one failed."""
    numbers = [RUNS] if options.one_after_the_other else range(1, RUNS + 1)
    for runs, side in product(numbers, "ab"):
        # A sweep that is typed again makes only the runs that are missing.
        done = _aibench(
            "sweep", "--port", server.address.port, "--model", MODEL, "--shape", 16,
            "--workers", ",".join(map(str, WORKERS)), "--runs", runs,
            "--batch-size", ",".join(map(str, BATCH_SIZES)), "--burn-in", "100ms",
            "--duration", options.duration, "--results-dir", folder / side, "--quiet",
            *options.sweep,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr)
    done = _aibench("compare", folder / "a", folder / "b")
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    if done.returncode == 1:
        print(done.stdout, flush=True)
    return done.returncode


def _aibench(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "aibench_fast", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


# ---- the simulation ----


@dataclasses.dataclass(frozen=True)
class Noise:
    """The noise of a machine: the logarithms of how many times longer each run takes."""

    of_runs: Callable[[Generator, int], Floats]
    """Independent of each other."""
    drift: Callable[[Generator, int], Floats]
    """In the order that they are made."""


def _none(rng: Generator, runs: int) -> Floats:
    return np.zeros(runs)


def _neighbour(rng: Generator, runs: int) -> Floats:
    """Nearly nothing in most runs, and in one of seven a neighbour."""
    quiet = rng.normal(0, 0.01, runs)
    return quiet + (rng.random(runs) < 1 / 7) * rng.exponential(0.2, runs)


def _wandering(rng: Generator, runs: int) -> Floats:
    """A first-order process: what one run has, the next has nine tenths of."""
    found, now = [], rng.normal(0, 0.03)
    for _ in range(runs):
        now = 0.9 * now + rng.normal(0, 0.03 * math.sqrt(1 - 0.9**2))
        found.append(now)
    return np.array(found)


NOISES: Mapping[str, Noise] = {
    "log-normal, 1 %": Noise(lambda rng, runs: rng.normal(0, 0.01, runs), _none),
    "log-normal, 10 %": Noise(lambda rng, runs: rng.normal(0, 0.1, runs), _none),
    "heavy tails": Noise(lambda rng, runs: 0.05 * rng.standard_t(3, runs), _none),
    "a neighbour at times": Noise(_neighbour, _none),
    "3 %, and it wanders by 3 %": Noise(lambda rng, runs: rng.normal(0, 0.03, runs), _wandering),
    "3 %, and it slows by 10 %": Noise(
        lambda rng, runs: rng.normal(0, 0.03, runs), lambda rng, runs: np.linspace(0, 0.1, runs)
    ),
}


def simulated_worse(noise: Noise, trials: int, turns: bool, seed: int = 1) -> int:
    """How many trials, of as many, have a cell that is worse in B."""
    rng = np.random.default_rng(seed)
    return sum(compare(*simulated(noise, rng, turns)).worse for _ in range(trials))


def simulated(
    noise: Noise, rng: Generator, turns: bool = True, slower: float = 1.0
) -> tuple[list[RunRecord], list[RunRecord]]:
    """The runs of A and of B, whose first cell is so many times slower."""
    cells = [Cell(workers, 0, size, 0) for workers, size in product(WORKERS, BATCH_SIZES)]
    order = (
        [(side, cell) for _ in range(RUNS) for side in (0, 1) for cell in cells]
        if turns
        else [(side, cell) for side in (0, 1) for _ in range(RUNS) for cell in cells]
    )
    times = np.exp(noise.of_runs(rng, len(order)) + noise.drift(rng, len(order)))
    sides: tuple[list[RunRecord], list[RunRecord]] = ([], [])
    for place, ((side, cell), longer) in enumerate(zip(order, times, strict=True)):
        factor = longer * (slower if side and cell == cells[0] else 1.0)
        sides[side].append(_run(cell, factor * _latencies_ms(rng), place * 1000))
    return sides


def _latencies_ms(rng: Generator) -> Floats:
    """Of one run: log-normal, and one in fifty in a tail."""
    tail = np.where(rng.random(REQUESTS) < 0.02, 1 + rng.pareto(2, REQUESTS), 1)
    return np.exp(rng.normal(0, 0.25, REQUESTS)) * tail


def _run(cell: Cell, latencies_ms: Floats, start_unix_ms: int) -> RunRecord:
    q50, q95, q99 = np.quantile(latencies_ms, [0.5, 0.95, 0.99], method="higher").round(3)
    return dataclasses.replace(
        _blank(),
        cell=cell,
        inferences_per_s=float(cell.workers * cell.batch_size * 1000 / latencies_ms.mean()),
        quantiles_ms={"q50": float(q50), "q95": float(q95), "q99": float(q99)},
        start_unix_ms=start_unix_ms,
        requests=REQUESTS,
        successes=REQUESTS,
    )


@cache
def _blank() -> RunRecord:
    """A result that says as little as one may."""
    document = {
        "Workers": 1, "MetadataAutobatching": 0, "TensorBatchSize": 1,
        "OverallRates": {"overallOpsRate": 1}, "OverallQuantiles": {"AllQueries": {"q50": 1}},
    }  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(document, file)
        file.flush()
        return read_record(Path(file.name))


if __name__ == "__main__":
    sys.exit(main())
