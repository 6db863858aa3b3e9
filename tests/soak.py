"""Hours of faults: nothing is lost, and neither memory nor descriptors nor threads grow.

`make soak MINUTES=30` runs rounds of mixed loads against real servers of all protocols, with cuts,
pauses and garbage between, and writes a report. The exit code is 1 where counts did not add up or
something grew.

usage: python tests/soak.py --minutes 30 --out results/soak.md
"""

import argparse
import gc
import random
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import conservation
from faultproxy import CHANGING, DELAYING, LOSING, REPLIES, REQUESTS, Fault, FaultProxy
from faults.runs import NULL, observed
from http2proxy import (
    FRAME_CHANGING,
    FRAME_DELAYING,
    FRAME_GRACEFUL,
    FRAME_LOSING,
    Http2FaultProxy,
)
from redisclient import load_into

from aibench_fast import RunConfig, ServerAddress
from aibench_fast.load.kinds import InputTensor, RequestKind
from aibench_fast.results.significance import MAX_P, trend_p
from aibench_fast.server import EmbeddedServer
from aibench_fast.server.triton import TritonServer

ROUND_S = 5.0
FAULTS_A_ROUND = 12
WARM_SHARE = 0.25
"""Of the rounds, the first ones: what they allocate is kept and used again."""
LEAST_GROWTH = {"resident memory, KiB": 2048.0, "descriptors": 1.0, "threads": 1.0}
"""Over the whole time, below which a trend does not matter."""
AMOUNTS = {
    "down": 500, "delay": 200, "throttle": 100_000, "split": 5000, "garbage": 100, "drop": 1000,
    "double": 1000, "withhold": 200, "reset_stream": 13, "goaway_below": 3,
}  # fmt: skip


@dataclass
class Soaked:
    """The totals of all rounds."""

    rounds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    readings: list[Mapping[str, float]] = field(default_factory=list)


def loads() -> list[Mapping[str, object]]:
    """The loads, in turn."""
    tensors = (InputTensor(None, (4,), "FLOAT"),)
    mix = (RequestKind("null", tensors, weight=3.0), RequestKind("null", tensors, batch_size=4))
    small: Mapping[str, object] = {"file": None, "shape": (4,), "dtype": "FLOAT"}
    return [
        {**small, "workers": 4},
        {**small, "workers": 2, "pipeline": 8},
        {**small, "workers": 4, "use_dag": True},
        {**small, "workers": 8, "limit_rps": 400.0, "arrivals": "poisson"},
        {**small, "workers": 8, "limit_rps": 400.0, "max_lag_s": 0.05, "on_lag": "shed"},
        {"file": None, "workers": 4, "mix": mix},
        {"file": None, "workers": 4, "url": "http"},
        {"file": None, "workers": 4, "url": "http", "limit_rps": 50.0},
        {"file": None, "workers": 4, "url": "grpc", "pipeline": 4},
        {"file": None, "workers": 4, "url": "grpc", "limit_rps": 50.0},
    ]


def faults_at_frames(drawn: random.Random) -> Iterator[Fault]:
    for _ in range(FAULTS_A_ROUND):
        kind = drawn.choice([*FRAME_DELAYING, *FRAME_GRACEFUL, *FRAME_LOSING, *FRAME_CHANGING])
        amount = drawn.randint(1, AMOUNTS.get(kind, 1))
        frame = drawn.randrange(200)
        yield Fault(kind, drawn.randrange(20), REPLIES, amount=amount, at_frame=frame)


def faults(drawn: random.Random) -> Iterator[Fault]:
    for _ in range(FAULTS_A_ROUND):
        kind = drawn.choice([*DELAYING, *LOSING, *CHANGING])
        direction = drawn.choice([REPLIES, REQUESTS])
        amount = drawn.randint(1, AMOUNTS.get(kind, 1))
        yield Fault(kind, drawn.randrange(20), direction, drawn.randrange(200_000), amount)


def soak(minutes: float, redisai: EmbeddedServer, triton: TritonServer) -> Soaked:
    """Run rounds for so long."""
    soaked = Soaked()
    until_s = time.monotonic() + minutes * 60
    while time.monotonic() < until_s:
        one_round(soaked, redisai, triton)
    return soaked


