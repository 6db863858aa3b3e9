"""`python -m benchmarks.perf`: measure the rows, print the table, leave it in three forms."""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from aibench_fast.load.machine import host_facts
from benchmarks.perf import (
    against_redis_benchmark,
    cluster,
    growth,
    many_clients,
    native_loops,
    null_backend,
    over_grpc,
    over_http,
    over_streams,
    picture,
    start_time,
    table,
    tls,
)
from benchmarks.perf.bench import FULL, QUICK, Bench, Unavailable
from benchmarks.perf.row import Row

GROUPS: Mapping[str, Callable[[Bench], Iterator[Row]]] = {
    "bare-loop": null_backend.against_bare_loop,
    "cluster": cluster.three_primaries,
    "redis-py": null_backend.against_redis_py,
    "memory": null_backend.memory,
    "large-sets": against_redis_benchmark.large_sets,
    "small-sets": against_redis_benchmark.small_sets,
    "small-dags": against_redis_benchmark.small_dags,
    "wrk": over_http.against_wrk,
    "tritonclient": over_http.against_tritonclient,
    "grpc": over_grpc.to_triton,
    "grpc-small": over_grpc.small,
    "streams": over_streams.beside_others,
    "tls": tls.cost,
    "instructions": native_loops.instructions,
    "recording": native_loops.recording,
    "converting": native_loops.converting,
    "start-time": start_time.start_time,
    "many-workers": null_backend.many_workers,
    "many-clients": many_clients.start,
    "growth-workers": growth.workers,
    "growth-batch": growth.batch,
    "growth-file": growth.file_size,
}


def main() -> None:
    """Parse the options and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.perf", description=__doc__)
    parser.add_argument(
        "--rows", nargs="+", choices=GROUPS, default=[*GROUPS], metavar="NAME",
        help=f"which rows to measure, of: {', '.join(GROUPS)} (default: all)",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default: {FULL.rounds}")
    parser.add_argument(
        "--quick", action="store_true", help="see that it works; the figures mean nothing"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("results/perf"), metavar="FOLDER",
        help="where perf.json, perf.txt and perf.png go (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER",
        help="for tensor files of up to 6 GB (default: a temporary folder)",
    )  # fmt: skip
    parser.add_argument(
        "--perf-analyzer", type=Path, metavar="PATH", default=shutil.which("perf_analyzer"),
        help="the program perf_analyzer, to compare with over gRPC (default: where PATH has it)",
    )  # fmt: skip
    options = parser.parse_args()
    effort = QUICK if options.quick else FULL
    if options.rounds:
        effort = replace(effort, rounds=options.rounds)
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(dir=options.work, prefix="aibench-perf-") as folder,
        Bench(Path(folder), effort, options.perf_analyzer) as bench,
    ):
        for name in options.rows:
            rows += measure(name, bench)
    write(rows, options.out)


def measure(name: str, bench: Bench) -> list[Row]:
    """One group of rows; where it cannot be measured, one row that says why."""
    rows = []
    started = time.monotonic()
    try:
        for row in GROUPS[name](bench):
            found = row.note if row.measured is None else f"{row.measured:.4g}"
            bench.say(f"{time.monotonic() - started:4.0f} s  {row.name}: {found}")
            rows.append(row)
    except Unavailable as error:
        bench.say(f"{name}: not measured: {error}")
        rows.append(Row(name=name, figure="not measured", rounds=(), at_least=1, note=str(error)))
    return rows


def write(rows: list[Row], folder: Path) -> None:
    """Print the table, and leave it as text, JSON and a picture."""
    host = host_facts()
    printed = table.text(rows, host)
    print(printed, end="")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "perf.txt").write_text(printed)
    (folder / "perf.json").write_text(table.to_json(rows, host))
    (folder / "perf.png").write_bytes(picture.png(rows))


if __name__ == "__main__":
    main()
