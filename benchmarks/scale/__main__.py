"""`python -m benchmarks.scale check`, or `grow`: see docs/scale.md."""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks.scale import check, coordinator, grow, pictures
from benchmarks.scale.check import BATCHING, LARGE, SMALL, WITHIN, Costs
from benchmarks.scale.real import Bench

CLIENTS = (1, 10, 100, 1000, 10_000)
WORKERS = 16
"""Of each client, as many of a server's requests as ten of its batches."""
LOADS = (1, 2, 4, 8, 16, 32)
CORES = 8
"""Of a client machine."""


def main() -> None:
    """Do what was asked; leave with 1 where the check does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    commands = parser.add_subparsers(required=True)
    checking = commands.add_parser("check", help="the simulation beside real runs, here")
    checking.add_argument("--rounds", type=int, default=5)
    checking.add_argument("--seconds", type=float, default=2.0, help="of a run")
    checking.set_defaults(handler=_check)
    growing = commands.add_parser("grow", help="measure costs, and simulate up to 10,000 clients")
    growing.add_argument("--seconds", type=float, default=2.0, help="of a run for the costs")
    growing.add_argument("--costs", type=Path, help="take them from this file, which one run left")
    growing.add_argument("--most", type=int, default=CLIENTS[-1], help="clients")
    growing.add_argument("--out", type=Path, default=Path("results/scale"), metavar="FOLDER")
    growing.set_defaults(handler=_grow)
    options = parser.parse_args()
    sys.exit(options.handler(options))


def _check(options: argparse.Namespace) -> int:
    print(f"{'':<46}{'simulated':>11}{'measured':>11}  {'unit':<12}{'ratio':>7}  rounds")
    held = True
    for row in check.check(options.rounds, options.seconds):
        held &= row.holds or not row.is_promised
        least, most = row.spread
        print(
            f"{row.name:<46}{row.simulated:>11.4g}{row.measured:>11.4g}  {row.unit:<12}"
            f"{row.ratio:>7.3f}  {least:.3f} to {most:.3f}{_remark(row)}",
            flush=True,
        )
    print(f"{'all' if held else 'not all'} that are promised are within {WITHIN:.0%}")
    return 0 if held else 1


def _remark(row: check.Row) -> str:
    if row.is_disturbed:
        return f"  disturbed: others had {row.others:.0%} of the machine"
    if row.holds:
        return ""
    return "  not within" if row.is_promised else "  not within, nor promised"


def _grow(options: argparse.Namespace) -> int:
    if options.costs:
        told = json.loads(options.costs.read_text())
        costs = {name: Costs(**one) for name, one in told.items()}
    else:
        costs = measured_costs(options.seconds)
        options.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps({name: asdict(one) for name, one in costs.items()}, indent=2)
        (options.out / "costs.json").write_text(text + "\n")
    for name, one in costs.items():
        print(
            f"{name} tensors: client {one.client_cpu_s * 1e6:.1f} us, server "
            f"{one.server_cpu_s * 1e6:.1f} us of CPU time a request"
        )
    clients = [count for count in CLIENTS if count <= options.most]
    sizes = _points(grow.by_size(costs["large"], clients, WORKERS, CORES))
    loads = _points(grow.by_workers(costs["large"], 100, 10, LOADS, CORES))
    merges = [*coordinator.measure_merges(clients)]
    for one in merges:
        print(f"merging {one.clients} histograms: {one.seconds:.4f} s, {one.received_bytes} bytes")
    print("\n".join(map(str, pictures.draw(options.out, sizes, loads, merges))))
    return 0


def measured_costs(seconds: float) -> dict[str, Costs]:
    """Of large tensors and of small ones, by a real run of one client each."""
    with Bench(1, 1, BATCHING) as bench:
        return {
            name: check.measure_costs(bench, values, seconds, check.WORKERS)
            for name, values in (("large", LARGE), ("small", SMALL))
        }


def _points(points: Iterable[grow.Point]) -> list[grow.Point]:
    print(f"{'clients':>8}{'servers':>8}{'workers':>8}{'requests/s':>12}{'of bound':>9}"
          f"{'p50 ms':>8}{'p99 ms':>8}{'took s':>8}  bound by")  # fmt: skip
    found = []
    for one in points:
        setting = one.setting
        print(
            f"{setting.clients:>8}{setting.servers:>8}{setting.workers:>8}{one.per_s:>12,.0f}"
            f"{one.per_s / one.bound_per_s:>9.3f}{one.p50_s * 1000:>8.2f}{one.p99_s * 1000:>8.2f}"
            f"{one.took_s:>8.1f}  {one.bound}",
            flush=True,
        )
        found.append(one)
    return found


if __name__ == "__main__":
    main()