def proxy_of(
    scheme: object, drawn: random.Random, redisai: EmbeddedServer, triton: TritonServer
) -> FaultProxy:
    """Return what stands before the server."""
    if scheme == "grpc":
        both = [*faults(drawn), *faults_at_frames(drawn)]
        return Http2FaultProxy(triton.grpc_port, drawn.sample(both, FAULTS_A_ROUND))
    return FaultProxy(triton.port if scheme == "http" else redisai.port, faults(drawn))


def one_round(soaked: Soaked, redisai: EmbeddedServer, triton: TritonServer) -> None:
    drawn = random.Random(soaked.rounds)
    load = dict(loads()[soaked.rounds % len(loads())])
    with proxy_of(load.get("url"), drawn, redisai, triton) as proxy:
        load["address"] = ServerAddress("127.0.0.1", proxy.port)
        if "url" in load:
            load["url"] = f"{load['url']}://127.0.0.1:{proxy.port}"
        config = RunConfig(
            **load, model="null", duration_s=ROUND_S, reply_timeout_s=1.0,  # type: ignore[arg-type]
            reporting_period_s=0.5, interval_latencies=True, seed=soaked.rounds,
        )  # fmt: skip
        result, intervals = observed(config, proxy.arm)
        proxy.disarm()
    for law in conservation.broken(result, intervals):
        soaked.broken.append(f"round {soaked.rounds}: {law}")
    counts = result.counts.all_requests
    soaked.counts.update(
        sent=counts.sent, succeeded=counts.succeeded, failed=counts.failed,
        cancelled=counts.cancelled, outages=result.connections.outage_count,
    )  # fmt: skip
    soaked.failures.update({kind: one.count for kind, one in result.failures.items()})
    soaked.faults.update(fault.kind for fault in proxy.done)
    soaked.rounds += 1
    gc.collect()
    soaked.readings.append(reading())


def reading() -> dict[str, float]:
    """The resources of this process: the client, and the proxy before the servers."""
    status = Path("/proc/self/status").read_text()
    return {
        "resident memory, KiB": float(status.partition("VmRSS:")[2].split()[0]),
        "descriptors": float(len([*Path("/proc/self/fd").iterdir()])),
        "threads": float(threading.active_count()),
    }


def slope(values: Sequence[float]) -> float:
    """By Theil and Sen, a reading: the median of the slopes between all pairs."""
    pairs = combinations(enumerate(values), 2)
    return statistics.median((b - a) / (j - i) for (i, a), (j, b) in pairs)


def report(soaked: Soaked, minutes: float) -> tuple[str, bool]:
    """In Markdown, and whether all is well."""
    kept = soaked.readings[round(len(soaked.readings) * WARM_SHARE) :]
    lines = [
        f"{minutes:g} minutes, {soaked.rounds} rounds of {ROUND_S:g} s: "
        + ", ".join(f"{count:,} {name}" for name, count in soaked.counts.items())
        + f". Counts that did not add up: {len(soaked.broken)}.",
        "",
        "Faults that happened: " + _listed(soaked.faults),
        "",
        "Failures: " + _listed(soaked.failures),
        "",
        "| after each round | first | median | last | slope a round | Mann-Kendall p | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    well = not soaked.broken
    for name, least in LEAST_GROWTH.items():
        values = [one[name] for one in kept]
        a_round, p = slope(values), trend_p(values)
        flat = p >= MAX_P or a_round * len(values) < least
        well = well and flat
        lines.append(
            f"| {name} | {values[0]:.0f} | {statistics.median(values):.0f} | {values[-1]:.0f} | "
            f"{a_round:.3f} | {p:.3f} | {'flat' if flat else 'grows'} |"
        )
    return "\n".join([*lines, *soaked.broken]) + "\n", well


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) + "."


def main() -> int:
    """Soak, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with EmbeddedServer(password=None) as redisai, TritonServer("mobilenet") as triton:
        load_into(redisai.address, NULL)
        text, well = report(soak(options.minutes, redisai, triton), options.minutes)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    print(text)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
