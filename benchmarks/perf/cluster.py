"""One client over all primaries of a cluster, beside a bare C loop for each of them at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.protocols.redisai.cluster import read_cluster
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.server.cluster import EmbeddedCluster
from benchmarks.perf import clients
from benchmarks.perf.bench import MODEL, Bench
from benchmarks.perf.row import Measured, Row, alternate, cpu_row, fastest, rate_row, workers_told

WORKERS_A_SHARD = 4
THREADS = (1, 2, 3, 6, 12)
TO_REACH = 0.9
FIRST_REQUESTS = 200  # until the rate is known


def three_primaries(bench: Bench) -> Iterator[Row]:
    """Our rate over the sum of the loops', on the same three servers."""
    with EmbeddedCluster() as cluster:
        shards = read_cluster([cluster.address]).shards
        for shard in shards:
            with Connection(shard.primary) as connection:
                load_model(connection, ModelSpec(name=shard.key(MODEL), backend=Backend.NULL))

        def loops(threads: int, requests: int) -> Measured:
            """All at once; each has its share of the threads and the requests."""
            with ThreadPoolExecutor(len(shards)) as pool:
                running = [
                    pool.submit(
                        clients.bare_loop, bench.bare_loop, shard.primary, bench.tensors,
                        WORKERS_A_SHARD, threads, requests // len(shards), shard.key(MODEL),
                    )
                    for shard in shards
                ]  # fmt: skip
                found = [one.result() for one in running]
            cpu_s = sum(one.cpu_s for one in found) / len(found)
            return Measured(sum(one.per_s for one in found), cpu_s)

        workers = WORKERS_A_SHARD * len(shards)
        ours = partial(clients.ours, cluster.address, bench.tensors, workers, cluster_mode=True)
        effort = bench.effort
        guess = loops(1, FIRST_REQUESTS).per_s
        probe = round(guess * effort.probe_s) + workers
        loop_threads, best = fastest(
            {n: partial(loops, n, probe) for n in THREADS if n <= WORKERS_A_SHARD}
        )
        our_threads, _ = fastest(
            {n: partial(ours, effort.probe_s, threads=n) for n in THREADS if n <= workers}
        )
        rounds = alternate(
            {
                "bare loops": partial(loops, loop_threads, round(best.per_s * effort.run_s)),
                "ours": partial(ours, effort.run_s, threads=our_threads),
            },
            effort.rounds,
        )
    many = f"3 primaries, {workers_told(workers)}"
    note = f"{loop_threads} threads in each loop, {our_threads} in ours"
    yield rate_row(
        rounds, "ours", "bare loops", name=f"cluster of {many}", at_least=TO_REACH, note=note,
        figure="requests/s over the sum of three bare C loops'",
    )  # fmt: skip
    yield cpu_row(
        rounds, "ours", "bare loops", name=f"client CPU, {many}",
        figure="CPU time a request over the bare C loops'", note=note,
    )  # fmt: skip
