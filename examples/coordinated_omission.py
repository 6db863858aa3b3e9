"""Show coordinated omission: measure a server that freezes for one second in ten, in two ways.

A closed loop waits for the frozen server and sends nothing meanwhile, so only one request is slow.
In an open loop requests stay due, and each counts from when it was due.

    python examples/coordinated_omission.py --out docs

prints a table and draws `coordinated-omission.png`. It takes twice --seconds.
"""

import argparse
import os
import signal
import threading
from pathlib import Path

from aibench_fast import Result, RunConfig, ServerAddress, run
from aibench_fast.models.load import Backend, ModelSpec, load_model
from aibench_fast.protocols.redisai.connection import Connection
from aibench_fast.report.plot import PERCENTILE_AXIS, percentile_curve
from aibench_fast.report.vegalite import to_png
from aibench_fast.results.histogram import LatencyHistogram
from aibench_fast.server import EmbeddedServer

MODEL = "null"
RATE = 100.0
PERIOD_S, FROZEN_S = 10.0, 1.0
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a run (default: 30)")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for the picture")
    options = parser.parse_args()
    with EmbeddedServer() as server:
        with Connection(server.address) as connection:
            load_model(connection, ModelSpec(name=MODEL, backend=Backend.NULL))
        assert server.pid is not None
        closed = freezing(server.pid, server.address, options.seconds, limit_rps=0.0)
        opened = freezing(server.pid, server.address, options.seconds, limit_rps=RATE)
    assert opened.service_latencies is not None
    curves = {
        "closed loop": closed.latencies,
        "100/s, from the actual start (service)": opened.service_latencies,
        "100/s, from when it was due (response)": opened.latencies,
    }
    print("\n".join(table(curves)))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "coordinated-omission.png").write_bytes(picture(curves))


def freezing(pid: int, address: ServerAddress, seconds: float, limit_rps: float) -> Result:
    """Run one worker while the server's process stops for FROZEN_S in every PERIOD_S."""
    over = threading.Event()

    def freeze() -> None:
        while not over.wait(PERIOD_S / 2):
            os.kill(pid, signal.SIGSTOP)
            over.wait(FROZEN_S)
            os.kill(pid, signal.SIGCONT)
            over.wait(PERIOD_S / 2 - FROZEN_S)

    freezer = threading.Thread(target=freeze)
    freezer.start()
    try:
        # One worker can send 100 requests a second by itself, like a closed loop with pauses.
        return run(
            RunConfig(
                file=None, shape=(16,), model=MODEL, address=address, duration_s=seconds,
                limit_rps=limit_rps,
            )
        )  # fmt: skip
    finally:
        over.set()
        freezer.join()


def table(curves: dict[str, LatencyHistogram]) -> list[str]:
    """Return lines with the latencies at QUANTILES, and the highest, in milliseconds."""
    lines = [f"{'':40}" + "".join(f"{name:>10}" for name in (*QUANTILES, "max"))]
    for name, latencies in curves.items():
        values = [*latencies.quantiles_ms(QUANTILES.values()), latencies.max_ms]
        lines.append(f"{name:40}" + "".join(f"{value:10.2f}" for value in values))
    return lines


def picture(curves: dict[str, LatencyHistogram]) -> bytes:
    """Return the percentile curves as PNG."""
    rows = [
        {"loop": name, **point}
        for name, latencies in curves.items()
        for point in percentile_curve(latencies)
    ]
    spec = {
        "height": 320,
        "data": {"values": rows},
        "mark": {"type": "line"},
        "encoding": {
            "x": PERCENTILE_AXIS,
            "y": {
                "field": "ms", "type": "quantitative", "title": "latency (ms)",
                "scale": {"type": "log"},
            },
            "color": {
                "field": "loop", "type": "ordinal", "scale": {"domain": list(curves)},
                "legend": {"title": None, "orient": "top", "labelLimit": 0},
            },
        },
    }  # fmt: skip
    return to_png(spec, "A server that freezes for one second in ten")


if __name__ == "__main__":
    main()
