"""Whether the rate stays as workers, batches and the tensor file grow."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from benchmarks.perf import clients
from benchmarks.perf.bench import TENSOR_BYTES, Bench
from benchmarks.perf.row import Measured, Row, alternate, median_rates, ratios, workers_told

TO_REACH = 0.9
FEW_WORKERS = 16
WORKERS = 4  # where something else grows
LARGE_BATCH = 50


def workers(bench: Bench) -> Iterator[Row]:
    """From 16 workers to very many."""
    many = bench.effort.many_workers
    both = {
        workers_told(count): partial(
            clients.ours, bench.null_server, bench.tensors, count, bench.effort.run_s
        )
        for count in (FEW_WORKERS, many)
    }
    yield _row(bench, both, "requests/s")


def batch(bench: Bench) -> Iterator[Row]:
    """From one image a request to many."""
    both = {
        f"batch {size}": partial(
            clients.ours, bench.null_server, bench.tensors, WORKERS, bench.effort.run_s,
            batch_size=size,
        )
        for size in (1, LARGE_BATCH)
    }  # fmt: skip
    yield _row(bench, both, "images/s")


def file_size(bench: Bench) -> Iterator[Row]:
    """From a small tensor file to a large one, all of which is sent; both in the page cache."""
    images = bench.effort.large_file_tensors
    counts = (bench.effort.small_file_tensors, bench.effort.large_file_tensors)
    both = {
        f"file of {count * TENSOR_BYTES / 1e6:,.0f} MB": partial(
            clients.ours, bench.null_server, bench.tensor_file(count), WORKERS, max_queries=images
        )
        for count in counts
    }
    yield _row(bench, both, "requests/s")
    bench.tensor_file(counts[1]).unlink()  # its memory is wanted


def _row(bench: Bench, both: Mapping[str, Callable[[], Measured]], unit: str) -> Row:
    """The second one's rate over the first one's."""
    small, large = both
    rounds = alternate(both, bench.effort.rounds)
    return Row(
        name=f"growth, {small} to {large}",
        figure=f"{unit} over those before",
        rounds=ratios(rounds, large, small),
        at_least=TO_REACH,
        beside=median_rates(rounds),
        unit=unit,
    )
