"""The cost of N clients to the one that coordinates them: merging, a barrier, clocks."""

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from aibench_fast._core import Histogram
from aibench_fast.results.histogram import LatencyHistogram

VALUES = 2000
"""Of a histogram: some 700 buckets, as of a real run."""
NS_PER_MS = 1_000_000
PROBES = 8
"""There and back, to find how a client's clock stands to the coordinator's."""
MESSAGE_S = 50e-6
"""For the coordinator to handle one message of a client, as of an event loop in Python."""


@dataclass(frozen=True)
class Merged:
    """The cost of adding up the histograms of so many clients."""

    clients: int
    seconds: float
    received_bytes: int


def encoded_histograms(count: int) -> list[str]:
    """Different ones, as clients send them."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(count):
        histogram = Histogram()
        for value_ms in rng.lognormal(math.log(20), 0.3, VALUES):
            histogram.record(round(value_ms * NS_PER_MS))
        told = histogram.counts()
        made = LatencyHistogram.from_counts(told.counts, told.min_us, told.max_us)
        found.append(made.encode())
    return found


def measure_merges(clients: Sequence[int], rounds: int = 3) -> Iterator[Merged]:
    """Decode and add up the histograms of so many clients, several times: the median."""
    encoded = encoded_histograms(100)
    for count in clients:
        received = [encoded[number % len(encoded)] for number in range(count)]
        seconds = []
        for _ in range(rounds):
            start = time.process_time()
            total = LatencyHistogram.merged(map(LatencyHistogram.decode, received))
            seconds.append(time.process_time() - start)
            assert total.count == count * VALUES
        yield Merged(count, statistics.median(seconds), sum(map(len, received)))


def barrier_s(clients: int, round_trip_s: float, fan_out: int = 0) -> float:
    """Until all know that all are ready: every message through one place, or through a tree.

    `fan_out` are the children of a place in the tree; 0: all are the coordinator's. A place takes
    its children's messages one after another, and answers them so.
    """
    if not fan_out:
        return round_trip_s + 2 * clients * MESSAGE_S
    levels = max(1, math.ceil(math.log(clients, fan_out) - 1e-9)) if clients > 1 else 1
    return levels * (round_trip_s + 2 * fan_out * MESSAGE_S)


def clocks_s(clients: int, round_trip_s: float) -> float:
    """To learn how all clocks stand, all clients at a time, and PROBES with each."""
    return PROBES * max(round_trip_s, clients * MESSAGE_S)
