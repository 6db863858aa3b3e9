"""`python -m benchmarks.many_results`: what it takes to read a folder of very many results.

Makes a folder of result files, copies of a real run with other settings and figures, and prints
for each step the seconds, the CPU seconds and the most memory of its processes together. Each step
is a program of its own, so that none profits from what another left in memory; the files are in the
page cache.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from aibench_fast import RunConfig, run
from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.results import index
from aibench_fast.results.forms import QUANTILES
from aibench_fast.results.histogram import HIGHEST_US, LatencyHistogram
from aibench_fast.server import EmbeddedServer

FORMS = 20
"""Different histograms among the copies."""
START_UNIX_MS = 1_700_000_000_000
AGED_S = 60
"""How old the files are made: the index leaves those to be read again that were just written."""
PAGE = "page.html"
POLL_S = 0.2

READ = "import sys, aibench_fast; print(len(aibench_fast.read_results(sys.argv[1])))"
WITHOUT_INDEX = f"from aibench_fast.results import folder; folder.MIN_FILES = 1 << 60; {READ}"


def main() -> None:
    """Make the folder, unless one is named that has results, and measure every step."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many_results", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--files", type=int, default=20_000, metavar="N")
    parser.add_argument("--cells", type=int, default=500, metavar="N", help="settings among them")
    parser.add_argument("--seconds", type=float, default=10, help="of the run that is copied")
    parser.add_argument("--folder", type=Path, help="make and keep them here, or take those there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aibench-many-") as name:
        folder = options.folder or Path(name) / "results"
        if not any(folder.glob("*.json")):
            make_results(folder, options.files, options.cells, options.seconds)
        page = Path(name) / PAGE
        print(f"{'step':<40}{'seconds':>10}{'CPU s':>10}{'MB':>8}")
        for title, command in steps(folder, page):
            told = measure(command)
            print(
                f"{title:<40}{told.seconds:>10.2f}{told.cpu_s:>10.2f}{told.peak_bytes / 1e6:>8.0f}",
                flush=True,
            )
        print(f"the page has {page.stat().st_size / 1e6:.1f} MB")


def make_results(folder: Path, files: int, cells: int, seconds: float) -> None:
    """Write `files` results of `cells` settings, each as often as any other."""
    folder.mkdir(parents=True, exist_ok=True)
    template = _template(seconds)
    rng = random.Random(1)
    forms = [_histogram(np.random.default_rng(seed)) for seed in range(FORMS)]
    settings = [*_settings(cells)]
    aged_ns = time.time_ns() - AGED_S * 10**9
    for number in range(files):
        workers, autobatching, batch = settings[number % cells]
        repetition = number // cells
        form = rng.choice(forms)
        quantiles = dict(zip(QUANTILES, form.quantiles_ms(QUANTILES.values()), strict=True))
        values = {
            "Workers": workers,
            "MetadataAutobatching": autobatching,
            "TensorBatchSize": batch,
            "StartTime": START_UNIX_MS + number * 12_000,
            "OverallRates": {"overallOpsRate": 50 * workers**0.5 * batch * rng.uniform(0.9, 1.1)},
            "OverallQuantiles": {"AllQueries": quantiles, "EncodedHistogram": form.encode()},
        }
        text = template
        for name, value in values.items():
            text = text.replace(f'"@{name}"', json.dumps(value), 1)
        stem = f"run_{repetition}_workers_{workers}_autobatching_{autobatching}_batch_{batch}"
        path = folder / f"JSON_redisai_{stem}_rate_0.json"
        path.write_text(text)
        os.utime(path, ns=(aged_ns, aged_ns))


def _settings(cells: int) -> Iterator[tuple[int, int, int]]:
    """Workers, auto-batching and tensor batch of so many cells, as even a grid as there is."""
    side = 1
    while side**3 < cells:
        side += 1
    for found, (workers, auto, batch) in enumerate(product(range(side), repeat=3)):
        if found < cells:
            yield workers + 1, auto, batch + 1


def _histogram(rng: np.random.Generator) -> LatencyHistogram:
    """Latencies of a run of some length, with a tail."""
    median_us = rng.uniform(2_000, 50_000)
    values = median_us * rng.lognormal(0, rng.uniform(0.05, 0.4), int(rng.uniform(500, 20_000)))
    total = LatencyHistogram.empty()._histogram
    for value in values:
        total.record_value(int(min(value, HIGHEST_US)))
    return LatencyHistogram(total)


def _template(seconds: float) -> str:
    """The JSON of a real run as it is saved, with a mark for each value that a copy varies."""
    with EmbeddedServer(password=None) as server:
        with Connection(server.address) as connection:
            load_model(connection, ModelSpec(name="null", backend=Backend.NULL))
        result = run(
            RunConfig(
                file=None, shape=(224, 224, 3), address=server.address, model="null", workers=4,
                burn_in=100, duration_s=seconds,
            )
        )  # fmt: skip
    document: dict[str, Any] = result.to_json()
    for name in ("Workers", "MetadataAutobatching", "TensorBatchSize", "StartTime", "OverallRates",
                 "OverallQuantiles"):  # fmt: skip
        document[name] = f"@{name}"
    return json.dumps(document, indent=2) + "\n"


def steps(folder: Path, page: Path) -> Iterator[tuple[str, list[str]]]:
    """The steps in the order of measurement, each with its command."""
    program = [sys.executable, "-m", "aibench_fast"]
    report = [*program, "report", str(folder), "--out", str(page), "--quiet"]
    yield "read_results without an index", [sys.executable, "-c", WITHOUT_INDEX, str(folder)]
    (folder / index.NAME).unlink(missing_ok=True)
    yield "read_results, which makes the index", [sys.executable, "-c", READ, str(folder)]
    yield "read_results by the index", [sys.executable, "-c", READ, str(folder)]
    for path in sorted(folder.glob("*.json"))[::100]:
        os.utime(path, ns=(path.stat().st_mtime_ns + 1,) * 2)
    yield "read_results, a file in 100 changed", [sys.executable, "-c", READ, str(folder)]
    yield "report by the index", report
    yield "tables by the index", [*program, "tables", "--dir", str(folder)]
    yield "export by the index", [*program, "export", str(folder), "--format", "csv"]


@dataclass(frozen=True)
class Step:
    """The resources that a step took."""

    seconds: float
    cpu_s: float
    """Of all its processes."""
    peak_bytes: int
    """Memory that they share is counted once."""


def measure(command: list[str]) -> Step:
    """Run a command to its end; an error of it ends this program."""
    start, cpu_before_s = time.monotonic(), _children_cpu_s()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak_bytes = 0
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak_bytes
        while not ended.wait(POLL_S):
            peak_bytes = max(peak_bytes, sum(map(_own_bytes, _tree(process.pid))))

    watching = threading.Thread(target=watch)
    watching.start()
    _, errors = process.communicate()
    seconds = time.monotonic() - start
    ended.set()
    watching.join()
    if process.returncode:
        sys.exit(errors.decode())
    return Step(seconds, _children_cpu_s() - cpu_before_s, peak_bytes)


def _children_cpu_s() -> float:
    told = resource.getrusage(resource.RUSAGE_CHILDREN)
    return told.ru_utime + told.ru_stime


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:  # it has ended meanwhile
            continue
        for child in found:
            yield from _tree(int(child))


def _own_bytes(pid: int) -> int:
    """A process's proportional share of memory."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    (line,) = (line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
